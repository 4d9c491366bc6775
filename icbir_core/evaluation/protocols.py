"""The three protocols: held-out films against the catalogue, the splits of the paper, and simulated films."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from sklearn.model_selection import train_test_split

from icbir_core.errors import EvaluationError
from icbir_core.evaluation import metrics
from icbir_core.evaluation.controls import CONTROL_MAPS
from icbir_core.evaluation.films import FilmSet, find_allowed
from icbir_core.evaluation.methods import find_method, measure_distances, rank_cases, require_methods
from icbir_core.evaluation.retraining import SUFFIX
from icbir_core.evaluation.scoring import (
    MethodScore,
    Task,
    compare_methods,
    compute_chance,
    make_gain_measure,
    make_target_measures,
    score_method,
    score_vote,
)
from icbir_core.evaluation.statistics import bootstrap_mean, compare_paired, correct_for_comparisons, group_patients
from icbir_core.evaluation.vectors import VectorSource
from icbir_core.findings import NO_FINDING
from icbir_core.retrieval.methods import SearchMethod

PAPER_FRACTIONS = (0.055, 0.115, 0.175)
PAPER_SEEDS = (42, 1, 27, 57, 77)
PUBLISHED = "ig_cbir"


@dataclass(frozen=True, eq=False)
class EvaluationResult:
    """What an evaluation found. tables : values for JSON; orders : method → per query the cases, nearest first.

    device : what computed it, as `Device.as_dict`; empty where that is not known.
    """

    protocol: str
    target: str
    tables: Mapping[str, Any]
    summary: tuple[str, ...]
    notes: tuple[str, ...]
    queries: FilmSet
    catalogue: FilmSet
    orders: Mapping[str, Sequence[np.ndarray]] = field(default_factory=dict)
    scores: Mapping[str, MethodScore] = field(default_factory=dict)
    device: Mapping[str, Any] = field(default_factory=dict)


def evaluate_held_out(
    queries: FilmSet, catalogue: FilmSet, source: VectorSource, target: str, methods: Sequence[str],
    ks: Sequence[int] = (1, 5, 10), vote: int = 10, permutations: int = 200, notes: Sequence[str] = (),
) -> EvaluationResult:  # fmt: skip
    """Every query film against the catalogue; cases of the query's patient and its own film are never candidates."""
    chosen = require_methods(methods)
    names = tuple(sorted(set(queries.findings) & set(catalogue.findings)))
    if target not in names:
        raise EvaluationError(f"Queries and catalogue have no labels of {target} in common; choose another target.")
    states = queries.states(target)
    cases = catalogue.states(target)
    grades: dict[str, list[np.ndarray]] = {"target": [cases] * len(queries)}
    asked = {"target": states == 1}
    measures = make_target_measures(ks)
    left, right = queries.align_labels(names), catalogue.align_labels(names)
    normal = names.index(NO_FINDING) if NO_FINDING in names else None
    grades["findings"] = [metrics.jaccard_grades(row, right) for row in left]
    asked["findings"] = np.isfinite(left).any(axis=1)
    measures.append(make_gain_measure("findings", "nDCG at 10 by Jaccard of findings, No Finding a match"))
    if normal is not None:
        grades["abnormal"] = [metrics.jaccard_grades(row, right, normal) for row in left]
        others = np.delete(left, normal, axis=1)
        asked["abnormal"] = (others == 1).any(axis=1)
        measures.append(make_gain_measure("abnormal", "nDCG at 10 by Jaccard of findings, No Finding no match"))
    task = Task(grades, asked, group_patients(queries.patients), tuple(measures))
    shared = sum(p is not None and p in set(catalogue.patients) for p in queries.patients)
    more = [
        f"{len(queries)} query films of {len(set(queries.patients) - {None})} patients, {int((states == 1).sum())} of "
        f"them with {target}; catalogue {len(catalogue)} films, {np.nanmean(cases):.1%} of those known carry it."
    ]
    if shared:
        more.append(
            f"{shared} query films have a patient who is in the catalogue too: those cases were left out for them."
        )
    if any(p is None for p in catalogue.patients):
        unnamed = sum(p is None for p in catalogue.patients)
        more.append(f"{unnamed} catalogue films have no patient: a patient of the queries could hide among them.")
    judging = _Judging("held-out", target, task, queries, catalogue, source, chosen, states, permutations, vote)
    return _finish(judging, (*notes, *more))


