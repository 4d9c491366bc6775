"""A copy of a workspace while readers search and rate, and a workspace out of such a copy."""

from __future__ import annotations

import os
import re
import secrets
import shutil
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from icbir_core.audit import open_audit
from icbir_core.catalogue.film_places import LEFT
from icbir_core.catalogue.folders import FOLDERS_FILE, FolderStore
from icbir_core.catalogue.thumbnails import FOLDER as THUMBNAILS
from icbir_core.catalogue.workspace import CATALOGUE, DATABASE, FILMS, MANIFEST, MOVED, SALT, Workspace
from icbir_core.errors import WorkspaceError
from icbir_core.files import (
    PARTIAL_MARK,
    PathLike,
    read_json,
    reading_own,
    sha256_of_bytes,
    sha256_of_file,
    write_bytes_atomically,
    write_json_atomically,
)
from icbir_core.keeping.rows import copy_to_files
from icbir_core.keeping.vectors import fill_vectors, part_from_original, write_vectors
from icbir_core.retrieval.chunk_objects import ChunkObjects
from icbir_core.retrieval.target_files import list_stores
from icbir_core.study.store import RatingsStore
from icbir_core.types import Progress

LIST = "backup.json"
FORMAT = 1
RATINGS, HEAD = "ratings.db", "ratings.head"
# In this order: the head may lie behind its log, never before it.
_LOG = ("audit.head", "audit.jsonl")
# These write to what is copied file by file; searches and ratings go on.
LOCKS = ("catalogue", "training", "index")
_WRITING = ".writing.lock"
_LEFT_OUT = re.compile(rf"(\.lock|-wal|-shm|-journal|/objects\.url|{re.escape(MOVED)}\d*)$")


@dataclass(frozen=True)
class BackupReport:
    """What was written. files, size : how many, and their bytes; cases, ratings : of the workspace at that time; left :
    films that lie in the archive (PACS) alone, and so not in the copy; unindexed : findings that must be indexed again
    before they are searched."""

    files: int
    size: int
    cases: int
    ratings: int
    left: int = 0
    unindexed: tuple[str, ...] = ()


def back_up(
    workspace: Workspace, folder: PathLike, link: bool = False, progress: Progress | None = None
) -> BackupReport:
    """Copy the workspace into a new folder, with a list of every file and its hash; readers may search and rate.

    The databases are copied at one moment, then the films that the catalogue names; the copy of a workspace that lies
    in a database server is one in a folder. While it runs, `ingest`, `train` and `index` are refused; it is refused
    while one of them runs. A copy that was cut short leaves no folder of that name. link : films become further names
    of the same file (a hard link), where the file system allows it: quick and small, but no help against a broken disk.
    Raises `WorkspaceError` if the folder has content, or the workspace cannot be read.
    """
    folder = Path(folder).absolute()
    if folder.is_relative_to(workspace.path):
        raise WorkspaceError("A copy inside the workspace would be lost with it; name a folder elsewhere.")
    with _written_aside(folder) as aside, ExitStack() as stack:
        for name in LOCKS:
            stack.enter_context(workspace.lock(name, seconds=2.0))
        if workspace.database_schema:
            FolderStore.open(workspace.path / FOLDERS_FILE, workspace.database_schema)  # they take in what still lies
            open_audit(workspace)  # in the folder, where the workspace was moved and not used since
            _copy_log(workspace.path / _LOG[0], aside)
            copy_to_files(workspace.database_schema, aside)
            if not (aside / _LOG[1]).is_file():  # `ICBIR_AUDIT` names another, and a former one lies there
                _copy_log(workspace.path / _LOG[1], aside)
            _write_head(aside)
        else:
            _copy_databases(workspace, aside)
            for name in _LOG:
                _copy_log(workspace.path / name, aside)
        with workspace.lock("manifest"):
            manifest = workspace.read_manifest()
            outside = [bool(manifest.pop(key, "")) for key in (FILMS, DATABASE)]  # a copy holds all of it itself
            if any(outside):
                write_json_atomically(aside / MANIFEST, manifest)
            else:
                write_bytes_atomically(aside / MANIFEST, (workspace.path / MANIFEST).read_bytes())
        if outside[0]:
            _copy_films(workspace, aside)
        done = {CATALOGUE, RATINGS, FOLDERS_FILE, HEAD, MANIFEST, *_LOG}
        others = [name for name in _list_files(workspace.path) if name not in done]
        _copy_files(workspace.path, aside, others, link, progress)
        _copy_chunks(workspace, aside)
        unindexed = write_vectors(workspace, aside)
        names = _list_files(aside)
        entries: dict[str, dict[str, Any]] = {
            name: {"sha256": sha256_of_file(aside / name), "bytes": _measure(aside / name)} for name in names
        }
        opened = Workspace.open(aside)
        counts = {
            "cases": opened.catalogue.count(include_removed=True),
            "ratings": _count_ratings(aside),
            "left": opened.catalogue.count_left(),
        }
        opened.catalogue.close()
        for left in (*aside.glob(".*.lock"), *aside.glob("*.db-*")):
            if left.name != _WRITING:
                left.unlink()
        facts = {"format": FORMAT, "made": datetime.now(UTC).isoformat(timespec="seconds"), **counts, "files": entries}
        write_json_atomically(aside / LIST, facts)
    size = sum(int(one["bytes"]) for one in entries.values())
    return BackupReport(len(entries), size, counts["cases"], counts["ratings"], counts["left"], unindexed)


