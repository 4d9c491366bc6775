"""What the ratings of a study say: agreement between readers, with themselves, and of each method with them."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np

from icbir_core.errors import StudyError
from icbir_core.evaluation import agreement
from icbir_core.evaluation.statistics import (
    bootstrap_mean,
    bootstrap_statistic,
    compare_paired,
    correct_for_comparisons,
)
from icbir_core.plurals import count_of
from icbir_core.study.design import Study
from icbir_core.study.rating import Rating

SCALE = (1, 2, 3, 4, 5)


@dataclass(frozen=True)
class StudyResult:
    """Plain tables of numbers (intervals as {value, low, high, queries, patients}); None where nothing can be said."""

    study: str
    simulated: bool
    readers: tuple[str, ...]
    queries: int
    counts: Mapping[str, Any]
    between_readers: Mapping[str, Any]
    within_readers: Mapping[str, Any]
    methods: Mapping[str, Any]
    comparisons: tuple[Mapping[str, Any], ...]
    maps: Mapping[str, Any] | None
    ranking: Mapping[str, Any] | None
    choices: Mapping[str, Any] | None
    times: Mapping[str, Any]
    notes: tuple[str, ...] = field(default_factory=tuple)

    def as_dict(self) -> dict[str, Any]:
        """Plain values, fit for JSON."""
        return asdict(self)


def analyse_study(study: Study, ratings: Iterable[Rating], *, simulated: bool = False, seed: int = 0) -> StudyResult:
    """The statistics of a study's newest blinded ratings (`RatingsStore.latest`).

    simulated : look at the ratings of simulated readers INSTEAD of the real ones; the two are never mixed.
    Raises `StudyError` if there is no rating.
    """
    kept = [r for r in ratings if r.study == study.name and r.blinded and r.simulated == simulated]
    if not kept:
        kind = "simulated readers" if simulated else "readers"
        raise StudyError(f"The study '{study.name}' has no ratings of {kind}; read it first.")
    readers = tuple(sorted({r.reader for r in kept}))
    items = [(q.case_id, c.case_id) for q in study.queries for c in q.candidates]
    groups = np.array([i for i, q in enumerate(study.queries) for _ in q.candidates])
    first = _tabulate(kept, readers, items, stage=1)
    notes = _warn(study, readers, first)
    comparisons, methods = _judge_methods(study, first, groups, seed)
    similarity = [r for r in kept if r.task == "similarity"]
    return StudyResult(
        study=study.name,
        simulated=simulated,
        readers=readers,
        queries=len(study.queries),
        counts={
            "ratings": len(kept),
            "cannot_judge": sum(r.cannot_judge for r in kept),
            "items": len(items),
            "by_reader": {reader: sum(r.reader == reader for r in kept) for reader in readers},
            "scores": {str(step): sum(r.score == step for r in similarity) for step in SCALE},
        },
        between_readers=_compare_readers(first, groups, readers, seed),
        within_readers=_compare_repeats(kept, readers),
        methods=methods,
        comparisons=comparisons,
        maps=_measure_maps(kept, readers, items, first, groups, seed),
        ranking=_judge_rankings(study, kept, readers, seed),
        choices=_count_choices(study, kept),
        times=_describe_times(kept, readers),
        notes=tuple(notes),
    )


def _tabulate(
    ratings: Sequence[Rating], readers: Sequence[str], items: Sequence[tuple[str, ...]], stage: int, repetition: int = 0
) -> np.ndarray:
    """Scores float64 (readers, items); NaN where there is none or the reader could not judge."""
    place: dict[tuple[str | None, ...], tuple[int, int]]
    place = {(reader, *item): (i, j) for i, reader in enumerate(readers) for j, item in enumerate(items)}
    table = np.full((len(readers), len(items)), np.nan)
    for rating in ratings:
        if rating.task == "similarity" and (rating.stage, rating.repetition) == (stage, repetition):
            where = place.get((rating.reader, rating.query, rating.case_id))
            if where is not None and rating.score is not None:
                table[where] = rating.score
    return table


def _warn(study: Study, readers: Sequence[str], scores: np.ndarray) -> list[str]:
    notes = []
    if len(readers) < 3:
        notes.append(f"Only {count_of(len(readers), 'reader')}: agreement needs at least three.")
    if len(study.queries) < 20:
        few = count_of(len(study.queries), "query", "queries")
        notes.append(
            f"Only {few}: the intervals are wide; the guide to evaluation says how to find the number of queries that "
            "would show a difference of 0.05 in nDCG."
        )
    missing = float(np.isnan(scores).mean()) if scores.size else 1.0
    if "similarity" in study.tasks and missing > 0:
        notes.append(f"{100 * missing:.0f} % of the expected first scores are missing or 'cannot judge', and left out.")
    return notes


def _over_queries(
    measure: Callable[[np.ndarray], float], scores: np.ndarray, groups: np.ndarray, seed: int
) -> dict[str, Any]:
    return asdict(bootstrap_statistic(lambda chosen: measure(scores[:, chosen]), groups, repeats=500, seed=seed))


def _compare_readers(scores: np.ndarray, groups: np.ndarray, readers: Sequence[str], seed: int) -> dict[str, Any]:
    """Agreement over all items, intervals bootstrapped over queries."""
    if len(readers) < 2 or not np.isfinite(scores).any():
        return {}

    def mean_kappa(part: np.ndarray) -> float:
        return _mean(agreement.pairwise(part, lambda a, b: agreement.weighted_kappa(a, b, "quadratic", SCALE)))

    within = [scores[:, groups == group] for group in np.unique(groups)]
    concordances = np.array([agreement.kendall_w(part)[0] for part in within])
    taus = np.array([_mean(agreement.pairwise(part, agreement.kendall_tau)) for part in within])
    every = np.arange(len(within))
    return {
        "krippendorff_alpha": _over_queries(agreement.krippendorff_alpha, scores, groups, seed),
        "icc_2_1": _over_queries(lambda part: agreement.intraclass_correlations(part)[0], scores, groups, seed),
        "icc_2_k": _over_queries(lambda part: agreement.intraclass_correlations(part)[1], scores, groups, seed),
        "weighted_kappa_mean": _over_queries(mean_kappa, scores, groups, seed),
        "weighted_kappa_pairs": {
            f"{readers[i]} / {readers[j]}": agreement.weighted_kappa(scores[i], scores[j], "quadratic", SCALE)
            for i, j in itertools.combinations(range(len(readers)), 2)
        },
        "kendall_w_within_queries": asdict(bootstrap_mean(concordances, every, seed=seed)),
        "kendall_tau_within_queries": asdict(bootstrap_mean(taus, every, seed=seed)),
        "reader_mean_offset": {
            reader: _mean(scores[i] - _nan_mean(scores))
            for i, reader in enumerate(readers)
            if np.isfinite(scores[i]).any()
        },
    }


def _compare_repeats(ratings: Sequence[Rating], readers: Sequence[str]) -> dict[str, Any]:
    """Each reader's hidden repeats beside her first scores of the same items (both stages)."""
    found: dict[str, Any] = {}
    for reader in readers:
        first, second = [], []
        mine = {
            (r.stage, r.repetition, r.query, r.case_id): r.score
            for r in ratings
            if r.reader == reader and r.task == "similarity" and r.score is not None
        }
        for (stage, repetition, query, case), score in mine.items():
            before = mine.get((stage, 0, query, case))
            if repetition == 1 and before is not None:
                first.append(before)
                second.append(score)
        if first:
            differences = np.subtract(second, first).astype(np.float64)
            found[reader] = {
                "repeats": len(first),
                "same_score": float((differences == 0).mean()),
                "within_one_step": float((np.abs(differences) <= 1).mean()),
                "weighted_kappa": agreement.weighted_kappa(np.array(first), np.array(second), "quadratic", SCALE),
                "standard_deviation": float(np.sqrt((differences**2).mean() / 2)),
            }
    return found


