"""How easily the source of a film without findings can be guessed from what the networks make of it.

    python benchmarks/source_guess.py --nih DIR --unnamed DIR --kept DIR

Films of `train` that carry no finding, against those of the unnamed set that the starter models learnt from as well (a
folder of images with labels.csv: image, finding). A linear probe, cross-validated by patient, of the features of each
network that comes with the program, of both, and, as a control, of the prepared film itself on 16 × 16 places. AUROC
with its 95 % interval over patients; 0.500 would be right.
"""

from __future__ import annotations

import argparse
import csv
import tempfile
from pathlib import Path

import cv2
import numpy as np
from encoders import Features
from prediction import collect_part
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GroupKFold, cross_val_predict
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from icbir_core.catalogue import IngestOptions, Workspace
from icbir_core.evaluation.films import FilmSet, collect_layout
from icbir_core.findings import NO_FINDING
from icbir_core.model.encoders import get_shipped_folder, list_encoders, load_encoder
from icbir_core.model.scoring import score_finding
from icbir_core.model.starter import load_starter
from icbir_core.retrieval.methods import FEATURES
from icbir_core.retrieval.side_by_side import name_field

PLACES = 16


def collect_unnamed(folder: Path) -> FilmSet:
    """The films without findings of the unnamed set."""
    with (folder / "labels.csv").open(newline="") as handle:
        normal = {Path(row["image"]).stem for row in csv.DictReader(handle) if row["finding"] == NO_FINDING}
    with tempfile.TemporaryDirectory() as name:
        found = collect_layout(Workspace.create(Path(name) / "w"), IngestOptions("folder", folder / "images"))
    return found.select([i for i, name in enumerate(found.names) if name in normal])


def shrink(films: FilmSet) -> np.ndarray:
    """float64 (N, 256): mean grey of the starter's input on 16 × 16 places."""
    settings = load_starter()[0].input_settings
    images = (films.load_images([i], settings)[0] for i in range(len(films)))
    return np.stack([cv2.resize(one, (PLACES, PLACES), interpolation=cv2.INTER_AREA).ravel() for one in images])


def guess(values: np.ndarray, unnamed: np.ndarray, groups: list[str]) -> str:
    """AUROC [interval] of telling the unnamed films by a linear probe."""
    probe = make_pipeline(StandardScaler(), LogisticRegression(C=0.01, max_iter=500))
    scores = cross_val_predict(probe, values, unnamed, groups=groups, cv=GroupKFold(5), method="decision_function")
    found = score_finding(unnamed.astype(float), scores, groups)
    return f"{found.value:.3f} [{found.low:.3f}, {found.high:.3f}]"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--nih", type=Path, required=True)
    parser.add_argument("--unnamed", type=Path, required=True)
    parser.add_argument("--kept", type=Path, required=True)
    given = parser.parse_args()
    encoders = tuple(load_encoder(path) for path in list_encoders(get_shipped_folder()).values())
    features, named = Features(given.kept, encoders), collect_part(given.nih, "train")
    rows = np.flatnonzero(named.states(NO_FINDING) == 1)
    normal, others = named.select(rows), collect_unnamed(given.unnamed)
    kinds = {"starter (DenseNet-121)": FEATURES} | {one.title: name_field(one.name) for one in encoders}
    values = {name: np.concatenate([features.get(named, kind)[rows], features.get(others, kind)])
              for name, kind in kinds.items()}  # fmt: skip
    values["both"] = np.concatenate(list(values.values()), axis=1)
    values[f"the film on {PLACES} × {PLACES} places"] = np.concatenate([shrink(normal), shrink(others)])
    unnamed = np.arange(len(normal) + len(others)) >= len(normal)
    groups = [one or f"film {row}" for row, one in enumerate(normal.patients)]
    groups += [f"unnamed {row}" for row in range(len(others))]
    print(f"{len(normal)} films of `train`, {len(others)} unnamed, none with a finding.\n")
    print("| seen by | AUROC of guessing the source |\n|---|---|")
    for name, each in values.items():
        print(f"| {name} | {guess(each, unnamed, groups)} |", flush=True)


if __name__ == "__main__":
    main()
