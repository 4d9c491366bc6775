"""The retriever: a film in, the ranking of the catalogue's most similar cases out."""

from __future__ import annotations

import threading
import time
from collections.abc import MutableMapping, Sequence
from contextlib import suppress
from dataclasses import asdict, replace

import numpy as np
from cachetools import LRUCache

from icbir_core.catalogue import Workspace, read_case_radiograph
from icbir_core.catalogue.storing import read_case_shape
from icbir_core.errors import FilterError, IndexMismatch, RetrievalError, UnknownNameError, WorkspaceError
from icbir_core.files import PathLike
from icbir_core.findings import NO_FINDING
from icbir_core.radiograph.network_input import Box, box_from_input, box_to_input, fit_to_network, show_whole_film
from icbir_core.retrieval.case_keys import CaseKeys
from icbir_core.retrieval.methods import SEARCH_METHODS, calling, list_titles
from icbir_core.retrieval.neighbours import find_percentile
from icbir_core.retrieval.opened_target import OpenedTarget
from icbir_core.retrieval.own_films import OwnFilms
from icbir_core.retrieval.pair_explanation import PairExplanation
from icbir_core.retrieval.ranking_basis import QueryEmbedding, RankingBasis
from icbir_core.retrieval.refinement import RefinementTrail, move_query
from icbir_core.retrieval.search_index import Eligible
from icbir_core.retrieval.target_files import list_targets
from icbir_core.saliency.methods import FIRST_MAP, choose_map
from icbir_core.saliency.registry import make_saliency_map
from icbir_core.settings import SearchSettings
from icbir_core.types import Case, Hit, Prediction, Query, Ranking, SaliencyMap

