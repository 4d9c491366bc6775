"""Does a saliency map guide retrieval better than features alone? Features pooled by the map, with controls alike.

    python benchmarks/map_pooling.py --nih DIR --part tune --kept DIR [--composite Effusion,Cardiomegaly]
    python benchmarks/map_pooling.py --nih DIR --part test --kept DIR --only NAME [--composite …]

DIR holds the subset of NIH ChestX-ray14 with its split; the catalogue is `train`, the queries are the films of a part
that carry the finding. A film is described by the mean of the last feature map, weighed over its 7 × 7 places by a map
of the finding: with the same map for all places this is the default search. Then as there: centred on the catalogue's
mean, brought to unit length, networks side by side.

- head: the finding's score, handed back to the last feature map alone (for these networks the same as Grad-CAM and as
  relevance propagation to the last block); contrast: less the mean of the other findings'; composite: composite
  relevance propagation through the whole network with the contrast (starter classifier only), averaged over the places.
- shuffled: the same maps, their places mixed, alike for all films; mean: the catalogue's mean map for each film.

Parts of what is computed are kept in --kept, so that a killed run goes on. Choices are made on `tune`; `test` is looked
at once, for one of them and its controls.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from prediction import collect_part

from icbir_core.evaluation import metrics
from icbir_core.evaluation.encoder_comparison import draw_patients, measure_base_rates, summarise_precision
from icbir_core.evaluation.films import FilmSet, find_allowed
from icbir_core.evaluation.methods import measure_euclidean, rank_cases
from icbir_core.evaluation.statistics import group_patients
from icbir_core.findings import NO_FINDING
from icbir_core.model.classifier import Classifier
from icbir_core.model.encoders import get_shipped_folder, list_encoders, load_encoder
from icbir_core.model.layer_names import LOGITS_LAYER
from icbir_core.model.onnx_network import OnnxClassifier
from icbir_core.model.starter import load_starter
from icbir_core.radiograph.network_input import standardise
from icbir_core.retrieval.centring import Centre
from icbir_core.retrieval.side_by_side import join
from icbir_core.saliency.onnx_relevance import compute_composite as propagate

PIECE, PLACES, FEWEST = 32, 7, 8
CONTROLS = ("shuffled", "mean")
PLAIN = "no map"


class Network(NamedTuple):
    """name, hash, how films are prepared, its feature maps (N, 7, 7, D), and the weights (D, F) of its head."""

    name: str
    sha256: str
    settings: object
    map_features: Callable[[np.ndarray], np.ndarray]
    kernel: np.ndarray


def compute_kept(
    path: Path, films: FilmSet, settings: object, compute: Callable[[np.ndarray], np.ndarray]
) -> np.ndarray:
    """What `compute` makes of the films, float16 (N, …), from pieces that are kept in a folder."""
    path.mkdir(parents=True, exist_ok=True)
    found = []
    for start in range(0, len(films), PIECE):
        file, numbers = path / f"{start:05d}.npy", list(range(start, min(start + PIECE, len(films))))
        if not file.is_file():
            values = compute(films.load_images(numbers, settings)).astype(np.float16)
            aside = file.with_suffix(".new.npy")
            np.save(aside, values)
            aside.replace(file)
            print(f"{path.name}: {numbers[-1] + 1} of {len(films)}", file=sys.stderr, flush=True)
        found.append(np.load(file))
    return np.concatenate(found)


def contrast(kernel: np.ndarray) -> np.ndarray:
    """Weights (D, F) of each finding less the mean of those of the others."""
    count = kernel.shape[1]
    found: np.ndarray = kernel - (kernel.sum(axis=1, keepdims=True) - kernel) / (count - 1)
    return found


def weigh_places(values: np.ndarray) -> np.ndarray:
    """Maps (N, 7, 7) as weights of sum 1: what is positive in them; the same everywhere where nothing is."""
    positive = np.maximum(np.asarray(values, np.float64), 0).reshape(len(values), -1)
    total = positive.sum(axis=1, keepdims=True)
    even = np.full_like(positive, 1 / positive.shape[1])
    return np.where(total > 0, np.divide(positive, total, out=even.copy(), where=total > 0), even)


def change(weights: np.ndarray, control: str, mean: np.ndarray) -> np.ndarray:
    """The weights (N, 49) of a control: their places mixed, or the catalogue's mean for each film."""
    if control == "shuffled":
        order = np.random.default_rng(0).permuted(np.tile(np.arange(weights.shape[1]), (len(weights), 1)), axis=1)
        return np.take_along_axis(weights, order, axis=1)
    return np.broadcast_to(mean, weights.shape) if control == "mean" else weights


