"""What can be mended of a workspace, without losing a case or a rating and without hiding that something was damaged.

What was computed is thrown away where it is damaged, and `index` computes it again. What was not computed comes back
out of a copy (`backup`), and only where another hash of the workspace proves that it is what was lost. Everything else
stays as it is, and `verify` goes on naming it.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

from icbir_core.catalogue.film_places import LEFT, LocalFilms
from icbir_core.catalogue.table import Catalogue
from icbir_core.catalogue.verifying import Check, check_database, guard, hash_film, list_artefacts
from icbir_core.catalogue.workspace import CATALOGUE, MANIFEST, SALT, Workspace
from icbir_core.errors import IcbirError, IndexMismatch, WorkspaceError
from icbir_core.files import PARTIAL_MARK, PathLike, read_json, sha256_of_file
from icbir_core.keeping.backup import HEAD, LOCKS, RATINGS, read_backup
from icbir_core.plurals import count_of
from icbir_core.retrieval.chunk_objects import ChunkObjects
from icbir_core.retrieval.store import CaseStore
from icbir_core.study.chain import Head
from icbir_core.study.store import RatingsStore
from icbir_core.study.verifying import verify_ratings

DAMAGED = "damaged"
"""Beside the workspace, its name with this ending: what was replaced is kept there."""
_COMPUTED = ("index/", "store/", "centre", "index:")


@dataclass(frozen=True)
class Mended:
    """One thing that was mended: its name in `verify`, and what was done, as a sentence. recompute : `index` must run
    now."""

    name: str
    text: str
    recompute: bool = False


def repair_workspace(path: PathLike, backup: PathLike | None = None) -> list[Mended]:
    """Mend what can be mended; returns what was. backup : a copy of this workspace, made by `backup`.

    `ingest`, `train` and `index` must not run; readers may. Raises `WorkspaceError` where one of them does, where the
    folder is no workspace even with the copy, and for a copy that is none.
    """
    copy = _Copy(backup) if backup is not None else None
    path = Path(path).absolute()
    found = list(_mend_manifest(path, copy))
    workspace = Workspace.open(path)
    with ExitStack() as stack:
        for name in LOCKS:
            stack.enter_context(workspace.lock(name, seconds=2.0))
        for mend in (_sweep, _mend_salt, _mend_catalogue, _mend_texts, _mend_ratings, _mend_films, _mend_artefacts):
            try:
                found += mend(workspace, copy)
            except IcbirError:
                continue  # `verify` names it, and it stays
        found += _drop_computed(workspace)
    _close_catalogue(workspace)
    return found


def _close_catalogue(workspace: Workspace) -> None:
    """Close it if it could be opened; it is opened anew at its next use."""
    held = vars(workspace).pop("catalogue", None)
    if held is not None:
        held.close()


class _Copy:
    """A copy of the workspace. Each file is compared with its own list before it is used."""

    def __init__(self, folder: PathLike):
        self.folder = Path(folder).absolute()
        self.files = read_backup(self.folder)["files"]

    def find(self, name: str) -> Path | None:
        """The file of this name, None where the copy lacks it or has it damaged."""
        file = self.folder / name
        whole = name in self.files and file.is_file() and sha256_of_file(file) == self.files[name]["sha256"]
        return file if whole else None


def _restore(root: Path, name: str, source: Path, label: str) -> Mended:
    """Put the copy's file in the place of a damaged one, which is kept."""
    target = root / name
    kept = root.with_name(f"{root.name}.{DAMAGED}") / datetime.now(UTC).strftime("%Y%m%d-%H%M%S") / name
    helpers = [target.with_name(target.name + ending) for ending in ("-wal", "-shm", "-journal")]
    for old in (target, *helpers):
        if old.is_file():
            kept.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            shutil.move(old, kept.with_name(old.name))
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.copy2(source, target)
    return Mended(label, f"'{name}' was restored from the copy.")


