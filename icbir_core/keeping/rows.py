"""Rows from one database into another: a workspace's tables between its files and a database server."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from sqlalchemy import Connection, MetaData, create_engine, func, insert, inspect, select, text

from icbir_core.audit.log import LOG
from icbir_core.audit.log_table import TABLE as AUDIT
from icbir_core.catalogue import folder_tables
from icbir_core.catalogue import schema as catalogue_schema
from icbir_core.catalogue.folders import FOLDERS_FILE, FolderStore
from icbir_core.catalogue.table import Catalogue
from icbir_core.catalogue.table_hashes import hash_cases, hash_rest
from icbir_core.catalogue.workspace import CATALOGUE
from icbir_core.database import find_engine, is_server, reaching
from icbir_core.errors import WorkspaceError
from icbir_core.files import PathLike, write_bytes_atomically
from icbir_core.study import schema as ratings_schema
from icbir_core.study.creating import RATINGS
from icbir_core.study.store import RatingsStore

_CHUNK = 500
_NUMBERED = ("ratings", "chain")
"""Tables whose rows the database numbers."""


def copy_rows(reading: Connection, writing: Connection, metadata: MetaData) -> None:
    """Copy the rows of all tables, in the order of their keys; those of the state are the target's own."""
    for table in metadata.sorted_tables:
        if table is catalogue_schema.STATE:
            continue
        found = reading.execution_options(yield_per=_CHUNK).execute(select(table).order_by(*table.primary_key))
        for part in found.mappings().partitions(_CHUNK):
            writing.execute(insert(table), [dict(row) for row in part])
        if table.name in _NUMBERED and is_server(writing):
            last = writing.execute(select(func.max(table.c.number))).scalar_one()
            if last is not None:
                next_number = text("SELECT setval(pg_get_serial_sequence(:name, 'number'), :last)")
                writing.execute(next_number, {"name": table.name, "last": last})


def copy_to_files(schema: str, folder: PathLike) -> None:
    """Write all that a workspace keeps in a schema of the named server as the files of a workspace in a folder, as it
    was at one moment while others write: one transaction sees everything as at its beginning.

    The catalogue is always written, the others where there is something for them. Raises `WorkspaceError` where the
    copy of the catalogue is not what was read.
    """
    folder = Path(folder)
    with reaching("The database"), _one_moment(schema) as reading:
        there = set(inspect(reading).get_table_names())
        catalogue = Catalogue(folder / CATALOGUE)
        try:
            _fill(folder / CATALOGUE, reading, catalogue_schema.METADATA)
            if (catalogue.sha256(), catalogue.sha256_of_rest()) != (hash_cases(reading), hash_rest(reading)):
                raise WorkspaceError("The copy of the catalogue is not what the database holds; run backup again.")
        finally:
            catalogue.close()
        for name, open_store, metadata in (
            (RATINGS, RatingsStore.open, ratings_schema.METADATA),
            (FOLDERS_FILE, FolderStore.open, folder_tables.METADATA),
        ):
            if {table.name for table in metadata.sorted_tables} <= there and _holds_rows(reading, metadata):
                open_store(folder / name).close()
                _fill(folder / name, reading, metadata)
        if _holds_rows(reading, AUDIT.metadata):
            lines = reading.execution_options(yield_per=_CHUNK).execute(select(AUDIT.c.line).order_by(AUDIT.c.number))
            write_bytes_atomically(folder / LOG, b"".join(f"{line}\n".encode() for line in lines.scalars()), mode=0o600)


def _fill(file: Path, reading: Connection, metadata: MetaData) -> None:
    """Copy the rows into a file that holds the empty tables."""
    engine = create_engine(f"sqlite:///{file}")
    try:
        with engine.begin() as writing:
            copy_rows(reading, writing, metadata)
    finally:
        engine.dispose()


@contextmanager
def _one_moment(schema: str) -> Iterator[Connection]:
    """A connection that sees the database as it was at its first statement."""
    options = {"isolation_level": "REPEATABLE READ", "postgresql_readonly": True}
    with find_engine(schema).connect().execution_options(**options) as connection:
        yield connection


def _holds_rows(connection: Connection, metadata: MetaData) -> bool:
    return any(connection.execute(select(table).limit(1)).first() is not None for table in metadata.sorted_tables)
