"""The tables of a catalogue, in a file or a database server, and what of them a file that was made earlier lacks."""

from __future__ import annotations

from typing import Any

from sqlalchemy import (
    JSON,
    BigInteger,
    Boolean,
    Column,
    Connection,
    Engine,
    Integer,
    MetaData,
    String,
    Table,
    Text,
    false,
    inspect,
)
from sqlalchemy.sql.schema import ScalarElementColumnDefault

from icbir_core.types import UNKNOWN

VERSION = 3
"""Of a catalogue. 0: made before there was a version, perhaps with fewer columns and tables. 1: without the index of
texts, which whoever erases a case must know. 2: without a revision, which whoever changes something must raise."""
METADATA = MetaData()
"""Of every table of a catalogue."""
CASES = Table(
    "cases",
    METADATA,
    Column("row", Integer, primary_key=True, autoincrement=False),
    Column("case_id", String, nullable=False, unique=True),
    Column("path", String, nullable=False),
    Column("sha256", String(64), nullable=False),
    Column("pixel_sha256", String(64), nullable=False, index=True),
    Column("patient", String(16), index=True),
    Column("view", String, nullable=False, default=UNKNOWN),
    Column("age", Integer),
    Column("sex", String, nullable=False, default=UNKNOWN),
    Column("source", String, nullable=False, default=UNKNOWN),
    Column("findings", JSON, nullable=False),
    Column("report", Text),
    Column("diagnosis", Text),
    Column("source_bytes", Integer),
    Column("removed", Boolean, nullable=False, default=False, index=True),
    # From here on columns that came later: a catalogue without them gets them when it is opened.
    Column("orientation_verified", Boolean, nullable=False, default=False, server_default=false()),
    Column("doubt", Text),
    Column("instance", String(16), index=True),
    Column("stored_sha256", String(64), index=True),
    Column("added", String(10)),  # ISO 8601; no content of the case, so in no hash
)
DEFAULTS = {
    column.name: column.default.arg if isinstance(column.default, ScalarElementColumnDefault) else None
    for column in CASES.columns
}
# The findings that any case names, so that a label matrix has its columns without a walk over all rows.
VOCABULARY = Table("vocabulary", METADATA, Column("name", String, primary_key=True))

# The files that became no case because they are a copy of one: to know them at the next ingest without decoding them.
COPIES = Table(
    "copies",
    METADATA,
    Column("case_id", String, primary_key=True),
    Column("kept", String, nullable=False),
    Column("source", String, nullable=False),
    Column("source_bytes", Integer),
    Column("other_patient", Integer, nullable=False, default=0),
)
OTHER_PATIENTS = Table(
    "other_patients",
    METADATA,
    Column("case_id", String, primary_key=True),
    Column("patient", String(16), primary_key=True),
)

# One number a name. "revision" grows with every change, so that whoever shows the catalogue knows that it is another;
# "version", in a database server alone, is that of the tables, which a file keeps in its header.
STATE = Table("state", METADATA, Column("name", String, primary_key=True), Column("number", BigInteger, nullable=False))
REVISION, TABLES_VERSION = "revision", "version"


def find_missing_columns(bind: Engine | Connection) -> list[Column[Any]]:
    """The columns of `CASES` that the file's table lacks; bind : the engine or a connection."""
    found = {column["name"] for column in inspect(bind).get_columns(CASES.name)}
    return [column for column in CASES.columns if column.name not in found]


def find_missing_tables(bind: Engine | Connection) -> list[Table]:
    """The tables of a catalogue that the file lacks; bind : as above."""
    found = set(inspect(bind).get_table_names())
    return [table for table in METADATA.sorted_tables if table.name not in found]
