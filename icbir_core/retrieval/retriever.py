"""The retriever: a film in, the ranking of the catalogue's most similar cases out."""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, replace

import numpy as np

from icbir_core.catalogue import Workspace, read_case_radiograph
from icbir_core.catalogue.storing import is_same_picture
from icbir_core.errors import FilterError, IndexMismatch, RetrievalError, UnknownNameError
from icbir_core.files import PathLike
from icbir_core.radiograph.network_input import box_to_input, fit_to_network, show_whole_film
from icbir_core.retrieval.case_keys import CaseKeys
from icbir_core.retrieval.comparison import Comparison, measure_distances
from icbir_core.retrieval.index import Index
from icbir_core.retrieval.methods import SEARCH_METHODS, list_titles
from icbir_core.retrieval.neighbours import find_percentile
from icbir_core.retrieval.refinement import RefinementTrail, Region, move_query
from icbir_core.retrieval.regions import weigh_cells
from icbir_core.retrieval.target_engine import TargetEngine, list_targets
from icbir_core.saliency.registry import make_saliency_map
from icbir_core.saliency.similarity import PairExplanation
from icbir_core.settings import SearchSettings
from icbir_core.types import Case, Hit, Prediction, Query, Ranking, SaliencyMap

CACHED_QUERIES = 64
CACHED_MAPS = 256


@dataclass(frozen=True, eq=False)
class QueryEmbedding:
    """What `Retriever.embed_query` keeps of a film: descriptors by method, the raw map (S, S), the region features
    (7, 7, C), the prediction, and the time of each stage in milliseconds."""

    descriptors: dict[str, np.ndarray]
    map: np.ndarray
    spatial: np.ndarray
    prediction: Prediction
    timings_ms: dict[str, float]