def _judge_methods(
    study: Study, scores: np.ndarray, groups: np.ndarray, seed: int
) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """Each method's order of the pool against the readers' mean score, beside the band between readers."""
    if not np.isfinite(scores).any():
        return (), {}
    ranks = {
        m: np.array([c.ranks[m] for q in study.queries for c in q.candidates], dtype=np.float64) for m in study.methods
    }
    consensus = _nan_mean(scores)
    per_query: dict[str, np.ndarray] = {}
    tables: dict[str, Any] = {}
    for method, rank in ranks.items():
        ordered, taus, gains = [], [], []
        for group in np.unique(groups):
            here = groups == group
            grades = consensus[here][np.argsort(rank[here], kind="stable")]
            ordered.append(grades)
            gains.append(agreement.chance_corrected_gain([grades], 1).value)
            taus.append(_mean([agreement.kendall_tau(-rank[here], row[here]) for row in scores]))
        per_query[method] = np.array(gains)
        every = np.arange(len(gains))
        tables[method] = {
            "ndcg": asdict(bootstrap_mean(per_query[method], every, seed=seed)),
            "chance": asdict(agreement.chance_corrected_gain(ordered, 999, seed)),
            "kendall_tau_with_readers": asdict(bootstrap_mean(np.array(taus), every, seed=seed)),
        }
    tables["readers_among_themselves"] = _band_between_readers(scores, groups, seed)
    every = np.arange(len(np.unique(groups)))
    compared = [
        compare_paired(per_query[a], per_query[b], every, (a, b), "nDCG against the readers' mean score", seed=seed)
        for a, b in itertools.combinations(study.methods, 2)
    ]
    return tuple(asdict(entry) for entry in correct_for_comparisons(compared)), tables


