"""The vectors of an index that lies in a database server (pgvector), in a copy of the workspace and out of it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from icbir_core.catalogue.workspace import Workspace
from icbir_core.errors import IcbirError
from icbir_core.files import PathLike, read_json, write_json_atomically
from icbir_core.retrieval.methods import PGVECTOR
from icbir_core.retrieval.search_index import read_kind
from icbir_core.retrieval.target_files import INDEX

_MANIFEST = "manifest.json"
_ROWS, _VECTORS = "rows-copied.npy", "vectors-copied.npy"
"""An index's folder loses them as soon as it is built or filled: no manifest names them."""


def list_vector_folders(folder: PathLike) -> Iterator[Path]:
    """The folders of a workspace whose index keeps its vectors in a database server."""
    found = sorted(Path(folder).glob(f"targets/*/index/*/{_MANIFEST}"))
    return (one.parent for one in found if read_kind(one.parent) == PGVECTOR)


def write_vectors(workspace: Workspace, aside: PathLike) -> tuple[str, ...]:
    """Write the vectors of each such index into its folder of the copy. The findings of which some cannot be read: the
    embeddings that they come from are in the copy."""
    from icbir_core.retrieval.vector_index import CHUNK, VectorIndex

    left = set()
    for folder in list_vector_folders(workspace.path):
        target = Path(aside) / folder.relative_to(workspace.path)
        try:
            index = VectorIndex.open(folder)
            target.mkdir(parents=True, exist_ok=True)
            shape = (len(index), index.dimension)
            vectors = np.lib.format.open_memmap(target / _VECTORS, mode="w+", dtype=np.float32, shape=shape)
            for start in range(0, len(index), CHUNK):
                part = slice(start, start + CHUNK)
                vectors[part] = index.get_vectors(index.rows[part])
            vectors.flush()
            np.save(target / _ROWS, index.rows)
        except IcbirError:
            if not (target / _ROWS).is_file():  # a restored folder hands on those that came with it
                left |= {_read_finding(name) for name in _list_names(workspace, folder)}
    return tuple(sorted(left))


def _list_names(workspace: Workspace, folder: Path) -> list[str]:
    path = folder.relative_to(workspace.path).as_posix()
    return [name for name, entry in workspace.read_manifest()["artefacts"].items() if entry.get("path") == path]


def _read_finding(name: str) -> str:
    return name.removeprefix(INDEX).partition("/")[0]


def part_from_original(folder: PathLike) -> None:
    """Let the indexes of a copy name no table: that of the workspace that was copied changes with it."""
    for one in list_vector_folders(folder):
        write_json_atomically(one / _MANIFEST, read_json(one / _MANIFEST) | {"table": ""})


def fill_vectors(workspace: Workspace) -> tuple[str, ...]:
    """Put the vectors that came with a copy into tables of their own in the server that `ICBIR_DATABASE_URL` names. The
    findings of which some could not be: without a server, or without the vectors; `index` computes their indexes again
    from the embeddings."""
    left = set()
    for folder in list_vector_folders(workspace.path):
        names, artefacts = _list_names(workspace, folder), workspace.read_manifest()["artefacts"]
        try:
            _fill(folder)
        except (IcbirError, OSError, ValueError):
            left |= {_read_finding(name) for name in names}
            continue
        for name in names:
            entry = {key: value for key, value in artefacts[name].items() if key not in ("sha256", "recorded")}
            workspace.record_artefact(name, entry)
    return tuple(sorted(left))


def _fill(folder: Path) -> None:
    from icbir_core.retrieval.vector_index import VectorIndex

    rows, vectors = np.load(folder / _ROWS), np.load(folder / _VECTORS, mmap_mode="r")
    made_from = read_json(folder / _MANIFEST)["made_from"]
    VectorIndex.update(folder, vectors, rows, np.empty(0, np.int64), made_from)
