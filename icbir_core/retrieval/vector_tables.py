"""Vectors in PostgreSQL with the extension pgvector: one table an index, and a register of all of them.

`icbir_vectors.indexes` names each table, the folder that owns it and what it was made from; `…generations` counts
and sums what each update left, so that a folder's manifest and the database can be compared. A vector is kept once, in
single precision and out of line: stored plainly a page of 8 kB holds one of 1,024 numbers and is half empty. The
neighbour graph (HNSW) holds a copy in half precision.
"""

from __future__ import annotations

import hashlib
import json
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import psycopg
from psycopg.rows import TupleRow
from sqlalchemy import Connection

from icbir_core.errors import IndexMismatch

SCHEMA = "icbir_vectors"
WIDEST_GRAPH = 4_000
"""Most numbers of a vector in half precision that the extension puts into a graph."""
LARGEST_HALF = 65_504.0
_MODULUS = 1 << 256
_OLDEST = (0, 8)
_LOCK = 0x1CB12
_START = (
    f"CREATE SCHEMA IF NOT EXISTS {SCHEMA}",
    f"CREATE TABLE IF NOT EXISTS {SCHEMA}.indexes (name text PRIMARY KEY, owner text NOT NULL, origin text NOT NULL, "
    "dimension integer NOT NULL, made timestamptz NOT NULL DEFAULT now())",
    f"CREATE TABLE IF NOT EXISTS {SCHEMA}.generations (name text NOT NULL REFERENCES {SCHEMA}.indexes ON DELETE "
    "CASCADE, number integer NOT NULL, count bigint NOT NULL, digest text NOT NULL, PRIMARY KEY (name, number))",
)


@dataclass(frozen=True)
class Content:
    """What one generation of an index holds: how many vectors, and the sum of their hashes (64 hexadecimal digits),
    which no order of storing changes."""

    count: int = 0
    digest: str = "0" * 64


def sum_hashes(digest: str, rows: np.ndarray, vectors: np.ndarray) -> str:
    """The sum with the hashes of these rows and vectors added: SHA-256 of each pair, modulo 2^256."""
    total = int(digest, 16)
    for row, vector in zip(rows.astype("<i8"), np.ascontiguousarray(vectors, "<f4"), strict=True):
        total += int.from_bytes(hashlib.sha256(row.tobytes() + vector.tobytes()).digest(), "big")
    return f"{total % _MODULUS:064x}"


def prepare_schema(connection: Connection) -> None:
    """Make the register where it is missing, and the extension. Needs the right to make both; once they are there none
    is needed."""
    connection.exec_driver_sql(f"SELECT pg_advisory_xact_lock({_LOCK})")
    asked = "SELECT extversion FROM pg_extension WHERE extname = 'vector'"
    if connection.exec_driver_sql(asked).scalar_one_or_none() is None:
        offered = "SELECT count(*) FROM pg_available_extensions WHERE name = 'vector'"
        if not connection.exec_driver_sql(offered).scalar_one():
            raise IndexMismatch("The database server lacks the extension pgvector; have it installed there.")
        connection.exec_driver_sql("CREATE EXTENSION IF NOT EXISTS vector")
    version = str(connection.exec_driver_sql(asked).scalar_one())
    if tuple(map(int, version.split(".")[:2])) < _OLDEST:
        raise IndexMismatch(f"The database has pgvector {version}, and this needs 0.8 or newer; have it updated.")
    if connection.exec_driver_sql(f"SELECT to_regclass('{SCHEMA}.generations')").scalar_one() is None:
        for statement in _START:
            connection.exec_driver_sql(statement)


def find_table(connection: Connection, owner: str, origin: Mapping[str, str], dimension: int) -> str | None:
    """The newest table of a folder that was made from the same, whether or not its filling was ended."""
    query = f"SELECT name FROM {SCHEMA}.indexes WHERE owner = %s AND origin = %s AND dimension = %s ORDER BY made DESC"
    found = connection.exec_driver_sql(query, (owner, json.dumps(dict(origin), sort_keys=True), dimension)).first()
    return None if found is None else str(found[0])


def make_table(connection: Connection, owner: str, origin: Mapping[str, str], dimension: int) -> str:
    """A new empty table; its name."""
    name = f"v_{secrets.token_hex(8)}"
    connection.exec_driver_sql(
        f"CREATE TABLE {SCHEMA}.{name} (row bigint PRIMARY KEY, since integer NOT NULL, embedding vector({dimension}) "
        "NOT NULL)"
    )
    values = (name, owner, json.dumps(dict(origin), sort_keys=True), dimension)
    connection.exec_driver_sql(
        f"INSERT INTO {SCHEMA}.indexes (name, owner, origin, dimension) VALUES (%s, %s, %s, %s)", values
    )
    return name


def drop_tables(connection: Connection, owner: str, keep: int = 0) -> int:
    """Take away a folder's tables but for the `keep` newest; how many went."""
    query = f"SELECT name FROM {SCHEMA}.indexes WHERE owner = %s ORDER BY made DESC"
    names = [str(name) for (name,) in connection.exec_driver_sql(query, (owner,))][keep:]
    for name in names:
        connection.exec_driver_sql(f"DROP TABLE IF EXISTS {SCHEMA}.{name}")
        connection.exec_driver_sql(f"DELETE FROM {SCHEMA}.indexes WHERE name = %s", (name,))
    return len(names)


def read_content(connection: Connection, name: str, generation: int) -> Content | None:
    """What a generation holds; None where there is none."""
    query = f"SELECT count, digest FROM {SCHEMA}.generations WHERE name = %s AND number = %s"
    found = connection.exec_driver_sql(query, (name, generation)).first()
    return None if found is None else Content(int(found[0]), str(found[1]))


