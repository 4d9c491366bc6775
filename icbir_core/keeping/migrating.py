"""What an earlier version of the program made becomes what this one makes; nothing is lost."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from dataclasses import dataclass

from icbir_core.catalogue import schema as catalogue_schema
from icbir_core.catalogue.folders import FOLDERS_FILE, FolderStore
from icbir_core.catalogue.folders import VERSION as FOLDERS_VERSION
from icbir_core.catalogue.workspace import CATALOGUE, Workspace
from icbir_core.files import reading_own
from icbir_core.keeping.backup import RATINGS
from icbir_core.study import schema as ratings_schema
from icbir_core.study.creating import open_store
from icbir_core.study.store import RatingsStore


@dataclass(frozen=True)
class Migration:
    """One file: its name, the version that it had, and the one that it has now."""

    name: str
    before: int
    after: int


def migrate_workspace(workspace: Workspace) -> list[Migration]:
    """Bring all databases to this version, and say from which; one that is of it stays as it is. Each is changed in one
    transaction. Raises `CatalogueError` or `StudyError` for a newer version, which is refused."""
    found = []
    if workspace.database_schema:  # opened, both are of this version
        before = workspace.catalogue.migrate()
        open_store(workspace).close()
        return [Migration("catalogue", before, catalogue_schema.VERSION)]
    with workspace.lock("catalogue", seconds=2.0):
        before = _read_version(workspace, CATALOGUE)
        workspace.catalogue.migrate()
        found.append(Migration(CATALOGUE, before, catalogue_schema.VERSION))
    if (workspace.path / RATINGS).is_file():
        before = _read_version(workspace, RATINGS)
        RatingsStore.open(workspace.path / RATINGS).close()
        found.append(Migration(RATINGS, before, ratings_schema.VERSION))
    if (workspace.path / FOLDERS_FILE).is_file():
        before = _read_version(workspace, FOLDERS_FILE)
        FolderStore.open(workspace.path / FOLDERS_FILE).close()
        found.append(Migration(FOLDERS_FILE, before, FOLDERS_VERSION))
    return found


def _read_version(workspace: Workspace, name: str) -> int:
    """The version before anything opens the file, which may change it."""
    path = workspace.path / name
    with reading_own(f"'{name}'"), closing(sqlite3.connect(path, timeout=30)) as database:
        return int(database.execute("PRAGMA user_version").fetchone()[0])
