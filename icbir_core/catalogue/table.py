"""The case table, in SQLite or PostgreSQL: one row a case, each with a stable integer that is never reused."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import sqlalchemy as sa

from icbir_core.catalogue import table_version
from icbir_core.catalogue.copies import Copies, Copy, Held, Kept
from icbir_core.catalogue.film_places import LEFT
from icbir_core.catalogue.filtering import narrow
from icbir_core.catalogue.listing import Listing
from icbir_core.catalogue.schema import CASES, DEFAULTS, OTHER_PATIENTS, VERSION, VOCABULARY
from icbir_core.catalogue.table_hashes import hash_cases, hash_rest
from icbir_core.catalogue.text_index import find_fault, make_text_index, mend_text_index
from icbir_core.database import find_engine, make_schema
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


class Catalogue:
    """The cases of one workspace. Removed cases keep their row (a tombstone) and are left out unless asked for."""

    def __init__(self, path: PathLike, schema: str = ""):
        """path : of the file. schema : of the tables, where they lie in the database server that `ICBIR_DATABASE_URL`
        names; the path is then only a name."""
        self.path, self.schema = Path(path), schema
        self._digest: tuple[tuple[Any, ...], str] | None = None
        file = sa.URL.create("sqlite", database=str(self.path))
        wait = {"timeout": LOCK_SECONDS}
        self._engine = find_engine(schema) if schema else sa.create_engine(file, connect_args=wait)
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
            if not sa.inspect(self._engine).has_table(CASES.name):
                with self._connect() as connection:
                    table_version.make_tables(connection)
            missing = table_version.lacks_something(self._engine)
        if missing:
            self._bring_up_to_date()
        with self._connect() as connection:
            if make_text_index(connection) and version < VERSION:
                table_version.write_version(connection)
                connection.commit()

    # Reading

    def read_version(self) -> int:
        """Of the tables; 0 for those that were written before there was a version."""
        with self._connect() as connection:
            return table_version.read_version(connection)

    def read_revision(self) -> int:
        """A number that every change of the catalogue or of an index makes larger, whoever makes it."""
        with self._connect() as connection:
            return table_version.read_revision(connection)

    def raise_revision(self) -> None:
        """Tell every process that shows the workspace that what its answers rest on is another now."""
        with self._door(), self._engine.begin() as connection:
            table_version.raise_revision(connection)

    def migrate(self) -> int:
        """Make the tables those of this version; returns the version that they had."""
        before = self.read_version()
        with self._connect() as connection:
            if before < VERSION:
                table_version.write_version(connection)
                connection.commit()
            mend_text_index(connection)
        return before

    def find_text_fault(self) -> str:
        """What is wrong with the index of the texts, as a sentence; "" where nothing is."""
        with self._connect() as connection:
            return find_fault(connection)

    def count(self, include_removed: bool = False) -> int:
        """Number of cases."""
        query = sa.select(sa.func.count()).select_from(CASES)
        with self._connect() as connection:
            return int(connection.execute(_shown(query, include_removed)).scalar_one())

    def count_left(self) -> int:
        """Number of cases, removed ones too, whose film was left in the archive (PACS)."""
        query = sa.select(sa.func.count()).select_from(CASES).where(CASES.c.path.startswith(LEFT))
        with self._connect() as connection:
            return int(connection.execute(query).scalar_one())

    @property
    def findings(self) -> tuple[str, ...]:
        """Every finding that some case has a state for: the vocabulary's order first, then the alphabet."""
        with self._connect() as connection:
            names = connection.execute(sa.select(VOCABULARY.c.name)).scalars().all()
        return tuple(sorted(names, key=lambda name: (_ORDER.get(name, len(_ORDER)), name)))

    def cases(self, rows: Iterable[int] | None = None, include_removed: bool = False) -> list[Case]:
        """Cases in the order of `rows` (then removed ones too), or all of them ordered by row. Raises `CatalogueError`
        for a row that is not there."""
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
            later = sa.select(CASES).where(CASES.c.row > after).order_by(CASES.c.row).limit(batch)
            with self._connect() as connection:
                records = connection.execute(_shown(later, include_removed)).all()
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
                query = sa.select(*columns).where(CASES.c.case_id.in_(chunk))
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
                query = sa.select(CASES.c.case_id, CASES.c.patient).where(column == value).order_by(CASES.c.row)
                if (found := connection.execute(query.limit(1)).one_or_none()) is not None:
                    return Kept(found.case_id, found.patient, column is not CASES.c.instance)
        return None

    def find_of_patients(self, patients: Sequence[str], limit: int = 100) -> list[Case]:
        """The cases, not removed, of any of these hashed patients, also where they are known under one as well; at most
        `limit`, ordered by row."""
        known = sa.select(OTHER_PATIENTS.c.case_id).where(OTHER_PATIENTS.c.patient.in_(patients))
        query = sa.select(CASES).where(CASES.c.patient.in_(patients) | CASES.c.case_id.in_(known))
        with self._connect() as connection:
            records = connection.execute(_shown(query, False).order_by(CASES.c.row).limit(limit)).all()
        return self._make_cases(records)

    def eligible_rows(self, search_filter: SearchFilter | None = None) -> np.ndarray:
        """int64 (n,): rows, ascending, of the cases not removed that pass the filter; an unknown age fails a limit."""
        query = narrow(_shown(sa.select(CASES.c.row), include_removed=False), search_filter or SearchFilter())
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
        query = sa.select(CASES.c.row).where(CASES.c.removed.is_(True)).order_by(CASES.c.row)
        with self._connect() as connection:
            return np.array(connection.execute(query).scalars().all(), dtype=np.int64)

    def sha256(self) -> str:
        """Hash of all rows' content ordered by row; whether a case is removed does not enter it."""
        with self._connect() as connection:
            row, erased = CASES.c.row, sa.case((CASES.c.path == "", 1))
            counts = sa.select(sa.func.count(row), sa.func.max(row), sa.func.count(erased))
            extent = tuple(connection.execute(counts).one())  # rows are only added or erased: the same, if it is
            if self._digest is None or self._digest[0] != extent:
                self._digest = (extent, hash_cases(connection))
        return self._digest[1]

    def sha256_of_rest(self) -> str:
        """Hash of what `sha256` leaves out: the other columns but `removed`, and the other tables."""
        with self._connect() as connection:
            return hash_rest(connection)

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
            table_version.raise_revision(
                connection
            )  # first: whoever else writes waits here, and finds these rows taken
            self.copies.write(connection, copies, patients)
            if not records:
                return []
            first = int(connection.execute(sa.select(sa.func.coalesce(sa.func.max(CASES.c.row), -1))).scalar_one()) + 1
            rows = list(range(first, first + len(records)))
            taken = [record["case_id"] for record in records]
            query = sa.select(CASES.c.case_id).where(CASES.c.case_id.in_(taken)).limit(1)
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
            connection.execute(sa.insert(CASES), complete)
            known = set(connection.execute(sa.select(VOCABULARY.c.name)).scalars())
            fresh = {name for record in records for name in record["findings"]} - known
            if fresh:
                connection.execute(sa.insert(VOCABULARY), [{"name": name} for name in sorted(fresh)])
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
    def _connect(self) -> Iterator[sa.Connection]:
        with self._door(), self._engine.connect() as connection:
            yield connection

    def _bring_up_to_date(self) -> None:
        try:
            with self._connect() as connection:
                table_version.add_what_came_later(connection)
        except CatalogueError as error:
            raise CatalogueError(
                f"'{self.path}' was made by an earlier version: {error} Open it once where it can be written."
            ) from error

    def _make_cases(self, records: Sequence[sa.Row[Any]]) -> list[Case]:
        names = self.findings
        with self._door():
            others = self.copies.find_other_patients([record.case_id for record in records])
            return [_to_case(record, names, others.get(record.case_id, ())) for record in records]

    def _mark(self, case_id: str, removed: bool) -> Case:
        with self._door(), self._engine.begin() as connection:
            table_version.raise_revision(connection)
            connection.execute(sa.update(CASES).where(CASES.c.case_id == case_id).values(removed=removed))
        return self.get(case_id)

    def _fetch(self, condition: sa.ColumnElement[bool]) -> Sequence[sa.Row[Any]]:
        with self._connect() as connection:
            return connection.execute(sa.select(CASES).where(condition)).all()

    def _select_columns(self, columns: Sequence[Any], rows: Iterable[int] | None) -> list[tuple[Any, ...]]:
        query = sa.select(CASES.c.row, *columns).order_by(CASES.c.row)
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


def _shown(query: sa.Select[Any], include_removed: bool) -> sa.Select[Any]:
    return query if include_removed else query.where(CASES.c.removed.is_(False))


def _chunks(values: list[T]) -> Iterator[list[T]]:
    for start in range(0, len(values), _CHUNK):
        yield values[start : start + _CHUNK]


def _to_case(record: sa.Row[Any], names: tuple[str, ...], other_patients: tuple[str, ...]) -> Case:
    states = {name: FindingState(record.findings.get(name, FindingState.UNKNOWN)) for name in names}
    values = record._asdict()
    del values["source_bytes"], values["doubt"], values["added"]
    return Case(**{**values, "findings": states, "other_patients": other_patients})
