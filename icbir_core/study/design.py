"""A study's definition: which cases a reader is shown for which query, and in what order; fixed once it is stored."""

from __future__ import annotations

import hashlib
import hmac
import json
import secrets
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from typing import Any

import numpy as np

from icbir_core.errors import StudyError
from icbir_core.settings import SearchSettings
from icbir_core.study.rating import SEARCH, TASKS
from icbir_core.types import Case, Progress, Query, Ranking

REPEAT_SHARES = (0.10, 0.15)


@dataclass(frozen=True)
class StudyPlan:
    """What a new study asks. methods : pooled ones; k : cases pooled from each; negatives : random cases added to each
    pool; stages : 2 asks everything again with the maps shown; repeat_share : of hidden repeats, 0.10 to 0.15.
    """

    methods: tuple[str, ...] = ()
    k: int = 3
    negatives: int = 2
    tasks: tuple[str, ...] = ("similarity",)
    stages: int = 2
    repeat_share: float = 0.125
    seed: int = 0


@dataclass(frozen=True)
class Candidate:
    """A case of a query's pool. ranks : method → its place from 1 in that method's order of the whole catalogue."""

    case_id: str
    ranks: Mapping[str, int]
    negative: bool = False


@dataclass(frozen=True)
class StudyQuery:
    """A query (a catalogue case) and its pool: the top k of every method, without duplicates, and random negatives."""

    case_id: str
    candidates: tuple[Candidate, ...]
    pairs: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True)
class Step:
    """One thing that a reader is asked. `token` is all that a page may know of it before the answer."""

    token: str
    task: str
    stage: int
    repetition: int
    query: str
    cases: tuple[str, ...]


