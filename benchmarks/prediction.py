"""The prediction: the mean of the networks' logits, calibrated on `tune`, against each network alone.

    python benchmarks/prediction.py --nih DIR --part tune --write [--kept DIR]
    python benchmarks/prediction.py --nih DIR --part test --write [--kept DIR]

DIR holds the subset of NIH ChestX-ray14 with its split. The films go the ways of the program, and logits are made of
features by the program's own `Predictor`. The first command fits calibration and operating points and writes
`assets/models/starter_prediction.json`; the second adds what `test` says, looked at once, when nothing is chosen any
more. Both write the card, `starter_prediction.md`. --kept holds features from run to run, as `encoders.py` keeps them.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from pathlib import Path

import numpy as np
from encoders import Features
from model_cards import FOLDER, format_score, write_prediction_card

from icbir_core.catalogue import IngestOptions, Workspace
from icbir_core.evaluation.films import FilmSet, collect_layout
from icbir_core.files import write_json_atomically
from icbir_core.findings import NO_FINDING
from icbir_core.model.encoders import get_shipped_folder, list_encoders, load_encoder
from icbir_core.model.evaluation_card import describe_logits, describe_spectrum, mark_diseased
from icbir_core.model.prediction import CARD, CLASSIFIER, Predictor
from icbir_core.model.scoring import compute_auroc, group_rows, resample_auroc
from icbir_core.model.starter import load_starter
from icbir_core.retrieval.methods import FEATURES
from icbir_core.retrieval.side_by_side import name_field

SETS = {"auroc_among_findings": "films with any finding", "auroc": "all films"}


def collect_part(nih: Path, part: str) -> FilmSet:
    """The films of a part of the split."""
    with tempfile.TemporaryDirectory() as folder:
        options = IngestOptions("nih", nih / "images", nih / "Data_Entry_2017_v2020.csv",
                                split=nih / "split.csv", part=part)  # fmt: skip
        return collect_layout(Workspace.create(Path(folder) / "w"), options)


def compare_means(ours: np.ndarray, other: np.ndarray, labels: np.ndarray, patients: list[str | None]) -> str:
    """AUROC, the mean over the columns, of `ours` less that of `other` (N, F), with its interval over patients."""
    numbers, columns = group_rows(patients, len(labels)), range(labels.shape[1])
    drawn, point = [], []
    for scores in (ours, other):
        drawn.append(np.mean([resample_auroc(labels[:, i], scores[:, i], numbers) for i in columns], axis=0))
        point.append(np.mean([compute_auroc(labels[:, i], scores[:, i]) for i in columns]))
    low, high = np.nanpercentile(drawn[0] - drawn[1], [2.5, 97.5])
    return f"{point[0] - point[1]:+.3f} [{low:+.3f}, {high:+.3f}]"


def print_tables(
    logits: dict[str, np.ndarray], labels: np.ndarray, findings: tuple[str, ...], patients: list[str | None]
) -> None:
    """One table for each set of films: each network alone, and the mean, with what the mean gains."""
    told = {name: describe_spectrum(one, labels, findings, patients) for name, one in logits.items()}
    judged = [i for i, name in enumerate(findings) if name != NO_FINDING]
    (*_, ours) = logits
    for key, title in SETS.items():
        rows = mark_diseased(labels, findings) if key != "auroc" else np.ones(len(labels), bool)
        print(f"\n**{title}** ({int(rows.sum())} films)\n")
        print(f"| finding | {' | '.join(logits)} | with / without |\n|{'---|' * (len(logits) + 2)}")
        for name in sorted(findings):
            scores = [one[key][name] for one in told.values()]
            cells = " | ".join(map(format_score, scores))
            print(f"| {name} | {cells} | {scores[0]['present']} / {scores[0]['absent']} |")
        means = [np.mean([one[key][findings[i]]["value"] for i in judged]) for one in told.values()]
        print(f"| mean of {len(judged)} findings | {' | '.join(f'{mean:.3f}' for mean in means)} | |\n")
        among = [patient for patient, inside in zip(patients, rows, strict=True) if inside]
        for name, other in list(logits.items())[:-1]:
            gain = compare_means(logits[ours][rows][:, judged], other[rows][:, judged], labels[rows][:, judged], among)
            print(f"- {ours} − {name}: {gain}")
    print(f"\nNo Finding: {100 * told[ours]['share_without_finding']:.0f} % of these films.")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--nih", type=Path, required=True)
    parser.add_argument("--part", choices=("tune", "test"), default="tune")
    parser.add_argument("--kept", type=Path)
    parser.add_argument("--write", action="store_true", help="write the card")
    given = parser.parse_args()
    classifier, path = load_starter()[0], FOLDER / CARD
    encoders = tuple(load_encoder(one) for one in list_encoders(get_shipped_folder()).values())
    networks = {CLASSIFIER: classifier.sha256} | {one.name: one.sha256 for one in encoders}
    card = {"format": 1, "kind": "prediction", "findings": list(classifier.findings), "networks": networks}
    predictor = Predictor(classifier, encoders, card)
    films = collect_part(given.nih, given.part)
    labels, patients = films.align_labels(list(predictor.findings)), list(films.patients)
    with tempfile.TemporaryDirectory() as folder:
        source = Features(given.kept or Path(folder), encoders)
        features = [source.get(films, name) for name in (FEATURES, *(name_field(one.name) for one in encoders))]
    alone = Predictor(classifier)
    logits = {classifier.title: alone.compute_logits(features[:1])}
    for number, one in enumerate(encoders, start=1):
        assert one.head is not None and one.findings == predictor.findings
        logits[one.network_title] = features[number] @ one.head[0] + one.head[1]
    logits["mean of both"] = predictor.compute_logits(features)
    print_tables(logits, labels, predictor.findings, patients)
    if not given.write:
        return
    if given.part == "tune":
        told = describe_logits(logits["mean of both"], labels, predictor.findings, patients)
        facts = {f"{key}_tune" if key.startswith(("auroc", "share")) else key: value for key, value in told.items()}
        kept = json.loads(path.read_text(encoding="utf-8")).get("search_at_chance") if path.is_file() else None
        card |= facts | ({"search_at_chance": kept} if kept else {})
    else:
        card = json.loads(path.read_text(encoding="utf-8"))
        card |= describe_spectrum(logits["mean of both"], labels, predictor.findings, patients)
        card["title"] = Predictor(classifier, encoders, card).title
    write_json_atomically(path, card)
    write_prediction_card(path)


if __name__ == "__main__":
    main()
