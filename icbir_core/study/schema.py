"""The tables of a ratings store, which the database itself keeps from being changed."""

from __future__ import annotations

from sqlalchemy import DDL, Boolean, Column, Integer, MetaData, String, Table, Text, event
from sqlalchemy.schema import ExecutableDDLElement

METADATA = MetaData()
VERSION = 1
"""Of the store. 0: without the chain."""
RATINGS = Table(
    "ratings",
    METADATA,
    Column("number", Integer, primary_key=True, autoincrement=True),
    Column("rating_id", String(64), nullable=False, unique=True),
    Column("recorded_at", String(40), nullable=False, index=True),
    Column("study", String(200), nullable=False, index=True),
    Column("session", String(200), nullable=False),
    Column("reader", String(200), nullable=False, index=True),
    Column("query", String(400), nullable=False, index=True),
    Column("case_id", String(400)),
    Column("score", Integer),
    Column("cannot_judge", Boolean, nullable=False),
    Column("task", String(20), nullable=False),
    Column("blinded", Boolean, nullable=False),
    Column("stage", Integer, nullable=False),
    Column("repetition", Integer, nullable=False),
    Column("position", Integer),
    Column("time_ms", Integer),
    Column("method", String(60)),
    Column("simulated", Boolean, nullable=False),
    Column("actions", Text, nullable=False),
    Column("ranking", Text),
    Column("answer", Text),
    Column("versions", Text, nullable=False),
    sqlite_autoincrement=True,
)
STUDIES = Table(
    "studies",
    METADATA,
    Column("name", String(200), primary_key=True),
    Column("sha256", String(64), nullable=False),
    Column("definition", Text, nullable=False),
)
CHAIN = Table(
    "chain",
    METADATA,
    Column("number", Integer, primary_key=True, autoincrement=True),
    Column("kind", String(10), nullable=False),
    Column("name", String(200), nullable=False),
    Column("digest", String(64), nullable=False),
    sqlite_autoincrement=True,
)
"""One row for each row of the other two, in the order of storing. kind : "rating" or "study"; name : its identifier."""
JSON_COLUMNS = ("actions", "ranking", "answer", "versions")


def _forbid_changes(table: Table) -> None:
    """The database itself refuses updates and deletions, whoever asks: the store is append-only."""
    for verb in ("UPDATE", "DELETE"):
        name = f"{table.name}_no_{verb.lower()}"
        text = f"{table.name} is append-only"
        event.listen(
            table,
            "after_create",
            _make_statement(
                f"CREATE TRIGGER IF NOT EXISTS {name} BEFORE {verb} ON {table.name} "
                f"BEGIN SELECT RAISE(ABORT, '{text}'); END",
                "sqlite",
            ),
        )
        for statement in (
            f"CREATE OR REPLACE FUNCTION {name}() RETURNS trigger LANGUAGE plpgsql AS "
            f"$$ BEGIN RAISE EXCEPTION '{text}'; END $$",
            f"CREATE OR REPLACE TRIGGER {name} BEFORE {verb} ON {table.name} FOR EACH ROW EXECUTE FUNCTION {name}()",
        ):
            event.listen(table, "after_create", _make_statement(statement, "postgresql"))


def _make_statement(text: str, dialect: str) -> ExecutableDDLElement:
    return DDL(text).execute_if(dialect=dialect)  # type: ignore[no-untyped-call]


_forbid_changes(RATINGS)
_forbid_changes(STUDIES)
_forbid_changes(CHAIN)
