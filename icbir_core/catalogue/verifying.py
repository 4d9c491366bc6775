"""Is the workspace what its manifest says? One check an item; nothing is changed."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from icbir_core.catalogue.film_places import LEFT, LocalFilms
from icbir_core.catalogue.folders import FOLDERS_FILE
from icbir_core.catalogue.ingesting import WORKERS
from icbir_core.catalogue.storing import read_case_radiograph
from icbir_core.catalogue.workspace import SALT, Workspace
from icbir_core.errors import FilmLost, IcbirError
from icbir_core.files import PathLike, reading_own, sha256_of_bytes
from icbir_core.plurals import count_of
from icbir_core.types import Case, Progress

# So many examples are named; the count is always whole.
_EXAMPLES = 5
DATABASES = ("catalogue.db", "ratings.db", FOLDERS_FILE)


@dataclass(frozen=True)
class Check:
    """The outcome of one check: what was looked at, whether it is right, and one sentence."""

    name: str
    passed: bool
    text: str


def verify_workspace(workspace: Workspace, progress: Progress | None = None) -> Iterator[Check]:
    """Yield a `Check` for the salt, the catalogue against the manifest, the films against the rows, each artefact.
    Every stored film is read and hashed, a few at a time."""
    tell = progress or (lambda done, total, text: None)
    yield from guard("salt", lambda: [_check_salt(workspace)])
    yield from guard("catalogue", lambda: [_check_catalogue(workspace)])
    for name in DATABASES:
        yield from guard(name, partial(check_database, workspace.path / name))
    yield from guard("texts", lambda: _check_texts(workspace))
    yield from guard("films", lambda: _check_films(workspace, tell))
    yield from guard("left in the archive", lambda: _check_left(workspace, tell))
    for name in list_artefacts(workspace):
        if name != "catalogue":
            yield from guard(name, partial(_check_artefact, workspace, name))


def guard(name: str, look: Callable[[], Iterable[Check]]) -> Iterator[Check]:
    """The checks of `look`; whatever it raises is one more that failed, so that the checks after it are made too."""
    try:
        yield from look()
    except IcbirError as error:
        yield Check(name, False, str(error))
    except Exception as error:
        yield Check(name, False, f"Damaged such that it cannot be looked at ({type(error).__name__}); restore it.")


def list_artefacts(workspace: Workspace) -> list[str]:
    """The names in the manifest, sorted; none where it cannot be read, which the check of the catalogue tells."""
    try:
        return sorted(workspace.read_manifest()["artefacts"])
    except IcbirError:
        return []


def _check_artefact(workspace: Workspace, name: str) -> Iterator[Check]:
    workspace.check_artefact(name)
    yield Check(name, True, "as the manifest says")


def check_database(file: PathLike) -> Iterator[Check]:
    """SQLite's own check of every page; nothing where there is no such file, as before the first rating."""
    path = Path(file)
    if not path.is_file():
        return
    with reading_own(f"'{path.name}'"), closing(sqlite3.connect(path)) as database:
        found = [str(row[0]) for row in database.execute("PRAGMA integrity_check(5)")]
    whole = found == ["ok"]
    yield Check(
        path.name, whole, "every page is whole" if whole else f"'{path.name}' is damaged; restore it from a copy."
    )


def _check_texts(workspace: Workspace) -> Iterator[Check]:
    fault = workspace.catalogue.find_text_fault()
    yield Check("texts", not fault, fault or "the index of the reports is that of the reports")


def _check_salt(workspace: Workspace) -> Check:
    path = workspace.path / SALT
    try:
        workspace.hash_secretly("")
    except IcbirError as error:
        return Check("salt", False, str(error))
    mode = path.stat().st_mode & 0o777
    if mode & 0o077:
        return Check("salt", False, f"Others on this machine can read '{SALT}' (mode {mode:o}); run chmod 600 on it.")
    known = workspace.read_manifest()["artefacts"].get("catalogue", {}).get("salt_check")
    if known is not None and known != workspace.salt_check:
        text = (
            f"'{SALT}' is not the salt of this workspace, so that patients are not recognised; restore it from a copy."
        )
        return Check("salt", False, text)
    return Check("salt", True, "readable by its owner only")


