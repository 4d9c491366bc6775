"""Workspaces in a file and in a server: copies of them, and what is done behind the program's back."""

from __future__ import annotations

import shutil
import sqlite3
from contextlib import closing
from pathlib import Path

from icbir_core.catalogue import Workspace
from icbir_core.catalogue.workspace import CATALOGUE
from icbir_core.database import find_engine, is_database_named
from icbir_core.keeping.moving import move_to_database


def copy_workspace(source: Path, target: Path) -> Workspace:
    """A copy of a workspace of a folder, in a schema of its own where the test has a server."""
    made = Workspace.open(shutil.copytree(source, target))
    if is_database_named():
        move_to_database(made)
    return Workspace.open(target)


def change_catalogue(workspace: Workspace, *statements: str) -> None:
    """Change rows of the catalogue, wherever it lies, without its program."""
    change_behind(workspace.path / CATALOGUE, workspace.database_schema, *statements)


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
