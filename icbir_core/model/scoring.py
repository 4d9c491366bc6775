"""How well probabilities separate present from absent, with an interval over patients."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from sklearn.metrics import roc_auc_score

from icbir_core.errors import ModelError


@dataclass(frozen=True)
class Score:
    """Area under the ROC curve in [0, 1] with a bootstrap interval; NaN where one of the two classes is missing."""

    value: float
    low: float
    high: float
    present: int
    absent: int

    def as_dict(self) -> dict[str, float | int | None]:
        """Plain values for a manifest; NaN becomes None."""
        numbers = {"value": self.value, "low": self.low, "high": self.high}
        rounded = {name: None if np.isnan(value) else round(float(value), 4) for name, value in numbers.items()}
        return {**rounded, "present": self.present, "absent": self.absent}


def compute_auroc(labels: np.ndarray, scores: np.ndarray) -> float:
    """AUROC of scores (N,) against labels (N,) of 0, 1 or NaN (left out); NaN if a class is missing."""
    known = ~np.isnan(labels)
    if len(np.unique(labels[known])) < 2:
        return float("nan")
    return float(roc_auc_score(labels[known], scores[known]))


def group_rows(groups: Sequence[str | None], count: int) -> np.ndarray:
    """Group numbers int64 (N,) from patient names; an unknown patient (None) is a group of its own."""
    if len(groups) != count:
        raise ModelError(f"There are {count} films, but patients for {len(groups)}; give one for each film.")
    numbers: dict[str, int] = {}
    return np.array(
        [numbers.setdefault(f"row {i}" if g is None else f"patient {g}", len(numbers)) for i, g in enumerate(groups)]
    )


def score_finding(
    labels: np.ndarray, scores: np.ndarray, groups: Sequence[str | None], repeats: int = 1000, seed: int = 0
) -> Score:
    """AUROC with a 95 % percentile interval, resampling whole patients with replacement.

    labels, scores : (N,), labels 0, 1 or NaN (left out). groups : patient of each film, None where unknown.
    """
    labels, scores = np.asarray(labels, np.float64), np.asarray(scores, np.float64)
    known = ~np.isnan(labels)
    numbers = group_rows(groups, len(labels))[known]
    labels, scores = labels[known], scores[known]
    present = int((labels == 1).sum())
    value = compute_auroc(labels, scores)
    if np.isnan(value):
        return Score(value, float("nan"), float("nan"), present, len(labels) - present)
    low, high = np.nanpercentile(resample_auroc(labels, scores, numbers, repeats, seed), [2.5, 97.5])
    return Score(value, float(low), float(high), present, len(labels) - present)


def resample_auroc(
    labels: np.ndarray, scores: np.ndarray, numbers: np.ndarray, repeats: int = 1000, seed: int = 0
) -> np.ndarray:
    """AUROC float64 (repeats,) of as many draws of whole patients with replacement; NaN where a draw lacks a class.

    labels, scores : (N,), labels 0 or 1. numbers : the patient of each film, as `group_rows` gives them. The same
    patients and seed give the same draws, so that two scores can be subtracted draw by draw.
    """
    random = np.random.default_rng(seed)
    patients = int(numbers.max()) + 1
    weights = np.zeros((repeats, patients), np.float64)
    inside = np.unique(numbers)
    for repeat in weights:
        repeat += np.bincount(random.choice(inside, len(inside)), minlength=patients)
    return _weighted_aurocs(labels, scores, weights[:, numbers])


def _weighted_aurocs(labels: np.ndarray, scores: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """AUROC (R,) for each row of film weights (R, N): a film drawn twice has weight 2. NaN where a class got no weight.
    One sort for all rows: the weight of the absent films below, and half of those that tie."""
    levels, place = np.unique(scores, return_inverse=True)
    at_level = np.zeros((len(weights), len(levels), 2))
    for column, label in enumerate((0, 1)):
        chosen = labels == label
        np.add.at(at_level[:, :, column].T, place[chosen], weights[:, chosen].T)
    absent, present = at_level[..., 0], at_level[..., 1]
    below = np.cumsum(absent, axis=1) - absent
    with np.errstate(invalid="ignore", divide="ignore"):
        areas: np.ndarray = (present * (below + absent / 2)).sum(1) / (present.sum(1) * absent.sum(1))
    return areas


def choose_operating_point(labels: np.ndarray, probabilities: np.ndarray) -> float:
    """The probability from which a finding is called present: the largest sensitivity + specificity − 1 (Youden 1950).

    labels, probabilities : (N,), labels 0, 1 or NaN (left out). Midway between the two neighbouring values; 0.5 where
    a class is missing.
    """
    known = ~np.isnan(labels)
    labels, probabilities = labels[known], np.asarray(probabilities, np.float64)[known]
    if len(np.unique(labels)) < 2:
        return 0.5
    order = np.argsort(-probabilities, kind="stable")
    sorted_values = probabilities[order]
    hits = np.cumsum(labels[order]) / labels.sum()
    alarms = np.cumsum(1 - labels[order]) / (1 - labels).sum()
    last_of_value = np.append(np.diff(sorted_values) != 0, True)
    best = int(np.argmax(np.where(last_of_value, hits - alarms, -np.inf)))
    below = sorted_values[best + 1] if best + 1 < len(sorted_values) else 0.0
    return float((sorted_values[best] + below) / 2)
