"""Erase cases from everything that a workspace computed of them, and show that nothing is left."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from icbir_core.catalogue import Workspace, record_catalogue
from icbir_core.catalogue.erasing import (
    erase_from_catalogue,
    find_to_erase,
    list_traces,
    name_erased,
    search_bytes,
    search_tables,
)
from icbir_core.catalogue.workspace import MOVED
from icbir_core.files import PathLike
from icbir_core.retrieval.methods import PGVECTOR
from icbir_core.retrieval.search_index import read_kind
from icbir_core.retrieval.store import CaseStore
from icbir_core.retrieval.target_files import list_stores
from icbir_core.types import Case

_STORE = "store/"
_COMPUTED = ("evaluation", "cache", "checks")
"""Folders of values that a command computes again when it needs them."""


@dataclass(frozen=True)
class Erasure:
    """What is to be erased. traces : texts by which the cases could be known in a file."""

    cases: tuple[Case, ...]
    traces: tuple[str, ...]

    @property
    def names(self) -> dict[str, str]:
        """Name → the one that stands in its place, of the cases and of their films as readers upload them."""
        films = {f"film:{case.pixel_sha256[:24]}": name_erased(case.row) for case in self.cases}
        return films | {case.case_id: name_erased(case.row) for case in self.cases}


def plan_erasure(workspace: Workspace, case_ids: Sequence[str], patients: Sequence[str]) -> Erasure:
    """What `erase_from_workspace` would erase. Raises `CatalogueError` for an unknown case or patient."""
    cases = find_to_erase(workspace, case_ids, patients)
    return Erasure(tuple(cases), tuple(list_traces(workspace, cases)))


def erase_from_workspace(workspace: Workspace, erasure: Erasure) -> None:
    """Erase films, rows, maps, embeddings, and the indexes, which `index` then builds anew without the cases.

    The catalogue comes last, so that the same call goes on after a kill. Raises `WorkspaceError` while films are added
    or indexed.
    """
    rows = np.array([case.row for case in erasure.cases], np.int64)
    with workspace.lock("catalogue", seconds=2.0), workspace.lock("index", seconds=2.0):
        artefacts = workspace.read_manifest()["artefacts"]
        names = {(workspace.path / artefacts[one]["path"]).parent: one for one in artefacts if one.startswith(_STORE)}
        for folder in list_stores(workspace):  # also of an indexing that was cut short, which no artefact names yet
            store = CaseStore.open(folder)
            if len(done := store.get_completed()):
                empty = {one: np.zeros((len(rows), *store.read(one, done[:1]).shape[1:])) for one in store.names}
                store.write(rows, empty)
            store.objects.sweep()  # what a killed writer left
            if folder in names:
                workspace.record_artefact(names[folder], {"path": store.seal()})
        _forget_vectors(workspace)
        for target in (one for one in (workspace.path / "targets").glob("*") if one.is_dir()):
            for folder in (target / "index", target / "training"):
                shutil.rmtree(folder, ignore_errors=True)
            for centre in target.glob("centre*.npz"):
                centre.unlink()
        for former in workspace.path.glob(f"*.db{MOVED}*"):  # of a workspace that was moved into a database server
            former.unlink()
        for folder_name in _COMPUTED:
            shutil.rmtree(workspace.path / folder_name, ignore_errors=True)
        erase_from_catalogue(workspace, erasure.cases)
        record_catalogue(Workspace.open(workspace.path))


def _forget_vectors(workspace: Workspace) -> None:
    """Take the vectors of every index out of the database, before the folders go that name them."""
    for path in (workspace.path / "targets").glob("*/index/*/manifest.json"):
        if read_kind(path.parent) == PGVECTOR:
            from icbir_core.retrieval.vector_index import forget_folder

            forget_folder(path.parent)


@dataclass(frozen=True)
class Remains:
    """What was searched for traces, and where some were found. files, size : of the folder, with their bytes; tables,
    rows : of the database server, 0 where the workspace lies in its folder; left : names of files and tables."""

    files: int
    size: int
    tables: int
    rows: int
    left: tuple[str, ...]


def find_remains(workspace: Workspace, erasure: Erasure, outbox: PathLike) -> Remains:
    """Search every byte of the workspace's folder and of the outbox, and every row of its schema."""
    files, size, left = search_bytes(workspace.path, erasure.traces)
    more, bytes_more, waiting = search_bytes(outbox, erasure.traces)
    files, size, left = files + more, size + bytes_more, [*left, *(f"the outbox, {name}" for name in waiting)]
    schema = workspace.database_schema
    tables, rows, held = search_tables(schema, erasure.traces) if schema else (0, 0, [])
    return Remains(files, size, tables, rows, (*left, *(f"the table {name}" for name in held)))
