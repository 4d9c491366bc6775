"""A catalogue, a search and a truth to make studies from."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pytest

from icbir_core.database import draw_schema
from icbir_core.findings import FindingState
from icbir_core.study.design import Study, StudyPlan, create_study
from icbir_core.study.store import RatingsStore
from icbir_core.types import Case, Hit, Query, Radiograph, Ranking


def make_cases(count: int) -> list[Case]:
    return [
        Case(
            row=i,
            case_id=f"case-{i:03d}",
            path=f"images/{i}.png",
            sha256=f"{i:064x}",
            pixel_sha256=f"{i:064x}",
            findings={"Effusion": FindingState.PRESENT if i % 2 else FindingState.ABSENT},
            patient=f"patient-{i // 2}",
        )
        for i in range(count)
    ]


def compute_true_similarity(query: str, case: str) -> float:
    """A fixed similarity 1 … 5 of two cases, drawn from their names."""
    digest = hashlib.sha256("|".join(sorted((query, case))).encode()).digest()
    return 1 + 4 * digest[0] / 255


class TruthSearch:
    """Ranks a catalogue by the true similarity plus the noise of a method."""

    def __init__(self, cases, noise):
        self.cases, self.noise = cases, noise

    def __call__(self, query, settings) -> Ranking:
        generator = np.random.default_rng([len(settings.method), int(query.case_id[-3:])])
        others = [case for case in self.cases if case.case_id != query.case_id]
        values = [
            -compute_true_similarity(query.case_id, case.case_id) + self.noise[settings.method] * generator.normal()
            for case in others
        ]
        order = np.argsort(values, kind="stable")[: settings.top_k]
        hits = tuple(Hit(rank, float(values[i]), others[i]) for rank, i in enumerate(order, start=1))
        return Ranking(
            query.name, settings.method, "Effusion", "euclidean", "exact", len(others), len(others), hits,
            versions={"model": "a" * 64},
        )  # fmt: skip


def build_study(catalogue: list[Case], name: str = "pilot", queries: int = 4, **changes) -> Study:
    film = Radiograph(np.zeros((2, 2), np.float32), "", "", "PNG")
    asked = [Query(case.case_id, film, case_id=case.case_id) for case in catalogue[:queries]]
    plan = replace(StudyPlan(("good", "random"), seed=3), **changes)
    return create_study(name, asked, TruthSearch(catalogue, {"good": 0.4, "random": 50.0}), "Effusion", plan)


@pytest.fixture(scope="session")
def true_similarity():
    return compute_true_similarity


@pytest.fixture
def catalogue():
    return make_cases(30)


@pytest.fixture
def make_study(catalogue):
    """Of a catalogue that the test may change."""
    return partial(build_study, catalogue)


@pytest.fixture(scope="session")
def make_known_study():
    """Of the catalogue as it is, for studies that several tests share."""
    return partial(build_study, make_cases(30))


@pytest.fixture
def open_ratings(either_database):
    """open_ratings(path) opens the store there: in a file, and in a schema of a database server."""
    schemas: dict[Path, str] = {}

    def open_one(path: Path) -> RatingsStore:
        return RatingsStore.open(path, schemas.setdefault(path, draw_schema()) if either_database != "sqlite" else "")

    return open_one
