"""A workspace whose catalogue and ratings lie in its folder becomes one that keeps them in a database server."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass

from sqlalchemy import Engine, MetaData, create_engine

from icbir_core.catalogue import schema as catalogue_schema
from icbir_core.catalogue.film_places import LEFT, LocalFilms, check_url, draw_place, open_films
from icbir_core.catalogue.table import Catalogue
from icbir_core.catalogue.verifying import hash_film
from icbir_core.catalogue.workspace import CATALOGUE, DATABASE, FILMS, MANIFEST, MOVED, Workspace
from icbir_core.database import draw_schema, find_engine, reaching
from icbir_core.errors import IcbirError, WorkspaceError
from icbir_core.files import sha256_of_bytes, write_bytes_atomically, write_json_atomically
from icbir_core.keeping.backup import RATINGS
from icbir_core.keeping.rows import copy_rows
from icbir_core.retrieval.chunk_objects import ChunkObjects
from icbir_core.retrieval.target_files import list_stores
from icbir_core.study import schema as ratings_schema
from icbir_core.study.store import RatingsStore
from icbir_core.types import Case, Progress

_LOCKS = ("catalogue", "training", "index")
_SCHEMA_NOTE, _FILMS_NOTE = f".schema{MOVED}", f".films{MOVED}"
"""Name the schema and the address that a move fills, so that the next one finds what a killed one left."""


@dataclass(frozen=True)
class MoveReport:
    """What was moved. schema : where it lies now."""

    schema: str
    cases: int
    ratings: int


@dataclass(frozen=True)
class FilmsMoved:
    """What was moved. films : copied and compared; address : where all films lie now; deleted : of the folder; left :
    files in the folder that are no film of a case as it was stored; chunks : of maps and embeddings."""

    films: int
    address: str
    deleted: int
    left: int
    chunks: int


def move_to_database(workspace: Workspace) -> MoveReport:
    """Copy every row into a new schema of the server that `ICBIR_DATABASE_URL` names, compare all hashes, and only then
    say so in the manifest; the files stay with the ending `.moved`. Killed before, the workspace is as it was.

    No page may serve the workspace meanwhile: a rating that is given during the copy would be left behind, which is
    found, and the move is refused. Raises `WorkspaceError`.
    """
    if workspace.database_schema:
        raise WorkspaceError("This workspace lies in a database server already.")
    schema, file = draw_schema(), workspace.path / RATINGS
    with workspace.lock(_LOCKS[0], 2.0), workspace.lock(_LOCKS[1], 2.0), workspace.lock(_LOCKS[2], 2.0):
        wanted = workspace.catalogue.sha256(), workspace.catalogue.sha256_of_rest()
        note = workspace.path / _SCHEMA_NOTE
        if note.is_file():
            _drop(note.read_text())
        write_bytes_atomically(note, schema.encode())
        with _dropped_where_refused(schema):
            catalogue = Catalogue(workspace.path / CATALOGUE, schema)
            _copy(f"sqlite:///{workspace.path / CATALOGUE}", find_engine(schema), catalogue_schema.METADATA)
            if (catalogue.sha256(), catalogue.sha256_of_rest()) != wanted:
                raise WorkspaceError("The catalogue in the database is not the one in the folder; nothing was changed.")
            ratings = _move_ratings(workspace, schema) if file.is_file() else 0
            count = catalogue.count(include_removed=True)
        with workspace.lock("manifest"):
            write_json_atomically(workspace.path / MANIFEST, workspace.read_manifest() | {DATABASE: schema})
        note.unlink()
        workspace.catalogue.close()
        for name in (CATALOGUE, RATINGS):
            if (workspace.path / name).is_file():
                (workspace.path / name).rename(workspace.path / f"{name}{MOVED}")
    return MoveReport(schema, count, ratings)


@contextmanager
def _dropped_where_refused(schema: str) -> Iterator[None]:
    """What was copied into a new schema goes again where the block raises: nobody would look for it there."""
    try:
        yield
    except IcbirError:
        with suppress(IcbirError):
            _drop(schema)
        raise


def _drop(schema: str) -> None:
    with reaching("The database"), find_engine(schema).begin() as connection:
        connection.exec_driver_sql(f'DROP SCHEMA IF EXISTS "{schema}" CASCADE')


def move_films(workspace: Workspace, url: str, progress: Progress | None = None) -> FilmsMoved:
    """Copy every film to a place below a URL, read each back and compare its hash, and only then say so in the manifest
    and delete the films of the folder; then move maps and embeddings, chunk by chunk. Killed before the manifest says
    so, the workspace is as it was, and a second call to the same URL fills the same place; killed after it, a second
    call does the rest. Nobody may write to the workspace meanwhile: no page, worker or receiver.

    Raises `WorkspaceError` where all of it lies at a URL already, cannot be written, or is not what was stored.
    """
    local, address = LocalFilms(workspace.path), str(workspace.read_manifest().get(FILMS, ""))
    stores = [ChunkObjects(store) for store in list_stores(workspace)]
    waiting = sum(store.count_in_folder() for store in stores)
    if address and not waiting and not local.list_names():
        raise WorkspaceError("The films of this workspace lie outside its folder already.")
    films, total = 0, workspace.catalogue.count(include_removed=True)
    tell = progress or (lambda done, total, text: None)
    with workspace.lock(_LOCKS[0], 2.0), workspace.lock(_LOCKS[1], 2.0), workspace.lock(_LOCKS[2], 2.0):
        if not address:
            note = workspace.path / _FILMS_NOTE
            begun = note.read_text() if note.is_file() else ""
            address = begun if begun.startswith(f"{check_url(url)}/") else draw_place(url)
            write_bytes_atomically(note, address.encode())
            place = open_films(workspace.path, address)
            for name in set(place.list_names() if begun == address else ()) - set(local.list_names()):
                place.delete(name)  # of a case that was erased in between
            for case in _list_with_film(workspace):
                place.write(case.path, local.read(case.path))
                if sha256_of_bytes(place.read(case.path)) != case.sha256:
                    raise WorkspaceError(f"The film of the case '{case.case_id}' is not the one that was stored.")
                films += 1
                tell(films, total, "")
            with workspace.lock("manifest"):
                write_json_atomically(workspace.path / MANIFEST, workspace.read_manifest() | {FILMS: address})
            note.unlink()
        deleted = _delete_left(workspace, local)
        done = itertools.count(1)
        chunks = sum(store.move(address, lambda: tell(next(done), waiting, "maps and embeddings")) for store in stores)
    return FilmsMoved(films, address, deleted, len(local.list_names()), chunks)


def _list_with_film(workspace: Workspace) -> Iterator[Case]:
    batches = workspace.catalogue.iterate(include_removed=True)
    # an erased case has none, and one in the archive stays there
    return (case for batch in batches for case in batch if case.path and not case.path.startswith(LEFT))


def _delete_left(workspace: Workspace, local: LocalFilms) -> int:
    """Delete the films of the folder that lie at the URL, each compared with its row at both places; how many."""
    left, deleted = set(local.list_names()), 0
    for case in _list_with_film(workspace) if left else ():
        if case.path not in left or sha256_of_bytes(local.read(case.path)) != case.sha256:
            continue
        if hash_film(workspace, case) != case.sha256:
            raise WorkspaceError(f"The film of the case '{case.case_id}' is at the URL not as it was stored.")
        local.delete(case.path)
        deleted += 1
    return deleted


def _move_ratings(workspace: Workspace, schema: str) -> int:
    """Copy the ratings with their chain; how many."""
    file = workspace.path / RATINGS
    former, moved = RatingsStore.open(file), RatingsStore.open(file, schema)
    try:
        _copy(f"sqlite:///{file}", find_engine(schema), ratings_schema.METADATA)
        count = former.count()
        if faults := moved.find_faults():  # also by the head, which knows the last rating
            raise WorkspaceError(f"The ratings were not moved: {faults[0]}")
    finally:
        former.close()
    return count


def _copy(source: str, target: Engine, metadata: MetaData) -> None:
    origin = create_engine(source)
    try:
        with reaching("The database", WorkspaceError), origin.connect() as reading, target.begin() as writing:
            copy_rows(reading, writing, metadata)
    finally:
        origin.dispose()
