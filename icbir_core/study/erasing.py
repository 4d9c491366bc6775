"""The names of erased cases out of the ratings: a rating stays, and what it was about is no longer told."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, create_engine, delete, select, update

from icbir_core.database import erasing, find_engine, is_server, write_anew
from icbir_core.errors import StudyError
from icbir_core.files import PathLike, reading_own
from icbir_core.study import chain
from icbir_core.study.design import Study
from icbir_core.study.schema import CHAIN, METADATA, RATINGS, STUDIES
from icbir_core.study.store import RatingsStore

_TEXTS = {"ratings": ("query", "case_id"), "studies": ()}
_DOCUMENTS = {"ratings": ("actions", "ranking", "answer", "versions"), "studies": ("definition",)}
_TABLES = {"ratings": (RATINGS, RATINGS.c.number), "studies": (STUDIES, STUDIES.c.name)}


def erase_from_ratings(path: PathLike, names: Mapping[str, str], schema: str = "") -> int:
    """Put other names in the place of cases' in a store, also in its free pages; how many rows changed.

    path, schema : as for `RatingsStore.open`; names : old → new, of cases and of uploaded films. The hash of a study
    that named one is computed anew. Raises `StudyError`.
    """
    path = Path(path)
    if not schema and not path.is_file():
        return 0
    RatingsStore.open(path, schema).close()  # a store that was made before there was a chain gets it
    file = f"sqlite:///{path.resolve()}"
    engine = find_engine(schema) if schema else create_engine(file, connect_args={"timeout": 30})
    try:
        with reading_own("The ratings store", StudyError, "restore it from a copy"):
            with erasing(engine) as connection:
                changed = _erase(connection, names)
                last = chain.find_last(connection)
            chain.Head(path).move(lambda: last)
            write_anew(engine, METADATA.tables)
    finally:
        engine.dispose()
    return changed


def _erase(connection: Connection, names: Mapping[str, str]) -> int:
    """What forbids changes goes, rows are changed and chained anew, what forbids comes back."""
    with _allowing_changes(connection):
        changed = sum(_rewrite(connection, name, names) for name in _TABLES)
        if changed:
            connection.execute(delete(CHAIN))
            begin_anew = "DELETE FROM sqlite_sequence WHERE name = 'chain'"  # its numbers count its rows
            if is_server(connection):
                begin_anew = "SELECT setval(pg_get_serial_sequence('chain', 'number'), 1, false)"
            connection.exec_driver_sql(begin_anew)
            chain.chain_what_is_there(connection)
    return changed


@contextmanager
def _allowing_changes(connection: Connection) -> Iterator[None]:
    """The triggers are off within the block, which others do not see before the transaction ends."""
    if is_server(connection):
        for name in METADATA.tables:
            connection.exec_driver_sql(f"ALTER TABLE {name} DISABLE TRIGGER USER")
        yield
        for name in METADATA.tables:
            connection.exec_driver_sql(f"ALTER TABLE {name} ENABLE TRIGGER USER")
        return
    triggers = connection.exec_driver_sql("SELECT name, sql FROM sqlite_master WHERE type = 'trigger'").all()
    for name, _ in triggers:
        connection.exec_driver_sql(f'DROP TRIGGER "{name}"')
    yield
    for _, statement in triggers:
        connection.exec_driver_sql(statement)


def _rewrite(connection: Connection, name: str, names: Mapping[str, str]) -> int:
    (table, key), changed = _TABLES[name], 0
    for row in connection.execute(select(table)).mappings().all():
        values = {one: names.get(row[one], row[one]) for one in _TEXTS[name]}
        for one in _DOCUMENTS[name]:
            if row[one] is not None:
                values[one] = json.dumps(_replace(json.loads(row[one]), names), sort_keys=True)
        if all(values[one] == row[one] for one in values):
            continue
        if name == "studies":
            values["sha256"] = Study.from_dict(json.loads(values["definition"])).sha256
        connection.execute(update(table).where(key == row[key.name]).values(**values))
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
