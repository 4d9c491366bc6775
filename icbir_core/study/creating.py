"""A study made from a workspace's catalogue, and where a workspace keeps its ratings."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from icbir_core.catalogue import Workspace, read_case_radiograph
from icbir_core.errors import StudyError
from icbir_core.evaluation.metrics import jaccard_grades
from icbir_core.settings import get_environment
from icbir_core.study.design import Study, StudyPlan, choose_queries, create_study
from icbir_core.study.exchange import save_study
from icbir_core.study.store import RatingsStore
from icbir_core.types import Progress, Query

if TYPE_CHECKING:
    from icbir_core.retrieval.retriever import Retriever

RATINGS = "ratings.db"


def open_store(workspace: Workspace, url: str | None = None) -> RatingsStore:
    """The workspace's ratings: at `url`, else at the one in ICBIR_RATINGS, else beside its catalogue, in the folder or
    in the database server."""
    return RatingsStore.open(url) if url else RatingsStore.open(*find_store(workspace))


def find_store(workspace: Workspace) -> tuple[str, str]:
    """(path or URL, schema) of the workspace's ratings, as `RatingsStore.open` takes them. Raises `WorkspaceError` if
    the workspace is not there, so that no second store begins where its drive was."""
    if named := get_environment("RATINGS"):
        return named, ""
    workspace.check_is_there()
    return str(Path(workspace.path) / RATINGS), workspace.database_schema


def create_workspace_study(
    workspace: Workspace,
    store: RatingsStore,
    name: str,
    open_retriever: Callable[[], Retriever],
    plan: StudyPlan,
    queries: int | Sequence[str],
    progress: Progress | None = None,
) -> Study:
    """Draw the queries, rank the catalogue by every method, store the study; or `StudyError`.

    The target is the retriever's first. queries : how many cases with the target are drawn, or the cases to ask for.
    A plan without methods pools all that are indexed.
    """
    if store.find_study(name) is not None:
        raise StudyError(f"There is a study '{name}' already; choose another name.")
    retriever = open_retriever()
    target = retriever.default_target
    if isinstance(queries, int):
        cases = choose_queries(workspace.catalogue.cases(), target, queries, plan.seed)
    else:
        cases = [workspace.catalogue.get(case_id) for case_id in queries]
    films = [
        Query(case.case_id, read_case_radiograph(workspace, case), patient=case.patient, case_id=case.case_id)
        for case in cases
    ]
    study = create_study(
        name, films, retriever.search, target, replace(plan, methods=plan.methods or tuple(retriever.methods(target))),
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
