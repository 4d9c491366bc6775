"""Does the score hang on what a map marks? Squares are covered, or uncovered, in the map's order.

`PixelFlipping` as Quantus names it (Bach et al. 2015), by squares as in Samek et al., "Evaluating the visualization of
what a deep neural network has learned", 2017 (area over the perturbation curve); insertion and deletion as in Petsiuk,
Das and Saenko, "RISE", 2018. Covered means grey (the training pictures' mean), uncovered starts from a blurred film.
"""

from __future__ import annotations

from collections.abc import Callable

import cv2
import numpy as np

FRACTIONS = (0.0, 0.05, 0.1, 0.2, 0.3, 0.5, 0.75, 1.0)
CELLS = 16
_EARLY = 0.3


def _order_cells(values: np.ndarray) -> np.ndarray:
    """Cell numbers (CELLS²,) from the highest sum of the map to the lowest; equal sums in a fixed random order."""
    size = values.shape[0]
    edges = np.linspace(0, size, CELLS + 1).astype(int)[:-1]
    sums = np.add.reduceat(np.add.reduceat(values.astype(np.float64), edges, axis=0), edges, axis=1).ravel()
    shuffled = np.random.default_rng(0).permutation(len(sums))
    return shuffled[np.argsort(-sums[shuffled], kind="stable")]


def _replace(film: np.ndarray, other: np.ndarray, cells: np.ndarray) -> np.ndarray:
    size = film.shape[0]
    chosen = np.zeros((CELLS, CELLS), bool)
    chosen.ravel()[cells] = True
    index = np.minimum(np.arange(size) * CELLS // size, CELLS - 1)
    return np.where(chosen[np.ix_(index, index)][..., None], other, film)


def _area(curve: np.ndarray, upto: float = 1.0) -> float:
    kept = np.asarray(FRACTIONS) <= upto
    return float(np.trapezoid(curve[kept], np.asarray(FRACTIONS)[kept]) / upto)


def measure_faithfulness(
    score: Callable[[np.ndarray], np.ndarray], film: np.ndarray, values: np.ndarray
) -> dict[str, float]:
    """The three measures of one map (S, S) on one film (S, S, 3), standardised.

    score : logits (n,) of films (n, S, S, 3). "PixelFlipping": mean fall of the logit while the first 30 % of the
    squares are covered (higher is better); "Deletion": area under the probability while all are covered (lower is
    better); "Insertion": the same while a blurred film is uncovered (higher is better).
    """
    order = _order_cells(values)
    blurred = cv2.GaussianBlur(film, (0, 0), film.shape[0] / 16)
    counts = [round(fraction * len(order)) for fraction in FRACTIONS]
    covered = [_replace(film, np.zeros_like(film), order[:count]) for count in counts]
    uncovered = [_replace(blurred, film, order[:count]) for count in counts]
    logits = np.asarray(score(np.stack([*covered, *uncovered]).astype(np.float32)), np.float64)
    falling, rising = logits[: len(counts)], logits[len(counts) :]
    return {
        "PixelFlipping": _area(falling[0] - falling, _EARLY),
        "Deletion": _area(1 / (1 + np.exp(-falling))),
        "Insertion": _area(1 / (1 + np.exp(-rising))),
    }
