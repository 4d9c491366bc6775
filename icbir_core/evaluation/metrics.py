"""Metrics of one ranked list, as plain functions of numpy arrays.

A list is given in ranked order along the LAST axis, so that many permutations of it can be scored at once. A case whose
state is unknown (NaN) is taken out of the list first (`drop_unknown`): it is never counted as negative. That is the
"condensed list" of Sakai, "Alternatives to Bpref", SIGIR 2007.
"""

from __future__ import annotations

import numpy as np

from icbir_core.errors import EvaluationError


def drop_unknown(grades: np.ndarray) -> np.ndarray:
    """The list (n,) without its NaN entries, order kept; float64."""
    values = np.asarray(grades, dtype=np.float64)
    return values[~np.isnan(values)]


def precision_at(grades: np.ndarray, k: int) -> np.ndarray:
    """Part of the first k that is relevant, in [0, 1]; NaN where fewer than k are known. grades (…, n) of 0/1."""
    values = _check(grades)
    if k < 1:
        raise EvaluationError(f"k must be at least 1, not {k}.")
    if values.shape[-1] < k:
        return np.full(values.shape[:-1], np.nan)
    found: np.ndarray = values[..., :k].mean(axis=-1)
    return found


def r_precision(grades: np.ndarray) -> np.ndarray:
    """Precision at R, R the number of relevant cases in the list; NaN where there is none. grades (…, n) of 0/1."""
    values = _check(grades)
    total = values.sum(axis=-1)
    within = np.arange(values.shape[-1]) < total[..., None]
    return _divide((values * within).sum(axis=-1), total)


def average_precision(grades: np.ndarray) -> np.ndarray:
    """Mean over relevant cases of the precision at their ranks; NaN where there is none. grades (…, n) of 0/1."""
    values = _check(grades)
    precision = np.cumsum(values, axis=-1) / np.arange(1, values.shape[-1] + 1)
    total = values.sum(axis=-1)
    summed = (precision * values).sum(axis=-1)
    return _divide(summed, total)


def hit_rate(grades: np.ndarray, k: int) -> np.ndarray:
    """1 where any of the first k is relevant, else 0; NaN where fewer than k are known. grades (…, n) of 0/1."""
    values = precision_at(grades, k)
    return np.where(np.isnan(values), np.nan, (values > 0).astype(np.float64))


def vote_share(grades: np.ndarray, k: int) -> np.ndarray:
    """The neighbours' vote: part of the first k (or of all, if fewer) that carries the finding, in [0, 1]."""
    values = _check(grades)
    found: np.ndarray = values[..., : max(1, min(k, values.shape[-1]))].mean(axis=-1)
    return found


def majority_vote(grades: np.ndarray, k: int) -> np.ndarray:
    """1 where more than half of the first k carry the finding, 0 where fewer than half, 0.5 at a tie."""
    share = vote_share(grades, k)
    return np.where(share == 0.5, 0.5, (share > 0.5).astype(np.float64))


def discounted_gain(grades: np.ndarray, k: int | None = None) -> np.ndarray:
    """DCG of grades (…, n) in ranked order: sum of (2^grade − 1) / log2(rank + 1) over the first k (default all)."""
    values = np.asarray(grades, dtype=np.float64)[..., :k]
    found: np.ndarray = ((2.0**values - 1) / np.log2(np.arange(2, values.shape[-1] + 2))).sum(axis=-1)
    return found


def normalised_gain(grades: np.ndarray, k: int | None = None) -> np.ndarray:
    """nDCG in [0, 1]: DCG over that of the best order of the same grades; NaN where every grade is 0. grades (…, n)."""
    values = np.asarray(grades, dtype=np.float64)
    best = discounted_gain(-np.sort(-values, axis=-1), k)
    return _divide(discounted_gain(values, k), best)


def jaccard_grades(query: np.ndarray, cases: np.ndarray, no_finding: int | None = None) -> np.ndarray:
    """Jaccard index of the query's and each case's present findings, in [0, 1]; NaN where they share no known finding.

    query (F,), cases (N, F): 1 present, 0 absent, NaN unknown; a finding that is unknown on either side is left out of
    both sets. no_finding : the column of "No Finding", which is then not a finding: two films without findings get 0
    (nothing in common that matters); None counts it like any other, so that they get 1.
    """
    left = np.broadcast_to(np.asarray(query, dtype=np.float64), np.shape(cases)).copy()
    right = np.asarray(cases, dtype=np.float64)
    known = ~np.isnan(left) & ~np.isnan(right)
    if no_finding is not None:
        known[:, no_finding] = False
    both = ((left == 1) & (right == 1) & known).sum(axis=1)
    either = (((left == 1) | (right == 1)) & known).sum(axis=1)
    grades = np.divide(both, either, out=np.zeros(len(right)), where=either > 0)
    return np.where(known.any(axis=1), grades, np.nan)


def _check(grades: np.ndarray) -> np.ndarray:
    values = np.asarray(grades, dtype=np.float64)
    if values.size and not np.isin(values, (0.0, 1.0)).all():
        raise EvaluationError("A ranked list may hold only 0 and 1; drop the unknown cases first.")
    return values


def _divide(sums: np.ndarray, by: np.ndarray) -> np.ndarray:
    """NaN where there is nothing to divide by."""
    found: np.ndarray = np.divide(sums, by, out=np.full(np.shape(by), np.nan), where=by > 0)
    return found
