"""Everything that one target finding of a workspace needs for searching: models, store, indexes."""

from __future__ import annotations

import shlex
import threading
from collections import OrderedDict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from icbir_core.catalogue import Workspace
from icbir_core.errors import IndexMismatch, RetrievalError, UnknownNameError, WorkspaceError
from icbir_core.plugins import load_reference
from icbir_core.retrieval import finding_features, regions
from icbir_core.retrieval.case_keys import CaseKeys
from icbir_core.retrieval.centring import Centre
from icbir_core.retrieval.comparison import Comparison
from icbir_core.retrieval.embedding import DEFAULT_MAP_METHOD, Embedder
from icbir_core.retrieval.index import Index
from icbir_core.retrieval.methods import FEATURES, FINDING, REGION, SEARCH_METHODS, SearchMethod
from icbir_core.retrieval.model_choice import Models, load_models
from icbir_core.retrieval.neighbours import measure_compared_neighbours, read_neighbours
from icbir_core.retrieval.store import CaseStore
from icbir_core.retrieval.structural_similarity import StructuralSimilarityIndex
from icbir_core.rounding import choose_share

ARTEFACT = "index:"
STORE = "store.zarr"
_SPATIAL_IN_MEMORY = 20_000
_PARTS_KEPT = 64
_PIECE = 1024


def find_index_class(method: SearchMethod) -> Any:
    """The class that builds and opens what a method searches."""
    return load_reference(method.index)


def name_centre(method: SearchMethod, centre: Centre | None) -> dict[str, str]:
    """What an index of that method is made from beside models and catalogue."""
    return {"centre": centre.sha256} if method.centred and centre is not None else {}


def list_targets(workspace: Workspace) -> tuple[str, ...]:
    """The indexed findings, in the order of their first indexing. Raises `WorkspaceError` if there is none."""
    artefacts = workspace.read_manifest()["artefacts"]
    found = [(entry.get("order", 0), name) for name, entry in artefacts.items() if name.startswith(ARTEFACT)]
    if not found:
        raise WorkspaceError(
            f"Expected an indexed workspace, got '{workspace.path}' without an index; run the index command first."
        )
    return tuple(name.removeprefix(ARTEFACT) for _, name in sorted(found))


def get_catalogue_sha256(workspace: Workspace) -> str:
    """The catalogue's hash as its last ingest recorded it (`verify` computes it anew)."""
    entry = workspace.read_manifest()["artefacts"].get("catalogue")
    return entry["sha256"] if entry else workspace.catalogue.sha256()


@dataclass(frozen=True, eq=False)
class Candidates:
    """eligible : rows int64 that may be returned; removed : tombstones; total : indexed cases that are not removed."""

    eligible: np.ndarray
    removed: np.ndarray
    total: int