def evaluate_simulated(
    queries: FilmSet, catalogue: FilmSet, source: VectorSource, target: str, methods: Sequence[str],
    truths: Mapping[int, Any], permutations: int = 200, notes: Sequence[str] = (),
) -> EvaluationResult:  # fmt: skip
    """Simulated films graded by their truth (findings, sides, severities; 0 to 4) and by the target's presence.

    truths : seed → `SimulatedTruth`; films are named sim_<seed>. Raises `EvaluationError` for a film without truth.
    """
    from icbir_core.phantom import similarity_grade

    chosen = require_methods(methods)
    left, right = ([_find_truth(name, truths) for name in films.names] for films in (queries, catalogue))
    states = np.array([float(target in truth.names) for truth in left])
    cases = np.array([float(target in truth.names) for truth in right])
    grades = [np.array([similarity_grade(one, other) for other in right]) for one in left]
    sided = []
    for one in left:
        mine = one.finding(target)
        sided.append(np.array([_match_side(mine, other.finding(target)) for other in right]))
    task = Task(
        {"target": [cases] * len(left), "truth": grades, "side": sided},
        {"target": states == 1, "truth": np.ones(len(left), bool), "side": states == 1},
        group_patients(queries.patients),
        (
            *make_target_measures((1, 5, 10)),
            make_gain_measure("truth", "nDCG at 10 by the true grade"),
            make_gain_measure("side", f"nDCG at 10 by side and severity of {target}"),
        ),
    )
    more = f"{len(left)} simulated query films, {int(states.sum())} with {target}; catalogue {len(right)} films."
    judging = _Judging("simulated", target, task, queries, catalogue, source, chosen, states, permutations, 10)
    return _finish(judging, (*notes, more))


def evaluate_paper(
    pool: FilmSet, source: VectorSource, target: str, methods: Sequence[str], single_query: bool = False,
    fractions: Sequence[float] = PAPER_FRACTIONS, seeds: Sequence[int] = PAPER_SEEDS, notes: Sequence[str] = (),
) -> EvaluationResult:  # fmt: skip
    """Silva et al. 2020: stratified catalogues of a pool, k = the positives in the catalogue, precision at k.

    ALL positives outside the catalogue are queries; single_query : only the last one of each split, as the released
    script has it. nDCG needs a reader's order, which labels are not: it is part of a reading study's report.
    """
    chosen = require_methods(methods)
    states = pool.states(target)
    known = np.flatnonzero(np.isfinite(states))
    if (states[known] == 1).sum() < 4 or (states[known] == 0).sum() < 4:
        raise EvaluationError(f"Fewer than 4 films with or without {target}; use more films.")
    pool, states = pool.select(known), states[known]
    groups = group_patients(pool.patients)
    allowed = find_allowed(pool, pool)
    distances = {method.name: measure_distances(method, source, pool, pool) for method in chosen}
    tables: dict[str, Any] = {"splits": [], "methods": {}, "comparisons": []}
    values: dict[str, dict[float, list[tuple[int, float]]]] = {m.name: {f: [] for f in fractions} for m in chosen}
    chances: dict[float, list[float]] = {fraction: [] for fraction in fractions}
    for fraction in fractions:
        for seed in seeds:
            others, held = train_test_split(
                np.arange(len(pool)), test_size=fraction, stratify=states, random_state=seed
            )
            positives = others[states[others] == 1]
            asked = positives[-1:] if single_query else positives
            k = int((states[held] == 1).sum())
            if k == 0:
                continue
            tables["splits"].append({"fraction": fraction, "seed": seed, "catalogue": len(held), "k": k,
                                     "queries": len(asked)})  # fmt: skip
            for query in asked:
                cases = held[allowed[query, held]]
                if len(cases) < k:
                    continue
                chances[fraction].append(float(states[cases].mean()))
                for name, table in distances.items():
                    near = cases[np.argsort(table[query, cases], kind="stable")[:k]]
                    values[name][fraction].append((int(query), float(states[near].mean())))
    compared = []
    for name in distances:
        tables["methods"][name] = {}
        for fraction in fractions:
            rows = values[name][fraction]
            precision = np.array([value for _, value in rows])
            patients = groups[[query for query, _ in rows]] if rows else np.array([], int)
            tables["methods"][name][str(fraction)] = asdict(bootstrap_mean(precision, patients))
            if name != PUBLISHED and PUBLISHED in distances and rows:
                mine = np.array([value for _, value in values[PUBLISHED][fraction]])
                compared.append(
                    compare_paired(mine, precision, patients, (PUBLISHED, name), f"precision at k, {fraction}")
                )
    tables["comparisons"] = [asdict(entry) for entry in correct_for_comparisons(compared)]
    tables["chance"] = {str(f): float(np.mean(v)) if v else float("nan") for f, v in chances.items()}
    variant = "only the last positive of each split (the released script)" if single_query else "all positives"
    more = (
        f"Pool of {len(pool)} films with a known state, {states.mean():.1%} with {target}; queries: {variant}; "
        "intervals by patient over all splits, in which a film may be a query several times.",
        "nDCG by the paper's gain needs a reader's order of the cases: see `study report`.",
    )
    summary = _summarise_paper(tables)
    return EvaluationResult("silva2020", target, tables, summary, (*notes, *more), pool, pool)