def restore_backup(backup: PathLike, folder: PathLike, progress: Progress | None = None) -> BackupReport:
    """Make a workspace out of a copy, in a new folder; each file is compared with its hash as it is written. Vectors of
    a database server go into the one that `ICBIR_DATABASE_URL` names now. Raises `WorkspaceError` if the folder has
    content, the copy is none, is damaged, or is of a newer version."""
    backup, folder = Path(backup).absolute(), Path(folder).absolute()
    listed = read_backup(backup)
    with _written_aside(folder) as aside:
        missing = [name for name in listed["files"] if not (backup / name).is_file()]
        if missing:
            raise WorkspaceError(
                f"{len(missing)} files of the copy are missing (such as '{missing[0]}'); take another."
            )
        _copy_files(backup, aside, list(listed["files"]), False, progress)
        wrong = [name for name, entry in listed["files"].items() if sha256_of_file(aside / name) != entry["sha256"]]
        if wrong:
            raise WorkspaceError(
                f"{len(wrong)} files of the copy are not what was copied (such as '{wrong[0]}'); take another copy."
            )
        if (aside / SALT).is_file():
            (aside / SALT).chmod(0o600)
        part_from_original(aside)
    unindexed = fill_vectors(Workspace.open(folder))
    size = sum(int(entry["bytes"]) for entry in listed["files"].values())
    cases, ratings, left = (int(listed.get(name, 0)) for name in ("cases", "ratings", "left"))
    return BackupReport(len(listed["files"]), size, cases, ratings, left, unindexed)


def read_backup(folder: PathLike) -> dict[str, Any]:
    """The list of a copy: "made", "cases", "ratings", "files" (name → "sha256", "bytes"). Raises `WorkspaceError`."""
    path = Path(folder) / LIST
    if not path.is_file():
        raise WorkspaceError(f"'{folder}' is no copy of a workspace: it lacks {LIST}; name the folder of one.")
    listed = read_json(path)
    known = isinstance(listed, dict) and isinstance(listed.get("files"), dict)
    if known and listed.get("format") != FORMAT:
        raise WorkspaceError(
            f"The copy was made by a newer version of this program (format {listed.get('format')}, this version reads "
            f"{FORMAT}); use that version."
        )
    names = listed["files"] if known else {}
    if not known or not all(_is_inside(name) for name in names):
        raise WorkspaceError(f"'{path}' is damaged; take another copy.")
    return dict(listed)