def _mend_manifest(path: Path, copy: _Copy | None) -> Iterator[Mended]:
    """A manifest that cannot be read comes back where it names the catalogue that is here."""
    try:
        Workspace.open(path)
        return
    except WorkspaceError:
        source = copy.find(MANIFEST) if copy else None
        if source is None or not (path / CATALOGUE).is_file():
            raise
    held = Catalogue(path / CATALOGUE)
    found = held.sha256()
    held.close()
    if read_json(source)["artefacts"].get("catalogue", {}).get("sha256") != found:
        raise WorkspaceError(
            f"The manifest of the copy is of another catalogue than '{path}' holds; take a newer copy."
        )
    yield _restore(path, MANIFEST, source, "manifest")


def _sweep(workspace: Workspace, copy: _Copy | None) -> list[Mended]:
    """Files that a killed writer left: nothing names them, and no writer is at work while the locks are held."""
    # Elsewhere others may be writing: searches, ratings, films that are received.
    places = [workspace.path / name for name in ("images", "models", "targets", "encoders")]
    left = [file for place in places for file in place.rglob(f".*{PARTIAL_MARK}*") if file.is_file()]
    for file in left:
        file.unlink(missing_ok=True)
    return [Mended("temporary files", f"{count_of(len(left), 'unfinished file')} removed.")] if left else []


def _mend_salt(workspace: Workspace, copy: _Copy | None) -> list[Mended]:
    path = workspace.path / SALT
    done: list[Mended] = []
    known = workspace.read_manifest()["artefacts"].get("catalogue", {}).get("salt_check")
    source = copy.find(SALT) if copy else None
    wrong = known is not None and _check_salt(workspace.path) != known
    if wrong and source is not None and _check_salt(source.parent) == known:
        done.append(_restore(workspace.path, SALT, source, "salt"))
    if path.is_file() and path.stat().st_mode & 0o077:
        path.chmod(0o600)
        done.append(Mended("salt", f"Only its owner can read '{SALT}' now; others could."))
    return done


def _check_salt(folder: Path) -> str | None:
    try:
        return Workspace(folder).salt_check
    except IcbirError:
        return None


def _mend_catalogue(workspace: Workspace, copy: _Copy | None) -> list[Mended]:
    entry = workspace.read_manifest()["artefacts"].get("catalogue", {})
    wanted = (entry.get("sha256"), entry.get("rest_sha256"))
    source = copy.find(CATALOGUE) if copy and not workspace.database_schema else None
    if source is None or _hash_catalogue(source) != wanted:
        return []
    here = workspace.path / CATALOGUE
    if _hash_catalogue(here) == wanted and _passes(guard(CATALOGUE, lambda: check_database(here))):
        return []
    _close_catalogue(workspace)
    return [_restore(workspace.path, CATALOGUE, source, "catalogue")]


def _hash_catalogue(path: Path) -> tuple[str, str] | None:
    """The two hashes that the manifest keeps; None where the database cannot be read or a page of it is damaged."""
    if not path.is_file():
        return None
    try:
        held = Catalogue(path)
        try:
            return held.sha256(), held.sha256_of_rest()
        finally:
            held.close()
    except IcbirError:
        return None


def _mend_texts(workspace: Workspace, copy: _Copy | None) -> list[Mended]:
    if not workspace.catalogue.find_text_fault():
        return []
    workspace.catalogue.migrate()
    return [Mended("texts", "The index of the reports was made anew from the reports.")]


def _mend_ratings(workspace: Workspace, copy: _Copy | None) -> list[Mended]:
    """The store comes back where the head proves that no rating was given since the copy; the head where the chain that
    is here holds the copy's, so that no rating from before the copy is lost."""
    if copy is None or workspace.database_schema or _passes(verify_ratings(workspace)):
        return []
    store, head = copy.find(RATINGS), copy.find(HEAD)
    if store is None or head is None:
        return []
    here = workspace.path / HEAD
    if here.is_file() and here.read_bytes() == head.read_bytes():
        return [_restore(workspace.path, RATINGS, store, "ratings")]
    faults, digests = _walk_ratings(workspace.path / RATINGS)
    if not faults and not Head(copy.folder / RATINGS).find_faults(digests):
        return [_restore(workspace.path, HEAD, head, "ratings")]
    return []