def _band_between_readers(scores: np.ndarray, groups: np.ndarray, seed: int) -> dict[str, Any] | None:
    """How well one reader's order scores by the mean of the others: the most that a method can be expected to reach."""
    if len(scores) < 2:
        return None
    by_reader: list[list[float]] = []
    for i, row in enumerate(scores):
        others = _nan_mean(np.delete(scores, i, axis=0))
        values = []
        for group in np.unique(groups):
            here = (groups == group) & np.isfinite(row) & np.isfinite(others)
            # equal scores leave the order open: the mean over random orders of the tied is what the reader reaches
            generator = np.random.default_rng(seed)
            tied = [
                agreement.chance_corrected_gain(
                    [others[here][np.lexsort((generator.random(here.sum()), -row[here]))]], 1
                )
                for _ in range(20)
            ]
            values.append(_mean([entry.value for entry in tied]))
        by_reader.append(values)
    table = np.array(by_reader)
    means = np.array([_mean(row) for row in table])
    return {
        "ndcg": asdict(bootstrap_mean(_nan_mean(table), np.arange(table.shape[1]), seed=seed)),
        "lowest_reader": float(np.nanmin(means)),
        "highest_reader": float(np.nanmax(means)),
    }


def _measure_maps(
    ratings: Sequence[Rating], readers: Sequence[str], items: Sequence[tuple[str, ...]], first: np.ndarray,
    groups: np.ndarray, seed: int,
) -> dict[str, Any] | None:  # fmt: skip
    """What seeing the maps changed: stage 2 minus stage 1 of the same reader and item."""
    second = _tabulate(ratings, readers, items, stage=2)
    change = second - first
    if not np.isfinite(change).any():
        return None
    compared = compare_paired(_nan_mean(second), _nan_mean(first), groups, ("with maps", "without"), "score", seed=seed)
    result: dict[str, Any] = {
        "change_of_score": asdict(compared),
        "changed_scores": float((change[np.isfinite(change)] != 0).mean()),
    }
    if len(readers) > 1:
        for name, table in (("alpha_without_maps", first), ("alpha_with_maps", second)):
            result[name] = _over_queries(agreement.krippendorff_alpha, table, groups, seed)
    return result


