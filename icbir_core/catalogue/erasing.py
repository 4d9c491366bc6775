"""A case out of the catalogue so that no byte of it remains: its film, its row, what lies beside its row, free pages.

The row's number stays with a name that says nothing: maps and embeddings are found by it, and none is given twice.
"""

from __future__ import annotations

import mmap
import re
import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path

from icbir_core.catalogue import text_index
from icbir_core.catalogue.film_places import LocalFilms
from icbir_core.catalogue.ingesting import DOUBTFUL_FILE, SKIPPED_FILE
from icbir_core.catalogue.layouts import LAYOUTS
from icbir_core.catalogue.thumbnails import find_thumbnail
from icbir_core.catalogue.workspace import Workspace
from icbir_core.errors import CatalogueError
from icbir_core.files import PathLike, reading_own
from icbir_core.types import Case

_KEPT = ("row", "view", "sex", "source", "findings")
"""Columns that must hold something; what they get says nothing."""
_SHORTEST = 4


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
    marks = ", ".join("?" * len(names))
    with _open(workspace) as database:
        for query in (
            f"SELECT case_id FROM copies WHERE kept IN ({marks})",
            f"SELECT patient FROM cases WHERE case_id IN ({marks}) AND patient NOT IN "
            f"(SELECT patient FROM cases WHERE case_id NOT IN ({marks}) AND patient IS NOT NULL) AND patient NOT IN "
            f"(SELECT patient FROM other_patients WHERE case_id NOT IN ({marks}))",
            f"SELECT instance FROM cases WHERE case_id IN ({marks})",
        ):
            traces += [row[0] for row in database.execute(query, names * (query.count("?") // len(names)))]
    return [one for one in dict.fromkeys(traces) if one and len(one.strip()) >= _SHORTEST]


def erase_from_catalogue(workspace: Workspace, cases: Sequence[Case]) -> None:
    """Take films and rows away. Killed at any point, the same call does the rest. Raises `CatalogueError`."""
    for case in cases:
        for place in (workspace.films, LocalFilms(workspace.path)):  # a move that was cut short leaves films there
            place.delete(case.path)
        find_thumbnail(workspace, case).unlink(missing_ok=True)
    for name in (SKIPPED_FILE, DOUBTFUL_FILE):  # lists of the last ingest, which name files
        (workspace.path / name).unlink(missing_ok=True)
    with _open(workspace) as database:
        columns = [row[1] for row in database.execute("PRAGMA table_info(cases)") if row[1] not in _KEPT]
        values = {name: None for name in columns} | {"removed": 1, "orientation_verified": 0, "path": ""}
        with database:
            for case in cases:
                empty = name_erased(case.row)
                own = values | dict.fromkeys(("case_id", "sha256", "pixel_sha256"), empty)
                own |= {"view": "unknown", "sex": "unknown", "source": "erased", "findings": "{}"}
                setting = ", ".join(f"{name} = :{name}" for name in own)
                database.execute(f"UPDATE cases SET {setting} WHERE row = :row", own | {"row": case.row})
                database.execute("DELETE FROM copies WHERE kept = ? OR case_id = ?", (case.case_id, case.case_id))
                database.execute("DELETE FROM other_patients WHERE case_id = ?", (case.case_id,))
            database.execute("UPDATE state SET number = number + 1 WHERE name = 'revision'")
            if database.execute("SELECT 1 FROM sqlite_master WHERE name = ?", (text_index.TABLE,)).fetchone():
                database.execute(text_index.REBUILD)
        database.execute("VACUUM")


def search_bytes(folder: PathLike, traces: Iterable[str]) -> tuple[int, int, list[str]]:
    """Look for texts in every byte of every file: (files, bytes, relative names of the files that hold one).

    A text counts where it stands by itself: "case1" is not found in "case10".
    """
    parts = sorted({re.escape(form) for text in traces for form in _write_forms(text)}, key=len, reverse=True)
    pattern = re.compile(rb"(?<![A-Za-z0-9_])(?:" + b"|".join(parts) + rb")(?![A-Za-z0-9_])") if parts else None
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


def _write_forms(text: str) -> set[bytes]:
    """A text as it may stand in a file: plain, and as JSON with escapes."""
    escaped = text.encode("unicode_escape").replace(b"\\x", b"\\u00")
    return {text.encode("utf-8", "surrogateescape"), escaped}


@contextmanager
def _open(workspace: Workspace) -> Iterator[sqlite3.Connection]:
    """The catalogue's file, where what is deleted is written over; what SQLite raises becomes a `CatalogueError`."""
    workspace.catalogue.close()
    path = workspace.path / "catalogue.db"
    with (
        reading_own(f"The catalogue '{path.name}'", CatalogueError, "restore it from a copy"),
        closing(sqlite3.connect(path, timeout=30)) as database,
    ):
        database.execute("PRAGMA secure_delete = ON")
        yield database
