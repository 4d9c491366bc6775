"""The case table, in SQLite or PostgreSQL: one row a case, each with a stable integer that is never reused."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import numpy as np
from sqlalchemy import (
    URL,
    ColumnElement,
    Connection,
    Row,
    Select,
    Text,
    cast,
    create_engine,
    func,
    insert,
    inspect,
    select,
    update,
)
from sqlalchemy.schema import CreateColumn

from icbir_core.catalogue.copies import Copies, Copy
from icbir_core.catalogue.listing import Listing
from icbir_core.catalogue.schema import (
    CASES,
    COPIES,
    DEFAULTS,
    METADATA,
    OTHER_PATIENTS,
    REVISION,
    STATE,
    TABLES_VERSION,
    VERSION,
    VOCABULARY,
    find_missing_columns,
    find_missing_tables,
)
from icbir_core.catalogue.text_index import find_fault, make_text_index, mend_text_index
from icbir_core.database import find_engine, hold_alone, is_server, make_schema
from icbir_core.errors import CatalogueError
from icbir_core.files import PathLike, reading_own
from icbir_core.findings import KNOWN_FINDINGS, FindingState
from icbir_core.settings import SearchFilter
from icbir_core.types import Case

_CHUNK = 500
LOCK_SECONDS = 30.0
"""How long a command waits for another that writes the catalogue."""
T = TypeVar("T")
_ORDER = {name: place for place, name in enumerate(KNOWN_FINDINGS)}
_NUMBERS = {state.value: state.as_number() for state in FindingState}
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


class Held(NamedTuple):
    """What ingest asks of a case that is there: its source, the bytes of its original file, and what was doubted of it
    (None if nothing was, or if it is removed)."""

    source: str
    size: int | None
    doubt: str | None


class Kept(NamedTuple):
    """A case that holds a film: its name, its patient (hashed), and whether its grey levels or stored values are the
    same."""

    case_id: str
    patient: str | None
    same_pixels: bool


class Catalogue:
    """The cases of one workspace. Removed cases keep their row (a tombstone) and are left out unless asked for."""

    def __init__(self, path: PathLike, schema: str = ""):
        """path : of the file. schema : of the tables, where they lie in the database server that `ICBIR_DATABASE_URL`
        names; the path is then only a name."""
        self.path, self.schema = Path(path), schema
        self._digest: tuple[tuple[Any, ...], str] | None = None
        file = URL.create("sqlite", database=str(self.path))
        wait = {"timeout": LOCK_SECONDS}
        self._engine = find_engine(schema) if schema else create_engine(file, connect_args=wait)
        self.copies = Copies(self._connect)
        self.listing = Listing(self._connect, self._make_cases)
        with self._door():
            if schema:
                make_schema(self._engine, schema)
            version = self.read_version()
            if version > VERSION:
                raise CatalogueError(
                    f"The catalogue was written by a newer version of this program (catalogue {version}, this version "
                    f"reads {VERSION}); use that version."
                )
            if not inspect(self._engine).has_table(CASES.name):
                self._make_tables()
            missing = bool(find_missing_columns(self._engine) or find_missing_tables(self._engine))
        if missing:
            self._add_what_came_later()
        with self._connect() as connection:
            if make_text_index(connection) and version < VERSION:
                _write_version(connection)
                connection.commit()

    # Reading

    def read_version(self) -> int:
        """Of the tables; 0 for those that were written before there was a version."""
        with self._connect() as connection:
            if not is_server(connection):
                return int(connection.exec_driver_sql("PRAGMA user_version").scalar_one())
            return _read_state(connection, TABLES_VERSION) if inspect(connection).has_table(STATE.name) else 0

    def read_revision(self) -> int:
        """A number that every change of the catalogue makes larger, whoever makes it."""
        with self._connect() as connection:
            return _read_state(connection, REVISION)

    def migrate(self) -> int:
        """Make the tables those of this version; returns the version that they had."""
        before = self.read_version()
        with self._connect() as connection:
            if before < VERSION:
                _write_version(connection)
                connection.commit()
            mend_text_index(connection)
        return before

    def find_text_fault(self) -> str:
        """What is wrong with the index of the texts, as a sentence; "" where nothing is."""
        with self._connect() as connection:
            return find_fault(connection)

    def _make_tables(self) -> None:
        with self._connect() as connection:
            hold_alone(connection)
            METADATA.create_all(connection)
            _write_version(connection)
            _begin_revision(connection)
            connection.commit()

    def count(self, include_removed: bool = False) -> int:
        """Number of cases."""
        query = select(func.count()).select_from(CASES)
        with self._connect() as connection:
            return int(connection.execute(_shown(query, include_removed)).scalar_one())

    @property
    def findings(self) -> tuple[str, ...]:
        """Every finding that some case has a state for: the vocabulary's order first, then the alphabet."""
        with self._connect() as connection:
            names = connection.execute(select(VOCABULARY.c.name)).scalars().all()
        return tuple(sorted(names, key=lambda name: (_ORDER.get(name, len(_ORDER)), name)))

    def cases(self, rows: Iterable[int] | None = None, include_removed: bool = False) -> list[Case]:
        """Cases in the order of `rows` (then removed ones too), or all of them ordered by row.

        Raises `CatalogueError` for a row that is not there.
        """
        if rows is None:
            return [case for batch in self.iterate(include_removed=include_removed) for case in batch]
        wanted = [int(row) for row in rows]
        found: dict[int, Case] = {}
        for chunk in _chunks(wanted):
            found |= {case.row: case for case in self._make_cases(self._fetch(CASES.c.row.in_(chunk)))}
        missing = [row for row in wanted if row not in found]
        if missing:
            raise CatalogueError(f"The catalogue lacks the row {missing[0]}; index it again.")
        return [found[row] for row in wanted]

    def iterate(self, batch: int = 256, include_removed: bool = False, after: int = -1) -> Iterator[list[Case]]:
        """Lists of at most `batch` cases ordered by row, from the row after `after`; memory stays bounded."""
        while True:
            query = _shown(select(CASES).where(CASES.c.row > after), include_removed).order_by(CASES.c.row).limit(batch)
            with self._connect() as connection:
                records = connection.execute(query).all()
            if not records:
                return
            yield self._make_cases(records)
            after = records[-1].row

    def get(self, case_id: str) -> Case:
        """The case with this identifier, removed or not. Raises `CatalogueError` if there is none."""
        records = self._fetch(CASES.c.case_id == case_id)
        if not records:
            raise CatalogueError(f"The catalogue lacks the case '{case_id}'; check its name.")
        return self._make_cases(records)[0]

    def get_row(self, row: int) -> Case:
        """The case with this row number, removed or not. Raises `CatalogueError` if there is none."""
        return self.cases([row])[0]

    def find_identifiers(self, case_ids: Sequence[str]) -> dict[str, Held]:
        """Of `case_ids`, those that the catalogue holds, with what `Held` says of each."""
        found: dict[str, Held] = {}
        columns = [CASES.c[name] for name in ("case_id", "source", "source_bytes", "doubt", "removed")]
        with self._connect() as connection:
            for chunk in _chunks(list(case_ids)):
                query = select(*columns).where(CASES.c.case_id.in_(chunk))
                for case_id, source, size, doubt, removed in connection.execute(query):
                    found[case_id] = Held(source, size, None if removed else doubt)
        return found

    def find_film(self, pixel_sha256: str, stored_sha256: str, instance: str | None) -> Kept | None:
        """The case, removed or not, that holds a film: by its grey levels, else by its stored values, else by its
        hashed instance; None if none does."""
        ways = [(CASES.c.pixel_sha256, pixel_sha256), (CASES.c.stored_sha256, stored_sha256)]
        ways += [(CASES.c.instance, instance)] if instance is not None else []
        with self._connect() as connection:
            for column, value in ways:
                query = select(CASES.c.case_id, CASES.c.patient).where(column == value).order_by(CASES.c.row).limit(1)
                if (found := connection.execute(query).one_or_none()) is not None:
                    return Kept(found.case_id, found.patient, column is not CASES.c.instance)
        return None

    def find_of_patients(self, patients: Sequence[str], limit: int = 100) -> list[Case]:
        """The cases, not removed, of any of these hashed patients, also where they are known under one as well; at most
        `limit`, ordered by row."""
        known = select(OTHER_PATIENTS.c.case_id).where(OTHER_PATIENTS.c.patient.in_(patients))
        query = select(CASES).where(CASES.c.patient.in_(patients) | CASES.c.case_id.in_(known))
        with self._connect() as connection:
            records = connection.execute(_shown(query, False).order_by(CASES.c.row).limit(limit)).all()
        return self._make_cases(records)

    def eligible_rows(self, search_filter: SearchFilter | None = None) -> np.ndarray:
        """int64 (n,): rows, ascending, of the cases not removed that pass the filter; an unknown age fails a limit."""
        wanted = search_filter or SearchFilter()
        query = _shown(select(CASES.c.row), include_removed=False)
        if wanted.view is not None:
            query = query.where(CASES.c.view == wanted.view)
        if wanted.sex is not None:
            query = query.where(CASES.c.sex == wanted.sex)
        if wanted.age_min is not None:
            query = query.where(CASES.c.age >= wanted.age_min)
        if wanted.age_max is not None:
            query = query.where(CASES.c.age <= wanted.age_max)
        for name, state in wanted.findings.items():
            stored = CASES.c.findings[name].as_string()
            # Blank is not stored, so "unknown" is the missing key.
            query = query.where(stored.is_(None) if state == FindingState.UNKNOWN else stored == str(state))
        with self._connect() as connection:
            return np.array(connection.execute(query.order_by(CASES.c.row)).scalars().all(), dtype=np.int64)

    def labels(self, findings: Sequence[str], rows: Iterable[int] | None = None) -> np.ndarray:
        """float32 (N, F): 1 present, 0 absent, NaN uncertain or unknown; aligned with `rows` or `eligible_rows()`."""
        # The database picks the asked states out of the stored text: reading all of it takes many times as long.
        columns = [CASES.c.findings[name].as_string() for name in findings]
        states = {row: values for row, *values in self._select_columns(columns, rows)}
        order = list(states) if rows is None else [int(row) for row in rows]
        values = [[_NUMBERS.get(state, np.nan) for state in states[row]] for row in order]
        return np.array(values, dtype=np.float32).reshape(len(order), len(findings))

    def patients(self, rows: Iterable[int] | None = None) -> list[str | None]:
        """Hashed patient, None where unknown; aligned with `rows` or `eligible_rows()`."""
        found = dict(self._select_columns([CASES.c.patient], rows))
        return list(found.values()) if rows is None else [found[int(row)] for row in rows]

    def removed_rows(self) -> np.ndarray:
        """int64 (n,): rows, ascending, of the removed cases."""
        query = select(CASES.c.row).where(CASES.c.removed.is_(True)).order_by(CASES.c.row)
        with self._connect() as connection:
            return np.array(connection.execute(query).scalars().all(), dtype=np.int64)

    def sha256(self) -> str:
        """Hash of all rows' content ordered by row; whether a case is removed does not enter it."""
        with self._connect() as connection:
            extent = tuple(connection.execute(select(func.count(CASES.c.row), func.max(CASES.c.row))).one())
            # Rows are only ever added, so the same extent is the same content.
            if self._digest is None or self._digest[0] != extent:
                digest = hashlib.sha256()
                # The stored text has sorted keys; taking it as it is spares parsing and writing it again.
                columns = [cast(CASES.c[name], Text) if name == "findings" else CASES.c[name] for name in _HASHED]
                query = select(*columns, CASES.c.orientation_verified).order_by(CASES.c.row)
                for *record, verified in connection.execution_options(yield_per=_CHUNK).execute(query):
                    content = [*record, True] if verified else record
                    digest.update(json.dumps(content, ensure_ascii=True).encode() + b"\n")
                self._digest = (extent, digest.hexdigest())
        return self._digest[1]

    def sha256_of_rest(self) -> str:
        """Hash of what `sha256` leaves out: the other columns but `removed`, and the other tables."""
        digest = hashlib.sha256()
        with self._connect() as connection:
            columns = [CASES.c[name] for name in _REST]
            bytewise = "C" if is_server(connection) else "BINARY"  # the same order of texts in every database
            pair = [column.collate(bytewise) for column in OTHER_PATIENTS.primary_key.columns]
            for query in (
                select(*columns).order_by(CASES.c.row),
                select(COPIES).order_by(COPIES.c.case_id.collate(bytewise)),
                select(OTHER_PATIENTS).order_by(*pair),
                select(VOCABULARY).order_by(VOCABULARY.c.name.collate(bytewise)),
            ):
                for record in connection.execution_options(yield_per=_CHUNK).execute(query):
                    digest.update(json.dumps([*record], ensure_ascii=True).encode() + b"\n")
        return digest.hexdigest()

    # Writing

    def add(
        self,
        records: Sequence[Mapping[str, Any]],
        copies: Sequence[Copy] = (),
        patients: Sequence[tuple[str, str]] = (),
    ) -> list[int]:
        """Add cases in one transaction and return their rows.

        records : columns of `CASES` without "row" and "removed"; "findings" maps a finding to its state's text, unknown
        ones left out. copies : files that are copies of a case. patients : pairs of a case and another patient of it.
        Raises `CatalogueError` if an identifier is taken.
        """
        with self._door(), self._engine.begin() as connection:
            _raise_revision(connection)  # first of all: whoever else writes waits here, and finds these rows taken
            self.copies.write(connection, copies, patients)
            if not records:
                return []
            first = int(connection.execute(select(func.coalesce(func.max(CASES.c.row), -1))).scalar_one()) + 1
            rows = list(range(first, first + len(records)))
            taken = [record["case_id"] for record in records]
            query = select(CASES.c.case_id).where(CASES.c.case_id.in_(taken)).limit(1)
            if (clash := connection.execute(query).scalar_one_or_none()) is not None or len(set(taken)) < len(taken):
                raise CatalogueError(
                    f"The catalogue would hold the case '{clash or taken[0]}' twice; list each film once."
                )
            # One statement for all: a column that the first record lacks would be lost for every other.
            numbered, today = zip(rows, records, strict=True), datetime.now(UTC).date().isoformat()
            complete = [
                {**DEFAULTS, "added": today, **record, "findings": dict(sorted(record["findings"].items())), "row": row}
                for row, record in numbered
            ]
            connection.execute(insert(CASES), complete)
            known = set(connection.execute(select(VOCABULARY.c.name)).scalars())
            fresh = {name for record in records for name in record["findings"]} - known
            if fresh:
                connection.execute(insert(VOCABULARY), [{"name": name} for name in sorted(fresh)])
        return rows

    def remove(self, case_id: str) -> Case:
        """Take a case out of every search; its row and film stay. Returns it. Raises `CatalogueError` if unknown."""
        return self._mark(case_id, removed=True)

    def restore(self, case_id: str) -> Case:
        """Undo `remove`. Returns the case. Raises `CatalogueError` if unknown or erased."""
        if not self.get(case_id).path:
            raise CatalogueError(f"'{case_id}' was erased; nothing of it is left to restore.")
        return self._mark(case_id, removed=False)

    def close(self) -> None:
        """Close the connections."""
        self._engine.dispose()

    def _door(self) -> AbstractContextManager[None]:
        """Whatever a database or SQLAlchemy raises in the block becomes a `CatalogueError`, or `WorkspaceBusy`."""
        name = "The catalogue" if self.schema else f"The catalogue '{self.path.name}'"
        return reading_own(name, CatalogueError, "restore it from a copy")

    @contextmanager
    def _connect(self) -> Iterator[Connection]:
        with self._door(), self._engine.connect() as connection:
            yield connection

    def _add_what_came_later(self) -> None:
        try:
            with self._connect() as connection:
                hold_alone(connection)  # and looked at again: another may have added them in the meantime
                for column in find_missing_columns(connection):
                    definition = CreateColumn(column).compile(connection)
                    connection.exec_driver_sql(f"ALTER TABLE {CASES.name} ADD COLUMN {definition}")
                for index in CASES.indexes:
                    index.create(connection, checkfirst=True)
                for table in find_missing_tables(connection):
                    table.create(connection)
                _write_version(connection)
                _begin_revision(connection)
                connection.commit()
        except CatalogueError as error:
            raise CatalogueError(
                f"'{self.path}' was made by an earlier version: {error} Open it once where it can be written."
            ) from error

    def _make_cases(self, records: Sequence[Row[Any]]) -> list[Case]:
        names = self.findings
        with self._door():
            others = self.copies.find_other_patients([record.case_id for record in records])
            return [_to_case(record, names, others.get(record.case_id, ())) for record in records]

    def _mark(self, case_id: str, removed: bool) -> Case:
        with self._door(), self._engine.begin() as connection:
            _raise_revision(connection)
            connection.execute(update(CASES).where(CASES.c.case_id == case_id).values(removed=removed))
        return self.get(case_id)

    def _fetch(self, condition: ColumnElement[bool]) -> Sequence[Row[Any]]:
        with self._connect() as connection:
            return connection.execute(select(CASES).where(condition)).all()

    def _select_columns(self, columns: Sequence[Any], rows: Iterable[int] | None) -> list[tuple[Any, ...]]:
        query = select(CASES.c.row, *columns).order_by(CASES.c.row)
        with self._connect() as connection:
            if rows is None:
                return [tuple(record) for record in connection.execute(_shown(query, include_removed=False))]
            wanted = sorted({int(row) for row in rows})
            found = [
                tuple(record)
                for chunk in _chunks(wanted)
                for record in connection.execute(query.where(CASES.c.row.in_(chunk)))
            ]
        if len(found) < len(wanted):
            missing = sorted(set(wanted) - {record[0] for record in found})
            raise CatalogueError(f"The catalogue lacks the row {missing[0]}; index it again.")
        return found


