"""The append-only store of studies and ratings: SQLite by default, PostgreSQL by its URL, through SQLAlchemy."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Mapping
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

from sqlalchemy import (
    DDL,
    Boolean,
    Column,
    Engine,
    Integer,
    MetaData,
    String,
    Table,
    Text,
    create_engine,
    event,
    insert,
    inspect,
    select,
)
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.exc import ArgumentError, IntegrityError, NoSuchModuleError, SQLAlchemyError
from sqlalchemy.schema import ExecutableDDLElement

from icbir_core.errors import StudyError
from icbir_core.files import PathLike, reading_own
from icbir_core.study.rating import Rating

_METADATA = MetaData()
_RATINGS = Table(
    "ratings",
    _METADATA,
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
_STUDIES = Table(
    "studies",
    _METADATA,
    Column("name", String(200), primary_key=True),
    Column("sha256", String(64), nullable=False),
    Column("definition", Text, nullable=False),
)
_JSON = ("actions", "ranking", "answer", "versions")


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


_forbid_changes(_RATINGS)
_forbid_changes(_STUDIES)


class RatingsStore:
    """Append-only ratings and study definitions. Safe for several windows, threads and processes at once."""

    def __init__(self, engine: Engine):
        self._engine = engine

    @classmethod
    def open(cls, target: PathLike) -> RatingsStore:
        """The store at a file's path (SQLite, made if missing) or at a database URL. Raises `StudyError`."""
        text = os.fspath(target)
        is_url = "://" in text
        if not is_url:
            Path(text).parent.mkdir(parents=True, exist_ok=True)
        try:
            engine = create_engine(text if is_url else f"sqlite:///{Path(text).resolve()}", pool_pre_ping=is_url)
            store = cls(engine)
            if engine.dialect.name == "sqlite":
                event.listen(engine, "connect", _make_durable)
            with store._door():
                _METADATA.create_all(engine)
                store._check_columns()
        except (ArgumentError, NoSuchModuleError, ModuleNotFoundError) as error:
            raise StudyError(
                f"'{text.split('@')[-1]}' is neither a path nor the URL of an installed database driver "
                f"({type(error).__name__}); for PostgreSQL use postgresql+psycopg:// or postgresql+pg8000://."
            ) from None
        return store

    def close(self) -> None:
        """Give the connections back; nothing is pending, for every `add` has committed."""
        self._engine.dispose()

    def add(self, rating: Rating) -> Rating:
        """Store one rating and return it once it is committed to disk. Raises `StudyError`, having stored nothing."""
        self.add_all([rating])
        return rating

    def add_all(self, ratings: Iterable[Rating]) -> int:
        """Store several in one transaction, all or none; the number stored (one already there is not added again)."""
        rows = [_to_row(rating.check()) for rating in ratings]
        dialect = sqlite if self._engine.dialect.name == "sqlite" else postgresql
        statement = dialect.insert(_RATINGS).on_conflict_do_nothing(index_elements=["rating_id"])
        try:
            with self._engine.begin() as connection:
                return sum(max(connection.execute(statement, row).rowcount, 0) for row in rows)
        except (SQLAlchemyError, ValueError, OverflowError) as error:  # a value that the database cannot hold
            raise StudyError(
                f"The rating was NOT stored ({_first_line(error)}); check disk space and rights, then rate again."
            ) from None

    def history(self, **conditions: Any) -> list[Rating]:
        """Every rating that was ever stored, in the order of storing, which no clock that is set back can change; an
        imported one counts from its import. Conditions are equalities on its fields (study="…", …).
        """
        statement = select(_RATINGS).order_by(_RATINGS.c.number)
        for name, value in conditions.items():
            if name not in _RATINGS.c or name in _JSON:
                raise StudyError(f"A rating has no field '{name}' to select by; use its columns.")
            statement = statement.where(_RATINGS.c[name].is_(None) if value is None else _RATINGS.c[name] == value)
        with self._door(), self._engine.connect() as connection:
            return [_from_row(row._asdict()) for row in connection.execute(statement)]

    def latest(self, **conditions: Any) -> list[Rating]:
        """As `history`, but of ratings of the same thing by the same reader only the newest."""
        newest: dict[tuple[Any, ...], Rating] = {}
        for rating in self.history(**conditions):
            newest.pop(rating.key, None)
            newest[rating.key] = rating
        return list(newest.values())

    def count(self) -> int:
        """How many ratings were ever stored."""
        return len(self.history())

    def add_study(self, name: str, definition: Mapping[str, Any], sha256: str) -> None:
        """Store a study's definition, which never changes. Raises `StudyError` if another has this name."""
        known = self.find_study(name)
        if known is not None:
            if known[1] == sha256:
                return
            raise StudyError(f"There is another study called '{name}'; choose another name.")
        row = {"name": name, "sha256": sha256, "definition": json.dumps(definition, sort_keys=True)}
        with self._door():
            try:
                with self._engine.begin() as connection:
                    connection.execute(insert(_STUDIES), [row])
            except IntegrityError:
                text = f"There is another study called '{name}'; choose another name."
                raise StudyError(text) from None

    def find_study(self, name: str) -> tuple[dict[str, Any], str] | None:
        """(definition, sha256) of a study, or None."""
        with self._door(), self._engine.connect() as connection:
            row = connection.execute(select(_STUDIES).where(_STUDIES.c.name == name)).mappings().first()
            return None if row is None else (json.loads(row["definition"]), str(row["sha256"]))

    def study_names(self) -> list[str]:
        """The names of all studies, sorted."""
        with self._door(), self._engine.connect() as connection:
            return sorted(connection.execute(select(_STUDIES.c.name)).scalars())

    def _door(self) -> AbstractContextManager[None]:
        """Whatever a database raises in the block becomes a `StudyError`, or `WorkspaceBusy`."""
        name = Path(self._engine.url.database or self._engine.dialect.name).name
        return reading_own(f"The ratings store '{name}'", StudyError, "restore it from a copy")

    def _check_columns(self) -> None:
        """Raises `StudyError` for tables of this name that are not those of this version."""
        for table in (_RATINGS, _STUDIES):
            found = {column["name"] for column in inspect(self._engine).get_columns(table.name)}
            if lacking := [column.name for column in table.columns if column.name not in found]:
                raise StudyError(
                    f"The ratings store lacks the column '{lacking[0]}'; use the version of this program that made it."
                )


def _make_durable(connection: Any, _record: Any) -> None:
    """WAL: readers and a writer at once; FULL: a commit waits for the disk; a busy window waits its turn."""
    cursor = connection.cursor()
    cursor.execute("PRAGMA busy_timeout=30000")
    cursor.execute("PRAGMA journal_mode=WAL")
    cursor.execute("PRAGMA synchronous=FULL")
    cursor.close()


def _to_row(rating: Rating) -> dict[str, Any]:
    values = rating.as_dict()
    return {
        name: (None if value is None else json.dumps(value, sort_keys=True)) if name in _JSON else value
        for name, value in values.items()
    }


def _from_row(row: Mapping[str, Any]) -> Rating:
    values = {name: row[name] for name in row if name != "number"}
    for name in _JSON:
        values[name] = None if values[name] is None else json.loads(values[name])
    values["actions"] = tuple(values["actions"] or ())
    return Rating(**values)


def _first_line(error: Exception) -> str:
    return str(getattr(error, "orig", None) or error).splitlines()[0]
