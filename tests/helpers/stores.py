"""What is done to a database behind the program's back, in a file and in a server."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

from icbir_core.database import find_engine


def change_behind(file: Path, schema: str, *statements: str) -> None:
    """What somebody with a database program does, who takes the triggers away first. schema : "" for the file."""
    if schema:
        with find_engine(schema).begin() as connection:
            for table in connection.exec_driver_sql(_TABLES).scalars().all():
                connection.exec_driver_sql(f'ALTER TABLE "{table}" DISABLE TRIGGER USER')
            for statement in statements:
                connection.exec_driver_sql(statement)
        return
    with closing(sqlite3.connect(file)) as database:
        for (name,) in database.execute("SELECT name FROM sqlite_master WHERE type = 'trigger'").fetchall():
            database.execute(f"DROP TRIGGER {name}")
        for statement in statements:
            database.execute(statement)
        database.commit()


_TABLES = "SELECT tablename FROM pg_tables WHERE schemaname = current_schema() AND tablename NOT LIKE 'procrastinate%%'"
