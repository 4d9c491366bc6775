"""Asking the service: rankings and maps, each computed once, whoever asks and however often the page runs."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any

import streamlit as st

from icbir_core.audit import Action
from icbir_core.audit.entries import make_word
from icbir_core.errors import IcbirError, ServerBusy
from icbir_core.pacs.ready import find_change, read_ready
from icbir_core.radiograph.overlay import DIVERGING_MAPS, SEQUENTIAL_MAPS, OverlayStyle, colour_table, shared_scale
from icbir_core.retrieval.refinement import RefinementTrail
from icbir_core.saliency.display import SMOOTHED, find_threshold, is_smoothed, smooth_for_display
from icbir_core.settings import SearchSettings
from icbir_core.types import Case, Query, Ranking, SaliencyMap
from icbir_ui import access, shared, state
from icbir_ui.errors import escape_markdown
from icbir_ui.films import Film
from icbir_ui.language import mark, say, translate_told
from icbir_ui.shared import SearchService
from icbir_ui.state import Key
from icbir_ui.viewer import MapPicture, ViewerOptions

if TYPE_CHECKING:
    from icbir_core.retrieval.retriever import Retriever

NO_MAP = "none"


@dataclass(frozen=True, eq=False)
class Maps:
    """The maps of a search: of the query and of each hit by case_id, with the one scale for all of them.

    identity : what they depend on besides film, finding and method. ends : words for the two ends of the colours.
    scale : 0.0 where every map is zero, and no colour is drawn. threshold : the part of the scale from which on the
    strongest tenth of the query's map lies; maps are shown from there on until the reader chooses. Values are as they
    are drawn, smoothed. missing : by case_id why there is no map.
    """

    query: SaliencyMap | None
    cases: dict[str, SaliencyMap]
    method: str = NO_MAP
    title: str = ""
    signed: bool = False
    scale: float = 1.0
    threshold: float = 0.0
    identity: str = ""
    ends: tuple[str, str] = ("none", "most")
    missing: Mapping[str, str] = field(default_factory=dict)

    def style_by(self, view: Mapping[str, Any]) -> OverlayStyle:
        """How the reader lays the maps over films. view : what the viewer tells; the rest stays as at first."""
        return OverlayStyle(
            opacity=float(view.get("opacity", ViewerOptions.opacity)),
            threshold=float(view.get("threshold", self.threshold)),
            contour=bool(view.get("contour")),
            signed=self.signed,
        )


def get_trail() -> RefinementTrail:
    """The refinement steps of the current search."""
    return state.get(Key.STEPS) or RefinementTrail()


def search(service: SearchService, film: Film, settings: SearchSettings, tell: Callable[[str], None]) -> Ranking:
    """The ranking for a film under the settings and the current trail."""
    trail, key = get_trail(), _name_ranking(service, film, settings)
    found = service.ask(key, lambda retriever: retriever.search(film.query, settings, trail), tell)
    shown = access.name_cases([hit.case for hit in found.hits])
    access.record_once(Action.SEARCHED, access.name_film(film), *shown, method=make_word(found.method))
    return found


def is_known(service: SearchService, film: Film, settings: SearchSettings) -> bool:
    """True where `search` has the ranking already."""
    return service.knows(_name_ranking(service, film, settings))


def take_ready(service: SearchService, film: Film) -> None:
    """Take the result that waited for this film, where nothing has changed since: then `search` computes nothing. Where
    something has, the reader is told."""
    held = state.get(Key.READY)
    if held is None or held[0] != film.key:
        return
    state.put(Key.READY, None)
    if word := find_change(service.workspace, held[1], film.query):
        state.put(Key.WORD, word)
        return
    with suppress(IcbirError, KeyError, TypeError, ValueError):  # then it is searched like any other film
        settings, ranking = read_ready(service.workspace, held[1])
        service.remember(_name_ranking(service, film, settings), ranking)
        if ranking.prediction is not None:
            service.remember(name_prediction(film), ranking.prediction)


def name_prediction(film: Film) -> Hashable:
    """What the probabilities of a film are remembered under."""
    return "prediction", film.key


def _name_ranking(service: SearchService, film: Film, settings: SearchSettings) -> Hashable:
    steps = get_trail().describe()
    return "ranking", film.key, film.query.case_id, film.query.patient, repr(settings), steps, _count_cases(service)


def _count_cases(service: SearchService) -> tuple[int, int]:
    catalogue = service.workspace.catalogue
    return catalogue.count(), catalogue.count(include_removed=True)


def knows_map(service: SearchService, film: Film, target: str, method: str) -> bool:
    """True where `compute_maps` has the film's own map already, or needs none."""
    return method == NO_MAP or service.knows(("map", film.key, target, method))


