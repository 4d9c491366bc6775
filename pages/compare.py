"""Compare: the query beside one case, full size."""

from __future__ import annotations

from typing import Any

import streamlit as st

from icbir_core.audit import Action
from icbir_core.catalogue.workspace import Workspace
from icbir_core.retrieval.methods import REGION, find_method
from icbir_core.saliency.methods import FIRST_MAP
from icbir_core.types import Ranking
from icbir_ui import access, films, shared, state
from icbir_ui.catalogue.outside import choose_other_film, show_beside, show_outside
from icbir_ui.catalogue.saving import offer_saving
from icbir_ui.choices import show_choice
from icbir_ui.errors import escape_markdown, shielded
from icbir_ui.films import Film
from icbir_ui.frame.page import empty_for_another, passing_word, run_page
from icbir_ui.search import gate, ratings
from icbir_ui.search.asking import (
    NO_MAP,
    Maps,
    compute_maps,
    compute_pair,
    knows_pair,
    search,
    show_loading,
    viewer_options,
)
from icbir_ui.search.controls import read_settings
from icbir_ui.search.panes import hit_panes, query_pane
from icbir_ui.shared import SearchService
from icbir_ui.state import PARAMETER_CASE, Key
from icbir_ui.viewer import Pane, ViewerOptions, show_viewer
from icbir_ui.words import describe_cautions, describe_hit

GONE = "The case in the address is not among the cases of this search; this is the nearest one."
WHOLE_FILM = "No similarity map here: it explains the distance between whole films, and this search compared {}."
CLASS_MAP, PAIR_MAP, NONE = "Finding", "Similarity", "None"
HELP = (
    "**Finding**: where the network saw the finding. **Similarity**: which places of the two films bring them nearer "
    "or farther apart in this search; added up over both films they give the distance. **None**: the films alone."
)


def draw() -> None:
    service, workspace = shared.open_service(), shared.open_workspace()
    film, held, wanted = films.get_current(), state.get(Key.RANKING), st.query_params.get(PARAMETER_CASE)
    known = film is not None and held is not None and held[0] == film.key and bool(held[1].hits)
    if film is not None and not gate.is_withheld(film) and show_outside(workspace, film, held[1] if known else None):
        return
    if film is None or gate.is_withheld(film) or not (known or wanted):
        st.title("Compare")
        lost = state.get(Key.WORD)
        st.markdown(escape_markdown(lost or "") or "Search first, then open a case here with its ⤢ button.")
        state.put(Key.WORD, None)
        if lost and st.button("To the page Search"):
            st.switch_page("pages/search.py")
        return
    if not service.ready:
        return show_loading(service)
    with passing_word() as tell:  # remembered, unless the catalogue has changed since
        settings, method = read_settings(service, film, tell)
        ranking = search(service, film, settings, tell)
    state.put(Key.RANKING, (film.key, ranking, method))
    if not known:
        state.put(Key.COMPARED, wanted)
    opened = state.get(Key.COMPARED)
    state.put(Key.COMPARED, None)
    ids = [hit.case.case_id for hit in ranking.hits]
    if opened in ids:
        state.put(Key.COMPARED_PLACE, ids.index(opened))
    elif opened:
        st.caption(GONE)
    place = min(state.get(Key.COMPARED_PLACE, 0), len(ids) - 1)
    columns = st.columns([3, 2.2, 0.8, 0.8], vertical_alignment="bottom")
    hit = ranking.hits[place]
    state.write_address({PARAMETER_CASE: hit.case.case_id})
    offered = [CLASS_MAP, PAIR_MAP, NONE] if find_method(ranking.method).explain else [CLASS_MAP, NONE]
    if state.get(Key.COMPARE_MAP) not in offered:
        state.put(Key.COMPARE_MAP, NONE if method == NO_MAP else CLASS_MAP)
    shown = show_choice(columns[1].segmented_control, "Map", offered, key=Key.COMPARE_MAP, help=HELP, required=True)
    of = {CLASS_MAP: f" · map of {ranking.target}", PAIR_MAP: " · map of their distance"}.get(shown, "")
    words = escape_markdown(f"{describe_hit(ranking, hit)}{of}")
    columns[0].markdown(f"**Case {hit.rank} of {len(ids)}** · {words}")
    if cautions := describe_cautions(ranking):
        st.markdown(f":orange[{' '.join(cautions)}]")
    if find_method(ranking.method).part:
        st.caption(WHOLE_FILM.format("a region" if ranking.method == REGION.name else "what is seen of one finding"))
    columns[2].button("◀ Previous", on_click=_step, args=(-1, len(ids)), width="stretch", help="Left arrow")
    columns[3].button("Next ▶", on_click=_step, args=(1, len(ids)), width="stretch", help="Right arrow")
    if (other := choose_other_film(workspace, hit.case)) is not None:
        show_beside(workspace, film, ranking, other)
    else:
        show_pair(service, workspace, film, ranking, place, shown, method)
    offer_saving(hit.case.case_id, "compare")


def _step(by: int, count: int) -> None:
    state.put(Key.COMPARED_PLACE, (state.get(Key.COMPARED_PLACE, 0) + by) % count)


def show_pair(
    service: SearchService, workspace: Workspace, film: Film, ranking: Ranking, place: int, shown: str, method: str
) -> None:
    """Both films with the chosen map, at one scale; a map of the finding at that of the whole search, so that colours
    mean the same from case to case."""
    case, maps, store = ranking.hits[place].case, Maps(None, {}), shared.open_ratings()
    access.record_once(Action.SAW, access.name_film(film), *access.name_cases([case]))

    def make_panes() -> list[Pane]:
        right = hit_panes(workspace, ranking, maps, ratings.find_ratings(store, film), {})[place]
        return [query_pane(film, ranking, maps).alone(), right.alone()]

    with shielded(), passing_word() as tell:
        waiting = shown == PAIR_MAP and not knows_pair(service, film, case, ranking)
        viewer = empty_for_another(st.container(), waiting)
        if waiting:  # never the case before under the name of this one
            with viewer:
                plain = ViewerOptions(memory=Key.COMPARE_VIEWER.value, full=True, columns=2)
                show_viewer(make_panes(), plain, Key.FILM_VIEWER.value)
        if shown == CLASS_MAP:
            wanted = method if method != NO_MAP else FIRST_MAP
            maps = compute_maps(service, film, [hit.case for hit in ranking.hits], ranking.target, wanted, tell)
        elif shown == PAIR_MAP:
            tell("Computing which places bring the two films nearer …")
            maps = compute_pair(service, film, case, ranking, tell)

    def react(name: str, value: dict[str, Any]) -> None:
        with shielded():
            if name == "rated":
                seen = bool(value.get("mapped"))
                ratings.store_rating(store, film, ranking, value["pane"], int(value["rating"]), seen)
            elif name == "stepped":
                _step(int(value["by"]), len(ranking.hits))

    options = viewer_options(
        maps, full=True, arrows="step", columns=2, rating_scale=ratings.SHORT_SCALE, subject=film.key
    )
    with viewer:
        show_viewer(make_panes(), options, Key.COMPARE_VIEWER.value, react)


run_page("Compare", draw, heading=False)