def _check_catalogue(workspace: Workspace) -> Check:
    entry = workspace.read_manifest()["artefacts"].get("catalogue")
    if entry is None:
        return Check("catalogue", False, "The manifest names no catalogue; run ingest (again).")
    count, found = workspace.catalogue.count(include_removed=True), workspace.catalogue.sha256()
    if found != entry["sha256"]:
        return Check(
            "catalogue",
            False,
            f"The manifest lists {entry.get('cases')} cases with hash {entry['sha256'][:12]}…, the catalogue holds "
            f"{count} with {found[:12]}…; run the ingest that was cut short again.",
        )
    if "rest_sha256" in entry and workspace.catalogue.sha256_of_rest() != entry["rest_sha256"]:
        text = "What is noted beside the cases is not as it was recorded; run the ingest that was cut short again, or "
        return Check("catalogue", False, text + "restore 'catalogue.db' from a copy.")
    return Check("catalogue", True, f"{count} cases, {len(workspace.catalogue.removed_rows())} of them removed")


@dataclass
class _Compared:
    """What a walk over the films found: the names of cases whose film is missing or another, and the films' names."""

    missing: list[str] = field(default_factory=list)
    changed: list[str] = field(default_factory=list)
    stored: set[str] = field(default_factory=set)


def _compare_films(workspace: Workspace, progress: Progress, left: bool) -> _Compared:
    """left : the films that were left in the archive, else those that are stored."""
    total, done, found = workspace.catalogue.count(include_removed=True), 0, _Compared()
    with ThreadPoolExecutor(WORKERS) as workers:
        for batch in workspace.catalogue.iterate(include_removed=True):
            # an erased case has no film
            kept = [case for case in batch if case.path and case.path.startswith(LEFT) == left]
            done += len(batch) - len(kept)
            hashes = workers.map(lambda case: hash_film(workspace, case), kept)
            for case, digest in zip(kept, hashes, strict=True):
                found.stored.add(case.path)
                if digest is None:
                    found.missing.append(case.case_id)
                elif digest != case.sha256:
                    found.changed.append(case.case_id)
                done += 1
                progress(done, total, "")
    return found


def _check_films(workspace: Workspace, progress: Progress) -> Iterator[Check]:
    found = _compare_films(workspace, progress, left=False)
    strays = sorted(path.partition("/")[2] for path in workspace.films.list_names() if path not in found.stored)
    total, advice = len(found.stored), "restore them from a copy"
    yield _judge("films", found.missing, f"{total} films present", "missing", advice)
    yield _judge("hashes", found.changed, f"{total - len(found.missing)} films unchanged", "changed", advice)
    if not isinstance(workspace.films, LocalFilms):
        left = sorted(name.partition("/")[2] for name in LocalFilms(workspace.path).list_names())
        yield _judge("left", left, "no film in the folder", "still in the folder", "run move-films again")
    yield _judge("strays", strays, "every stored film has its row", "without a row", "run the cut-short ingest again")


def _check_left(workspace: Workspace, progress: Progress) -> Iterator[Check]:
    """Nothing where no film was left in the archive. Each is fetched."""
    found = _compare_films(workspace, progress, left=True)
    if found.stored:
        lost, praise = [*found.missing, *found.changed], f"{len(found.stored)} films unchanged"
        yield _judge("left in the archive", lost, praise, "gone or changed in the archive (PACS)", "look there")


def hash_film(workspace: Workspace, case: Case) -> str | None:
    """The hash of a case's film as it lies there now, as its row has it; None where it is missing, or in the archive
    another one."""
    try:
        if case.path.startswith(LEFT):
            return read_case_radiograph(workspace, case).pixel_sha256
        return sha256_of_bytes(workspace.films.read(case.path))
    except FilmLost:
        return None


def _judge(name: str, found: list[str], praise: str, fault: str, advice: str) -> Check:
    if not found:
        return Check(name, True, praise)
    examples = ", ".join(found[:_EXAMPLES]) + (", …" if len(found) > _EXAMPLES else "")
    return Check(name, False, f"{count_of(len(found), 'film')} {fault} ({examples}); {advice}.")