@dataclass(frozen=True)
class Study:
    """A reading study. repeats : (query, case) asked twice; salt : makes tokens that nobody outside can compute."""

    name: str
    target: str
    methods: tuple[str, ...]
    k: int
    tasks: tuple[str, ...]
    stages: int
    seed: int
    queries: tuple[StudyQuery, ...]
    repeats: tuple[tuple[str, str], ...]
    salt: str
    created_at: str
    versions: Mapping[str, str] = field(default_factory=dict)

    def as_dict(self) -> dict[str, Any]:
        """Plain values, fit for JSON."""
        plain: dict[str, Any] = json.loads(json.dumps(asdict(self)))
        return plain

    @property
    def sha256(self) -> str:
        """Of the definition, written canonically."""
        return hashlib.sha256(json.dumps(self.as_dict(), sort_keys=True).encode()).hexdigest()

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Study:
        """The study that `as_dict` wrote. Raises `StudyError` if it is not one."""
        try:
            queries = tuple(
                StudyQuery(
                    entry["case_id"],
                    tuple(Candidate(**candidate) for candidate in entry["candidates"]),
                    tuple(tuple(pair) for pair in entry["pairs"]),
                )
                for entry in values["queries"]
            )
            lists = {name: tuple(values[name]) for name in ("methods", "tasks")}
            repeats = tuple(tuple(pair) for pair in values["repeats"])
            return cls(**{**values, **lists, "queries": queries, "repeats": repeats})
        except (KeyError, TypeError) as error:
            raise StudyError(f"The definition of the study lacks {error}; export it again.") from None

    def steps(self, reader: str) -> list[Step]:
        """Everything this reader is asked, in her own seeded order: all of stage 1 (without maps), then stage 2."""
        if not reader.strip():
            raise StudyError("Enter a pseudonym for the reader.")
        seed = int.from_bytes(hashlib.sha256(f"{self.seed}|{reader}".encode()).digest()[:8], "big")
        generator = np.random.default_rng(seed)
        ordered: list[Step] = []
        for stage in range(1, self.stages + 1):
            for task in self.tasks:
                ordered += self._order_task(task, stage, reader, generator)
        return ordered

    def _order_task(self, task: str, stage: int, reader: str, generator: np.random.Generator) -> list[Step]:
        steps: list[Step] = []
        for index in generator.permutation(len(self.queries)):
            query = self.queries[index]
            cases = [candidate.case_id for candidate in query.candidates]
            shown = [cases[i] for i in generator.permutation(len(cases))]
            if task == "similarity":
                steps += [self._make_step(reader, task, stage, 0, query.case_id, (case,)) for case in shown]
            elif task == "ranking":
                steps.append(self._make_step(reader, task, stage, 0, query.case_id, tuple(shown)))
            else:
                for i in generator.permutation(len(query.pairs)):
                    pair = query.pairs[i] if generator.random() < 0.5 else query.pairs[i][::-1]
                    steps.append(self._make_step(reader, task, stage, 0, query.case_id, tuple(pair)))
        if task != "similarity":
            return steps
        for query, case in self.repeats:
            first = next(i for i, step in enumerate(steps) if (step.query, step.cases) == (query, (case,)))
            away = min(len(steps), first + max(1, len(steps) // 3))
            place = int(generator.integers(away, len(steps) + 1))
            steps.insert(place, self._make_step(reader, task, stage, 1, query, (case,)))
        return steps

    def _make_step(
        self, reader: str, task: str, stage: int, repetition: int, query: str, cases: tuple[str, ...]
    ) -> Step:
        text = json.dumps([reader, task, stage, repetition, query, cases])
        token = hmac.new(self.salt.encode(), text.encode(), hashlib.sha256).hexdigest()[:20]
        return Step(token, task, stage, repetition, query, tuple(cases))


def create_study(
    name: str,
    queries: Sequence[Query],
    search: Callable[[Query, SearchSettings], Ranking],
    target: str,
    plan: StudyPlan,
    catalogue_size: int = 1_000_000,
    progress: Progress | None = None,
) -> Study:
    """A study over `queries` (catalogue cases), ranked by `search` (a retriever's). Raises `StudyError`.

    Every method orders the whole catalogue once (the query's patient and identical films left out), so that each pooled
    case has its rank in every method and none is unjudged.
    """
    if not name.strip() or name == SEARCH:
        raise StudyError(f"A study cannot be named '{name}'; choose another name.")
    if not REPEAT_SHARES[0] <= plan.repeat_share <= REPEAT_SHARES[1]:
        raise StudyError(f"The share of hidden repeats must be from 0.10 to 0.15, not {plan.repeat_share}.")
    if not queries or plan.k < 1 or plan.stages not in (1, 2) or plan.negatives < 0 or not plan.methods:
        raise StudyError("A study needs at least one query and one method, k ≥ 1, negatives ≥ 0 and 1 or 2 stages.")
    for task in plan.tasks:
        if task not in TASKS:
            raise StudyError(f"There is no task '{task}'; choose among {', '.join(TASKS)}.")
    generator = np.random.default_rng(plan.seed)
    pooled: list[StudyQuery] = []
    versions: dict[str, str] = {}
    for done, query in enumerate(queries):
        if query.case_id is None:
            raise StudyError(f"The film '{query.name}' is not in the catalogue; ingest it first.")
        if progress:
            progress(done, len(queries), f"ranking for {query.case_id}")
        rankings = {}
        for method in plan.methods:
            rankings[method] = search(query, SearchSettings(top_k=catalogue_size, method=method, target=target))
            versions |= dict(rankings[method].versions)
        pooled.append(_pool(query.case_id, rankings, plan, generator))
    items = [(query.case_id, candidate.case_id) for query in pooled for candidate in query.candidates]
    count = _count_repeats(plan.repeat_share, len(items))
    repeats = tuple(items[i] for i in sorted(generator.choice(len(items), count, replace=False)))
    return Study(
        name=name, target=target, methods=plan.methods, k=plan.k, tasks=plan.tasks, stages=plan.stages, seed=plan.seed,
        queries=tuple(pooled), repeats=repeats if "similarity" in plan.tasks else (), salt=secrets.token_hex(16),
        created_at=datetime.now(UTC).isoformat(timespec="seconds"), versions=versions,
    )  # fmt: skip


def bound_answers(plan: StudyPlan, queries: int, methods: int) -> int:
    """How many answers a study asks of each reader at most: as many as if no two methods found the same case."""
    items = queries * (methods * plan.k + plan.negatives)
    asked = {
        "similarity": items + _count_repeats(plan.repeat_share, items),
        "ranking": queries,
        "choice": queries * max(1, methods * (methods - 1) // 2),
    }
    return plan.stages * sum(asked[task] for task in plan.tasks)


def _count_repeats(share: float, items: int) -> int:
    return max(1, round(share * items))


def choose_queries(cases: Iterable[Case], target: str, count: int, seed: int = 0) -> list[Case]:
    """`count` cases in which the target is present, of different patients, drawn by the seed. Raises `StudyError`."""
    generator = np.random.default_rng(seed)
    positive = [case for case in cases if target in case.present]
    chosen: list[Case] = []
    patients: set[str] = set()
    for i in generator.permutation(len(positive)):
        case = positive[i]
        if case.patient is None or case.patient not in patients:
            chosen.append(case)
            patients.add(case.patient or case.case_id)
        if len(chosen) == count:
            return chosen
    raise StudyError(f"Only {len(chosen)} patients of the catalogue have {target}; ask for fewer queries than {count}.")


def _pool(query: str, rankings: Mapping[str, Ranking], plan: StudyPlan, generator: np.random.Generator) -> StudyQuery:
    ranks: dict[str, dict[str, int]] = {}
    cases: dict[str, Case] = {}
    for method, ranking in rankings.items():
        for hit in ranking.hits:
            if hit.case.case_id == query:
                raise StudyError(f"The query {query} stands in its own ranking; leave it out.")
            ranks.setdefault(hit.case.case_id, {})[method] = hit.rank
            cases[hit.case.case_id] = hit.case
    top = {method: [hit.case.case_id for hit in ranking.hits[: plan.k]] for method, ranking in rankings.items()}
    chosen: list[str] = []
    films: set[str] = set()

    def take(case_id: str) -> bool:
        if case_id in chosen or cases[case_id].pixel_sha256 in films or set(ranks[case_id]) != set(rankings):
            return False
        chosen.append(case_id)
        films.add(cases[case_id].pixel_sha256)
        return True

    for case_ids in top.values():
        for case_id in case_ids:
            take(case_id)
    first_negative = len(chosen)
    others = sorted(set(ranks) - set(chosen))
    for i in generator.permutation(len(others)):
        if len(chosen) == first_negative + plan.negatives:
            break
        take(others[i])
    if len(chosen) < 2:
        raise StudyError(f"There are fewer than two cases to show for {query}; use a larger catalogue.")
    candidates = tuple(Candidate(c, ranks[c], i >= first_negative) for i, c in enumerate(chosen))
    pairs: list[tuple[str, str]] = []
    if "choice" in plan.tasks:  # the best of each method against the best of each other method, where they differ
        best = [next((c for c in top[method] if c in chosen), None) for method in rankings]
        pairs = sorted({(min(a, b), max(a, b)) for a in best for b in best if a and b and a != b})
        if not pairs:
            pairs = [(chosen[0], chosen[-1])]
    return StudyQuery(query, candidates, tuple(pairs))
