"""Calibration of one finding's output on films that took no part in training.

Temperature scaling (Guo et al., ICML 2017) with an offset, because weighting the positives in the loss shifts every
logit: probability = sigmoid(logit / temperature + offset). Monotone, so ranks and AUROC stay.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.special import expit

_FEWEST = 5


@dataclass(frozen=True)
class Calibration:
    """temperature > 0 and offset of one finding. fitted : False where too few films of a class allow no fit."""

    temperature: float = 1.0
    offset: float = 0.0
    fitted: bool = False

    def apply(self, logits: np.ndarray) -> np.ndarray:
        """Probabilities in (0, 1) from logits, same shape, float64."""
        return np.asarray(expit(np.asarray(logits, np.float64) / self.temperature + self.offset))


def fit_temperature(logits: np.ndarray, labels: np.ndarray) -> Calibration:
    """The temperature and offset of least cross-entropy on logits (N,) and labels (N,) of 0, 1 or NaN (left out).

    Fewer than five films of a class: not fitted, temperature 1 and offset 0. Labels are smoothed as in Platt (1999),
    so that perfect separation keeps a finite temperature.
    """
    from scipy.optimize import minimize

    known = ~np.isnan(labels)
    logits, labels = np.asarray(logits, np.float64)[known], np.asarray(labels, np.float64)[known]
    present, absent = labels.sum(), (1 - labels).sum()
    if min(present, absent) < _FEWEST:
        return Calibration()
    targets = np.where(labels == 1, (present + 1) / (present + 2), 1 / (absent + 2))

    def loss(parameters: np.ndarray) -> float:
        scaled = logits * np.exp(-parameters[0]) + parameters[1]
        return float(np.mean(np.logaddexp(0, scaled) - targets * scaled))

    found = minimize(loss, np.zeros(2), method="L-BFGS-B", bounds=[(-4, 4), (-20, 20)])
    return Calibration(float(np.exp(found.x[0])), float(found.x[1]), True)


def calibration_error(labels: np.ndarray, probabilities: np.ndarray, bins: int = 10) -> float:
    """Expected calibration error in [0, 1], smaller is better: bins of equal count; NaN labels left out."""
    known = ~np.isnan(labels)
    labels, probabilities = labels[known], np.asarray(probabilities, np.float64)[known]
    if not len(labels):
        return float("nan")
    order = np.argsort(probabilities, kind="stable")
    parts = [part for part in np.array_split(order, bins) if len(part)]
    gaps = [len(part) * abs(labels[part].mean() - probabilities[part].mean()) for part in parts]
    return float(sum(gaps) / len(labels))
