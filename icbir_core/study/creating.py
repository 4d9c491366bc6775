"""A study made from a workspace's catalogue, and where a workspace keeps its ratings."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from icbir_core.catalogue import Workspace, read_case_radiograph
from icbir_core.errors import StudyError
from icbir_core.evaluation.metrics import jaccard_grades
from icbir_core.settings import get_environment
from icbir_core.study.design import Study, choose_queries, create_study
from icbir_core.study.exchange import save_study
from icbir_core.study.store import RatingsStore
from icbir_core.types import Progress, Query

if TYPE_CHECKING:
    from icbir_core.retrieval.retriever import Retriever

RATINGS = "ratings.db"


def open_store(workspace: Workspace, url: str | None = None) -> RatingsStore:
    """The workspace's ratings: at `url`, else at the one in ICBIR_RATINGS, else ratings.db in its folder."""
    return RatingsStore.open(url or get_environment("RATINGS") or Path(workspace.path) / RATINGS)


def create_workspace_study(
    workspace: Workspace,
    store: RatingsStore,
    name: str,
    *,
    target: str | None = None,
    count: int = 8,
    case_ids: tuple[str, ...] = (),
    methods: tuple[str, ...] = (),
    k: int = 3,
    negatives: int = 2,
    tasks: tuple[str, ...] = ("similarity",),
    stages: int = 2,
    repeat_share: float = 0.125,
    seed: int = 0,
    device: str = "auto",
    retriever: Retriever | None = None,
    progress: Progress | None = None,
) -> Study:
    """Draw the queries (or take `case_ids`), rank the catalogue by every method, store the study; or `StudyError`."""
    if store.find_study(name) is not None:
        raise StudyError(f"Expected a new study, got the name '{name}' of another one; choose another name.")
    if retriever is None:
        from icbir_core.retrieval.retriever import Retriever

        retriever = Retriever.open(workspace, target, device)
    target = target or retriever.default_target
    if case_ids:
        cases = [workspace.catalogue.get(case_id) for case_id in case_ids]
    else:
        cases = choose_queries(workspace.catalogue.cases(), target, count, seed)
    queries = [
        Query(case.case_id, read_case_radiograph(workspace, case), patient=case.patient, case_id=case.case_id)
        for case in cases
    ]
    study = create_study(
        name, queries, retriever.search, target=target, methods=methods or retriever.methods(target), k=k,
        negatives=negatives, tasks=tasks or ("similarity",), stages=stages, repeat_share=repeat_share, seed=seed,
        catalogue_size=max(workspace.catalogue.count(), 1), progress=progress,
    )  # fmt: skip
    save_study(store, study)
    return study


def grade_by_labels(workspace: Workspace) -> Callable[[str, str], float]:
    """A similarity 1 … 5 of two cases for SIMULATED readers: 1 + 4 × Jaccard index of their known findings."""
    cases = {case.case_id: case for case in workspace.catalogue.cases(include_removed=True)}
    names = tuple(workspace.catalogue.findings)

    def grade(query: str, case: str) -> float:
        rows = [
            np.array([cases[c].findings[n].as_number() if n in cases[c].findings else np.nan for n in names])
            for c in (query, case)
        ]
        value = float(jaccard_grades(rows[0], rows[1][None])[0])
        return 1.0 + 4.0 * (value if np.isfinite(value) else 0.0)

    return grade
