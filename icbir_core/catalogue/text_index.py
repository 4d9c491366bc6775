"""Full-text search of reports and proven diagnoses: SQLite's FTS5 beside the case table, kept true by triggers.

The index holds the words of what stands in the rows and nothing else: of a private catalogue only the texts that it was
told to keep.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Connection,
    Select,
    and_,
    func,
    literal_column,
    not_,
    or_,
    select,
    table,
    text,
    true,
)
from sqlalchemy.exc import DatabaseError

from icbir_core.catalogue.schema import CASES

TABLE = "case_texts"
COLUMNS = ("report", "diagnosis")
BEGIN, END = "\x02", "\x03"
"""Before and after each word of an excerpt that was searched for."""
EXCERPT_WORDS = 24
_NAMES, _NEW, _OLD = (", ".join(prefix + name for name in COLUMNS) for prefix in ("", "new.", "old."))
_TAKE_IN = f"INSERT INTO {TABLE}(rowid, {_NAMES}) VALUES (new.row, {_NEW});"
_TAKE_OUT = f"INSERT INTO {TABLE}({TABLE}, rowid, {_NAMES}) VALUES ('delete', old.row, {_OLD});"
_STATEMENTS = (
    f"CREATE VIRTUAL TABLE IF NOT EXISTS {TABLE} USING fts5({_NAMES}, content='{CASES.name}', content_rowid='row', "
    "tokenize='unicode61 remove_diacritics 2')",
    f"CREATE TRIGGER IF NOT EXISTS {TABLE}_insert AFTER INSERT ON {CASES.name} BEGIN {_TAKE_IN} END",
    f"CREATE TRIGGER IF NOT EXISTS {TABLE}_delete AFTER DELETE ON {CASES.name} BEGIN {_TAKE_OUT} END",
    f"CREATE TRIGGER IF NOT EXISTS {TABLE}_update AFTER UPDATE OF row, {_NAMES} ON {CASES.name} "
    f"BEGIN {_TAKE_OUT} {_TAKE_IN} END",
)
REBUILD = f"INSERT INTO {TABLE}({TABLE}) VALUES ('rebuild')"
"""The statement that makes the index anew: words of texts that are gone stay in its old parts until then."""
CHECK = f"INSERT INTO {TABLE}({TABLE}, rank) VALUES ('integrity-check', 1)"
"""The statement that raises unless the index is that of the texts in the rows; it changes nothing."""
_ASKED = re.compile(r'(-?)(?:"([^"]*)"?|([^\s"]+))')


@dataclass(frozen=True)
class AskedText:
    """What a reader typed. wanted, unwanted : words and phrases, each with whether it may go on as a longer word."""

    wanted: tuple[tuple[str, bool], ...] = ()
    unwanted: tuple[tuple[str, bool], ...] = ()

    def match(self, negated: bool = False) -> str:
        """The expression of FTS5: all that is wanted, or (negated) any of what is not."""
        parts = self.unwanted if negated else self.wanted
        quoted = ['"{}"{}'.format(word.replace('"', ""), "*" if longer else "") for word, longer in parts]
        return (" OR " if negated else " AND ").join(quoted)


def read_asked(typed: str) -> AskedText:
    """Words, each the beginning of one that must be there; "in quotes" a phrase; -word one that must not be there."""
    found: dict[bool, list[tuple[str, bool]]] = {False: [], True: []}
    for minus, phrase, word in _ASKED.findall(typed.replace("\0", " ")):
        if any(letter.isalnum() for letter in phrase or word):
            found[bool(minus)].append((phrase or word, bool(word)))
    return AskedText(tuple(found[False]), tuple(found[True]))


def make_text_index(connection: Connection) -> bool:
    """Make index and triggers where they are missing; whether there is an index afterwards.

    There is none in another database than SQLite, in one without FTS5, and in a file that cannot be written; texts are
    searched there without an index.
    """
    if connection.dialect.name != "sqlite":
        return False
    if has_text_index(connection):
        return True
    try:
        for statement in _STATEMENTS:
            connection.exec_driver_sql(statement)
        connection.exec_driver_sql(REBUILD)
        connection.commit()
    except DatabaseError:
        connection.rollback()
        return False
    return True


def mend_text_index(connection: Connection) -> None:
    """Make the index anew from the texts in the rows, where there is one."""
    if has_text_index(connection):
        connection.exec_driver_sql(REBUILD)
        connection.commit()


def has_text_index(connection: Connection) -> bool:
    """Whether the file holds the index with all of its triggers."""
    query = text("SELECT count(*) FROM sqlite_master WHERE name = :table OR name LIKE :trigger AND type = 'trigger'")
    if connection.dialect.name != "sqlite":
        return False
    return int(connection.execute(query, {"table": TABLE, "trigger": f"{TABLE}_%"}).scalar_one()) == len(_STATEMENTS)


def find_fault(connection: Connection) -> str:
    """What is wrong with the index, as a sentence; "" where it is that of the texts, where there is none, and where the
    file cannot be written, which the check needs though it changes nothing."""
    if not has_text_index(connection):
        return ""
    try:
        connection.exec_driver_sql(CHECK)
    except DatabaseError as error:
        if "readonly" in str(error):
            return ""
        return "The index of the texts is not that of the texts in the catalogue; `icbir migrate` makes it anew."
    finally:
        connection.rollback()
    return ""


def make_condition(asked: AskedText, indexed: bool) -> ColumnElement[bool]:
    """The condition on rows of `CASES` that their texts, or their names, are what was asked for."""
    if indexed:
        wanted = _matches(asked.match()) if asked.wanted else true()
        unwanted = [_matches(asked.match(negated=True))] if asked.unwanted else []
    else:
        wanted = and_(true(), *(_holds(word) for word, _ in asked.wanted))
        unwanted = [_holds(word) for word, _ in asked.unwanted]
    if len(asked.wanted) == 1:
        wanted = or_(wanted, CASES.c.case_id.startswith(asked.wanted[0][0], autoescape=True))
    return and_(wanted, *(not_(one) for one in unwanted))


def _matches(expression: str) -> ColumnElement[bool]:
    found: Select[Any] = select(literal_column("rowid")).select_from(table(TABLE))
    return CASES.c.row.in_(found.where(literal_column(TABLE).op("MATCH")(expression)))


def _holds(word: str) -> ColumnElement[bool]:
    return or_(*(func.coalesce(CASES.c[name], "").icontains(word, autoescape=True) for name in COLUMNS))


def read_excerpts(connection: Connection, asked: AskedText, rows: Sequence[int]) -> dict[int, str]:
    """Row → the part of its texts where the words stand, each word between `BEGIN` and `END`; rows of which only the
    name was asked for are left out."""
    if not asked.wanted or not rows:
        return {}
    places = ", ".join(str(int(row)) for row in rows)
    query = text(
        f"SELECT rowid, snippet({TABLE}, -1, :begin, :end, '…', {EXCERPT_WORDS}) FROM {TABLE} "
        f"WHERE {TABLE} MATCH :asked AND rowid IN ({places})"
    )
    found = connection.execute(query, {"asked": asked.match(), "begin": BEGIN, "end": END})
    return {int(row): str(excerpt) for row, excerpt in found}