class TargetEngine:
    """Opened by `open`; holds no state that a search changes, except what it loads lazily under its lock."""

    def __init__(
        self,
        workspace: Workspace,
        models: Models,
        store: CaseStore,
        indexes: Mapping[str, Index | StructuralSimilarityIndex],
        map_method: str,
        centre: Centre | None = None,
    ):
        self.centre = centre
        self.workspace, self.models, self.store, self.indexes = workspace, models, store, dict(indexes)
        self.target, self.map_method = models.target, map_method
        self.embedder: Embedder = models.make_embedder(map_method)
        self._neighbours: dict[str, np.ndarray] = {}
        self._compared_neighbours: OrderedDict[tuple, np.ndarray] = OrderedDict()
        self._spatial: tuple[np.ndarray, np.ndarray] | None = None
        self._states: dict[str, np.ndarray] = {}
        self._removed: tuple[tuple[int, int], np.ndarray] | None = None
        self._lock = threading.Lock()

    @classmethod
    def open(cls, workspace: Workspace, target: str, shared: Models | None = None) -> TargetEngine:
        """Load models, store and the indexes of a target, and compare what each was made from.

        shared : models of another target of this workspace, whose classifier is taken over. Raises `IndexMismatch`.
        """
        entry, catalogue = workspace.read_manifest()["artefacts"][ARTEFACT + target], get_catalogue_sha256(workspace)
        if entry["catalogue"] != catalogue:
            command = f"python -m icbir_core index {shlex.quote(str(workspace.path))} --target {shlex.quote(target)}"
            raise IndexMismatch(
                f"Expected an index of the whole catalogue, got one for {target} from before the last ingest; "
                f"run `{command}`."
            )
        models = load_models(workspace, target, shared.classifier if shared else None)
        directory = Path(workspace.target_directory(target))
        map_method = entry.get("map_method", DEFAULT_MAP_METHOD)
        identity = models.identity | {"map_method": map_method, "target": target}
        store = CaseStore.open(directory / STORE, identity)
        expected = models.identity | {"catalogue": catalogue}
        methods = [method for name, method in SEARCH_METHODS.items() if name in entry["methods"]]
        centre = Centre.open(directory, identity) if any(method.centred for method in methods) else None
        indexes = {
            method.name: find_index_class(method).open(
                directory / "index" / method.name, expected | name_centre(method, centre)
            )
            for method in methods
        }
        for name, index in indexes.items():
            if isinstance(index, Index):
                index.rounding = choose_share(name)
        return cls(workspace, models, store, indexes, map_method, centre)

    @property
    def default_method(self) -> str:
        """The preferred method among those indexed."""
        return next(iter(self.indexes))

    def get_index(self, method: str) -> Index | StructuralSimilarityIndex:
        """The index of a method. Raises `UnknownNameError` listing those that are there."""
        if method not in self.indexes:
            raise UnknownNameError("indexed method", method, self.indexes)
        return self.indexes[method]

    def get_versions(self, method: str) -> dict[str, str]:
        """Hashes of what an answer rests on."""
        return {
            "model": self.models.classifier.sha256,
            "saliency_model": self.models.identity["saliency_model"],
            "catalogue": self.indexes[method].manifest["made_from"]["catalogue"],
            "index": self.indexes[method].sha256,
        }

    def get_neighbours(self, method: str) -> np.ndarray:
        """Nearest-neighbour distances of the catalogue's own cases. Raises `IndexMismatch`."""
        with self._lock:
            if method not in self._neighbours:
                index = self.get_index(method)
                self._neighbours[method] = read_neighbours(index.directory, index.sha256)
            return self._neighbours[method]

    def get_compared_neighbours(self, comparison: Comparison, method: str, keys: CaseKeys) -> np.ndarray:
        """The same for a part of what the network saw, of a sample of the cases that `method` has indexed; measured at
        the first search by that part and kept for the last 64."""
        rows = np.sort(self.find_candidates(method, None, np.empty(0, np.int64)).eligible)
        key = *comparison.key, rows.tobytes()
        with self._lock:
            known = self._compared_neighbours.get(key)
        if known is None:
            known = measure_compared_neighbours(comparison, rows, keys)
        with self._lock:
            self._compared_neighbours[key] = known
            self._compared_neighbours.move_to_end(key)
            while len(self._compared_neighbours) > _PARTS_KEPT:
                self._compared_neighbours.popitem(last=False)
        return known

    def find_candidates(self, method: str, filtered: np.ndarray | None, excluded: np.ndarray) -> Candidates:
        """Which indexed cases may be returned, after filter, exclusions and removals."""
        removed = self._read_removed()
        rows = self.get_index(method).rows
        alive = rows[~np.isin(rows, removed)] if len(removed) else rows
        eligible = alive if filtered is None else alive[np.isin(alive, filtered)]
        eligible = eligible[~np.isin(eligible, excluded)] if len(excluded) else eligible
        return Candidates(eligible, removed, len(alive))

    def _read_removed(self) -> np.ndarray:
        """Rows of removed cases; read again only when the catalogue's file has changed (it is a walk over all rows)."""
        state = self.workspace.catalogue.path.stat()
        stamp = (state.st_mtime_ns, state.st_size)
        with self._lock:
            if self._removed is None or self._removed[0] != stamp:
                self._removed = stamp, self.workspace.catalogue.removed_rows()
            return self._removed[1]

    def compute_base_rate(self, rows: np.ndarray, finding: str) -> float | None:
        """Part of the rows with a known state that carry the finding; None if no state is known."""
        with self._lock:
            if finding not in self._states:
                catalogue = self.workspace.catalogue
                known = [case.row for batch in catalogue.iterate(1024, include_removed=True) for case in batch]
                states = np.full(max(known, default=-1) + 1, np.nan, dtype=np.float32)
                if finding in catalogue.findings:
                    states[known] = catalogue.labels((finding,), known)[:, 0]
                self._states[finding] = states
            states = self._states[finding][rows]
        return None if np.isnan(states).all() else float(np.nanmean(states))

    def read_map(self, row: int) -> np.ndarray:
        """The raw attribution float32 (S, S) of a case, from the store."""
        if row not in self._completed():
            raise IndexMismatch(f"Expected a map of catalogue row {row}, got none; run the index command.")
        scale = self.store.read("scales", np.array([row]))[0]
        return self.store.read("maps", np.array([row]))[0].astype(np.float32) * scale

    @lru_cache(maxsize=1)  # noqa: B019 (one engine lives as long as its retriever)
    def _completed(self) -> frozenset[int]:
        return frozenset(self.store.get_completed().tolist())

    def compare_region(self, weights: np.ndarray, anywhere: bool) -> Comparison:
        """Comparison by what lies in a region (weights of `weigh_cells`), in the same place or anywhere."""
        return Comparison(
            REGION, (weights.tobytes(), anywhere), None,
            lambda embedded: regions.describe_region(embedded.spatial[None], weights)[0],
            lambda rows: (regions.describe_region(piece, weights) for piece in self._iterate_spatial(rows)),
            lambda rows: (regions.place_region(piece, weights, anywhere) for piece in self._iterate_spatial(rows)),
        )  # fmt: skip

    def compare_finding(self, finding: str) -> Comparison:
        """Comparison by what the classifier uses for a finding. Raises `RetrievalError` where its features are not
        indexed, `UnknownNameError` for a finding that it does not know."""
        method = self.feature_method
        if method is None:
            raise RetrievalError(
                "Expected an index of the classifier's features to search by a finding, got none; run the index "
                "command with the method cnn_centred."
            )
        index, weights = self.get_index(method), finding_features.weigh_features(self.models.classifier, finding)

        def describe(rows: np.ndarray) -> Iterator[np.ndarray]:
            for start in range(0, len(rows), _PIECE):
                yield index.get_vectors(rows[start : start + _PIECE]) * weights

        return Comparison(
            FINDING, (finding,), method,
            lambda embedded: embedded.descriptors[method] * weights, describe,
            lambda rows: (piece[:, None] for piece in describe(rows)),
        )  # fmt: skip

    @property
    def feature_method(self) -> str | None:
        """The method whose index holds the classifier's features; None if none is indexed."""
        return next((name for name in self.indexes if SEARCH_METHODS[name].fields == (FEATURES,)), None)

    def _iterate_spatial(self, rows: np.ndarray):
        """Region features of rows in pieces; kept in memory (12.5 kB a case) for catalogues of at most 20,000 cases."""
        if len(self.store.get_completed()) > _SPATIAL_IN_MEMORY:
            yield from (spatial for _, spatial in self.store.iterate("spatial", rows))
            return
        with self._lock:
            if self._spatial is None:
                known = self.store.get_completed()
                self._spatial = known, self.store.read("spatial", known)
            known, spatial = self._spatial
        positions = np.searchsorted(known, rows)
        for start in range(0, len(rows), _PIECE):
            yield spatial[positions[start : start + _PIECE]]
