"""Fixtures that every room shares: where the real films are, and a word when they are not there."""

from __future__ import annotations

import gc
import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

import tests.helpers.environment  # noqa: F401 (before the libraries that it tells how many cores to take)
from tests.helpers.orthanc import archive, archive_films, empty_archive
from tests.helpers.postgres import (
    chosen_database,
    database_url,
    either_database,
    postgres,
    pytest_addoption,
    pytest_generate_tests,
    vector_server,
    vector_url,
)
from tests.helpers.process_state import put_back_process_state

__all__ = [
    "archive", "archive_films", "chosen_database", "database_url", "either_database", "empty_archive", "postgres",
    "pytest_addoption", "pytest_generate_tests", "vector_server", "vector_url",
]  # fmt: skip

SHARED = Path(__file__).resolve().parents[2] / "shared"


@pytest.hookimpl(tryfirst=True)
def pytest_runtestloop() -> None:
    """All tests are loaded: from here on what a test leaves behind is freed."""
    gc.enable()


def pytest_sessionfinish() -> None:
    """What is left ends with the process; pytest would look through all of it once more."""
    gc.freeze()


@pytest.fixture(autouse=True)
def shared_state() -> Iterator[None]:
    """No test depends on what another left in the process."""
    with put_back_process_state():
        yield


@pytest.fixture
def fake(films):
    """An archive that holds the module's `films`."""
    from tests.helpers.fake_archive import answer_from, run_fake_archive

    with run_fake_archive(answer_from(films)) as running:
        yield running


def find_shared(variable: str, name: str) -> Path:
    """The folder that the environment variable names, else the one beside the checkout; skips where neither is."""
    folder = Path(os.environ.get(variable) or SHARED / name)
    if not folder.is_dir():
        pytest.skip(f"films not here: set {variable} to the folder '{name}'")
    return folder


def share(variable: str, name: str) -> Callable[[], Path]:
    """A fixture that gives the folder."""
    return pytest.fixture(scope="session")(lambda: find_shared(variable, name))


# The subset of NIH ChestX-ray14 (images/, Data_Entry_2017_v2020.csv, BBox_List_2017.csv, split.csv).
nih_directory = share("ICBIR_NIH_DIR", "nih")
# The unnamed Effusion / No Finding films (images/, labels.csv).
nih_effusion_directory = share("ICBIR_NIH_EFFUSION_DIR", "nih_effusion")
# Films that are read wrongly at times, with the pictures that are right (films/).
cases_directory = share("ICBIR_CASES_DIR", "cases")
# Three real DICOM films.
dicom_directory = share("ICBIR_DICOM_DIR", "dicom")
# Small damaged films that once raised foreign exceptions or ended the process.
hostile_directory = share("ICBIR_HOSTILE_DIR", "cases/hostile")
