"""One PostgreSQL server for what several machines share, found by one address: the setting `ICBIR_DATABASE_URL`.

The driver comes with the extra `postgresql`. No message of this module, and nothing that is stored, holds the address:
it may name a password.
"""

from __future__ import annotations

import re
import secrets
from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager
from functools import lru_cache
from typing import Any

from sqlalchemy import URL, Connection, Engine, create_engine, make_url
from sqlalchemy.exc import ArgumentError, NoSuchModuleError

from icbir_core.errors import IcbirError, WorkspaceError
from icbir_core.files import reading_own
from icbir_core.migrations import HEAD, read_revision, upgrade
from icbir_core.settings import get_environment

VARIABLE = "ICBIR_DATABASE_URL"
_ANSWER_SECONDS = 10
_LOCK = 0x1CB11
_DRIVER = "postgresql+psycopg"
_SCHEMA = re.compile(r"[a-z0-9_]{0,63}")


def get_driver_address(schema: str) -> tuple[str, dict[str, Any]]:
    """What the driver itself is told to reach a schema of the named server: its address, which may hold a password, and
    further arguments. Raises `WorkspaceError`."""
    url = find_engine(schema).url.set(drivername="postgresql")
    arguments = _make_arguments(url, schema)
    del arguments["prepare_threshold"]
    return url.render_as_string(hide_password=False), arguments


def is_database_named() -> bool:
    """Whether `ICBIR_DATABASE_URL` is set."""
    return get_environment("DATABASE_URL") is not None


def find_engine(schema: str = "") -> Engine:
    """The connections to the database that `ICBIR_DATABASE_URL` names, shared by all that asks in this process.

    schema : where alone tables are looked for; "" for the common ones. Raises `WorkspaceError` where none is named, or
    the address or the driver is of no use.
    """
    text = get_environment("DATABASE_URL")
    if text is None:
        raise WorkspaceError(f"What is asked for lies in a database server, and none is named; set {VARIABLE}.")
    return open_engine(text, schema)


@lru_cache(maxsize=16)
def open_engine(address: str, schema: str = "") -> Engine:
    """Connections to a PostgreSQL database by its URL. Nothing is connected yet. Raises `WorkspaceError`, also for a
    schema that no workspace has: its name goes into options and statements as it is."""
    if not _SCHEMA.fullmatch(schema):
        raise WorkspaceError("What names the tables in the database server is no name of ours; restore the manifest.")
    try:
        url = make_url(address)
        if url.drivername in ("postgresql", "postgres"):
            url = url.set(drivername=_DRIVER)
        if url.drivername != _DRIVER:
            raise ArgumentError("another database")
        return create_engine(url, pool_pre_ping=True, connect_args=_make_arguments(url, schema))
    except ModuleNotFoundError:
        raise WorkspaceError(
            "The driver of PostgreSQL is not installed; run `pip install icbir[postgresql]`."
        ) from None
    except (ArgumentError, NoSuchModuleError, ValueError):
        raise WorkspaceError(f"{VARIABLE} is no address like postgresql://user@host/database; correct it.") from None


def _make_arguments(url: URL, schema: str) -> dict[str, Any]:
    # every statement is planned for its own values: how many cases a filter leaves decides how to look for them
    arguments: dict[str, Any] = {"prepare_threshold": None, "application_name": "icbir"}
    if "connect_timeout" not in url.query:
        arguments["connect_timeout"] = _ANSWER_SECONDS
    if schema:
        arguments["options"] = f"-csearch_path={schema}"
    return arguments


def reaching(what: str, kind: type[IcbirError] = WorkspaceError, advice: str = "") -> AbstractContextManager[None]:
    """The door to the database: whatever a driver raises in the block becomes `kind`, or `DatabaseAway` where the
    server does not answer. what : is asked for, as in "The vectors"."""
    return reading_own(what, kind, advice or "ask whoever looks after the database")


def hold_alone(connection: Connection) -> None:
    """Let no other process change tables until the transaction ends: what is missing is made by one alone."""
    if is_server(connection):
        connection.exec_driver_sql(f"SELECT pg_advisory_xact_lock({_LOCK})")
    else:
        connection.exec_driver_sql("BEGIN IMMEDIATE")


def is_server(connection: Connection) -> bool:
    """Whether the connection is one to a database server, not to a file."""
    return connection.dialect.name == "postgresql"


def draw_schema() -> str:
    """A name for the tables of a new workspace, which no other has."""
    return f"icbir_{secrets.token_hex(6)}"


def make_schema(engine: Engine, schema: str) -> None:
    """Make a schema where it is missing, and run the migrations that it lacks; once all is there no right to do so is
    needed."""
    with engine.begin() as connection:
        hold_alone(connection)
        asked = "SELECT count(*) FROM pg_namespace WHERE nspname = %s"
        if not connection.exec_driver_sql(asked, (schema,)).scalar_one():
            connection.exec_driver_sql(f'CREATE SCHEMA "{schema}"')
        if read_revision(connection) != HEAD:
            upgrade(connection)


@contextmanager
def erasing(engine: Engine) -> Iterator[Connection]:
    """One transaction in which rows go for good, alone: in a file what is deleted is written over."""
    with engine.connect() as connection:
        if not is_server(connection):
            connection.exec_driver_sql("PRAGMA secure_delete = ON")
            connection.commit()
        hold_alone(connection)
        yield connection
        connection.commit()


def write_anew(engine: Engine, tables: Iterable[str]) -> None:
    """Write tables anew, without the free pages, dead rows and statistics that still hold what was deleted. Raises
    `WorkspaceError` where the account may not: the server itself only warns."""
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        if not is_server(connection):
            connection.exec_driver_sql("VACUUM")
            connection.exec_driver_sql("PRAGMA wal_checkpoint(TRUNCATE)")
            return
        file = "SELECT pg_relation_filenode(CAST(%s AS regclass))"
        for table in tables:
            before = connection.exec_driver_sql(file, (table,)).scalar_one()
            connection.exec_driver_sql(f'VACUUM (FULL, ANALYZE) "{table}"')
            if connection.exec_driver_sql(file, (table,)).scalar_one() == before:
                raise WorkspaceError(
                    f"What was deleted may still lie in the free space of the table '{table}': let the account that "
                    "owns it run VACUUM FULL."
                )