@contextmanager
def _written_aside(folder: Path) -> Iterator[Path]:
    """A hidden folder beside the one that is wanted, which takes its name once all of it is written.

    Its writer holds a lock in it, which the operating system frees when it is killed: what another is writing at
    this moment is not taken for what was left.
    """
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise WorkspaceError(f"The folder '{folder}' has content; name a new one.")
    folder.parent.mkdir(parents=True, exist_ok=True)
    for left in folder.parent.glob(f".{folder.name}.*{PARTIAL_MARK}"):  # of one that was cut short
        with suppress(Timeout, OSError), FileLock(left / _WRITING, timeout=0):
            shutil.rmtree(left, ignore_errors=True)
    aside = folder.with_name(f".{folder.name}.{secrets.token_hex(6)}{PARTIAL_MARK}")
    try:
        aside.mkdir(mode=0o700)
        with FileLock(aside / _WRITING, timeout=0):
            yield aside
            if folder.exists():
                folder.rmdir()
            os.replace(aside, folder)
            (folder / _WRITING).unlink(missing_ok=True)
    except OSError as error:
        raise WorkspaceError(
            f"'{folder}' cannot be written ({error.strerror}); make room and check its rights."
        ) from None
    finally:
        shutil.rmtree(aside, ignore_errors=True)


def _copy_databases(workspace: Workspace, aside: Path) -> None:
    """The databases as they are at one moment, and the head of the ratings as the copy's own."""
    for name in (RATINGS, CATALOGUE, FOLDERS_FILE):
        if not (workspace.path / name).is_file():
            continue
        with (
            reading_own(f"'{name}'"),
            closing(sqlite3.connect(workspace.path / name, timeout=30)) as source,
            closing(sqlite3.connect(aside / name)) as target,
        ):
            source.backup(target)
    _write_head(aside)


def _write_head(aside: Path) -> None:
    """The head of the ratings as the copy's own."""
    if (aside / RATINGS).is_file():
        store = RatingsStore.open(aside / RATINGS)
        store.move_head()
        store.close()


def _copy_films(workspace: Workspace, aside: Path) -> None:
    """Films that lie at a URL, each compared with the hash of its row."""
    for batch in workspace.catalogue.iterate(include_removed=True):
        for case in (one for one in batch if one.path and not one.path.startswith(LEFT)):
            data = workspace.films.read(case.path)
            if sha256_of_bytes(data) != case.sha256:
                raise WorkspaceError(f"The film of the case '{case.case_id}' is not the one that was stored.")
            write_bytes_atomically(aside / case.path, data)


def _copy_chunks(workspace: Workspace, aside: Path) -> None:
    """Maps and embeddings that lie at a URL, each chunk compared with its hash."""
    for store in list_stores(workspace):
        ChunkObjects(store).copy_to(aside / store.relative_to(workspace.path))


def _copy_log(path: Path, aside: Path) -> None:
    """A file that grows, up to its last whole line."""
    if path.is_file():
        data = path.read_bytes()
        write_bytes_atomically(aside / path.name, data[: data.rfind(b"\n") + 1], mode=0o600)


def _copy_files(source: Path, target: Path, names: list[str], link: bool, progress: Progress | None) -> None:
    for done, name in enumerate(names, start=1):
        (target / name).parent.mkdir(parents=True, exist_ok=True)
        copy: Callable[[Path, Path], object] = shutil.copy2
        if link and name.startswith("images/"):
            copy = _link
        try:
            copy(source / name, target / name)
        except FileNotFoundError:
            if name.startswith("images/"):  # films stay; what is sent or computed meanwhile may go
                raise
        if progress is not None:
            progress(done, len(names), "")


def _link(source: Path, target: Path) -> None:
    try:
        os.link(source, target)
    except OSError:  # another file system
        shutil.copy2(source, target)


def _list_files(folder: Path) -> list[str]:
    """The files that belong to a workspace, by their names within it, sorted."""
    found = (path for path in folder.rglob("*") if path.is_file())
    names = (path.relative_to(folder).as_posix() for path in found)
    kept = (name for name in names if not name.startswith(f"{THUMBNAILS}/"))
    return sorted(name for name in kept if PARTIAL_MARK not in name and not _LEFT_OUT.search(name))


def _count_ratings(folder: Path) -> int:
    if not (folder / RATINGS).is_file():
        return 0
    store = RatingsStore.open(folder / RATINGS)
    try:
        return store.count()
    finally:
        store.close()


def _measure(path: Path) -> int:
    return path.stat().st_size


def _is_inside(name: object) -> bool:
    return isinstance(name, str) and not Path(name).is_absolute() and ".." not in Path(name).parts
