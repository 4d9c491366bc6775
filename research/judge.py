"""Everything about networks on `tune` that a choice may rest on, one line of JSON a network or set of networks.

    python research/judge.py FOLDER KIND:RUN [KIND:FILE+KIND:RUN …]

Networks that are joined by + are judged as one: their mean logits, and their centred features side by side. AUROC of
each finding on all films and among films with any finding (95 %, bootstrap over patients); precision at 10 of centred
features for each finding, catalogue `train` with and without the unnamed films, with the base rate; and how well a
linear probe of the features guesses the source of films without findings (named or unnamed), cross-validated by
patient: what a network that sees the source could use instead of the finding. `test` is never read.
"""

from __future__ import annotations

import argparse
import json
import os
from pathlib import Path

os.environ.setdefault("KERAS_BACKEND", "torch")  # before any import of keras; nothing here needs TensorFlow

import numpy as np
import torch
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GroupKFold, cross_val_predict
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from train_efficientnet import JUDGED, compute, judge_briefly, make_network
from train_starter import FINDINGS, SIZE

from icbir_core.model.evaluation_card import describe_spectrum
from icbir_core.model.scoring import score_finding

CATALOGUES = {"train and unnamed": ("train", "extra"), "train": ("train",)}
NO_FINDING = FINDINGS.index("No Finding")


def measure_precision(queries: np.ndarray, cases: np.ndarray, asked: np.ndarray, known: np.ndarray) -> np.ndarray:
    """Precision at 10 of each query that carries the finding; cases of an unknown state are left out.

    queries, cases : unit vectors; asked, known : labels of 0, 1 or NaN.
    """
    order = np.argsort(-(queries[asked == 1] @ cases.T), 1)
    return np.array([known[one][~np.isnan(known[one])][:10].mean() for one in order])


def describe(values: np.ndarray, patients: np.ndarray, base: float) -> str:
    """Mean with a 95 % interval that resamples patients."""
    names, place = np.unique(patients, return_inverse=True)
    random, means = np.random.default_rng(0), []
    for _ in range(1000):
        weight = np.bincount(random.integers(0, len(names), len(names)), minlength=len(names))[place]
        means.append((weight * values).sum() / max(weight.sum(), 1))
    low, high = np.percentile(means, [2.5, 97.5])
    return f"{values.mean():.3f} [{low:.2f}, {high:.2f}] base {base:.3f}, {len(values)} queries"


def centre(features: list[np.ndarray], rows: np.ndarray, cases: np.ndarray) -> np.ndarray:
    """Features of some rows less the cases' mean at unit length, several networks side by side."""
    sides = [one[rows] - one[cases].mean(0) for one in features]
    return np.concatenate([one / np.linalg.norm(one, axis=1, keepdims=True) for one in sides], 1)


def guess_source(features: list[np.ndarray], labels: np.ndarray, part: np.ndarray, patients: np.ndarray) -> dict:
    """AUROC of telling unnamed films without findings from named ones."""
    rows = np.flatnonzero(labels[:, NO_FINDING] == 1)
    groups = np.array([patients[row] or f"film {row}" for row in rows])
    unnamed = part[rows] == "extra"
    probe = make_pipeline(StandardScaler(), LogisticRegression(C=0.01, max_iter=500))
    values = np.concatenate([one[rows] for one in features], 1)
    guess = cross_val_predict(probe, values, unnamed, groups=groups, cv=GroupKFold(5), method="decision_function")
    return score_finding(unnamed.astype(float), guess, groups.tolist()).as_dict()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("networks", nargs="+")
    parser.add_argument("--size", type=int, default=SIZE)
    parser.add_argument("--threads", type=int, default=1)
    given = parser.parse_args()
    torch.set_num_threads(given.threads)
    with np.load(given.folder / "real.npz") as stored:
        use = stored["part"] != "test"
        images, labels, part, patients = (stored[name][use] for name in ("images", "labels", "part", "patients"))
    tune, known = part == "tune", {}
    for asked in given.networks:
        for one in asked.split("+"):
            if one not in known:
                known[one] = compute(make_network(*one.split(":"), given.folder), images, given.size)
        features = [known[one][0] for one in asked.split("+")]
        logits = np.mean([known[one][1] for one in asked.split("+")], 0)
        report = {"networks": asked, "mean": judge_briefly(labels[tune], logits[tune])["mean"]}
        report |= describe_spectrum(logits[tune], labels[tune], FINDINGS, patients[tune].tolist())
        for title, parts in CATALOGUES.items():
            cases = np.isin(part, parts)
            queries, others = centre(features, tune, cases), centre(features, cases, cases)
            report[f"precision at 10, catalogue {title}"] = {
                FINDINGS[i]: describe(
                    measure_precision(queries, others, labels[tune, i], labels[cases, i]),
                    patients[tune][labels[tune, i] == 1],
                    float(np.nanmean(labels[cases, i])),
                )
                for i in JUDGED
            }
        report["source of films without findings"] = guess_source(features, labels, part, patients)
        print(json.dumps(report), flush=True)


if __name__ == "__main__":
    main()
