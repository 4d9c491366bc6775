"""Every rating and study is chained to the one before it, and a head beside the database knows the last.

The chain finds a row that was changed, taken out or put in by others; the head finds that rows are missing at the end,
as in an older copy, or that the whole file is gone. The hashes have no key: they find damage and loss, and a change by
one who does not know this program. The audit log, whose hashes are keyed, says who rated when.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from filelock import FileLock
from sqlalchemy import Connection, Table, insert, select, text

from icbir_core.catalogue.workspace import MANIFEST, Workspace
from icbir_core.errors import StudyError, WorkspaceError
from icbir_core.files import PathLike, read_json, write_json_atomically
from icbir_core.study.schema import CHAIN, RATINGS, STUDIES

ARTEFACT = "ratings"
_FIRST = "0" * 64
_TABLES: Mapping[str, tuple[Table, str]] = {"rating": (RATINGS, "rating_id"), "study": (STUDIES, "name")}
_NAMED = 5


def append(connection: Connection, kind: str, name: str) -> None:
    """Chain a row that was stored in the same transaction. kind : "rating" or "study"; name : its identifier."""
    if connection.dialect.name == "postgresql":  # SQLite has one writer at a time anyhow
        connection.execute(text("LOCK TABLE chain IN EXCLUSIVE MODE"))
    table, key = _TABLES[kind]
    row = connection.execute(select(table).where(table.c[key] == name)).one()._asdict()
    last = find_last(connection)
    digest = _hash(last[1] if last else _FIRST, kind, row)
    connection.execute(insert(CHAIN), [{"kind": kind, "name": name, "digest": digest}])


def chain_what_is_there(connection: Connection) -> None:
    """Chain the rows of a store that was made without a chain: the studies by name, then the ratings in their order."""
    for kind, order in (("study", STUDIES.c.name), ("rating", RATINGS.c.number)):
        table, key = _TABLES[kind]
        for name in connection.execute(select(table.c[key]).order_by(order)).scalars().all():
            append(connection, kind, name)


def find_last(connection: Connection) -> tuple[int, str] | None:
    """(number of rows in the chain, hash of the last); None for an empty one."""
    row = connection.execute(select(CHAIN.c.number, CHAIN.c.digest).order_by(CHAIN.c.number.desc()).limit(1)).first()
    return None if row is None else (int(row.number), str(row.digest))


def walk(connection: Connection) -> tuple[list[str], list[str]]:
    """(the faults of the chain, a sentence each; the hashes of its rows in order)."""
    held = {}
    for kind, (table, key) in _TABLES.items():
        for row in connection.execute(select(table)):
            values = row._asdict()
            held[kind, values[key]] = values
    faults: list[str] = []
    digests: list[str] = []
    for row in connection.execute(select(CHAIN).order_by(CHAIN.c.number)):
        stored = held.pop((row.kind, row.name), None)
        if stored is None:
            faults.append(f"The {row.kind} {row.name} is missing.")
        elif _hash(digests[-1] if digests else _FIRST, row.kind, stored) != row.digest:
            faults.append(f"The {row.kind} {row.name} is not as it was stored.")
        digests.append(row.digest)
    faults += [f"The {kind} {name} was not stored by this program." for kind, name in held]
    if len(faults) > _NAMED:
        faults = [*faults[:_NAMED], f"And {len(faults) - _NAMED} more."]
    return faults, digests


def _hash(previous: str, kind: str, row: Mapping[str, Any]) -> str:
    content = json.dumps([previous, kind, row], sort_keys=True, ensure_ascii=True)
    return hashlib.sha256(content.encode()).hexdigest()


class Head:
    """The file `ratings.head` beside the database `ratings.db`: how many rows the chain has, and the hash of the last.

    database : the path of the database.
    """

    def __init__(self, database: PathLike):
        self.database = Path(database)
        self.path = self.database.with_suffix(".head")

    def check_not_lost(self) -> None:
        """Raises `StudyError` where the database is gone though ratings were stored in it."""
        if self.path.is_file() and not self.database.is_file():
            raise StudyError(
                f"'{self.database.name}' is missing, though ratings were stored in it; restore it from a copy, or "
                f"begin anew by taking '{self.path.name}' away."
            )

    def move(self, read_last: Callable[[], tuple[int, str] | None]) -> None:
        """Write the head anew. read_last : gives the end of the chain, asked while no other process moves the head."""
        with FileLock(self.path.with_name(f".{self.path.stem}.lock"), timeout=10):
            last = read_last()
            if last is None:
                return
            new = not self.path.is_file()
            write_json_atomically(self.path, {"number": last[0], "digest": last[1]})
        if new:
            self._tell_manifest()

    def find_faults(self, digests: list[str]) -> list[str]:
        """What of a chain's hashes does not agree with the head, a sentence each."""
        if not self.path.is_file():
            lost = f"'{self.path.name}', which knows the last rating, is missing; the next rating writes it anew."
            return [lost] if digests else []
        try:
            held = read_json(self.path)
            number, digest = int(held["number"]), str(held["digest"])
        except (WorkspaceError, KeyError, TypeError, ValueError):
            return [f"'{self.path.name}' is damaged; the next rating writes it anew."]
        if number > len(digests):
            return [f"{number - len(digests)} of {number} entries are missing at the end; restore the newest copy."]
        if number < 1 or digests[number - 1] != digest:
            return [f"Entry {number} is another than '{self.path.name}' names; restore both from one copy."]
        return []

    def _tell_manifest(self) -> None:
        """So that a store which is gone together with its head is missed."""
        if not (self.path.parent / MANIFEST).is_file():
            return
        workspace = Workspace.open(self.path.parent)
        if ARTEFACT not in workspace.read_manifest()["artefacts"]:
            workspace.record_artefact(ARTEFACT, {})