def read_rows(connection: Connection, name: str, generation: int) -> np.ndarray:
    """The rows int64, ascending, of a generation."""
    query = f"SELECT row FROM {SCHEMA}.{name} WHERE since <= %s ORDER BY row"
    return np.array(connection.exec_driver_sql(query, (generation,)).scalars().all(), dtype=np.int64)


def find_last_generation(connection: Connection, name: str) -> int:
    """The number of a table's last generation, published or not; 1 where none has begun."""
    query = f"SELECT coalesce(max(number), 1) FROM {SCHEMA}.generations WHERE name = %s"
    return int(connection.exec_driver_sql(query, (name,)).scalar_one())


def has_graph(connection: Connection, name: str) -> bool:
    """Whether the table has its graph."""
    return connection.exec_driver_sql(f"SELECT to_regclass('{SCHEMA}.{name}_graph')").scalar_one() is not None


def build_graph(connection: Connection, name: str, dimension: int, megabytes: int) -> None:
    """Build the graph in half precision, in memory up to `megabytes`. Raises `DataError` for a number beyond it."""
    connection.exec_driver_sql(f"SET LOCAL maintenance_work_mem = '{megabytes}MB'")
    connection.exec_driver_sql(
        f"CREATE INDEX IF NOT EXISTS {name}_graph ON {SCHEMA}.{name} USING hnsw "
        f"((embedding::halfvec({dimension})) halfvec_l2_ops)"
    )


def drop_graph(connection: Connection, name: str) -> None:
    """Take the graph away; searches then compare every vector."""
    connection.exec_driver_sql(f"DROP INDEX IF EXISTS {SCHEMA}.{name}_graph")


def begin_generation(connection: Connection, name: str, generation: int) -> None:
    """Begin a generation with what the one before holds, unless it has begun."""
    connection.exec_driver_sql(
        f"INSERT INTO {SCHEMA}.generations SELECT name, %s, count, digest FROM {SCHEMA}.generations "
        "WHERE name = %s AND number = %s ON CONFLICT DO NOTHING",
        (generation, name, generation - 1),
    )
    connection.exec_driver_sql(
        f"INSERT INTO {SCHEMA}.generations VALUES (%s, %s, 0, %s) ON CONFLICT DO NOTHING",
        (name, generation, Content().digest),
    )


def add_vectors(connection: Connection, name: str, generation: int, rows: np.ndarray, vectors: np.ndarray) -> int:
    """Add what is not there yet in one transaction of the caller's, with its count and sum; how many came."""
    locked = f"SELECT count, digest FROM {SCHEMA}.generations WHERE name = %s AND number = %s FOR UPDATE"
    count, digest = connection.exec_driver_sql(locked, (name, generation)).one()
    there = connection.exec_driver_sql(f"SELECT row FROM {SCHEMA}.{name} WHERE row = ANY(%s)", (rows.tolist(),))
    fresh = ~np.isin(rows, np.array(there.scalars().all(), dtype=np.int64))
    rows, vectors = rows[fresh], np.ascontiguousarray(vectors[fresh], dtype=np.float32)
    if not len(rows):
        return 0
    with get_driver(connection).cursor() as cursor:
        statement = f"COPY {SCHEMA}.{name} (row, since, embedding) FROM STDIN (FORMAT BINARY)"
        with cursor.copy(statement.encode()) as copy:
            copy.write(_pack(rows, generation, vectors))
    connection.exec_driver_sql(
        f"UPDATE {SCHEMA}.generations SET count = %s, digest = %s WHERE name = %s AND number = %s",
        (count + len(rows), sum_hashes(digest, rows, vectors), name, generation),
    )
    return len(rows)


def _pack(rows: np.ndarray, generation: int, vectors: np.ndarray) -> bytes:
    """Rows and vectors (n, D) in the binary form of COPY and of the type `vector` (pgvector's vector_recv)."""
    dimension = vectors.shape[1]
    record = np.zeros(
        len(rows),
        np.dtype(
            [("fields", ">i2"), ("l1", ">i4"), ("row", ">i8"), ("l2", ">i4"), ("since", ">i4"), ("l3", ">i4"),
             ("dimension", ">i2"), ("unused", ">i2"), ("values", ">f4", (dimension,))]
        ),
    )  # fmt: skip
    record["fields"], record["l1"], record["l2"], record["l3"] = 3, 8, 4, 4 + 4 * dimension
    record["row"], record["since"], record["dimension"], record["values"] = rows, generation, dimension, vectors
    return b"PGCOPY\n\xff\r\n\0" + bytes(8) + record.tobytes() + b"\xff\xff"


def fetch_vectors(
    connection: Connection, query: str, values: Mapping[str, Any], dimension: int
) -> tuple[np.ndarray, np.ndarray]:
    """(rows int64 (n,), vectors float32 (n, D)) of a query for the columns row and embedding, in its order."""
    with get_driver(connection).cursor(binary=True) as cursor:
        found = cursor.execute(query.encode(), values).fetchall()
    rows = np.array([row for row, _ in found], dtype=np.int64)
    packed = np.frombuffer(b"".join(bytes(data) for _, data in found), np.uint8).reshape(len(found), -1)
    if not len(found):
        return rows, np.empty((0, dimension), np.float32)
    return rows, np.ascontiguousarray(packed[:, 4:]).view(">f4").astype(np.float32)


def get_driver(connection: Connection) -> psycopg.Connection[TupleRow]:
    """The driver's own connection, in the same transaction, for what moves vectors in binary."""
    found = connection.connection.driver_connection
    assert isinstance(found, psycopg.Connection)
    return found


def write_vector(vector: np.ndarray) -> str:
    """A vector as text for a statement; the database reads the same single-precision numbers back."""
    return "[" + ",".join(map(repr, vector.tolist())) + "]"
