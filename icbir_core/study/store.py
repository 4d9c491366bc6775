"""The append-only store of studies and ratings: SQLite by default, PostgreSQL by its URL, through SQLAlchemy."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Mapping
from contextlib import AbstractContextManager, suppress
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Engine, create_engine, event, func, insert, inspect, select
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.exc import ArgumentError, IntegrityError, NoSuchModuleError, SQLAlchemyError

from icbir_core.database import find_engine, hold_alone, make_schema
from icbir_core.errors import IcbirError, StudyError
from icbir_core.files import PathLike, reading_own
from icbir_core.study.chain import Head, append, chain_what_is_there, find_last, walk
from icbir_core.study.rating import Rating
from icbir_core.study.schema import JSON_COLUMNS, METADATA, RATINGS, STUDIES, VERSION


class RatingsStore:
    """Append-only ratings and study definitions, each chained to the one before. Safe for several windows, threads and
    processes at once."""

    def __init__(self, engine: Engine, head: Head | None = None):
        self._engine, self.head = engine, head

    @classmethod
    def open(cls, target: PathLike, schema: str = "") -> RatingsStore:
        """The store at a file's path (SQLite, made if missing) or at a database URL; one of an earlier version becomes
        one of this version. schema : of a workspace in the database server that `ICBIR_DATABASE_URL` names; the path
        then only says where the head lies.

        Raises `StudyError`, also where the file is gone though its head knows ratings that it held.
        """
        text = os.fspath(target)
        is_url = "://" in text
        head = None if is_url else Head(Path(text))
        folder = _find_folder(Path(text)) if head is not None and not schema else None
        if head is not None and folder is not None:
            head.check_not_lost()
        try:
            address = text if is_url else f"sqlite:///{Path(text).resolve()}"
            engine = find_engine(schema) if schema else create_engine(address, pool_pre_ping=is_url)
            store = cls(engine, head)
            if engine.dialect.name == "sqlite":
                event.listen(engine, "connect", _make_durable)
            with store._door():
                if schema:
                    make_schema(engine, schema)
                store._bring_up_to_date()
                store._check_columns()
        except (ArgumentError, NoSuchModuleError, ModuleNotFoundError) as error:
            raise StudyError(
                f"'{text.split('@')[-1]}' is neither a path nor the URL of an installed database driver "
                f"({type(error).__name__}); PostgreSQL is postgresql+psycopg://, with `pip install icbir[postgresql]`."
            ) from None
        if folder is not None and not os.path.samestat(folder, _find_folder(Path(text))):
            store.close()
            raise StudyError(f"The folder of '{text}' was replaced while it was opened; open it again.")
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
        # asked what it stored: the count of rows that a driver gives is not the same from one to the next
        inserting = dialect.insert(RATINGS).on_conflict_do_nothing(index_elements=["rating_id"])
        statement = inserting.returning(RATINGS.c.rating_id)
        try:
            with self._engine.begin() as connection:
                fresh = [row for row in rows if connection.execute(statement, row).first() is not None]
                for row in fresh:
                    append(connection, "rating", row["rating_id"])
        except (SQLAlchemyError, ValueError, OverflowError) as error:  # a value that the database cannot hold
            raise StudyError(
                f"The rating was NOT stored ({_first_line(error)}); check disk space and rights, then rate again."
            ) from None
        if fresh:
            self.move_head()
        return len(fresh)

    def history(self, **conditions: Any) -> list[Rating]:
        """Every rating that was ever stored, in the order of storing, which no clock that is set back can change; an
        imported one counts from its import. Conditions are equalities on its fields (study="…", …)."""
        statement = select(RATINGS).order_by(RATINGS.c.number)
        for name, value in conditions.items():
            if name not in RATINGS.c or name in JSON_COLUMNS:
                raise StudyError(f"A rating has no field '{name}' to select by; use its columns.")
            statement = statement.where(RATINGS.c[name].is_(None) if value is None else RATINGS.c[name] == value)
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
        with self._door(), self._engine.connect() as connection:
            return connection.execute(select(func.count()).select_from(RATINGS)).scalar_one()

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
                    connection.execute(insert(STUDIES), [row])
                    append(connection, "study", name)
            except IntegrityError:
                text = f"There is another study called '{name}'; choose another name."
                raise StudyError(text) from None
        self.move_head()

    def find_study(self, name: str) -> tuple[dict[str, Any], str] | None:
        """(definition, sha256) of a study, or None."""
        with self._door(), self._engine.connect() as connection:
            row = connection.execute(select(STUDIES).where(STUDIES.c.name == name)).mappings().first()
            return None if row is None else (json.loads(row["definition"]), str(row["sha256"]))

    def study_names(self) -> list[str]:
        """The names of all studies, sorted."""
        with self._door(), self._engine.connect() as connection:
            return sorted(connection.execute(select(STUDIES.c.name)).scalars())

    def _door(self) -> AbstractContextManager[None]:
        """Whatever a database raises in the block becomes a `StudyError`, or `WorkspaceBusy`."""
        name = Path(self._engine.url.database or self._engine.dialect.name).name
        return reading_own(f"The ratings store '{name}'", StudyError, "restore it from a copy")

    def _bring_up_to_date(self) -> None:
        """Make what is missing, in one transaction, and chain what an earlier version stored without a chain."""
        lite = self._engine.dialect.name == "sqlite"
        with self._engine.connect() as connection:
            version = self._read_version(connection)
            if version > VERSION:
                raise StudyError(
                    f"The ratings were stored by a newer version of this program (store {version}, this version reads "
                    f"{VERSION}); use that version."
                )
            if version == VERSION:
                return
        with self._engine.connect() as connection:
            hold_alone(connection)
            if self._read_version(connection) < VERSION:  # looked at again: another process may have been first
                METADATA.create_all(connection)
                chain_what_is_there(connection)
                if lite:
                    connection.exec_driver_sql(f"PRAGMA user_version={VERSION}")
            connection.commit()
        self.move_head()

    @staticmethod
    def _read_version(connection: Connection) -> int:
        if connection.dialect.name == "sqlite":
            return int(connection.exec_driver_sql("PRAGMA user_version").scalar_one())
        return VERSION if inspect(connection).has_table("chain") else 0

    def move_head(self) -> None:
        """Let the head know the last row. Where it cannot be written, it lies behind the chain, never before it, and
        what is stored stays stored."""
        if self.head is None:
            return
        with suppress(OSError, IcbirError):
            self.head.move(self._read_last)

    def _read_last(self) -> tuple[int, str] | None:
        with self._door(), self._engine.connect() as connection:
            return find_last(connection)

    def walk_chain(self) -> tuple[list[str], list[str]]:
        """(the faults of the chain by itself, a sentence each; the hashes of its rows in order)."""
        with self._door(), self._engine.connect() as connection:
            return walk(connection)

    def find_faults(self) -> list[str]:
        """What speaks against the ratings being what was stored, a sentence each; empty where nothing does."""
        faults, digests = self.walk_chain()
        return faults or (self.head.find_faults(digests) if self.head is not None else [])

    def _check_columns(self) -> None:
        """Raises `StudyError` for tables of this name that are not those of this version."""
        for table in (RATINGS, STUDIES):
            found = {column["name"] for column in inspect(self._engine).get_columns(table.name)}
            if lacking := [column.name for column in table.columns if column.name not in found]:
                raise StudyError(f"The ratings store lacks the column '{lacking[0]}'; use the version that made it.")


def _find_folder(path: Path) -> os.stat_result:
    """Which folder a store lies in: a drive that is away is never taken for an empty store."""
    try:
        return path.absolute().parent.stat()
    except OSError:
        raise StudyError(f"The folder of '{path}' is not there; make it, or connect its drive again.") from None


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
        name: (None if value is None else json.dumps(value, sort_keys=True)) if name in JSON_COLUMNS else value
        for name, value in values.items()
    }


def _from_row(row: Mapping[str, Any]) -> Rating:
    values = {name: row[name] for name in row if name != "number"}
    for name in JSON_COLUMNS:
        values[name] = None if values[name] is None else json.loads(values[name])
    values["actions"] = tuple(values["actions"] or ())
    return Rating(**values)


def _first_line(error: Exception) -> str:
    return str(getattr(error, "orig", None) or error).splitlines()[0]