def compute_maps(
    service: SearchService, film: Film, cases: list[Case], target: str, method: str, tell: Callable[[str], None]
) -> Maps:
    """The maps of a film and of cases (none, until she asks for them) by one method, asked for one by one, so that a
    queue moves on between them."""
    if method == NO_MAP:
        return Maps(None, {})
    title, signed, _ = shared.list_map_methods()[method]
    wanted: list[tuple[str, Query | Case]] = [(film.key, film.query), *((case.pixel_sha256, case) for case in cases)]
    computed: list[SaliencyMap | str] = []
    for number, (pixels, item) in enumerate(wanted, start=1):
        key = ("map", pixels, target, method)
        if not service.knows(key):
            tell(
                say(
                    "{title}: computing map {number} of {count} …",
                    title=translate_told(title),
                    number=number,
                    count=len(wanted),
                )
            )
        try:
            computed.append(smooth_for_display(service.ask(key, partial(_map_item, item, method, target), tell)))
        except IcbirError as error:
            if item is film.query or isinstance(error, ServerBusy):
                raise
            computed.append(str(error))
    query, *others = computed
    assert not isinstance(query, str)
    named = {case.case_id: one for case, one in zip(cases, others, strict=True)}
    found = {name: one for name, one in named.items() if not isinstance(one, str)}
    missing = {name: one for name, one in named.items() if isinstance(one, str)}
    maps = [query, *found.values()]
    ends = (mark("against"), mark("for")) if signed else (mark("none"), mark("most"))
    scale = shared_scale([one.values for one in maps], lead=query.values)
    threshold = find_threshold(query.values, scale, signed)
    return Maps(query, found, method, title, signed, scale, threshold, ends=ends, missing=missing)


def _map_item(item: Query | Case, method: str, target: str, retriever: Retriever) -> SaliencyMap:
    return retriever.map_of(item, method, target)


def map_picture(pixels: str, found: SaliencyMap | None, version: str, identity: str = "") -> MapPicture | None:
    """A map for the viewer, named by what it was made from."""
    if found is None:
        return None
    return MapPicture(f"{pixels[:24]}-{found.finding}-{found.method}-{version[:12]}-{identity}", found.values)


def describe_scale(maps: Maps, what: str) -> str:
    """The legend: what the map is, and the value from which on everything has the last colour."""
    if not maps.scale:
        return say("{title}: zero everywhere", title=translate_told(maps.title))
    drawn = f", {translate_told(SMOOTHED)}" if is_smoothed(maps.method) else ""
    network = (
        say(" of {network} alone", network=translate_told(maps.query.network))
        if maps.query is not None and maps.query.network
        else ""
    )
    return say(
        "{title}{network}{drawn}, one scale for all {what} (last colour: ≥ {scale})",
        title=translate_told(maps.title),
        network=network,
        drawn=drawn,
        what=say(what),
        scale=f"{maps.scale:.3g}",
    )


def viewer_options(maps: Maps, **more: Any) -> ViewerOptions:
    """The viewer's common options for some maps: colours of their kind, one scale, the legend."""
    name = (DIVERGING_MAPS if maps.signed else SEQUENTIAL_MAPS)[0]
    shown = maps.query is not None
    return ViewerOptions(
        colours=colour_table(name) if shown else None,
        colour_map=name,
        scale=maps.scale,
        threshold=maps.threshold,
        signed=maps.signed,
        ends=maps.ends,
        legend=describe_scale(maps, mark("panes")) if shown else "",
        **more,
    )


@st.fragment(run_every=1.0)
def _await(service: SearchService, then: str) -> None:
    if not service.loading:
        st.rerun()
    st.caption(escape_markdown(f"{translate_told(service.describe_state())} {then}"))


def show_loading(service: SearchService, then: str = "") -> None:
    """A word while the networks load, after which the page runs again; the reason where they cannot be loaded."""
    if service.error:
        st.warning(escape_markdown(translate_told(service.error)))
    elif service.loading:
        _await(service, then)
    else:
        st.rerun()  # ready since the page asked


def _name_pair(film: Film, case: Case, ranking: Ranking) -> Hashable:
    return "pair", film.key, case.pixel_sha256, ranking.target, ranking.method


def knows_pair(service: SearchService, film: Film, case: Case, ranking: Ranking) -> bool:
    """True where `compute_pair` has the maps already."""
    return service.knows(_name_pair(film, case, ranking))


def compute_pair(service: SearchService, film: Film, case: Case, ranking: Ranking, tell: Callable[[str], None]) -> Maps:
    """What of both films makes them near or far in this ranking, as signed maps at one scale."""
    key = _name_pair(film, case, ranking)
    query, other = service.ask(key, lambda retriever: shared.explain_pair(retriever, film.query, case, ranking), tell)
    scale = shared_scale([query.values, other.values])
    return Maps(
        query,
        {case.case_id: other},
        "similarity",
        mark("Where the distance of the two films comes from"),
        query.signed,
        scale,
        identity=f"{film.key[:16]}-{case.pixel_sha256[:16]}-{ranking.target}-{ranking.method}",
        ends=(mark("nearer"), mark("farther")),
    )