CACHED_QUERIES = 64
CACHED_MAPS = 256


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
        self._opened: dict[str, OpenedTarget] = {}
        self._queries: MutableMapping[tuple[str, str], QueryEmbedding] = LRUCache(CACHED_QUERIES)
        self._maps: MutableMapping[tuple[str, str, str], SaliencyMap] = LRUCache(CACHED_MAPS)
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
        retriever.get_target(retriever.default_target)
        return retriever

    def get_target(self, target: str | None = None) -> OpenedTarget:
        """What a target needs for searching; loaded at first use. Raises `UnknownNameError` for one not indexed."""
        target = target or self.default_target
        if target not in self.targets:
            raise UnknownNameError("indexed target", target, self.targets)
        with self._lock:
            if target not in self._opened:
                shared = next((opened.models for opened in self._opened.values()), None)
                self._opened[target] = OpenedTarget.open(self.workspace, target, shared)
            return self._opened[target]

    def find_target(self, finding: str | None = None) -> OpenedTarget:
        """What serves a finding: its own target where it is indexed, else the default one, whose classifier knows it
        too. Raises `UnknownNameError` for a finding that the classifier does not know."""
        if finding is None or finding in self.targets:
            return self.get_target(finding)
        opened = self.get_target()
        opened.models.classifier.output_index(finding)
        return opened

    @property
    def questions(self) -> tuple[str, ...]:
        """What a search can be about: every finding that the classifier knows but "No Finding", indexed or not."""
        return tuple(name for name in self.get_target().models.classifier.findings if name != NO_FINDING)

    @property
    def findings(self) -> tuple[str, ...]:
        """What can be asked for as "this finding": all that the classifier knows, where its features are indexed."""
        opened = self.get_target()
        return opened.models.classifier.findings if opened.feature_method else ()

    def methods(self, target: str | None = None) -> tuple[str, ...]:
        """The methods that are indexed for a finding, its default first: for one without an index of its own all that
        do not depend on a target, because they compare films in the same way whatever the question is."""
        opened = self.find_target(target)
        own = target in (None, opened.target)
        return tuple(name for name in opened.indexes if own or not SEARCH_METHODS[name].depends_on_target)

    # --------------------------------------------------------------------------------------------------- query

    def embed_query(self, query: Query, target: str | None = None) -> QueryEmbedding:
        """What is computed of a film for a target, whatever the method; kept for the last 64 films."""
        return self._embed(query, self.find_target(target))[0]

    def predict(self, query: Query) -> Prediction:
        """The probability of each finding in a film."""
        return self.embed_query(query).prediction

    def describe_query(self, query: Query, method: str, target: str | None = None) -> np.ndarray:
        """The film as an indexed method describes it, comparable with the vectors of its index."""
        opened = self.find_target(target)
        opened.get_index(method)
        return opened.describe_query(self._embed(query, opened)[0], method)

    def _embed(self, query: Query, opened: OpenedTarget) -> tuple[QueryEmbedding, bool]:
        """(embedding of a film, whether it was kept from an earlier question)."""
        key = (query.radiograph.pixel_sha256, opened.target)
        with self._lock:
            if (known := self._queries.get(key)) is not None:
                return known, True
        found = opened.embed_query(query.radiograph.pixels)
        with self._lock:
            self._queries[key] = found
        return found, False

    def search(
        self, query: Query, settings: SearchSettings | None = None, trail: RefinementTrail | None = None
    ) -> Ranking:
        """The most similar cases of the catalogue that pass the filter.

        The question (`settings.target`) is any finding that the classifier knows; one without an index of its own is
        searched by the methods that need no saliency classifier. By default cases of the query's patient and images
        identical to the query (so also the query itself, if it is a catalogue case) are left out, and so is what lies
        very close to the query and shows the same picture, compressed, scaled, windowed or inverted. trail : refinement
        steps; after a region or a finding the whole film's method has no say, and the ranking names "region" or
        "finding" as its method. Raises `UnknownNameError` for a method that is not indexed or a finding that the
        classifier does not know, `FilterError` if the filter leaves no case, `RetrievalError` for a top_k below 1.
        """
        settings, trail = settings or SearchSettings(), trail or RefinementTrail()
        if settings.top_k < 1:
            raise RetrievalError(f"A search returns at least 1 case, not {settings.top_k}.")
        opened = self.find_target(settings.target)
        target = trail.finding or settings.target or opened.target
        opened.models.classifier.output_index(target)
        indexed = self.methods(settings.target)
        method = settings.method or next(iter(indexed), opened.default_method)
        if method not in indexed:
            raise UnknownNameError("indexed method", method, indexed)
        embedded, kept = self._embed(query, opened)
        timings = {"cached": 0.0} if kept else dict(embedded.timings_ms)
        start = time.perf_counter()
        basis = self._choose_basis(query, opened, method, trail)
        own = OwnFilms(self.workspace, self._keys, query, settings)
        neighbours = basis.measure_neighbours()
        with calling(basis.method):
            film = basis.describe(embedded)
            timings["embed"] = 1000 * (time.perf_counter() - start)
            moved = self._move(film, basis, trail)
            searching = True
            while searching:
                eligible = self._find_eligible(settings, opened, basis, own)
                found = basis.index.search(moved, settings.top_k, eligible, settings.search)
                # what was ticked moves the ranking, not the film: the words compare each case with the film itself
                from_film = found.distances if moved is film else basis.index.measure(film, found.rows)
                percentiles = tuple(find_percentile(distance, neighbours) for distance in from_film)
                searching = own.take_copies(found, percentiles)
        base_rates = opened.compute_base_rates(eligible.rows)
        timings["search"] = 1000 * (time.perf_counter() - start) - timings["embed"]
        cases = self.workspace.catalogue.cases(found.rows)
        places = self._find_places(opened, basis, moved, cases)
        timings["fetch"] = 1000 * (time.perf_counter() - start) - timings["search"] - timings["embed"]
        hits = enumerate(zip(cases, found.distances, places, strict=True), start=1)
        return Ranking(
            query=query.name,
            method=basis.method.name,
            target=target,
            metric=basis.index.metric,
            route=found.route,
            eligible=len(eligible.rows),
            total=eligible.total,
            hits=tuple(Hit(rank, float(distance), case, place) for rank, (case, distance, place) in hits),
            prediction=embedded.prediction,
            base_rate=base_rates.get(target),
            percentiles=percentiles,
            timings_ms=timings,
            versions=basis.versions,
            settings={
                "search": settings.search,
                "top_k": settings.top_k,
                "filter": asdict(settings.filter),
                "same_patient": settings.same_patient,
                "identical_image": settings.identical_image,
                "refinement": list(trail.describe()),
            },
            base_rates=base_rates,
            at_chance=opened.models.predictor.searches_at_chance(
                basis.method.name, target, opened.models.encoders if basis.method.needs_encoders else ()
            ),
            copies=tuple(self.workspace.catalogue.get_row(int(row)).case_id for row in own.copies),
        )

    def _choose_basis(self, query: Query, opened: OpenedTarget, method: str, trail: RefinementTrail) -> RankingBasis:
        """By what the trail ranks: a part of the film, else the whole film by `method`."""
        if trail.region is not None:
            settings = opened.models.classifier.input_settings
            box = box_to_input(trail.region.box, query.radiograph.pixels.shape, settings)
            return opened.rank_by_region(box, trail.region.anywhere, method, self._keys)
        return opened.rank_by_finding(trail.finding, self._keys) if trail.finding else opened.rank_by_method(method)

    def _find_places(
        self, opened: OpenedTarget, basis: RankingBasis, described: np.ndarray, cases: Sequence[Case]
    ) -> list[Box | None]:
        """What of each case's film was compared with the region; None without a region, and where that lies beside the
        film or its file cannot be read."""
        places: list[Box | None] = [None] * len(cases)
        if basis.locate is None:
            return places
        settings = opened.models.classifier.input_settings
        boxes = basis.locate(described, np.array([case.row for case in cases], dtype=np.int64))
        for number, (case, box) in enumerate(zip(cases, boxes, strict=True)):
            with suppress(WorkspaceError):  # the film's own pane says so
                places[number] = box_from_input(box, read_case_shape(self.workspace, case), settings)
        return places

    def _find_eligible(
        self, settings: SearchSettings, opened: OpenedTarget, basis: RankingBasis, own: OwnFilms
    ) -> Eligible:
        """The cases that pass the filter and are not the query's own. Raises `FilterError` if the filter leaves none,
        `RetrievalError` if there is no other reason than that all are its own, or removed."""
        filtered = None if settings.filter.empty else self.workspace.catalogue.eligible_rows(settings.filter)
        eligible = opened.find_eligible(basis.index.rows, filtered, own.list_rows())
        if len(eligible.rows):
            return eligible
        if eligible.total == 0:
            raise RetrievalError("Every case is removed; restore some, or add others.")
        if filtered is None:
            raise RetrievalError("Every case shows this very film or another of its patient; add other cases.")
        if len(opened.find_eligible(basis.index.rows, filtered).rows):
            raise FilterError("Every case that the filter leaves shows this very film or its patient; loosen it.")
        raise FilterError(f"The filter leaves none of {eligible.total} eligible cases; loosen it.")

    # ---------------------------------------------------------------------------------------------- refinement

    def _get_rows(self, case_ids: Sequence[str]) -> np.ndarray:
        return np.array([self.workspace.catalogue.get(case_id).row for case_id in case_ids], dtype=np.int64)

    def _move(self, film: np.ndarray, basis: RankingBasis, trail: RefinementTrail) -> np.ndarray:
        """The film's point among the cases after what was ticked and crossed; the point itself if nothing was."""
        ticked, crossed = trail.judged
        if not ticked and not crossed:
            return film
        if not basis.method.points:
            fit = list_titles(one for one in SEARCH_METHODS.values() if one.points)
            raise RetrievalError(f"'More like these' needs a search by {fit}, not by {basis.method.title}.")
        nothing = np.empty((0, len(film)))
        read = basis.index.get_vectors
        return move_query(film, *(read(self._get_rows(ids)) if ids else nothing for ids in (ticked, crossed)))

    # ---------------------------------------------------------------------------------------------------- maps

    def choose_map(self, wanted: str = FIRST_MAP) -> str:
        """The saliency method that is wanted, or Grad-CAM where it has no rules for the classifier's network."""
        return choose_map(self.get_target().models.classifier.manifest["network"], wanted)

    def map_of(self, item: Query | Case | int, method: str | None = None, target: str | None = None) -> SaliencyMap:
        """The saliency map of a query, or of a case (or its row), by any method of the registry (None: the one that is
        drawn first), for any finding that the classifier knows (None: the default target).

        Maps of an indexed target by the indexing method come from the store; others are computed, and the last 256
        kept. Raises `UnknownNameError` for another finding.
        """
        opened = self._find_map_target(target)
        finding, method = target or opened.target, method or self.choose_map()
        opened.models.classifier.output_index(finding)
        case = self.workspace.catalogue.get_row(int(item)) if isinstance(item, int | np.integer) else item
        if method == opened.map_method and finding == opened.target:
            if isinstance(case, Query):
                values = self.embed_query(case, finding).embeddings.maps[0]
            else:
                values = opened.read_map(case.row)
            return make_saliency_map(
                self._show_whole(values, case, opened), method, finding, opened.models.classifier.title
            )
        pixels = case.radiograph.pixel_sha256 if isinstance(case, Query) else case.pixel_sha256
        key = (pixels, finding, method)
        with self._lock:
            if (known := self._maps.get(key)) is not None:
                return known
        radiograph = case.radiograph if isinstance(case, Query) else read_case_radiograph(self.workspace, case)
        image = fit_to_network(radiograph.pixels, opened.models.classifier.input_settings)
        settings = opened.models.classifier.input_settings
        values = show_whole_film(
            opened.embedder.explain(image[None], method, finding)[0], radiograph.pixels.shape, settings
        )
        found = make_saliency_map(values, method, finding, opened.models.classifier.title)
        with self._lock:
            self._maps[key] = found
        return found

    def _show_whole(self, values: np.ndarray, item: Query | Case, opened: OpenedTarget) -> np.ndarray:
        """A map of the network's image in the square of the whole film, where the network saw only the middle."""
        settings = opened.models.classifier.input_settings
        if not settings.crop:
            return values
        film = item.radiograph if isinstance(item, Query) else read_case_radiograph(self.workspace, item)
        return show_whole_film(values, film.pixels.shape, settings)

    def _find_map_target(self, target: str | None) -> OpenedTarget:
        """The target whose store may hold its maps, else the default one, whose classifier knows it too."""
        with suppress(IndexMismatch):  # of a target that was not indexed again: its maps are computed
            return self.get_target(target if target in self.targets else None)
        return self.get_target()

    def explain_pair(
        self, query: Query, case: Case, method: str | None = None, target: str | None = None
    ) -> PairExplanation:
        """Where the distance between a query and a case comes from, for the search method that ranked them: two signed
        maps (S, S) that sum to the squared distance (to 1 − SSIM for ssim); no map of a finding.

        Raises `UnknownNameError` for a method or target that is not indexed, `RetrievalError` for one that does not
        explain its distances, `WorkspaceError` if the film is missing.
        """
        opened = self.find_target(target)
        method = method or next(iter(self.methods(target)), opened.default_method)
        opened.get_index(method)
        films = query.radiograph, read_case_radiograph(self.workspace, case)
        settings = opened.models.classifier.input_settings
        pair = opened.explain_pair([film.pixels for film in films], method)
        sides = zip((pair.first, pair.second), films, strict=True)
        first, second = (
            replace(one, values=show_whole_film(one.values, film.pixels.shape, settings)) for one, film in sides
        )
        return replace(pair, first=first, second=second)