@dataclass(frozen=True, eq=False)
class _Judging:
    """What is searched, by what, and how the rankings are judged. states : of the target in the queries; vote : of how
    many neighbours the vote is taken."""

    protocol: str
    target: str
    task: Task
    queries: FilmSet
    catalogue: FilmSet
    source: VectorSource
    chosen: Sequence[SearchMethod]
    states: np.ndarray
    permutations: int
    vote: int


def _finish(judging: _Judging, notes: Sequence[str]) -> EvaluationResult:
    task, target, queries, catalogue = judging.task, judging.target, judging.queries, judging.catalogue
    source, chosen = judging.source, judging.chosen
    allowed = find_allowed(queries, catalogue)
    chance, drawn = compute_chance(task, allowed, judging.permutations)
    orders, scores = {}, {}
    for method in chosen:
        orders[method.name] = rank_cases(measure_distances(method, source, queries, catalogue), allowed)
        score = score_method(task, orders[method.name], drawn)
        score.vote.update(
            score_vote(judging.states, task.grades["target"], orders[method.name], task.groups, judging.vote)
        )
        scores[method.name] = score
    reference = PUBLISHED if PUBLISHED in scores else chosen[0].name
    main = [m.name for m in chosen if not m.control]
    again = [m.name for m in chosen if m.name.endswith(SUFFIX) and m.control]
    pairs = [(reference, m.name) for m in chosen if m.name != reference]
    pairs += [(b, a) for i, a in enumerate(main) for b in main[i + 1 :] if reference not in (a, b)]
    pairs += [(PUBLISHED + SUFFIX, name) for name in again if PUBLISHED + SUFFIX in scores]
    primary = ["average_precision", "precision_at_10"]
    primary += [m.name for m in task.measures if m.name in ("ndcg_findings", "ndcg_truth")]
    comparisons = compare_methods(scores, pairs, primary, task.groups)
    tables = {
        "measures": {m.name: m.title for m in task.measures},
        "methods": {
            name: {
                "description": find_method(name).compares,
                "control": find_method(name).control,
                "saliency_classifier_retrained": name.endswith(SUFFIX) if find_method(name).control else None,
                "metrics": score.intervals,
                "p_against_chance": score.p_against_chance,
                "vote": score.vote,
                "precision_by_k": score.curve,
            }
            for name, score in scores.items()
        },
        "chance": chance,
        "comparisons": comparisons,
        "compared_measures": primary,
        "versions": source.opened.models.identity | {"map": source.opened.map_method},
    }
    summary = summarise(tables, reference, target)
    return EvaluationResult(judging.protocol, target, tables, summary, tuple(notes), queries, catalogue, orders, scores)


