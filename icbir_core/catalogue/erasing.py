"""A case out of the catalogue so that no byte of it remains: its film, its row, what lies beside its row, free pages.

The row's number stays with a name that says nothing: maps and embeddings are found by it, and none is given twice.
"""

from __future__ import annotations

import mmap
import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import sqlalchemy as sa

from icbir_core.catalogue import text_index
from icbir_core.catalogue.film_places import LocalFilms
from icbir_core.catalogue.ingesting import DOUBTFUL_FILE, SKIPPED_FILE
from icbir_core.catalogue.layouts import LAYOUTS
from icbir_core.catalogue.schema import CASES, COPIES, METADATA, OTHER_PATIENTS
from icbir_core.catalogue.table_version import raise_revision
from icbir_core.catalogue.thumbnails import find_thumbnail
from icbir_core.catalogue.workspace import CATALOGUE, Workspace
from icbir_core.database import erasing, find_engine, reaching, write_anew
from icbir_core.errors import CatalogueError
from icbir_core.files import PathLike, reading_own
from icbir_core.types import Case

_KEPT = ("row", "view", "sex", "source", "findings")
"""Columns that must hold something; what they get says nothing."""
_SHORTEST = 4
_CHUNK = 500


def name_erased(row: int) -> str:
    """The name that stands in the place of an erased case's."""
    return f"erased-{row:06d}"


def find_to_erase(workspace: Workspace, case_ids: Sequence[str], patients: Sequence[str]) -> list[Case]:
    """The cases of these names and of these patients, also those that are known under another patient too.

    patients : numbers as the data set or the header has them, or hashes as this workspace has them. Raises
    `CatalogueError` for a name or a patient that is not there.
    """
    found = {case.row: case for case in (workspace.catalogue.get(name) for name in case_ids)}
    everyone = workspace.catalogue.cases(include_removed=True) if patients else []
    for patient in patients:
        hashes = {patient.strip().lower(), workspace.hash_patient(patient)}
        hashes |= {workspace.hash_patient(f"{layout}:{patient.strip()}") for layout in LAYOUTS}
        own = [case for case in everyone if hashes & {case.patient, *case.other_patients} - {None}]
        if not own:
            raise CatalogueError("The catalogue has no case of that patient; give the number as the data set has it.")
        found |= {case.row: case for case in own}
    if erased := next((case for case in found.values() if not case.path), None):
        raise CatalogueError(f"The case '{erased.case_id}' is erased already.")
    return [found[row] for row in sorted(found)]


def list_traces(workspace: Workspace, cases: Sequence[Case]) -> list[str]:
    """Everything by which the cases could be known in a file: names, also of their copies, hashes, texts."""
    traces: list[str | None] = [text for case in cases for text in (case.case_id, case.path)]
    traces += [text for case in cases for text in (case.sha256, case.pixel_sha256, case.stored_sha256)]
    traces += [line for case in cases for text in (case.report, case.diagnosis) if text for line in text.splitlines()]
    names = [case.case_id for case in cases]
    own, others = CASES.c.case_id.in_(names), CASES.c.case_id.not_in(names)
    known = sa.select(CASES.c.patient).where(others, CASES.c.patient.is_not(None))
    second = sa.select(OTHER_PATIENTS.c.patient).where(OTHER_PATIENTS.c.case_id.not_in(names))
    with _reaching(workspace) as engine, engine.connect() as connection:
        for query in (
            sa.select(COPIES.c.case_id).where(COPIES.c.kept.in_(names)),
            sa.select(CASES.c.patient).where(own, CASES.c.patient.not_in(known), CASES.c.patient.not_in(second)),
            sa.select(CASES.c.instance).where(own),
        ):
            traces += connection.execute(query).scalars().all()
    return [one for one in dict.fromkeys(traces) if one and len(one.strip()) >= _SHORTEST]


