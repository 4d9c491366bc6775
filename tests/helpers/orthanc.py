"""Fixtures around a real Orthanc; each skips with a word where it is not installed."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

from scripts.orthanc import NO_ORTHANC, Orthanc, has_orthanc, run_orthanc

if TYPE_CHECKING:
    from scripts.archive_films import ArchiveFilm


@pytest.fixture(scope="session")
def archive_films() -> list[ArchiveFilm]:
    """Thirty simulated films of ten patients: prior, frontal and lateral of each."""
    from scripts.archive_films import make_archive_films  # brings the decoders: only where it is needed

    return make_archive_films()


@pytest.fixture
def empty_archive(tmp_path_factory) -> Iterator[Orthanc]:
    """An Orthanc of the test's own, without films, which it may kill."""
    if not has_orthanc():
        pytest.skip(NO_ORTHANC)
    with run_orthanc(tmp_path_factory.mktemp("orthanc")) as archive:
        yield archive


@pytest.fixture(scope="session")
def archive(tmp_path_factory, archive_films) -> Iterator[Orthanc]:
    """An Orthanc that holds `archive_films`; tests that store more or kill it take `empty_archive`."""
    if not has_orthanc():
        pytest.skip(NO_ORTHANC)
    with run_orthanc(tmp_path_factory.mktemp("orthanc")) as archive:
        archive.store(film.data for film in archive_films)
        yield archive
