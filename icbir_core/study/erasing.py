"""The names of erased cases out of the ratings: a rating stays, and what it was about is no longer told."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, create_engine

from icbir_core.errors import StudyError
from icbir_core.files import PathLike, reading_own
from icbir_core.study import chain
from icbir_core.study.design import Study
from icbir_core.study.store import RatingsStore

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
    RatingsStore.open(path).close()  # a store that was made before there was a chain gets it
    engine = create_engine(f"sqlite:///{path.resolve()}", connect_args={"timeout": 30})
    try:
        with reading_own(f"The ratings store '{path.name}'", StudyError, "restore it from a copy"):
            with engine.connect() as connection:
                changed = _erase(connection, names)
                last = chain.find_last(connection)
                connection.rollback()
            chain.Head(path).move(lambda: last)
            with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
                connection.exec_driver_sql("VACUUM")
                connection.exec_driver_sql("PRAGMA wal_checkpoint(TRUNCATE)")
    finally:
        engine.dispose()
    return changed


def _erase(connection: Connection, names: Mapping[str, str]) -> int:
    """In one transaction: what forbids changes goes, rows are changed and chained anew, what forbids comes back."""
    connection.exec_driver_sql("PRAGMA secure_delete = ON")
    connection.commit()
    connection.exec_driver_sql("BEGIN IMMEDIATE")
    triggers = connection.exec_driver_sql("SELECT name, sql FROM sqlite_master WHERE type = 'trigger'").all()
    for name, _ in triggers:
        connection.exec_driver_sql(f'DROP TRIGGER "{name}"')
    changed = sum(_rewrite(connection, table, names) for table in _KEYS)
    if changed:
        connection.exec_driver_sql("DELETE FROM chain")
        connection.exec_driver_sql("DELETE FROM sqlite_sequence WHERE name = 'chain'")  # its numbers count its rows
        chain.chain_what_is_there(connection)
    for _, statement in triggers:
        connection.exec_driver_sql(statement)
    connection.commit()
    return changed


def _rewrite(connection: Connection, table: str, names: Mapping[str, str]) -> int:
    changed = 0
    for row in connection.exec_driver_sql(f"SELECT * FROM {table}").mappings().all():
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
        connection.exec_driver_sql(f"UPDATE {table} SET {setting} WHERE {key} = :key", values | {"key": row[key]})
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