def _walk_ratings(path: Path) -> tuple[list[str], list[str]]:
    if not path.is_file():  # opening would begin one
        return ["missing"], []
    try:
        held = RatingsStore.open(path)
        try:
            return held.walk_chain()
        finally:
            held.close()
    except IcbirError as error:
        return [str(error)], []


def _mend_films(workspace: Workspace, copy: _Copy | None) -> list[Mended]:
    done: list[Mended] = []
    for batch in workspace.catalogue.iterate(include_removed=True) if copy else ():
        for case in batch:
            if not case.path or case.path.startswith(LEFT) or hash_film(workspace, case) == case.sha256:
                continue
            source = copy.find(case.path) if copy else None
            if source is not None and sha256_of_file(source) == case.sha256:
                if isinstance(workspace.films, LocalFilms):
                    done.append(_restore(workspace.path, case.path, source, "films"))
                else:
                    workspace.films.write(case.path, source.read_bytes())
                    done.append(Mended("films", f"'{case.path}' came back out of the copy"))
    return done


def _mend_artefacts(workspace: Workspace, copy: _Copy | None) -> list[Mended]:
    """Networks and other files that the manifest names with a hash."""
    done: list[Mended] = []
    for name, entry in workspace.read_manifest()["artefacts"].items() if copy else ():
        if name.startswith(_COMPUTED) or "path" not in entry or "sha256" not in entry:
            continue
        file = workspace.path / entry["path"]
        source = copy.find(entry["path"]) if copy and not file.is_dir() else None
        damaged = not file.is_file() or sha256_of_file(file) != entry["sha256"]
        if source is not None and damaged and sha256_of_file(source) == entry["sha256"]:
            done.append(_restore(workspace.path, entry["path"], source, name))
    return done


def _drop_computed(workspace: Workspace) -> list[Mended]:
    done: list[Mended] = []
    for name in list_artefacts(workspace):
        if not name.startswith(_COMPUTED):
            continue
        entry = workspace.read_manifest()["artefacts"][name]
        if "path" not in entry:
            continue
        place = workspace.path / entry["path"]
        proved = _passes(guard(name, partial(_check, workspace, name)))
        if name.startswith("store/"):
            with suppress(WorkspaceError):  # its place does not answer, which `verify` names
                done += _drop_store(name, place.parent, proved)
        elif not proved:
            shutil.rmtree(place) if place.is_dir() else place.unlink(missing_ok=True)
            done.append(Mended(name, "Thrown away, to be computed again.", recompute=True))
    return done


def _check(workspace: Workspace, name: str) -> Iterator[Check]:
    workspace.check_artefact(name)
    yield Check(name, True, "")


def _drop_store(name: str, folder: Path, proved: bool) -> list[Mended]:
    """Of maps and embeddings only the damaged chunks go, where the rest is proved by its hashes, and these by the
    manifest's."""
    try:
        if not proved:
            raise IndexMismatch("The hashes are not those that the manifest names.")
        store = CaseStore.open(folder)
        dropped, strays = store.drop_damaged(), store.objects.sweep()
    except IndexMismatch:
        ChunkObjects(folder).delete_all()
        shutil.rmtree(folder, ignore_errors=True)
        return [Mended(name, "All of it was thrown away, to be computed again from the films.", recompute=True)]
    done = [Mended(name, f"{count_of(strays, 'object')} that nothing names deleted.")] if strays else []
    if not dropped:
        return done
    return [*done, Mended(name, f"{count_of(dropped, 'case')} thrown away, to be computed again.", recompute=True)]


def _passes(checks: Iterable[Check]) -> bool:
    return all(check.passed for check in checks)
