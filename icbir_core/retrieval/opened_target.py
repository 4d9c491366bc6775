"""One target finding of a workspace, opened for searching: models, store, indexes, and by what they can rank."""

from __future__ import annotations

import hashlib
import logging
import shlex
import threading
import time
from collections.abc import Iterator, Mapping, MutableMapping, Sequence
from dataclasses import replace
from functools import lru_cache
from typing import Any

import numpy as np
from cachetools import LRUCache

from icbir_core.catalogue import Workspace
from icbir_core.errors import IcbirError, IndexMismatch, RetrievalError, UnknownNameError
from icbir_core.radiograph.network_input import Box, fit_to_network
from icbir_core.retrieval import finding_features, regions
from icbir_core.retrieval.case_keys import CaseKeys
from icbir_core.retrieval.centring import Centre
from icbir_core.retrieval.embedding import DEFAULT_MAP_METHOD, Embedder, describe_films
from icbir_core.retrieval.filling import name_identity
from icbir_core.retrieval.methods import FEATURES, FINDING, REGION, SEARCH_METHODS, calling
from icbir_core.retrieval.model_choice import Models, load_beside, load_models
from icbir_core.retrieval.neighbours import measure_part_neighbours, read_neighbours
from icbir_core.retrieval.pair_explanation import FilmPair, PairExplanation, explain_pair
from icbir_core.retrieval.part_index import PartIndex
from icbir_core.retrieval.ranking_basis import QueryEmbedding, RankingBasis
from icbir_core.retrieval.search_index import Eligible, StoredIndex, find_index_class
from icbir_core.retrieval.side_by_side import (
    hash_encoders,
    join,
    list_fields,
    name_centre,
    name_centre_identity,
    name_field,
    name_origin,
)
from icbir_core.retrieval.store import CaseStore
from icbir_core.retrieval.target_files import TargetFiles, get_catalogue_sha256
from icbir_core.settings import InputSettings

_SPATIAL_IN_MEMORY = 20_000
_PARTS_KEPT = 64
_PIECE = 1024


def _add_encoders(workspace: Workspace, models: Models, entry: Mapping[str, Any], shared: Models | None) -> Models:
    """The models with the encoders that the target was indexed with. Raises `IndexMismatch` if one is another now."""
    names = sorted(entry.get("encoders", {}))
    if not names:
        return models
    loaded = {one.name: one for one in models.encoders}
    lacking = [name for name in names if name not in loaded]
    loaded |= {one.name: one for one in load_beside(workspace, lacking, models, shared)}
    changed = [name for name in names if loaded[name].sha256 != entry["encoders"][name]]
    if changed:
        raise IndexMismatch(f"The encoder {changed[0]} has changed since the indexing; run the index command.")
    return replace(models, encoders=tuple(loaded[name] for name in names))


