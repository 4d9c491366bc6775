"""The reader's film beside one case in full size, or beside four at once, under one map and at one scale."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import streamlit as st

from icbir_core.audit import Action
from icbir_core.catalogue.workspace import Workspace
from icbir_core.types import Ranking
from icbir_ui import access, shared, state
from icbir_ui.errors import shielded
from icbir_ui.films import Film, case_pictures
from icbir_ui.frame.page import empty_for_another, passing_word
from icbir_ui.language import mark, say
from icbir_ui.search import ratings
from icbir_ui.search.asking import NO_MAP, Maps, compute_maps, compute_pair, knows_pair, viewer_options
from icbir_ui.search.panes import hit_panes, query_pane
from icbir_ui.shared import SearchService
from icbir_ui.state import Key
from icbir_ui.viewer import Pane, ViewerOptions, show_viewer

CLASS_MAP, PAIR_MAP, NONE = mark("Finding"), mark("Similarity"), mark("None")
ONE, FOUR = mark("One case"), mark("Four together")
TOGETHER = 4


@dataclass(frozen=True, eq=False)
class Comparison:
    """What is compared. place : in the ranking, of the case or of the first of four; four : whether four are shown;
    shown : which map; method : that of the search, by which a map of the finding is made."""

    service: SearchService
    workspace: Workspace
    film: Film
    ranking: Ranking
    place: int
    four: bool
    shown: str
    method: str

    @property
    def places(self) -> range:
        """Of the cases that are shown, in the ranking."""
        return range(self.place, min(self.place + (TOGETHER if self.four else 1), len(self.ranking.hits)))


def find_place(count: int, four: bool) -> int:
    """The place of the case in view among `count`, or of the first of the four that it belongs to."""
    place: int = min(state.get(Key.COMPARED_PLACE, 0), count - 1)
    return place - place % TOGETHER if four else place


def step(by: int, count: int, four: bool) -> None:
    """Go on by so many cases, or by so many fours, and round at the end."""
    place, size = find_place(count, four), TOGETHER if four else 1
    groups = -(-count // size)
    state.put(Key.COMPARED_PLACE, (place // size + by) % groups * size)


def show_comparison(asked: Comparison) -> None:
    """The films with the chosen map, at one scale; a map of the finding at that of the whole search, so that colours
    mean the same from case to case."""
    film, ranking, service = asked.film, asked.ranking, asked.service
    cases, maps, store = [ranking.hits[place].case for place in asked.places], Maps(None, {}), shared.open_ratings()
    access.record_once(Action.SAW, access.name_film(film), *access.name_cases(cases))
    layout: dict[str, Any] = {"board": True} if asked.four else {"full": True, "columns": 2}

    def make_panes() -> list[Pane]:
        pictures = case_pictures(asked.workspace, [hit.case for hit in ranking.hits])
        found = hit_panes(pictures, ranking, maps, ratings.find_ratings(store, film), {})
        lead, shown = query_pane(film, ranking, maps).alone(), [found[place] for place in asked.places]
        if asked.four:
            return [replace(lead, lead=True), *(replace(pane, markable=False) for pane in shown)]
        return [lead, *(pane.alone() for pane in shown)]

    with shielded(), passing_word() as tell:
        waiting = asked.shown == PAIR_MAP and not knows_pair(service, film, cases[0], ranking)
        viewer = empty_for_another(st.container(), waiting)
        if waiting:  # never the case before under the name of this one
            with viewer:
                plain = ViewerOptions(memory=Key.COMPARE_VIEWER.value, **layout)
                show_viewer(make_panes(), plain, Key.FILM_VIEWER.value)
        if asked.shown == CLASS_MAP:
            wanted = asked.method if asked.method != NO_MAP else service.retriever.choose_map()
            maps = compute_maps(service, film, [hit.case for hit in ranking.hits], ranking.target, wanted, tell)
        elif asked.shown == PAIR_MAP:
            tell(say("Computing which places bring the two films nearer …"))
            maps = compute_pair(service, film, cases[0], ranking, tell)

    def react(name: str, value: dict[str, Any]) -> None:
        with shielded():
            if name == "rated":
                seen = bool(value.get("mapped"))
                ratings.store_rating(store, film, ranking, value["pane"], int(value["rating"]), seen)
            elif name == "stepped":
                step(int(value["by"]), len(ranking.hits), asked.four)
            elif name == "opened":
                ids = [hit.case.case_id for hit in ranking.hits]
                state.put(Key.COMPARED_PLACE, ids.index(value["pane"]))
                state.put(Key.COMPARE_COUNT, ONE)

    options = viewer_options(maps, arrows="step", rating_scale=ratings.SHORT_SCALE, subject=film.key, **layout)
    with viewer:
        show_viewer(make_panes(), options, Key.COMPARE_VIEWER.value, react)
