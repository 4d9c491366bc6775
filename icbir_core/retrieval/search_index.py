"""What everything that ranks cases has in common: an index of a method, or a part of the film chosen when asking."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from icbir_core.errors import RetrievalError, UnknownNameError, WorkspaceError
from icbir_core.files import PathLike, read_json
from icbir_core.plugins import load_reference
from icbir_core.retrieval.methods import ANNOY, ENGINES, PGVECTOR, SearchMethod

MERGE_SHARE = 0.1
"""By what share a catalogue may grow or shrink before an index, or a centre, is made anew."""


@dataclass(frozen=True, eq=False)
class Eligible:
    """Which cases may be returned, worked out once for a search.

    rows : int64 (E,), of indexed cases. total : indexed cases that are not removed. filtered : whether a filter has
    narrowed them, so that few of many may be left.
    """

    rows: np.ndarray
    total: int
    filtered: bool = False


@dataclass(frozen=True, eq=False)
class Found:
    """The nearest cases: rows int64 (k,) and distances float64 (k,), nearest first; route : how they were found."""

    rows: np.ndarray
    distances: np.ndarray
    route: str


class SearchIndex(Protocol):
    """The cases of a catalogue as one method describes them, to be ranked by their distance from a description."""

    @property
    def metric(self) -> str:
        """Name of the distance; smaller is nearer."""
        ...

    @property
    def rows(self) -> np.ndarray:
        """The catalogue rows int64 (N,) of what is indexed."""
        ...

    def search(self, query: np.ndarray, k: int, eligible: Eligible | None = None, route: str = "auto") -> Found:
        """The k nearest of the eligible cases (None: of all); fewer only if fewer are eligible.

        route : "auto", "exact", or what the index has beside them ("annoy", "hnsw"). Raises `IndexMismatch` for a query
        of another shape or with values that are not finite, `RetrievalError` for a route that it does not know.
        """
        ...

    def measure(self, query: np.ndarray, rows: np.ndarray) -> np.ndarray:
        """Distances float64 (R,) of a description to the cases of these rows."""
        ...

    def get_vectors(self, rows: np.ndarray) -> np.ndarray:
        """Descriptions (R, …) of cases. Raises `RetrievalError` for a row that is not indexed."""
        ...


class StoredIndex(SearchIndex, Protocol):
    """An index on disk, named by a manifest; what a search method's record names as its class.

    rounding : the share of their length that counts as rounding where two descriptions are compared; from the record.
    """

    rounding: float

    @property
    def directory(self) -> Path: ...

    @property
    def manifest(self) -> Mapping[str, Any]:
        """ "count", "metric", "recall_at_10", "made_from", "sha256" at least."""
        ...

    @property
    def sha256(self) -> str:
        """One hash that names the whole index."""
        ...

    @property
    def tail(self) -> int:
        """Number of cases that were added since the last whole build."""
        ...

    @classmethod
    def update(
        cls, directory: PathLike, vectors: Any, rows: np.ndarray, removed: np.ndarray, made_from: Mapping[str, str]
    ) -> StoredIndex:
        """Bring the index in `directory` to these vectors (N, …), any array that can be sliced, and rows (N,); those in
        `removed` need not be in it. Raises `IndexMismatch` for a value that is not finite."""
        ...

    @classmethod
    def open(cls, directory: PathLike, expected: Mapping[str, str] | None = None) -> StoredIndex:
        """Open for searching. expected : hashes that "made_from" must hold. Raises `IndexMismatch`."""
        ...

    def verify(self) -> None:
        """Hash every file. Raises `IndexMismatch`."""
        ...


def read_kind(directory: PathLike) -> str | None:
    """What an index on disk is, as its manifest says; None where there is none that can be read."""
    try:
        manifest = read_json(Path(directory) / "manifest.json")
    except WorkspaceError:
        return None
    return str(manifest.get("kind")) if isinstance(manifest, dict) else None


def find_engine_name(method: SearchMethod, directory: PathLike, engine: str | None = None) -> str | None:
    """Which of `ENGINES` holds a method's vectors: the one that is asked for, else that of the index in `directory`,
    else Annoy; None for a method that has an index of its own. Raises `UnknownNameError`."""
    if engine is not None and engine not in ENGINES:
        raise UnknownNameError("kind of index", engine, ENGINES)
    if method.index != ENGINES[ANNOY]:
        return None
    kind = engine or read_kind(directory)
    return kind if kind in ENGINES else ANNOY


def find_index_class(method: SearchMethod, directory: PathLike, engine: str | None = None) -> type[StoredIndex]:
    """The class that builds and opens what a method searches in `directory`; see `find_engine_name`. Raises
    `RetrievalError` where the driver that it needs is not installed."""
    name = find_engine_name(method, directory, engine)
    try:
        found: type[StoredIndex] = load_reference(ENGINES[name] if name else method.index)
    except ModuleNotFoundError as error:
        if name != PGVECTOR:
            raise
        text = "The driver of PostgreSQL is not installed; run `pip install icbir[postgresql]`."
        raise RetrievalError(text) from error
    return found