def pool(features: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Feature maps (N, 7, 7, D) weighed by (N, 49): float64 (N, D)."""
    flat = features.reshape(len(features), -1, features.shape[-1])
    return np.concatenate([
        np.einsum("npd,np->nd", flat[at : at + 64].astype(np.float32), weights[at : at + 64].astype(np.float32))
        for at in range(0, len(flat), 64)
    ]).astype(np.float64)  # fmt: skip


def measure(
    descriptions: Sequence[tuple[np.ndarray, np.ndarray]], asked: np.ndarray, known: np.ndarray, allowed: np.ndarray
) -> np.ndarray:
    """Precision at 10 of the asked queries, float64 (Q,), NaN elsewhere. descriptions : of queries and cases by each
    network."""
    sides: tuple[list[np.ndarray], list[np.ndarray]] = ([], [])
    for queries, cases in descriptions:
        centre = Centre.measure([cases], {})
        for side, one in zip(sides, (queries, cases), strict=True):
            side.append(centre.transform(one))
    rows = np.flatnonzero(asked)
    queries, cases = (join(side) for side in sides)
    orders = rank_cases(measure_euclidean(queries[rows], cases), allowed[rows])
    found = np.full(len(asked), np.nan)
    found[rows] = [metrics.precision_at(metrics.drop_unknown(known[order]), 10) for order in orders]
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--nih", type=Path, required=True)
    parser.add_argument("--part", choices=("tune", "test"), default="tune")
    parser.add_argument("--kept", type=Path, required=True)
    parser.add_argument("--composite", default="", help="findings, separated by commas, whose composite maps are made")
    parser.add_argument("--only", default="", help="one map, with its controls")
    given = parser.parse_args()
    classifier = load_starter()[0]
    beside = [load_encoder(path) for path in list_encoders(get_shipped_folder()).values()]
    networks = [Network("starter", classifier.sha256, classifier.input_settings, classifier.map_features,
                        classifier.head[0])]  # fmt: skip
    networks += [
        Network(one.name, one.sha256, one.input_settings, one.map_features, one.head[0])
        for one in beside
        if one.map_features is not None and one.head is not None
    ]
    sets = [collect_part(given.nih, part) for part in (given.part, "train")]
    features = {
        one.name: [
            compute_kept(
                given.kept / f"{one.name}-{one.sha256[:8]}-{len(films)}", films, one.settings, one.map_features
            )
            for films in sets
        ]
        for one in networks
    }
    queries, catalogue = sets
    findings = [name for name in classifier.findings if name != NO_FINDING]
    left, right = queries.align_labels(findings), catalogue.align_labels(findings)
    kept = [i for i in range(len(findings)) if (left[:, i] == 1).sum() >= FEWEST]
    findings, left, right = [findings[i] for i in kept], left[:, kept], right[:, kept]
    composite = [name for name in given.composite.split(",") if name]
    cams = {name: compute_composite(given.kept, sets, classifier, name) for name in composite}
    allowed, groups = find_allowed(queries, catalogue), group_patients(queries.patients)
    chosen = {"starter": networks[:1], "both": networks}
    values: dict[str, np.ndarray] = {}
    for title, group in chosen.items():
        for kind in ("head", "contrast", *(["composite"] if composite and title == "starter" else [])):
            for control in ("", *CONTROLS):
                name = f"{title}, {kind}{' ' + control if control else ''}"
                if given.only and not name.startswith(given.only):
                    continue
                values[name] = np.full(left.shape, np.nan)
                for column, finding in enumerate(findings):
                    if kind == "composite" and finding not in cams:
                        continue
                    described = []
                    for network in group:
                        kernel = network.kernel if kind == "head" else contrast(network.kernel)
                        vector = kernel[:, classifier.output_index(finding)].astype(np.float32)
                        maps = cams[finding] if kind == "composite" else [f @ vector for f in features[network.name]]
                        weights = [weigh_places(one) for one in maps]
                        mean = weights[1].mean(axis=0)
                        one, other = (pool(f, change(w, control, mean))
                                      for f, w in zip(features[network.name], weights, strict=True))  # fmt: skip
                        described.append((one, other))
                    values[name][:, column] = measure(described, left[:, column] == 1, right[:, column], allowed)
        plain = [tuple(f.astype(np.float64).mean(axis=(1, 2)) for f in features[network.name]) for network in group]
        values[f"{title}, {PLAIN}"] = np.stack(
            [measure(plain, left[:, column] == 1, right[:, column], allowed) for column in range(len(findings))], axis=1
        )
    print_tables(values, findings, measure_base_rates(left, right, allowed), groups, left)


def compute_composite(folder: Path, sets: Sequence[FilmSet], classifier: Classifier, finding: str) -> list[np.ndarray]:
    """Maps of a finding against the others by composite propagation, averaged over 7 × 7 places: (N, 7, 7) a set."""
    network, index = classifier.network, classifier.output_index(finding)
    assert network is not None
    head = {f"{LOGITS_LAYER}/{name}": contrast(np.atleast_2d(values)).reshape(values.shape)
            for name, values in zip(("kernel", "bias"), network.head, strict=True)}  # fmt: skip
    against = OnnxClassifier(network.layers, {**network.weights.arrays, **head}, network.size)

    def compute(images: np.ndarray) -> np.ndarray:
        inputs = standardise(images)
        maps = np.concatenate([propagate(against, inputs[at : at + 8], index) for at in range(0, len(inputs), 8)])
        cells = maps.reshape(len(maps), PLACES, maps.shape[1] // PLACES, PLACES, -1).sum(axis=(2, 4))
        return cells / np.maximum(np.abs(cells).max(axis=(1, 2), keepdims=True), 1e-12)

    return [
        compute_kept(folder / f"composite-{finding.lower().replace(' ', '_')}-{classifier.sha256[:8]}-{len(films)}",
                     films, classifier.input_settings, compute)
        for films in sets
    ]  # fmt: skip


def print_tables(
    values: dict[str, np.ndarray], findings: list[str], base: np.ndarray, groups: np.ndarray, asked: np.ndarray
) -> None:
    """Precision at 10, a row a way to pool, and what each gains over no map and over its controls."""
    drawn = draw_patients(groups)
    print(f"| precision at 10 | {' | '.join(findings)} | macro |\n|{'---|' * (len(findings) + 2)}")
    rates = [float(np.nanmean(base[:, i])) for i in range(len(findings))]
    print(f"| chance | {' | '.join(f'{one:.3f}' for one in rates)} | {np.mean(rates):.3f} |")
    for name, each in values.items():
        inside = [i for i in range(len(findings)) if np.isfinite(each[:, i]).any()]
        told = summarise_precision(each[:, inside], [findings[i] for i in inside], groups, drawn)
        cells = [f"{told[one].value:.3f}" if one in told else "" for one in findings]
        macro = f"{told['macro'].value:.3f} [{told['macro'].low:.3f}, {told['macro'].high:.3f}]"
        print(f"| {name} | {' | '.join(cells)} | {macro if len(inside) == len(findings) else ''} |")
    print(f"\nQueries: {', '.join(f'{name} {int((asked[:, i] == 1).sum())}' for i, name in enumerate(findings))}.\n")
    for name, each in values.items():
        if name.endswith((PLAIN, *CONTROLS)):
            continue
        title = name.split(",")[0]
        for other in (f"{title}, {PLAIN}", *(f"{name} {control}" for control in CONTROLS)):
            difference = each - values[other]
            inside = [i for i in range(len(findings)) if np.isfinite(difference[:, i]).any()]
            names = [findings[i] for i in inside]
            told = summarise_precision(difference[:, inside], names, groups, drawn)
            parts = [f"{one} {told[one].value:+.3f} [{told[one].low:+.3f}, {told[one].high:+.3f}]"
                     for one in ("macro", *names)]  # fmt: skip
            print(f"- {name} − {other}: {', '.join(parts)}")


if __name__ == "__main__":
    main()
