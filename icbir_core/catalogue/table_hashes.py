"""Hashes of what a catalogue holds, the same in every database: of its cases, and of everything else."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from typing import Any

from sqlalchemy import Connection, Select, Text, cast, select

from icbir_core.catalogue.schema import CASES, COPIES, OTHER_PATIENTS, VOCABULARY
from icbir_core.database import is_server

_CHUNK = 500
# What the hash covers. Not the stored file's own hash: another PNG encoder gives other bytes for the same film. A
# verified orientation is added where there is one, so that a catalogue made before that column has the hash it had.
_HASHED = (
    "row",
    "case_id",
    "path",
    "pixel_sha256",
    "patient",
    "view",
    "age",
    "sex",
    "source",
    "findings",
    "report",
    "diagnosis",
)
_REST = ("row", "sha256", "source_bytes", "doubt", "instance", "stored_sha256")


def hash_cases(connection: Connection) -> str:
    """SHA-256 of all rows' content ordered by row; whether a case is removed does not enter it."""
    # The stored text has sorted keys; taking it as it is spares parsing and writing it again.
    columns = [cast(CASES.c[name], Text) if name == "findings" else CASES.c[name] for name in _HASHED]
    query = select(*columns, CASES.c.orientation_verified).order_by(CASES.c.row)
    records = connection.execution_options(yield_per=_CHUNK).execute(query)
    return _hash([*record, True] if verified else record for *record, verified in records)


def hash_rest(connection: Connection) -> str:
    """SHA-256 of what `hash_cases` leaves out: the other columns but "removed", and the other tables."""
    bytewise = "C" if is_server(connection) else "BINARY"  # the same order of texts in every database
    pair = [column.collate(bytewise) for column in OTHER_PATIENTS.primary_key.columns]
    queries: tuple[Select[Any], ...] = (
        select(*(CASES.c[name] for name in _REST)).order_by(CASES.c.row),
        select(COPIES).order_by(COPIES.c.case_id.collate(bytewise)),
        select(OTHER_PATIENTS).order_by(*pair),
        select(VOCABULARY).order_by(VOCABULARY.c.name.collate(bytewise)),
    )
    streaming = connection.execution_options(yield_per=_CHUNK)
    return _hash([*record] for query in queries for record in streaming.execute(query))


def _hash(records: Iterable[list[Any]]) -> str:
    digest = hashlib.sha256()
    for record in records:
        digest.update(json.dumps(record, ensure_ascii=True).encode() + b"\n")
    return digest.hexdigest()
