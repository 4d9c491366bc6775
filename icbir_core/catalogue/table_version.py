"""The version of a catalogue's tables, its revision, and how tables that were made earlier become those of today."""

from __future__ import annotations

from sqlalchemy import Connection, Engine, insert, inspect, select, update
from sqlalchemy.schema import CreateColumn

from icbir_core.catalogue.schema import (
    CASES,
    METADATA,
    REVISION,
    STATE,
    TABLES_VERSION,
    VERSION,
    find_missing_columns,
    find_missing_tables,
)
from icbir_core.database import hold_alone, is_server


def read_version(connection: Connection) -> int:
    """Of the tables; 0 for those that were written before there was a version."""
    if not is_server(connection):
        return int(connection.exec_driver_sql("PRAGMA user_version").scalar_one())
    return _read_state(connection, TABLES_VERSION) if inspect(connection).has_table(STATE.name) else 0


def write_version(connection: Connection) -> None:
    """Say that the tables are those of this version."""
    if not is_server(connection):
        connection.exec_driver_sql(f"PRAGMA user_version={VERSION}")
        return
    found = connection.execute(update(STATE).where(STATE.c.name == TABLES_VERSION).values(number=VERSION))
    if not found.rowcount:
        connection.execute(insert(STATE).values(name=TABLES_VERSION, number=VERSION))


def read_revision(connection: Connection) -> int:
    """A number that every change of the catalogue makes larger."""
    return _read_state(connection, REVISION)


def raise_revision(connection: Connection) -> None:
    """Whoever else writes waits from here on."""
    connection.execute(update(STATE).where(STATE.c.name == REVISION).values(number=STATE.c.number + 1))


def make_tables(connection: Connection) -> None:
    """All tables, empty."""
    hold_alone(connection)
    METADATA.create_all(connection)
    write_version(connection)
    _begin_revision(connection)
    connection.commit()


def lacks_something(engine: Engine) -> bool:
    """Whether the tables are older than this program."""
    return bool(find_missing_columns(engine) or find_missing_tables(engine))


def add_what_came_later(connection: Connection) -> None:
    """The columns, indexes and tables that were not there when the catalogue was made."""
    hold_alone(connection)  # and looked at again: another may have added them in the meantime
    for column in find_missing_columns(connection):
        definition = CreateColumn(column).compile(connection)
        connection.exec_driver_sql(f"ALTER TABLE {CASES.name} ADD COLUMN {definition}")
    for index in CASES.indexes:
        index.create(connection, checkfirst=True)
    for table in find_missing_tables(connection):
        table.create(connection)
    write_version(connection)
    _begin_revision(connection)
    connection.commit()


def _begin_revision(connection: Connection) -> None:
    if connection.execute(select(STATE.c.name).where(STATE.c.name == REVISION)).first() is None:
        connection.execute(insert(STATE).values(name=REVISION, number=1))


def _read_state(connection: Connection, name: str) -> int:
    return int(connection.execute(select(STATE.c.number).where(STATE.c.name == name)).scalar_one_or_none() or 0)
