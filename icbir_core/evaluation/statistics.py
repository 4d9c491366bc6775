"""Intervals, paired differences and chance, resampled by patient: films of one patient are not independent."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from icbir_core.errors import EvaluationError
from icbir_core.rounding import DOUBLE

Statistic = Callable[[np.ndarray], float]


@dataclass(frozen=True)
class Interval:
    """An estimate with its 95 % bootstrap interval; `queries` and `patients` behind it. NaN where nothing is known."""

    value: float
    low: float
    high: float
    queries: int
    patients: int


@dataclass(frozen=True)
class PairedDifference:
    """First minus second on the same queries, with its interval, p-value, and p corrected for all comparisons made."""

    first: str
    second: str
    metric: str
    difference: Interval
    p_value: float
    p_corrected: float = float("nan")


def group_patients(patients: Sequence[str | None]) -> np.ndarray:
    """int64 (n,): a group for each patient; a film whose patient is unknown stands alone."""
    numbers: dict[object, int] = {}
    return np.array([numbers.setdefault(p if p is not None else ("film", i), len(numbers))
                     for i, p in enumerate(patients)], dtype=np.int64)  # fmt: skip


def bootstrap_mean(values: np.ndarray, groups: np.ndarray, repeats: int = 2000, seed: int = 0) -> Interval:
    """Mean of values (n,) without the NaN ones, 95 % percentile interval over resampled groups (patients)."""
    values, groups = _known(values, groups)
    if not len(values):
        return Interval(float("nan"), float("nan"), float("nan"), 0, 0)
    _, position = np.unique(groups, return_inverse=True)
    sums, counts = np.bincount(position, values), np.bincount(position)
    drawn = np.random.default_rng(seed).multinomial(len(sums), np.full(len(sums), 1 / len(sums)), size=repeats)
    means = (drawn @ sums) / (drawn @ counts)
    low, high = np.percentile(means, [2.5, 97.5])
    return Interval(float(values.mean()), float(low), float(high), len(values), len(sums))


def bootstrap_statistic(statistic: Statistic, groups: np.ndarray, repeats: int = 500, seed: int = 0) -> Interval:
    """95 % percentile interval of statistic(indices), the indices resampled by group; NaN results are left out."""
    groups = np.asarray(groups)
    members = [np.flatnonzero(groups == group) for group in np.unique(groups)]
    generator = np.random.default_rng(seed)
    values = [
        statistic(np.concatenate([members[i] for i in generator.integers(0, len(members), len(members))]))
        for _ in range(repeats)
    ]
    known = np.asarray([value for value in values if np.isfinite(value)])
    low, high = np.percentile(known, [2.5, 97.5]) if len(known) else (float("nan"), float("nan"))
    return Interval(float(statistic(np.arange(len(groups)))), float(low), float(high), len(groups), len(members))


def bootstrap_auroc(
    scores: np.ndarray, states: np.ndarray, groups: np.ndarray, repeats: int = 2000, seed: int = 0
) -> Interval:
    """AUROC of scores (n,) for states (n,) of 0 and 1, ties half; 95 % percentile interval over resampled groups.

    All resamples at once: pairs (positive, negative) in the right order, weighted by how often each was drawn.
    Resamples without both states are left out. NaN if the states are all the same.
    """
    scores, states = np.asarray(scores, dtype=np.float64), np.asarray(states)
    _, position = np.unique(groups, return_inverse=True)
    count = int(position.max()) + 1 if len(position) else 0
    above, below = scores[states == 1], scores[states == 0]
    if not len(above) or not len(below):
        return Interval(float("nan"), float("nan"), float("nan"), len(scores), count)
    right = (above[:, None] > below[None, :]) + 0.5 * (above[:, None] == below[None, :])
    drawn = np.random.default_rng(seed).multinomial(count, np.full(count, 1 / count), size=repeats)
    of_above, of_below = drawn[:, position[states == 1]], drawn[:, position[states == 0]]
    pairs = of_above.sum(axis=1) * of_below.sum(axis=1)
    known = pairs > 0
    areas = ((of_above[known] @ right) * of_below[known]).sum(axis=1) / pairs[known]
    low, high = np.percentile(areas, [2.5, 97.5])
    return Interval(float(right.mean()), float(low), float(high), len(scores), count)


def compare_paired(
    first: np.ndarray, second: np.ndarray, groups: np.ndarray, names: tuple[str, str], metric: str,
    repeats: int = 4999, seed: int = 0,
) -> PairedDifference:  # fmt: skip
    """Mean difference on queries where both are known; two-sided p by flipping the sign of whole patients at random."""
    difference = np.asarray(first, dtype=np.float64) - np.asarray(second, dtype=np.float64)
    interval = bootstrap_mean(difference, groups, seed=seed)
    values, kept = _known(difference, groups)
    if not len(values):
        return PairedDifference(*names, metric, interval, float("nan"))
    _, position = np.unique(kept, return_inverse=True)
    sums = np.bincount(position, values)
    signs = np.random.default_rng(seed).choice([-1.0, 1.0], size=(repeats, len(sums)))
    as_large = np.abs(signs @ sums) >= abs(sums.sum()) - DOUBLE * np.abs(sums).sum()
    return PairedDifference(*names, metric, interval, float((1 + as_large.sum()) / (1 + repeats)))


def correct_for_comparisons(differences: Sequence[PairedDifference]) -> list[PairedDifference]:
    """The same differences with p_corrected by Holm's method over all of them; NaN p-values stay NaN.

    Holm, Scandinavian Journal of Statistics 6:65 (1979). The function of statsmodels collects the garbage of the whole
    process at each call, which takes half a second beside a network.
    """
    p_values = np.array([entry.p_value for entry in differences], dtype=np.float64)
    order = np.argsort(p_values)[: np.isfinite(p_values).sum()]  # NaN are last
    corrected = np.full(len(p_values), np.nan)
    corrected[order] = np.minimum(np.maximum.accumulate(p_values[order] * np.arange(len(order), 0, -1)), 1)
    return [
        PairedDifference(e.first, e.second, e.metric, e.difference, e.p_value, float(p))
        for e, p in zip(differences, corrected, strict=True)
    ]


def permute_chance(
    grades: Sequence[np.ndarray], metric: Callable[[np.ndarray], np.ndarray], permutations: int = 200, seed: int = 0
) -> np.ndarray:
    """float64 (permutations, queries): the metric of each query's list (n,) in random order, NaN dropped."""
    generator = np.random.default_rng(seed)
    columns = []
    for values in grades:
        values = np.asarray(values, dtype=np.float64)
        values = values[~np.isnan(values)]
        columns.append(metric(generator.permuted(np.tile(values, (permutations, 1)), axis=1)))
    if not columns:
        raise EvaluationError("There is no query; check the target finding and the split.")
    return np.stack(columns, axis=1)


def chance_p_value(observed: float, chance_means: np.ndarray) -> float:
    """One-sided p: part of the permutations whose mean is at least the observed one, counting the observed itself."""
    return float((1 + (np.asarray(chance_means) >= observed - DOUBLE).sum()) / (1 + len(chance_means)))


def _known(values: np.ndarray, groups: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    values, groups = np.asarray(values, dtype=np.float64), np.asarray(groups)
    if values.shape != groups.shape:
        raise EvaluationError(f"Each query needs its patient: {values.shape} queries, {groups.shape} patients.")
    known = np.isfinite(values)
    return values[known], groups[known]
