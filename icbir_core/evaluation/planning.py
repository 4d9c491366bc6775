"""How many readers and queries a reading study needs to see a difference between two methods."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import stats

from icbir_core.errors import EvaluationError


@dataclass(frozen=True)
class Spread:
    """Standard deviations of the paired difference of two methods: between queries, between readers, and the rest."""

    query: float
    reader: float = 0.0
    residual: float = 0.0


def compute_power(effect: float, spread: Spread, readers: int, queries: int, significance: float = 0.05) -> float:
    """Power in [0, 1] of a two-sided test of the mean difference, readers and queries both drawn at random.

    Variance of the mean: reader² / R + query² / Q + residual² / (R Q); degrees of freedom by Satterthwaite; with reader
    and residual 0 this is the power of the paired t test over queries (Obuchowski & Rockette 1995 for the model).
    """
    if readers < 1 or queries < 2 or not 0 < significance < 1:
        raise EvaluationError("A plan needs at least 1 reader, 2 queries and a significance between 0 and 1.")
    parts = [(spread.query**2 / queries, queries - 1)]
    if readers > 1:
        parts += [
            (spread.reader**2 / readers, readers - 1),
            (spread.residual**2 / (readers * queries), (readers - 1) * (queries - 1)),
        ]
    else:
        parts = [((spread.query**2 + spread.residual**2) / queries, queries - 1)]
    variance = sum(part for part, _ in parts)
    if variance == 0:
        return 1.0 if effect else significance
    freedom = variance**2 / sum(part**2 / degrees for part, degrees in parts if degrees > 0)
    shift = effect / np.sqrt(variance)
    critical = stats.t.ppf(1 - significance / 2, freedom)
    # far from zero scipy's noncentral t is not a number: there the tail is 0 or 1
    above, below = stats.nct.sf(critical, freedom, abs(shift)), stats.nct.cdf(-critical, freedom, abs(shift))
    return float(np.nan_to_num(above, nan=1.0) + np.nan_to_num(below, nan=0.0))


def find_queries_needed(
    effect: float, spread: Spread, readers: int, power: float = 0.8, significance: float = 0.05, limit: int = 2000
) -> int | None:
    """The fewest queries for this power with so many readers, or None if no number up to `limit` reaches it."""
    low, high = 2, limit
    if compute_power(effect, spread, readers, high, significance) < power:
        return None
    while low < high:
        middle = (low + high) // 2
        if compute_power(effect, spread, readers, middle, significance) >= power:
            high = middle
        else:
            low = middle + 1
    return low
