"""Occlusion: how far a score falls when a part of the film is covered (Zeiler and Fergus 2014). Asks for scores alone,
so that it explains any network."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from icbir_core.rounding import clear_rounding

Score = Callable[[np.ndarray], np.ndarray]
_BATCH = 16


def occlude(film: np.ndarray, score: Score, grey: float) -> np.ndarray:
    """How far the score falls when a square is covered with `grey`: float32 (S, S), of a film (S, S, …).

    score : float (N,) of films (N, S, S, …). The square is an eighth of the side and moves by half of itself; a pixel
    gets the mean over the squares on it. What is only rounding is 0.
    """
    side = film.shape[0]
    patch = max(2, side // 8)
    starts = sorted({*range(0, side - patch + 1, max(1, patch // 2)), side - patch})
    corners = [(top, left) for top in starts for left in starts]
    values, cover = np.zeros((side, side), np.float32), np.zeros((side, side), np.float32)
    whole = float(score(film[None])[0])
    for first in range(0, len(corners), _BATCH):
        part = corners[first : first + _BATCH]
        covered = np.repeat(film[None], len(part), axis=0)
        for picture, (top, left) in zip(covered, part, strict=True):
            picture[top : top + patch, left : left + patch] = grey
        # a log-odds of 1 is the least that a score is measured by, where it is itself near 0
        falls = clear_rounding(whole - np.asarray(score(covered), np.float64), max(1.0, abs(whole)))
        for (top, left), fall in zip(part, falls, strict=True):
            values[top : top + patch, left : left + patch] += fall
            cover[top : top + patch, left : left + patch] += 1
    return values / cover