class OpenedTarget:
    """Opened by `open`; holds no state that a search changes, except what it loads lazily under its lock."""

    def __init__(
        self,
        workspace: Workspace,
        models: Models,
        store: CaseStore,
        indexes: Mapping[str, StoredIndex],
        map_method: str,
        centres: Mapping[str, Centre] | None = None,
    ):
        self.centres = dict(centres or {})
        self.workspace, self.models, self.store, self.indexes = workspace, models, store, dict(indexes)
        self.target, self.map_method = models.target, map_method
        self.embedder: Embedder = models.make_embedder(map_method)
        self._neighbours: dict[str, np.ndarray] = {}
        self._part_neighbours: MutableMapping[tuple[object, ...], np.ndarray] = LRUCache(_PARTS_KEPT)
        self._spatial: tuple[np.ndarray, np.ndarray] | None = None
        self._states: tuple[tuple[str, ...], np.ndarray] | None = None
        self._removed: tuple[int, np.ndarray] | None = None
        self._lock = threading.Lock()

    @classmethod
    def open(cls, workspace: Workspace, target: str, shared: Models | None = None) -> OpenedTarget:
        """Load models, store and the indexes of a target, and compare what each was made from.

        shared : models of another target of this workspace, whose classifier is taken over. Raises `IndexMismatch`. An
        index that an installed package cannot open is left out with a warning.
        """
        files = TargetFiles(workspace, target)
        entry, catalogue = workspace.read_manifest()["artefacts"][files.name], get_catalogue_sha256(workspace)
        if entry["catalogue"] != catalogue:
            command = f"icbir index {shlex.quote(str(workspace.path))} --target {shlex.quote(target)}"
            raise IndexMismatch(f"The index for {target} is older than the last ingest; run `{command}`.")
        models = load_models(workspace, target, shared)
        models = _add_encoders(workspace, models, entry, shared)
        map_method = entry.get("map_method", DEFAULT_MAP_METHOD)
        identity = name_identity(models, map_method)
        store = CaseStore.open(files.store, identity)
        expected = models.identity | {"catalogue": catalogue}
        methods = [method for name, method in SEARCH_METHODS.items() if name in entry["methods"]]
        centres = {}
        for field_name in dict.fromkeys(f for m in methods if m.centred for f in list_fields(m, models.encoders)):
            made_by = identity if field_name == FEATURES else name_centre_identity(field_name, models.encoders)
            centres[field_name] = Centre.open(files.folder, made_by, name_centre(field_name))
        indexes = {}
        for method in methods:
            try:
                with calling(method):
                    origin = expected | name_origin(method, centres, models.encoders)
                    folder = files.get_index(method.name)
                    index = find_index_class(method, folder).open(folder, origin)
                    index.rounding = method.rounding
                    indexes[method.name] = index
            except IcbirError as error:
                if method.name in SEARCH_METHODS.built_in:
                    raise
                logging.getLogger("icbir").warning("The search method '%s' is left out: %s", method.name, error)
        return cls(workspace, models, store, indexes, map_method, centres)

    @property
    def default_method(self) -> str:
        """The preferred method among those indexed."""
        return next(iter(self.indexes))

    def get_index(self, method: str) -> StoredIndex:
        """The index of a method. Raises `UnknownNameError` listing those that are there."""
        if method not in self.indexes:
            raise UnknownNameError("indexed method", method, self.indexes)
        return self.indexes[method]

    def get_versions(self, method: str) -> dict[str, str]:
        """Hashes of what an answer rests on."""
        found = {
            "model": self.models.classifier.sha256,
            "saliency_model": self.models.identity["saliency_model"],
            "catalogue": self.indexes[method].manifest["made_from"]["catalogue"],
            "index": self.indexes[method].sha256,
        }
        predictor = self.models.predictor
        found |= {"prediction": predictor.sha256} if predictor.encoders else {}
        return found | (dict(hash_encoders(self.models.encoders)) if SEARCH_METHODS[method].needs_encoders else {})

    def get_neighbours(self, method: str) -> np.ndarray:
        """Nearest-neighbour distances of the catalogue's own cases. Raises `IndexMismatch`."""
        with self._lock:
            if method not in self._neighbours:
                index = self.get_index(method)
                self._neighbours[method] = read_neighbours(index.directory, index.sha256)
            return self._neighbours[method]

    # --------------------------------------------------------------------------------------- by what it can rank

    def embed_query(self, pixels: np.ndarray) -> QueryEmbedding:
        """What is computed of a film (H, W) that is searched with, whatever the method."""
        start = time.perf_counter()
        images = self.prepare_images(pixels)
        prepared = time.perf_counter()
        embeddings = self.embedder.embed(images[self.models.classifier.input_settings][None], maps_later=True)
        timings, predicting = {"prepare": 1000 * (prepared - start)} | embeddings.timings_ms, time.perf_counter()
        predictor = self.models.predictor
        beside = {one.sha256: one.features(images[one.input_settings][None]) for one in predictor.encoders}
        prediction = predictor.to_prediction(predictor.predict([embeddings.cnn, *beside.values()])[0])
        if beside:
            timings["predict_beside"] = 1000 * (time.perf_counter() - predicting)
        return QueryEmbedding(images, embeddings, prediction, timings, {}, beside)

    def describe_query(self, embedded: QueryEmbedding, method: str) -> np.ndarray:
        """A film as a method describes it, to be compared with the cases of its index."""
        if method not in embedded.descriptors:
            chosen = SEARCH_METHODS[method]
            parts = [describe_films(chosen, embedded.image[None], embedded.embeddings)]
            if chosen.needs_encoders:
                parts += [embedded.encode(one) for one in self.models.encoders]
            if chosen.centred:
                fields = list_fields(chosen, self.models.encoders)
                parts = [self.centres[name].transform(part) for name, part in zip(fields, parts, strict=True)]
            embedded.descriptors[method] = join(parts)[0]
        return embedded.descriptors[method]

    def prepare_images(self, pixels: np.ndarray) -> dict[InputSettings, np.ndarray]:
        """A film (H, W) as the classifier and each encoder see it: float32 (S, S) by the input settings."""
        beside = (*self.models.encoders, *self.models.predictor.encoders)
        kinds = [self.models.classifier.input_settings, *(one.input_settings for one in beside)]
        return {settings: fit_to_network(pixels, settings) for settings in dict.fromkeys(kinds)}

    def explain_pair(self, pixels: Sequence[np.ndarray], method: str) -> PairExplanation:
        """Where the distance of two films (H, W) comes from, for an indexed method; see `explain_pair` there."""
        films = [self.prepare_images(one) for one in pixels]

        def see(settings: InputSettings) -> np.ndarray:
            return np.stack([film[settings] for film in films])

        chosen = SEARCH_METHODS[method]
        encoders = tuple(
            (one, see(one.input_settings), self.centres[name_field(one.name)])
            for one in self.models.encoders
            if chosen.needs_encoders
        )
        images = see(self.models.classifier.input_settings)
        return explain_pair(FilmPair(images, chosen, self.embedder, self.centres.get(FEATURES), encoders))

    def rank_by_method(self, method: str) -> RankingBasis:
        """By the whole film. Raises `UnknownNameError` for a method that is not indexed."""
        index = self.get_index(method)
        return RankingBasis(
            SEARCH_METHODS[method],
            index,
            lambda embedded: self.describe_query(embedded, method),
            lambda: self.get_neighbours(method),
            self.get_versions(method),
        )

    def rank_by_region(self, box: Box, anywhere: bool, method: str, keys: CaseKeys) -> RankingBasis:
        """By what lies in a box of the network's image, in the same place or anywhere, among the cases that `method`
        has indexed. Raises `RetrievalError` for a box without area on the image."""
        size = self.models.classifier.input_settings.size
        weights = regions.weigh_cells(box, size)
        shifts = regions.list_shifts(weights, anywhere)
        index = PartIndex(
            REGION,
            self.get_index(method).rows,
            lambda rows: (regions.describe_region(piece, weights) for piece in self._iterate_spatial(rows)),
            lambda rows: (regions.place_region(piece, weights, anywhere) for piece in self._iterate_spatial(rows)),
        )
        versions = self.get_versions(method)
        del versions["index"]  # the store is compared; no index has a say
        return RankingBasis(
            REGION,
            index,
            lambda embedded: regions.describe_region(embedded.embeddings.spatial, weights)[0],
            lambda: self._get_part_neighbours(index, (weights.tobytes(), anywhere), keys),
            versions,
            lambda described, rows: [
                regions.shift_box(box, shifts[place], size) for place in index.find_places(described, rows)
            ],
        )

    def rank_by_finding(self, finding: str, keys: CaseKeys) -> RankingBasis:
        """By what the classifier uses for a finding. Raises `RetrievalError` where its features are not indexed,
        `UnknownNameError` for a finding that it does not know."""
        method = self.feature_method
        if method is None:
            raise RetrievalError(
                "A search by a finding needs an index of the classifier's features; run the index command with the "
                "method cnn_centred."
            )
        features, weights = self.get_index(method), finding_features.weigh_features(self.models.classifier, finding)

        def describe(rows: np.ndarray) -> Iterator[np.ndarray]:
            for start in range(0, len(rows), _PIECE):
                yield features.get_vectors(rows[start : start + _PIECE]) * weights

        index = PartIndex(FINDING, features.rows, describe, lambda rows: (piece[:, None] for piece in describe(rows)))
        return RankingBasis(
            FINDING,
            index,
            lambda embedded: self.describe_query(embedded, method) * weights,
            lambda: self._get_part_neighbours(index, (finding,), keys),
            self.get_versions(method),
        )

    @property
    def feature_method(self) -> str | None:
        """The method whose index holds the classifier's features; None if none is indexed."""
        return next((name for name in self.indexes if SEARCH_METHODS[name].fields == (FEATURES,)), None)

    def _get_part_neighbours(self, index: PartIndex, key: tuple[object, ...], keys: CaseKeys) -> np.ndarray:
        """Nearest-neighbour distances by a part of the film, of a sample of the cases; measured at the first search by
        that part and kept for the last 64. key : equal for equal parts."""
        rows = np.sort(self.find_eligible(index.rows).rows)
        key = index.method.name, *key, hashlib.sha256(rows.tobytes()).digest()
        with self._lock:
            known = self._part_neighbours.get(key)
        if known is None:
            known = measure_part_neighbours(index, rows, keys)
        with self._lock:
            self._part_neighbours[key] = known
        return known

    # -------------------------------------------------------------------------------------- about the catalogue

    def find_eligible(
        self, rows: np.ndarray, filtered: np.ndarray | None = None, excluded: np.ndarray | None = None
    ) -> Eligible:
        """Which of the indexed cases `rows` may be returned, after filter, exclusions and removals."""
        removed = self._read_removed()
        alive = rows[~np.isin(rows, removed)] if len(removed) else rows
        eligible = alive if filtered is None else alive[np.isin(alive, filtered)]
        if excluded is not None and len(excluded):
            eligible = eligible[~np.isin(eligible, excluded)]
        return Eligible(eligible, len(alive), filtered is not None)

    def _read_removed(self) -> np.ndarray:
        """Rows of removed cases; read again only when the catalogue has changed (it is a walk over all rows)."""
        revision = self.workspace.catalogue.read_revision()
        with self._lock:
            if self._removed is None or self._removed[0] != revision:
                self._removed = revision, self.workspace.catalogue.removed_rows()
            return self._removed[1]

    def compute_base_rates(self, rows: np.ndarray) -> dict[str, float]:
        """Finding → part of the rows with a known state that carry it; without those of which no state is known."""
        with self._lock:
            if self._states is None:
                catalogue = self.workspace.catalogue
                names = catalogue.findings
                known = [case.row for batch in catalogue.iterate(1024, include_removed=True) for case in batch]
                states = np.full((max(known, default=-1) + 1, len(names)), np.nan, dtype=np.float32)
                if known and names:
                    states[known] = catalogue.labels(names, known)
                self._states = names, states
            names, states = self._states
        held = states[rows]
        judged, carrying = (~np.isnan(held)).sum(axis=0), np.nansum(held, axis=0)
        return {name: float(some / many) for name, some, many in zip(names, carrying, judged, strict=True) if many}

    def read_map(self, row: int) -> np.ndarray:
        """The raw attribution float32 (S, S) of a case, from the store."""
        if row not in self._completed():
            raise IndexMismatch(f"Catalogue row {row} has no map; run the index command.")
        scale = self.store.read("scales", np.array([row]))[0]
        return np.asarray(self.store.read("maps", np.array([row]))[0].astype(np.float32) * scale)

    @lru_cache(maxsize=1)  # noqa: B019 (it lives as long as its retriever)
    def _completed(self) -> frozenset[int]:
        return frozenset(self.store.get_completed().tolist())

    def _iterate_spatial(self, rows: np.ndarray) -> Iterator[np.ndarray]:
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
