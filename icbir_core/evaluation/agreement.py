"""Agreement between readers, and of a method with readers. Short code only where no permissive package has it.

Scores are float (readers, items), higher more similar, NaN where a reader gave none or could not judge.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike
from scipy import stats
from statsmodels.stats.inter_rater import cohens_kappa

from icbir_core.errors import EvaluationError
from icbir_core.evaluation.metrics import normalised_gain
from icbir_core.rounding import DOUBLE, clear_rounding


def kendall_tau(first: np.ndarray, second: np.ndarray) -> float:
    """Kendall's τ-b of two score lists (n,), ties allowed (scipy); pairs with NaN left out; NaN if one is constant."""
    first, second = np.asarray(first, dtype=np.float64), np.asarray(second, dtype=np.float64)
    known = np.isfinite(first) & np.isfinite(second)
    if known.sum() < 2:
        return float("nan")
    return float(stats.kendalltau(first[known], second[known], variant="b").statistic)


def kendall_w(scores: np.ndarray) -> tuple[float, float]:
    """(W in [0, 1], p) of Kendall's concordance of scores (readers, items), ties corrected; items with NaN left out.

    W = 12 S / (m² (n³ − n) − m Σ (t³ − t)); p from χ² = m (n − 1) W with n − 1 degrees of freedom (Kendall & Babington
    Smith 1939; Siegel & Castellan 1988). NaN where fewer than 2 readers or 2 items are complete, or all are tied.
    """
    values = np.asarray(scores, dtype=np.float64)
    values = values[:, np.isfinite(values).all(axis=0)]
    readers, items = values.shape
    if readers < 2 or items < 2:
        return float("nan"), float("nan")
    ranks = stats.rankdata(values, axis=1)
    ties = sum(float((counts**3 - counts).sum()) for counts in (np.unique(row, return_counts=True)[1] for row in ranks))
    spread = float(((ranks.sum(axis=0) - readers * (items + 1) / 2) ** 2).sum())
    denominator = readers**2 * (items**3 - items) - readers * ties
    if denominator <= 0:
        return float("nan"), float("nan")
    concordance = 12 * spread / denominator
    return concordance, float(stats.chi2.sf(readers * (items - 1) * concordance, items - 1))


def weighted_kappa(
    first: np.ndarray, second: np.ndarray, weights: str = "quadratic", categories: ArrayLike | None = None
) -> float:
    """Cohen's κ weighted "linear" or "quadratic" (statsmodels); pairs with NaN left out; NaN if both are constant."""
    first, second = np.asarray(first, dtype=np.float64), np.asarray(second, dtype=np.float64)
    known = np.isfinite(first) & np.isfinite(second)
    labels = np.unique(np.concatenate([first[known], second[known]])) if categories is None else np.asarray(categories)
    if known.sum() < 2 or (len(np.unique(first[known])) == 1 and len(np.unique(second[known])) == 1):
        return float("nan")
    if weights not in ("linear", "quadratic"):
        raise EvaluationError(f"Weights can be linear or quadratic, not '{weights}'.")
    table = np.zeros((len(labels), len(labels)))
    np.add.at(table, (np.searchsorted(labels, first[known]), np.searchsorted(labels, second[known])), 1)
    return float(cohens_kappa(table, wt=weights, return_results=False))