def erase_from_catalogue(workspace: Workspace, cases: Sequence[Case]) -> None:
    """Take films and rows away. Killed at any point, the same call does the rest. Raises `CatalogueError`."""
    for case in cases:
        for place in (workspace.films, LocalFilms(workspace.path)):  # a move that was cut short leaves films there
            place.delete(case.path)
        find_thumbnail(workspace, case).unlink(missing_ok=True)
    for name in (SKIPPED_FILE, DOUBTFUL_FILE):  # lists of the last ingest, which name files
        (workspace.path / name).unlink(missing_ok=True)
    values = {column.name: None for column in CASES.columns if column.name not in _KEPT}
    with _reaching(workspace) as engine:
        with erasing(engine) as connection:
            raise_revision(connection)
            for case in cases:
                own: dict[str, object] = values | {"removed": True, "orientation_verified": False, "path": ""}
                own |= dict.fromkeys(("case_id", "sha256", "pixel_sha256"), name_erased(case.row))
                own |= {"view": "unknown", "sex": "unknown", "source": "erased", "findings": {}}
                connection.execute(sa.update(CASES).where(CASES.c.row == case.row).values(**own))
                copied = (COPIES.c.kept == case.case_id) | (COPIES.c.case_id == case.case_id)
                connection.execute(sa.delete(COPIES).where(copied))
                connection.execute(sa.delete(OTHER_PATIENTS).where(OTHER_PATIENTS.c.case_id == case.case_id))
            if text_index.has_text_index(connection):
                connection.exec_driver_sql(text_index.REBUILD)
        write_anew(engine, METADATA.tables)


def search_bytes(folder: PathLike, traces: Iterable[str]) -> tuple[int, int, list[str]]:
    """Look for texts in every byte of every file: (files, bytes, relative names of the files that hold one). A text
    counts where it stands by itself: "case1" is not found in "case10"."""
    pattern = _make_pattern(traces)
    files, size, found, folder = 0, 0, [], Path(folder)
    for path in sorted(one for one in folder.rglob("*") if one.is_file() and not one.is_symlink()):
        files, length = files + 1, path.stat().st_size
        size += length
        name = path.relative_to(folder).as_posix()
        held = pattern is not None and pattern.search(name.encode("utf-8", "surrogateescape")) is not None
        if length and pattern is not None and not held:
            with open(path, "rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
                held = pattern.search(data) is not None
        if held:
            found.append(name)
    return files, size, found


_COLUMNS = """SELECT table_name, column_name FROM information_schema.columns WHERE table_schema = current_schema()
    AND data_type NOT IN ('bytea', 'USER-DEFINED') ORDER BY table_name, ordinal_position"""
"""What can be read as text; the rest are sealed films and vectors, which hold no name."""


def search_tables(schema: str, traces: Iterable[str]) -> tuple[int, int, list[str]]:
    """Look for texts in every row of every table of a schema of the named server: (tables, rows, names of the tables
    that hold one)."""
    pattern, columns, rows, found = _make_pattern(traces), defaultdict[str, list[str]](list), 0, []
    with reaching("The database", CatalogueError), find_engine(schema).connect() as connection:
        for table, column in connection.exec_driver_sql(_COLUMNS):
            columns[table].append(f'"{column}"::text')
        for table, names in columns.items():
            query = f"""SELECT concat_ws(E'\\n', {", ".join(names)}) FROM "{table}" """
            held = False
            for text in connection.execution_options(yield_per=_CHUNK).exec_driver_sql(query).scalars():
                rows += 1
                held = held or (pattern is not None and pattern.search(text.encode()) is not None)
            found += [table] if held else []
    return len(columns), rows, found


def _make_pattern(traces: Iterable[str]) -> re.Pattern[bytes] | None:
    """Any of the texts, by itself; None for no text."""
    parts = sorted({re.escape(form) for text in traces for form in _write_forms(text)}, key=len, reverse=True)
    return re.compile(rb"(?<![A-Za-z0-9_])(?:" + b"|".join(parts) + rb")(?![A-Za-z0-9_])") if parts else None


def _write_forms(text: str) -> set[bytes]:
    """A text as it may stand in a file: plain, and as JSON with escapes."""
    escaped = text.encode("unicode_escape").replace(b"\\x", b"\\u00")
    return {text.encode("utf-8", "surrogateescape"), escaped}


@contextmanager
def _reaching(workspace: Workspace) -> Iterator[sa.Engine]:
    """Connections of its own to the catalogue's database; what a driver raises becomes a `CatalogueError`."""
    workspace.catalogue.close()
    schema, file = workspace.database_schema, workspace.path / CATALOGUE
    engine = find_engine(schema) if schema else sa.create_engine(f"sqlite:///{file}", connect_args={"timeout": 30})
    try:
        with reading_own("The catalogue", CatalogueError, "restore it from a copy"):
            yield engine
    finally:
        engine.dispose()
