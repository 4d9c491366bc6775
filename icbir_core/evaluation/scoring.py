"""From rankings to numbers: metrics of each query, intervals, chance, and differences between methods."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from functools import partial
from typing import Any

import numpy as np
from sklearn.metrics import balanced_accuracy_score

from icbir_core.errors import EvaluationError
from icbir_core.evaluation import metrics
from icbir_core.evaluation.statistics import (
    bootstrap_auroc,
    bootstrap_mean,
    chance_p_value,
    compare_paired,
    correct_for_comparisons,
    permute_chance,
)

Metric = Callable[[np.ndarray], np.ndarray]
CURVE = (1, 2, 3, 5, 7, 10, 15, 20, 30, 50)


@dataclass(frozen=True)
class Measure:
    """One number for each query. grade : "target" (0 and 1) or the name of a finer one (0 or more)."""

    name: str
    title: str
    grade: str
    compute: Metric


@dataclass(frozen=True, eq=False)
class Task:
    """What rankings are judged by: for each query the relevance grade of every case, in catalogue order.

    grades : name → list of float64 (N,), NaN unknown, for the queries `asked[name]` (bool (Q,)).
    groups int64 (Q,) : the query's patient.
    """

    grades: Mapping[str, Sequence[np.ndarray]]
    asked: Mapping[str, np.ndarray]
    groups: np.ndarray
    measures: tuple[Measure, ...]


def make_target_measures(ks: Sequence[int]) -> list[Measure]:
    """Precision, hit rate, majority vote at each k; R-precision; mean average precision."""
    found = []
    for k in ks:
        found += [
            Measure(f"precision_at_{k}", f"precision at {k}", "target", partial(metrics.precision_at, k=k)),
            Measure(f"hit_rate_at_{k}", f"hit rate at {k}", "target", partial(metrics.hit_rate, k=k)),
            Measure(f"majority_at_{k}", f"majority vote of {k} right", "target", partial(metrics.majority_vote, k=k)),
        ]
    found.append(Measure("r_precision", "R-precision", "target", metrics.r_precision))
    found.append(Measure("average_precision", "mean average precision", "target", metrics.average_precision))
    return found


def make_gain_measure(name: str, title: str, k: int = 10) -> Measure:
    """nDCG at k of a grade."""
    return Measure(f"ndcg_{name}", title, name, lambda grades: metrics.normalised_gain(grades, k))


@dataclass(frozen=True)
class MethodScore:
    """intervals, p_values against chance, precision by k, per-query values (NaN where not asked)."""

    intervals: dict[str, Any]
    p_against_chance: dict[str, float]
    curve: dict[str, float]
    per_query: dict[str, np.ndarray]
    vote: dict[str, Any] = field(default_factory=dict)


def score_method(task: Task, orders: Sequence[np.ndarray], chance: Mapping[str, np.ndarray]) -> MethodScore:
    """Score one method's orders (for each query the allowed cases, nearest first)."""
    per_query = {}
    for measure in task.measures:
        values = np.full(len(orders), np.nan)
        for i in np.flatnonzero(task.asked[measure.grade]).tolist():
            values[i] = measure.compute(metrics.drop_unknown(task.grades[measure.grade][i][orders[i]]))
        per_query[measure.name] = values
    intervals = {name: asdict(bootstrap_mean(values, task.groups)) for name, values in per_query.items()}
    p_values = {name: chance_p_value(intervals[name]["value"], chance[name]) for name in per_query}
    curve = {}
    if "target" in task.grades:
        for k in CURVE:
            precisions = [
                metrics.precision_at(metrics.drop_unknown(task.grades["target"][i][orders[i]]), k)
                for i in np.flatnonzero(task.asked["target"]).tolist()
            ]
            known = [float(value) for value in precisions if np.isfinite(value)]
            if known:
                curve[str(k)] = float(np.mean(known))
    return MethodScore(intervals, p_values, curve, per_query)


def compute_chance(
    task: Task, allowed: np.ndarray, permutations: int = 200, seed: int = 0
) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """(summary by measure, mean of each permutation by measure) of random orders of the allowed cases."""
    summaries, means = {}, {}
    for measure in task.measures:
        asked = np.flatnonzero(task.asked[measure.grade]).tolist()
        if not asked:
            raise EvaluationError(
                f"There is no query to measure {measure.title} on; check the target finding and the split."
            )
        lists = [task.grades[measure.grade][i][allowed[i]] for i in asked]
        drawn = permute_chance(lists, measure.compute, permutations, seed)
        known = np.isfinite(drawn)
        by_permutation = np.where(known, drawn, 0).sum(axis=1) / np.maximum(known.sum(axis=1), 1)
        low, high = np.percentile(by_permutation, [2.5, 97.5])
        means[measure.name] = by_permutation
        summaries[measure.name] = {"value": float(by_permutation.mean()), "low": float(low), "high": float(high)}
    return summaries, means


def score_vote(
    states: np.ndarray, grades: Sequence[np.ndarray], orders: Sequence[np.ndarray], groups: np.ndarray, k: int
) -> dict[str, Any]:
    """AUROC (bootstrap by patient) and balanced accuracy of the vote of the k nearest, over queries of either state.

    states float64 (Q,) of the target in the queries; grades (N,) of the cases for each query. Unknown queries are left
    out.
    """
    asked = np.flatnonzero(np.isfinite(states))
    shares = np.array([metrics.vote_share(metrics.drop_unknown(grades[i][orders[i]]), k) for i in asked.tolist()])
    truth = states[asked]
    if len(np.unique(truth)) < 2:
        return {}

    return {
        "k": k,
        "auroc": asdict(bootstrap_auroc(shares, truth, groups[asked])),
        "balanced_accuracy_of_majority": float(balanced_accuracy_score(truth, shares > 0.5)),
    }


def compare_methods(
    scores: Mapping[str, MethodScore], pairs: Sequence[tuple[str, str]], measures: Sequence[str], groups: np.ndarray
) -> list[dict[str, Any]]:
    """Paired differences of the given pairs in the given measures; p corrected by Holm over all of them together."""
    found = [
        compare_paired(scores[a].per_query[m], scores[b].per_query[m], groups, (a, b), m)
        for m in measures
        for a, b in pairs
        if a in scores and b in scores
    ]
    return [asdict(entry) for entry in correct_for_comparisons(found)]