def krippendorff_alpha(scores: np.ndarray, level: str = "ordinal") -> float:
    """Krippendorff's α of scores (readers, items), NaN allowed; level "nominal", "ordinal" or "interval".

    α = 1 − D_observed / D_expected from the coincidence matrix (Krippendorff, "Computing Krippendorff's
    Alpha-Reliability", 2011). NaN where fewer than two scores can be paired or only one value occurs.
    """
    values = np.asarray(scores, dtype=np.float64)
    levels = np.unique(values[np.isfinite(values)])
    counts = np.stack([(values == value).sum(axis=0) for value in levels]) if len(levels) else np.zeros((0, 1))
    counts = counts[:, counts.sum(axis=0) >= 2].astype(np.float64)
    if counts.size == 0:
        return float("nan")
    weights = 1 / (counts.sum(axis=0) - 1)
    coincidences = (counts * weights) @ counts.T - np.diag((counts * weights).sum(axis=1))
    totals = coincidences.sum(axis=1)
    if level == "nominal":
        distance = 1.0 - np.eye(len(levels))
    elif level == "interval":
        distance = (levels[:, None] - levels[None, :]) ** 2
    elif level == "ordinal":
        cumulative = np.cumsum(totals) - totals / 2
        distance = (cumulative[:, None] - cumulative[None, :]) ** 2
    else:
        raise EvaluationError(f"The level can be nominal, ordinal or interval, not '{level}'.")
    expected = (np.outer(totals, totals) * distance).sum() / (totals.sum() - 1)
    return float(1 - (coincidences * distance).sum() / expected) if expected > 0 else float("nan")


def intraclass_correlations(scores: np.ndarray) -> tuple[float, float]:
    """(ICC(2,1), ICC(2,k)) of scores (readers, items): two-way random, absolute agreement; items with NaN left out.
    Shrout & Fleiss, Psychological Bulletin 86:420 (1979). NaN where fewer than 2 readers or items are complete."""
    values = np.asarray(scores, dtype=np.float64)
    values = values[:, np.isfinite(values).all(axis=0)].T
    items, readers = values.shape
    if items < 2 or readers < 2:
        return float("nan"), float("nan")
    mean, by_item, by_reader = values.mean(), values.mean(axis=1), values.mean(axis=0)
    between = readers * ((by_item - mean) ** 2).sum() / (items - 1)
    judges = items * ((by_reader - mean) ** 2).sum() / (readers - 1)
    residual = values - by_item[:, None] - by_reader[None, :] + mean
    error = (residual**2).sum() / ((items - 1) * (readers - 1))
    single = between + (readers - 1) * error + readers * (judges - error) / items
    average = between + (judges - error) / items
    single, average = clear_rounding(np.array([single, average]), (values**2).mean(), DOUBLE)
    ratio = [(between - error) / part if part > 0 else float("nan") for part in (single, average)]
    return float(ratio[0]), float(ratio[1])


def pairwise(scores: np.ndarray, measure: Callable[[np.ndarray, np.ndarray], float]) -> np.ndarray:
    """float64 (pairs,): measure(first, second) of every pair of readers, in the order of itertools.combinations."""
    return np.array([measure(scores[i], scores[j]) for i, j in itertools.combinations(range(len(scores)), 2)])


@dataclass(frozen=True)
class ChanceCorrected:
    """nDCG of an order beside that of random orders of the same grades; corrected = (value − chance) / (1 − chance)."""

    value: float
    chance: float
    chance_95: float
    corrected: float
    p_value: float


def chance_corrected_gain(
    grades: list[np.ndarray], permutations: int = 999, seed: int = 0, k: int | None = None
) -> ChanceCorrected:
    """Mean nDCG over queries of grades in a method's order (a list of (n,)), against random orders of the same grades.

    p_value : part of the permutations with a mean at least as large (one-sided, the observed counted in).
    """
    generator = np.random.default_rng(seed)
    kept = [np.asarray(row, dtype=np.float64)[np.isfinite(row)] for row in grades]
    kept = [row for row in kept if len(row) > 1 and row.max() > 0]
    if not kept:
        return ChanceCorrected(*(float("nan"),) * 5)
    value = float(np.mean([normalised_gain(row, k) for row in kept]))
    random = np.mean(
        [normalised_gain(generator.permuted(np.tile(row, (permutations, 1)), axis=1), k) for row in kept], 0
    )
    chance = float(random.mean())
    corrected = (value - chance) / (1 - chance) if chance < 1 else float("nan")
    p_value = float((1 + (random >= value - DOUBLE).sum()) / (1 + permutations))
    return ChanceCorrected(value, chance, float(np.percentile(random, 95)), float(corrected), p_value)