def _judge_rankings(
    study: Study, ratings: Sequence[Rating], readers: Sequence[str], seed: int
) -> dict[str, Any] | None:
    """The task "full ranking": Kendall's W between readers, and each method by the paper's gain of readers' ranks."""
    given = {
        (r.reader, r.query): r.answer["order"] for r in ratings if r.task == "ranking" and r.stage == 1 and r.answer
    }
    if not given:
        return None
    concordances: list[float] = []
    by_method: dict[str, list[np.ndarray]] = {method: [] for method in study.methods}
    for query in study.queries:
        cases = [c.case_id for c in query.candidates]
        rows = [given.get((reader, query.case_id)) for reader in readers]
        places = np.array([[order.index(case) + 1 for case in cases] for order in rows if order], dtype=np.float64)
        concordances.append(agreement.kendall_w(-places)[0] if len(places) > 1 else np.nan)
        grades = ((len(cases) + 1) - places.mean(axis=0)) / 2 + 0.5 if len(places) else np.full(len(cases), np.nan)
        for method in study.methods:
            rank = [c.ranks[method] for c in query.candidates]
            by_method[method].append(grades[np.argsort(rank, kind="stable")])
    return {
        "kendall_w": asdict(bootstrap_mean(np.array(concordances), np.arange(len(concordances)), seed=seed)),
        "methods": {m: asdict(agreement.chance_corrected_gain(rows, 999, seed)) for m, rows in by_method.items()},
    }


def _count_choices(study: Study, ratings: Sequence[Rating]) -> dict[str, Any] | None:
    """Forced choice of two: how often the case that a method ranks higher was chosen, 0.5 being chance."""
    given = [(r.query, r.answer) for r in ratings if r.task == "choice" and r.stage == 1 and r.answer]
    chosen = [(query, answer) for query, answer in given if answer.get("chosen")]
    if not chosen:
        return None
    ranks = {(q.case_id, c.case_id): c.ranks for q in study.queries for c in q.candidates}
    names = [q.case_id for q in study.queries]
    groups = np.array([names.index(query) for query, _ in chosen])
    table: dict[str, Any] = {}
    for method in study.methods:
        agreed = np.array(
            [ranks[query, one["chosen"]][method] < ranks[query, one["other"]][method] for query, one in chosen],
            dtype=np.float64,
        )
        table[method] = asdict(bootstrap_mean(agreed, groups, seed=0))
    return table


def _describe_times(ratings: Sequence[Rating], readers: Sequence[str]) -> dict[str, Any]:
    """Seconds for a decision: median and quartiles, by reader and by stage."""
    table: dict[str, Any] = {}
    for reader in (*readers, "all"):
        for stage in (1, 2):
            seconds = [
                r.time_ms / 1000
                for r in ratings
                if r.stage == stage and reader in (r.reader, "all") and r.time_ms is not None
            ]
            if seconds:
                low, middle, high = np.percentile(seconds, [25, 50, 75])
                name = f"{reader}, {'with' if stage == 2 else 'without'} maps"
                table[name] = {"median": middle, "quartiles": [low, high], "answers": len(seconds)}
    return table


def _mean(values: Iterable[float]) -> float:
    known = [value for value in values if np.isfinite(value)]
    return float(np.mean(known)) if known else float("nan")


def _nan_mean(table: np.ndarray) -> np.ndarray:
    """Mean over readers (axis 0), NaN where all are, without numpy's warning about it."""
    known = np.isfinite(table)
    total = np.where(known, table, 0).sum(axis=0)
    empty = np.full(table.shape[1:], np.nan)
    return np.asarray(np.divide(total, known.sum(axis=0), out=empty, where=known.any(axis=0)))
