"""What makes retrieval better on held-out films: layers, poolings, maps, metrics, mixtures, learnt metrics.

    python research/evaluation_variants.py WORKSPACE NIH [--part tune] [--target Effusion] [--deep] [--json FILE]

NIH is a folder with images/, Data_Entry_2017_v2020.csv and split.csv. The catalogue is the workspace's; every choice
belongs on the part `tune`. Learnt metrics are fitted on the catalogue only. Every variant is compared with `cnn` and
`ig_cbir` on the same queries; p-values are corrected by Holm over ALL variants printed, because trying many is what
makes a lucky one.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
from sklearn.decomposition import PCA
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import StandardScaler

from icbir_core.catalogue import IngestOptions, Workspace
from icbir_core.evaluation import scoring
from icbir_core.evaluation.films import FilmSet, collect_catalogue, collect_layout, find_allowed
from icbir_core.evaluation.methods import find_method, measure_distances, measure_euclidean, rank_cases
from icbir_core.evaluation.metrics import jaccard_grades
from icbir_core.evaluation.page import make_plain, show_interval, show_number
from icbir_core.evaluation.statistics import group_patients
from icbir_core.evaluation.vectors import VectorSource

Transform = Callable[[np.ndarray, np.ndarray, FilmSet], tuple[np.ndarray, np.ndarray]]
SHOWN = ("precision_at_10", "average_precision", "ndcg_findings")


def unit(queries, cases, _):
    """Every vector at length 1: the order of the angle."""
    return tuple(m / np.maximum(np.linalg.norm(m, axis=1, keepdims=True), 1e-12) for m in (queries, cases))


def standardise(queries, cases, _):
    """Every dimension at the same spread over the catalogue."""
    scaler = StandardScaler().fit(cases)
    return scaler.transform(queries), scaler.transform(cases)


def whiten(dimensions: int) -> Transform:
    """The first principal components of the catalogue, each at the same spread."""

    def apply(queries, cases, _):
        found = PCA(min(dimensions, *cases.shape), whiten=True, random_state=0).fit(cases)
        return found.transform(queries), found.transform(cases)

    return apply


def learn(target: str | None) -> Transform:
    """Supervised: log-odds by logistic regression on whitened vectors, for the target alone or for every finding.

    The case's own vector is among those it is fitted on, as it would be in the application.
    """

    def apply(queries, cases, films):
        queries, cases = whiten(50)(queries, cases, films)
        left, right = [], []
        for name in [target] if target else films.findings:
            states = films.states(name)
            known = np.isfinite(states)
            if min((states[known] == 1).sum(), (states[known] == 0).sum()) < 10:
                continue
            model = LogisticRegression(C=0.01, class_weight="balanced", max_iter=2000).fit(cases[known], states[known])
            left.append(model.decision_function(queries))
            right.append(model.decision_function(cases))
        return np.stack(left, axis=1), np.stack(right, axis=1)

    return apply


def contrast(layers: int, steps: int = 200) -> Transform:
    """Supervised contrastive (Khosla et al., NeurIPS 2020), several findings at once: a projection to 64 unit vectors
    in which a case attracts others by the Jaccard index of their findings. layers : 1 is linear."""

    def apply(queries, cases, films):
        import keras

        scaler = StandardScaler().fit(cases)
        left, right = (scaler.transform(matrix).astype(np.float32) for matrix in (queries, cases))
        labels = films.align_labels(films.findings)
        grades = np.nan_to_num(np.stack([jaccard_grades(row, labels) for row in labels])).astype(np.float32)
        np.fill_diagonal(grades, 0)
        keras.utils.set_random_seed(0)
        hidden = [keras.layers.Dense(256, "relu"), keras.layers.Dropout(0.3)] if layers > 1 else []
        head = keras.Sequential([keras.layers.Dropout(0.3), *hidden, keras.layers.Dense(64),
                                 keras.layers.UnitNormalization()])  # fmt: skip
        mask = 1 - np.eye(len(right), dtype=np.float32)
        share = grades / np.maximum(grades.sum(1, keepdims=True), 1e-6)

        def loss(_, vectors):
            likeness = vectors @ keras.ops.transpose(vectors) / 0.1
            weights = keras.ops.exp(likeness - keras.ops.max(likeness, axis=1, keepdims=True)) * mask
            logs = keras.ops.log(weights / keras.ops.sum(weights, axis=1, keepdims=True) + 1e-9)
            return -keras.ops.mean(keras.ops.sum(share * logs, axis=1))

        head.compile(keras.optimizers.AdamW(1e-3, weight_decay=0.05), loss)
        head.fit(right, np.zeros(len(right)), batch_size=len(right), epochs=steps, verbose=0, shuffle=False)
        return head.predict(left, verbose=0), head.predict(right, verbose=0)

    return apply


POOLED = ("pool3_relu", "pool4_relu", "relu")


def pool_layers(source: VectorSource, films: FilmSet, maps: str | None) -> dict[str, np.ndarray]:
    """ "layer, mean" and "layer, largest" → (N, C) of the classifier on the films, or of the saliency classifier on
    their maps by the saliency method `maps`."""
    import keras

    from icbir_core.radiograph.network_input import standardise as standardise_films
    from icbir_core.saliency.encoding import encode_map

    models = source.opened.models
    reader = (models.classifier if maps is None else models.saliency_classifier).model
    network = keras.Model(reader.input, [reader.get_layer(name).output for name in POOLED])
    settings, found = models.classifier.input_settings, {}
    for start in range(0, len(films), 16):
        images = films.load_images(range(start, min(start + 16, len(films))), settings)
        if maps is not None:
            images = encode_map(source.opened.embedder.explain(images, maps))
        for name, values in zip(POOLED, network(standardise_films(images), training=False), strict=True):
            values = np.asarray(values)
            found.setdefault(f"{name}, mean", []).append(values.mean((1, 2)))
            found.setdefault(f"{name}, largest", []).append(values.max((1, 2)))
    return {name: np.concatenate(parts) for name, parts in found.items()}


MAP_SCALES: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "square root": np.sqrt,
    "clipped at the 99th percentile": lambda maps: np.minimum(
        maps / np.maximum(np.percentile(maps, 99, axis=(1, 2), keepdims=True), 1e-6), 1
    ),
    "equal histogram": lambda maps: (
        np.argsort(np.argsort(maps.reshape(len(maps), -1))).reshape(maps.shape) / np.float32(maps[0].size - 1)
    ),
}
"""Other ways to bring an encoded map (N, S, S) in [0, 1] to one scale."""
OTHER_TARGETS = ("Cardiomegaly", "No Finding")


def read_scaled_maps(source: VectorSource, films: FilmSet) -> dict[str, np.ndarray]:
    """Penultimate features (N, D) of the saliency classifier on Deep Taylor maps that are scaled otherwise, or made for
    another finding than the target."""
    from icbir_core.saliency.encoding import encode_map

    models, found = source.opened.models, {}
    settings = models.classifier.input_settings
    for start in range(0, len(films), 16):
        images = films.load_images(range(start, min(start + 16, len(films))), settings)
        encoded = encode_map(source.opened.embedder.explain(images, "deep_taylor"))
        pictures = {f"maps, {title}": scale(encoded) for title, scale in MAP_SCALES.items()}
        for finding in OTHER_TARGETS:
            maps = source.opened.embedder.explain(images, "deep_taylor", finding)
            pictures[f"maps for {finding}"] = encode_map(maps)
        for title, chosen in pictures.items():
            features = models.saliency_classifier.features(np.asarray(chosen, np.float32))
            found.setdefault(title, []).append(features)
    return {title: np.concatenate(parts) for title, parts in found.items()}


def list_variants(
    source: VectorSource, queries: FilmSet, catalogue: FilmSet, target: str, deep: bool
) -> dict[str, np.ndarray]:
    """name → distances (Q, N). deep : other layers, poolings and maps too, which computes every film anew."""
    distances = {}
    names = ["ssim", "cnn", "findings", "hybrid_findings", "cnn_centred"]
    if source.opened.models.saliency_classifier is not None:
        names += ["ig_cbir", "hybrid", "ig_cbir_centred", "hybrid_centred"]
    for name in names:
        distances[name] = measure_distances(find_method(name), source, queries, catalogue)
    transforms: dict[str, Transform] = {
        "unit length": unit, "standardised": standardise, "whitened 32": whiten(32), "whitened 128": whiten(128),
        "learnt, target": learn(target), "learnt, all findings": learn(None),
        "contrastive, linear": contrast(1), "contrastive, two layers": contrast(2),
    }  # fmt: skip
    for kind in ("cnn", "ig_cbir"):
        if kind not in distances:
            continue
        left, right = (np.asarray(source.get(films, kind), np.float64) for films in (queries, catalogue))
        for title, transform in transforms.items():
            one, other = transform(left, right, catalogue)
            distances[f"{kind}, {title}"] = measure_euclidean(one, other)
    sources = [("cnn", None)]
    if source.opened.models.saliency_classifier is not None:
        sources += [("ig_cbir", "deep_taylor"), ("composite maps", "lrp_composite")]
    for title, maps in sources if deep else []:
        left, right = (pool_layers(source, films, maps) for films in (queries, catalogue))
        distances |= {f"{title}, {name}": measure_euclidean(left[name], right[name]) for name in left}
    if deep and source.opened.models.saliency_classifier is not None:
        left, right = (read_scaled_maps(source, films) for films in (queries, catalogue))
        distances |= {f"ig_cbir, {title}": measure_euclidean(left[title], right[title]) for title in left}
    if "hybrid" in distances:
        scaled = {name: distances[name] / np.median(distances[name]) for name in ("cnn", "ig_cbir")}
        for share in (0.25, 0.75):
            distances[f"mixture, {share:.0%} ig_cbir"] = share * scaled["ig_cbir"] + (1 - share) * scaled["cnn"]
    return distances


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("workspace", type=Path)
    parser.add_argument("nih", type=Path)
    parser.add_argument("--part", default="tune")
    parser.add_argument("--target", default="Effusion")
    parser.add_argument("--deep", action="store_true", help="other layers, poolings and composite maps too: minutes")
    parser.add_argument("--json", type=Path)
    given = parser.parse_args()
    from icbir_core.retrieval.retriever import Retriever

    workspace = Workspace.open(given.workspace)
    opened = Retriever.open(workspace, given.target).get_target()
    source = VectorSource(opened, workspace.path / "evaluation" / "vectors")
    rows = np.setdiff1d(opened.store.get_completed(), workspace.catalogue.removed_rows())
    catalogue = collect_catalogue(workspace, rows)
    options = IngestOptions("nih", given.nih / "images", given.nih / "Data_Entry_2017_v2020.csv",
                            split=given.nih / "split.csv", part=given.part)  # fmt: skip
    queries = collect_layout(workspace, options)
    states, cases = queries.states(given.target), catalogue.states(given.target)
    names = sorted(set(queries.findings) & set(catalogue.findings))
    left, right = queries.align_labels(names), catalogue.align_labels(names)
    task = scoring.Task(
        {"target": [cases] * len(queries), "findings": [jaccard_grades(row, right) for row in left]},
        {"target": states == 1, "findings": np.isfinite(left).any(axis=1)},
        group_patients(queries.patients),
        (*scoring.make_target_measures((10,)), scoring.make_gain_measure("findings", "nDCG at 10 by Jaccard")),
    )
    allowed = find_allowed(queries, catalogue)
    chance, drawn = scoring.compute_chance(task, allowed)
    scores = {}
    for name, table in list_variants(source, queries, catalogue, given.target, given.deep).items():
        orders = rank_cases(table, allowed)
        scores[name] = scoring.score_method(task, orders, drawn)
        scores[name].vote.update(scoring.score_vote(states, np.stack([cases] * len(queries)), orders, task.groups, 10))
    references = [name for name in ("cnn", "ig_cbir") if name in scores]
    pairs = [(name, reference) for reference in references for name in scores if name != reference]
    compared = scoring.compare_methods(scores, pairs, ["average_precision"], task.groups)
    print(f"{len(queries)} queries of part {given.part}, {int((states == 1).sum())} with {given.target}; "
          f"catalogue {len(catalogue)}, base rate {np.nanmean(cases):.3f}")  # fmt: skip
    print("| variant | " + " | ".join(SHOWN) + " | vote AUROC | AP − cnn | corrected p |")
    print("|---" * (len(SHOWN) + 4) + "|")
    for name, score in sorted(scores.items(), key=lambda item: -item[1].intervals["average_precision"]["value"]):
        against = next((c for c in compared if (c["first"], c["second"]) == (name, "cnn")), None)
        cells = [show_interval(score.intervals[m]) for m in SHOWN] + [show_interval(score.vote.get("auroc"))]
        cells += (
            [show_number(against["difference"]["value"]), show_number(against["p_corrected"])] if against else ["", ""]
        )
        print(f"| {name} | " + " | ".join(cells) + " |")
    print("| chance | " + " | ".join(show_number(chance[m]["value"]) for m in SHOWN) + " | 0.500 | | |")
    if given.json:
        table = {name: {"metrics": s.intervals, "vote": s.vote} for name, s in scores.items()}
        given.json.write_text(json.dumps(make_plain({"variants": table, "chance": chance, "compared": compared})))


if __name__ == "__main__":
    main()