class Retriever:
    """Searches one workspace. Safe to share between threads; networks are loaded once per target and kept.

    Examples
    --------
    >>> import icbir_core as icbir
    >>> retriever = icbir.open_retriever("workspaces/demo")
    >>> film = icbir.read_film(retriever, "film.png")
    >>> ranking = retriever.search(film, icbir.SearchSettings(top_k=3))
    >>> [hit.rank for hit in ranking.hits]
    [1, 2, 3]
    """

    def __init__(self, workspace: Workspace, target: str | None = None):
        self.workspace = workspace
        self.targets = list_targets(workspace)
        if target is not None and target not in self.targets:
            raise UnknownNameError("indexed target", target, self.targets)
        self.default_target = target or self.targets[0]
        self._keys = CaseKeys.read(workspace.catalogue)
        self._engines: dict[str, TargetEngine] = {}
        self._queries: OrderedDict[tuple, QueryEmbedding] = OrderedDict()
        self._maps: OrderedDict[tuple, SaliencyMap] = OrderedDict()
        self._lock = threading.RLock()

    @classmethod
    def open(cls, workspace: Workspace | PathLike, target: str | None = None, device: str = "auto") -> Retriever:
        """Open an indexed workspace for searching.

        target : the default target finding; None takes the one that was indexed first. Raises `WorkspaceError` if
        nothing is indexed, `IndexMismatch` where models, catalogue and index do not belong together, `DeviceError`.
        """
        from icbir_core.model.device import choose_device

        choose_device(device)
        workspace = workspace if isinstance(workspace, Workspace) else Workspace.open(workspace)
        retriever = cls(workspace, target)
        retriever.get_engine(retriever.default_target)
        return retriever

    def get_engine(self, target: str | None = None) -> TargetEngine:
        """What a target needs for searching; loaded at first use. Raises `UnknownNameError` for one not indexed."""
        target = target or self.default_target
        if target not in self.targets:
            raise UnknownNameError("indexed target", target, self.targets)
        with self._lock:
            if target not in self._engines:
                shared = next((engine.models for engine in self._engines.values()), None)
                self._engines[target] = TargetEngine.open(self.workspace, target, shared)
            return self._engines[target]

    @property
    def findings(self) -> tuple[str, ...]:
        """What can be asked for as "this finding": all that the classifier knows, where its features are indexed."""
        engine = self.get_engine()
        return engine.models.classifier.findings if engine.feature_method else ()

    def methods(self, target: str | None = None) -> tuple[str, ...]:
        """The methods that are indexed for a target, its default first."""
        return tuple(self.get_engine(target).indexes)

    # --------------------------------------------------------------------------------------------------- query

    def embed_query(self, query: Query, target: str | None = None) -> QueryEmbedding:
        """Descriptors of a film by every method of the target; kept for the last 64 films by their grey levels."""
        engine = self.get_engine(target)
        key = (query.radiograph.pixel_sha256, engine.target)
        with self._lock:
            if key in self._queries:
                self._queries.move_to_end(key)
                return self._queries[key]
        start = time.perf_counter()
        image = fit_to_network(query.radiograph.pixels, engine.models.classifier.input_settings)
        prepared = 1000 * (time.perf_counter() - start)
        embeddings = engine.embedder.embed(image[None])
        fields = {"cnn": embeddings.cnn, "ssim": embeddings.reduced, "ig_cbir": embeddings.ig_cbir}
        descriptors = {}
        for name in engine.indexes:
            method = SEARCH_METHODS[name]
            values = fields[method.field]
            descriptors[name] = (engine.centre.transform(values) if method.centred else values)[0]
        found = QueryEmbedding(
            descriptors,
            embeddings.maps[0],
            embeddings.spatial[0],
            engine.models.classifier.to_prediction(embeddings.probabilities[0]),
            {"prepare": prepared} | embeddings.timings_ms,
        )
        self._remember(self._queries, key, found, CACHED_QUERIES)
        return found

    def search(
        self, query: Query, settings: SearchSettings | None = None, trail: RefinementTrail | None = None
    ) -> Ranking:
        """The most similar cases of the catalogue that pass the filter.

        By default cases of the query's patient and images identical to the query (so also the query itself, if it is a
        catalogue case) are left out. trail : refinement steps; after a region or a finding the whole film's method has
        no say, and the ranking names "region" or "finding" as its method. Raises `UnknownNameError` for a method or
        target that is not indexed or a finding that the classifier does not know, `FilterError` if no case is eligible,
        `RetrievalError` for a top_k below 1.
        """
        settings, trail = settings or SearchSettings(), trail or RefinementTrail()
        if settings.top_k < 1:
            raise RetrievalError(f"Expected at least 1 case to return, got {settings.top_k}; ask for more.")
        engine = self.get_engine(settings.target)
        target = trail.finding or engine.target
        engine.models.classifier.output_index(target)
        settings = replace(settings, method=settings.method or engine.default_method)
        index = engine.get_index(settings.method)
        before = time.perf_counter()
        embedded = self.embed_query(query, engine.target)
        timings = dict(embedded.timings_ms) if time.perf_counter() - before > 1e-3 else {"cached": 0.0}
        start = time.perf_counter()
        comparison = self._choose_comparison(query, engine, trail)
        ranked_by = (comparison and comparison.index) or settings.method
        filtered = None if settings.filter.empty else self.workspace.catalogue.eligible_rows(settings.filter)
        excluded = self._find_excluded(query, settings)
        candidates = engine.find_candidates(ranked_by, filtered, excluded)
        if len(candidates.eligible) == 0:
            raise FilterError(
                f"Expected a filter that leaves a case, got 0 of {candidates.total} eligible; loosen the filter."
            )
        own = embedded.descriptors[settings.method] if comparison is None else comparison.describe_query(embedded)
        vector = self._move(own, settings.method, engine, trail, comparison)
        if comparison is not None:
            rows, distances = comparison.rank(vector, candidates.eligible, settings.top_k)
            neighbours = engine.get_compared_neighbours(comparison, ranked_by, self._keys)
            metric, route = comparison.method.metric, "exact"
        else:
            rows, distances, route = index.search(
                vector, settings.top_k, filtered, settings.search, np.union1d(excluded, candidates.removed)
            )
            metric, neighbours = index.metric, engine.get_neighbours(settings.method)
        # what was ticked moves the ranking, not the film: the words compare each case with the film itself
        from_film = _measure_from(own, rows, index, comparison) if any(trail.judged) else distances
        percentiles = tuple(find_percentile(distance, neighbours) for distance in from_film)
        timings["search"] = 1000 * (time.perf_counter() - start)
        cases = self.workspace.catalogue.cases(rows)
        timings["fetch"] = 1000 * (time.perf_counter() - start) - timings["search"]
        hits = enumerate(zip(cases, distances, strict=True), start=1)
        versions = engine.get_versions(ranked_by)
        if comparison is not None and comparison.index is None:
            del versions["index"]  # it is compared by what the store holds; no index has a say
        return Ranking(
            query=query.name,
            method=settings.method if comparison is None else comparison.method.name,
            target=target,
            metric=metric,
            route=route,
            eligible=len(candidates.eligible),
            total=candidates.total,
            hits=tuple(Hit(rank, float(distance), case) for rank, (case, distance) in hits),
            prediction=embedded.prediction,
            base_rate=engine.compute_base_rate(candidates.eligible, target),
            percentiles=percentiles,
            timings_ms=timings,
            versions=versions,
            settings={
                "search": settings.search,
                "top_k": settings.top_k,
                "filter": asdict(settings.filter),
                "same_patient": settings.same_patient,
                "identical_image": settings.identical_image,
                "refinement": list(trail.describe()),
            },
        )

    def _find_excluded(self, query: Query, settings: SearchSettings) -> np.ndarray:
        """Rows that must not come back because they are the query, its patient or its image."""
        same = np.union1d(self._keys.find_image(query.radiograph.pixel_sha256), self._find_instance(query))
        if query.case_id is not None:
            same = np.union1d(same, [self.workspace.catalogue.get(query.case_id).row])
        parts = [np.empty(0, np.int64)] if settings.identical_image else [same]
        if not settings.same_patient:
            # a film that the catalogue holds tells its patient, even if the query does not; whether that very film may
            # come back is for the other option to say
            known = [self._keys.find_patient(query.patient), *(self._keys.find_same_patient(int(row)) for row in same)]
            parts.append(np.setdiff1d(np.concatenate(known), same))
        return np.unique(np.concatenate(parts))

    def _find_instance(self, query: Query) -> np.ndarray:
        """Rows that hold the query's DICOM instance in other grey levels; some exporters give all films one instance,
        so the pictures decide."""
        rows = self._keys.find_instance(query.instance)
        films = (read_case_radiograph(self.workspace, self.workspace.catalogue.get_row(int(row))) for row in rows)
        return rows[[is_same_picture(query.radiograph, film) for film in films]] if len(rows) else rows

    # ---------------------------------------------------------------------------------------------- refinement

    def _get_rows(self, case_ids: Sequence[str]) -> np.ndarray:
        return np.array([self.workspace.catalogue.get(case_id).row for case_id in case_ids], dtype=np.int64)

    def _choose_comparison(self, query: Query, engine: TargetEngine, trail: RefinementTrail) -> Comparison | None:
        """By what part of the film the trail ranks; None: by the whole film, with the method of the settings."""
        if trail.region is not None:
            return engine.compare_region(self._weigh_region(query, engine, trail.region), trail.region.anywhere)
        return None if trail.finding is None else engine.compare_finding(trail.finding)

    def _move(
        self,
        vector: np.ndarray,
        method: str,
        engine: TargetEngine,
        trail: RefinementTrail,
        comparison: Comparison | None,
    ) -> np.ndarray:
        """The film's point among the cases after what was ticked and crossed."""
        ticked, crossed = trail.judged
        if not ticked and not crossed:
            return vector
        if comparison is None and not SEARCH_METHODS[method].points:
            fit = list_titles(one for one in SEARCH_METHODS.values() if one.points)
            raise RetrievalError(
                f"Expected a search by {fit} for 'more like these', got {SEARCH_METHODS[method].title}; choose one of "
                "these."
            )
        read = engine.get_index(method).get_vectors if comparison is None else comparison.describe_rows
        nothing = np.empty((0, len(vector)))
        return move_query(vector, *(read(self._get_rows(ids)) if ids else nothing for ids in (ticked, crossed)))

    def _weigh_region(self, query: Query, engine: TargetEngine, region: Region) -> np.ndarray:
        settings = engine.models.classifier.input_settings
        return weigh_cells(box_to_input(region.box, query.radiograph.pixels.shape, settings), settings.size)

    # ---------------------------------------------------------------------------------------------------- maps

    def map_of(self, item: Query | Case | int, method: str = "deep_taylor", target: str | None = None) -> SaliencyMap:
        """The saliency map of a query, or of a case (or its row), by any method of the registry, for any finding that
        the classifier knows (None: the default target).

        Maps of an indexed target by the indexing method come from the store; others are computed, and the last 256
        kept. Raises `UnknownNameError` for another finding.
        """
        engine = self._find_map_engine(target)
        finding = target or engine.target
        engine.models.classifier.output_index(finding)
        case = self.workspace.catalogue.get_row(int(item)) if isinstance(item, int | np.integer) else item
        if method == engine.map_method and finding == engine.target:
            values = self.embed_query(case, finding).map if isinstance(case, Query) else engine.read_map(case.row)
            return make_saliency_map(self._show_whole(values, case, engine), method, finding)
        pixels = case.radiograph.pixel_sha256 if isinstance(case, Query) else case.pixel_sha256
        key = (pixels, finding, method)
        with self._lock:
            if key in self._maps:
                self._maps.move_to_end(key)
                return self._maps[key]
        radiograph = case.radiograph if isinstance(case, Query) else read_case_radiograph(self.workspace, case)
        image = fit_to_network(radiograph.pixels, engine.models.classifier.input_settings)
        settings = engine.models.classifier.input_settings
        values = show_whole_film(
            engine.embedder.explain(image[None], method, finding)[0], radiograph.pixels.shape, settings
        )
        found = make_saliency_map(values, method, finding)
        self._remember(self._maps, key, found, CACHED_MAPS)
        return found

    def _show_whole(self, values: np.ndarray, item: Query | Case, engine: TargetEngine) -> np.ndarray:
        """A map of the network's image in the square of the whole film, where the network saw only the middle."""
        settings = engine.models.classifier.input_settings
        if not settings.crop:
            return values
        film = item.radiograph if isinstance(item, Query) else read_case_radiograph(self.workspace, item)
        return show_whole_film(values, film.pixels.shape, settings)

    def _find_map_engine(self, target: str | None) -> TargetEngine:
        """The engine whose store may hold maps of the target, else the default one, whose classifier knows it too."""
        with suppress(IndexMismatch):  # of a target that was not indexed again: its maps are computed
            return self.get_engine(target if target in self.targets else None)
        return self.get_engine()

    def explain_pair(
        self, query: Query, case: Case, method: str | None = None, target: str | None = None
    ) -> PairExplanation:
        """Where the distance between a query and a case comes from, for the search method that ranked them: two signed
        maps (S, S) that sum to the squared distance (to 1 − SSIM for ssim); no map of a finding.

        Raises `UnknownNameError` for a method or target that is not indexed, `WorkspaceError` if the film is missing.
        """
        engine = self.get_engine(target)
        method = method or engine.default_method
        engine.get_index(method)
        films = query.radiograph, read_case_radiograph(self.workspace, case)
        settings = engine.models.classifier.input_settings
        images = np.stack([fit_to_network(film.pixels, settings) for film in films])
        pair = engine.embedder.explain_pair(images, method, engine.centre)
        sides = zip((pair.first, pair.second), films, strict=True)
        first, second = (
            replace(one, values=show_whole_film(one.values, film.pixels.shape, settings)) for one, film in sides
        )
        return replace(pair, first=first, second=second)

    def neighbour_distances(self, method: str | None = None, target: str | None = None) -> np.ndarray:
        """Ascending distances float64 of (a sample of) the catalogue's cases to their nearest case of another
        patient."""
        engine = self.get_engine(target)
        return engine.get_neighbours(method or engine.default_method)

    def _remember(self, cache: OrderedDict, key: tuple, value: object, limit: int) -> None:
        with self._lock:
            cache[key] = value
            while len(cache) > limit:
                cache.popitem(last=False)


def _measure_from(own: np.ndarray, rows: np.ndarray, index: Index, comparison: Comparison | None) -> np.ndarray:
    """Distances float64 (k,) of cases, by their rows, from the point of a film that no tick has moved."""
    order = np.argsort(rows)
    if comparison is None:
        placed = index.get_vectors(rows[order])[:, None]
    else:
        placed = np.concatenate(list(comparison.places(rows[order])))
    found = np.empty(len(rows))
    found[order] = measure_distances(own, placed)
    return found
