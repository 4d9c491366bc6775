"""The names of erased cases out of the ratings: a rating stays, and what it was about is no longer told."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Mapping
from contextlib import closing
from pathlib import Path
from typing import Any

from icbir_core.errors import StudyError
from icbir_core.files import PathLike, reading_own
from icbir_core.study.design import Study

_TEXTS = {"ratings": ("query", "case_id"), "studies": ()}
_DOCUMENTS = {"ratings": ("actions", "ranking", "answer", "versions"), "studies": ("definition",)}
_KEYS = {"ratings": "number", "studies": "name"}


def erase_from_ratings(path: PathLike, names: Mapping[str, str]) -> int:
    """Put other names in the place of cases' in a store in SQLite, also in its free pages; how many rows changed.

    names : old → new, of cases and of uploaded films. The hash of a study that named one is computed anew. Raises
    `StudyError`.
    """
    path = Path(path)
    if not path.is_file():
        return 0
    with (
        reading_own(f"The ratings store '{path.name}'", StudyError, "restore it from a copy"),
        closing(sqlite3.connect(path, timeout=30, isolation_level=None)) as database,
    ):
        database.row_factory = sqlite3.Row
        database.execute("PRAGMA secure_delete = ON")
        database.execute("BEGIN IMMEDIATE")
        try:
            triggers = database.execute("SELECT name, sql FROM sqlite_master WHERE type = 'trigger'").fetchall()
            for trigger in triggers:
                database.execute(f'DROP TRIGGER "{trigger["name"]}"')
            changed = sum(_rewrite(database, table, names) for table in _KEYS)
            for trigger in triggers:
                database.execute(trigger["sql"])
            database.execute("COMMIT")
        except BaseException:
            database.execute("ROLLBACK")
            raise
        database.execute("VACUUM")
        database.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    return changed


def _rewrite(database: sqlite3.Connection, table: str, names: Mapping[str, str]) -> int:
    changed = 0
    for row in database.execute(f"SELECT * FROM {table}").fetchall():
        values = {name: names.get(row[name], row[name]) for name in _TEXTS[table]}
        for name in _DOCUMENTS[table]:
            if row[name] is not None:
                values[name] = json.dumps(_replace(json.loads(row[name]), names), sort_keys=True)
        if all(values[name] == row[name] for name in values):
            continue
        if table == "studies":
            values["sha256"] = Study.from_dict(json.loads(values["definition"])).sha256
        setting = ", ".join(f"{name} = :{name}" for name in values)
        key = _KEYS[table]
        database.execute(f"UPDATE {table} SET {setting} WHERE {key} = :key", values | {"key": row[key]})
        changed += 1
    return changed


def _replace(value: Any, names: Mapping[str, str]) -> Any:
    """The same JSON with every text, also of keys, that is a name replaced."""
    if isinstance(value, str):
        return names.get(value, value)
    if isinstance(value, list):
        return [_replace(one, names) for one in value]
    if isinstance(value, dict):
        return {names.get(key, key): _replace(one, names) for key, one in value.items()}
    return value