def summarise(tables: Mapping[str, Any], reference: str, target: str) -> tuple[str, ...]:
    """What was found, in plain sentences, favourable or not."""
    measure = "average_precision"
    values = {name: entry["metrics"][measure]["value"] for name, entry in tables["methods"].items()}
    main = {name: value for name, value in values.items() if not tables["methods"][name]["control"]}
    best = max(main, key=main.__getitem__)
    chance = tables["chance"][measure]["value"]
    lines = [
        f"By mean average precision for {target}, {best} is best with {values[best]:.3f}; "
        f"random order gives {chance:.3f}."
    ]
    entries = [c for c in tables["comparisons"] if c["metric"] == measure and c["first"] == reference]
    differences = {c["second"]: c for c in entries}
    for other in ("cnn", "ssim"):
        if other in differences and reference == PUBLISHED:
            lines.append(_say_difference(differences[other], PUBLISHED, other))
    controls = [name for name in CONTROL_MAPS if name in differences]
    if reference == PUBLISHED and controls:
        as_good = [n for n in controls if not _is_better(differences[n])]
        if as_good:
            lines.append(
                f"IG-CBIR is NOT shown to be better than {', '.join(as_good)}: what it gains over other methods is not "
                "shown to be interpretability."
            )
        else:
            lines.append(f"IG-CBIR is better than every control tried ({', '.join(controls)}).")
    for entry in tables["comparisons"]:
        if entry["metric"] == measure and entry["first"] == PUBLISHED + SUFFIX and entry["second"].endswith(SUFFIX):
            lines.append(_say_difference(entry, entry["first"], entry["second"]))
            if not _is_better(entry):
                lines.append(
                    f"With both retrained alike, IG-CBIR is NOT shown to be better than {entry['second']}: again no "
                    "gain that is shown to be interpretability."
                )
    weak = [n for n, e in tables["methods"].items() if not e["control"] and e["p_against_chance"][measure] >= 0.05]
    if weak:
        lines.append(f"Not shown to be better than random order: {', '.join(weak)}.")
    return tuple(lines)


def _summarise_paper(tables: Mapping[str, Any]) -> tuple[str, ...]:
    lines = []
    for fraction, chance in tables["chance"].items():
        known = {
            name: row[fraction]["value"]
            for name, row in tables["methods"].items()
            if np.isfinite(row[fraction]["value"])
        }
        if known:
            best = max(known, key=known.__getitem__)
            lines.append(f"Fraction {fraction}: best is {best} with precision {known[best]:.3f}; chance {chance:.3f}.")
    as_good = sorted({c["second"] for c in tables["comparisons"] if c["second"] in CONTROL_MAPS and not _is_better(c)})
    if as_good:
        lines.append(f"IG-CBIR is NOT shown to be better than {', '.join(as_good)} in every catalogue size.")
    return tuple(lines)


def _is_better(entry: Mapping[str, Any]) -> bool:
    found: bool = entry["difference"]["value"] > 0 and entry["p_corrected"] < 0.05
    return found


def _say_difference(entry: Mapping[str, Any], first: str, second: str) -> str:
    value, low, high = (entry["difference"][name] for name in ("value", "low", "high"))
    word = "no difference shown" if entry["p_corrected"] >= 0.05 else "better" if value > 0 else "WORSE"
    return (
        f"{first} − {second}: {value:+.3f} [{low:+.3f}, {high:+.3f}], corrected p {entry['p_corrected']:.3f}: {word}."
    )


def _find_truth(name: str, truths: Mapping[int, Any]) -> Any:
    found = re.search(r"sim_(\d+)", Path(name).stem)
    if found is None or int(found.group(1)) not in truths:
        raise EvaluationError(f"The truth of the simulated film '{name}' was not found; name its folder with --truth.")
    return truths[int(found.group(1))]


def _match_side(mine: Any, other: Any) -> float:
    """Grade 0 to 4 of one finding alone: presence, side, severity, as the simulator weighs them."""
    if mine is None or other is None:
        return 0.0
    side = 0.25 if mine.side == other.side else 0.125 if "both" in (mine.side, other.side) else 0.0
    found: float = 4 * (0.5 + side + 0.25 * (1 - abs(mine.severity - other.severity)))
    return found