def _read_state(connection: Connection, name: str) -> int:
    return int(connection.execute(select(STATE.c.number).where(STATE.c.name == name)).scalar_one_or_none() or 0)


def _write_version(connection: Connection) -> None:
    if not is_server(connection):
        connection.exec_driver_sql(f"PRAGMA user_version={VERSION}")
        return
    found = connection.execute(update(STATE).where(STATE.c.name == TABLES_VERSION).values(number=VERSION))
    if not found.rowcount:
        connection.execute(insert(STATE).values(name=TABLES_VERSION, number=VERSION))


def _begin_revision(connection: Connection) -> None:
    if connection.execute(select(STATE.c.name).where(STATE.c.name == REVISION)).first() is None:
        connection.execute(insert(STATE).values(name=REVISION, number=1))


def _raise_revision(connection: Connection) -> None:
    connection.execute(update(STATE).where(STATE.c.name == REVISION).values(number=STATE.c.number + 1))


def _shown(query: Select[Any], include_removed: bool) -> Select[Any]:
    return query if include_removed else query.where(CASES.c.removed.is_(False))


def _chunks(values: list[T]) -> Iterator[list[T]]:
    for start in range(0, len(values), _CHUNK):
        yield values[start : start + _CHUNK]


def _to_case(record: Row[Any], names: tuple[str, ...], other_patients: tuple[str, ...]) -> Case:
    states = {name: FindingState(record.findings.get(name, FindingState.UNKNOWN)) for name in names}
    values = record._asdict()
    del values["source_bytes"], values["doubt"], values["added"]
    return Case(**{**values, "findings": states, "other_patients": other_patients})
