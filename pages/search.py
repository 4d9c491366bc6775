"""Search: a film in, the most similar past cases out, in one screen."""

from __future__ import annotations

import streamlit as st

from icbir_core.errors import IcbirError
from icbir_core.retrieval.methods import find_method
from icbir_ui import films, shared, state
from icbir_ui.errors import escape_markdown, explain
from icbir_ui.export.controls import show_export
from icbir_ui.export.deidentified import show_deidentified
from icbir_ui.export.dicom import show_dicom
from icbir_ui.frame.page import empty_for_another, passing_word, run_page, show_background
from icbir_ui.language import say, speak_english
from icbir_ui.pacs.opening import show_opening
from icbir_ui.search import beside, gate, refining
from icbir_ui.search.asking import NO_MAP, Maps, compute_maps, get_trail, is_known, knows_map, search, show_loading
from icbir_ui.search.controls import choose_settings
from icbir_ui.search.result import Result
from icbir_ui.search.welcome import offer_films, open_asked, show_welcome, show_word
from icbir_ui.state import PARAMETER_CASE, Key
from icbir_ui.viewer import prepare_pictures
from icbir_ui.words import describe_filter


def draw() -> None:
    service, workspace = shared.open_service(), shared.open_workspace()
    film = films.get_current()
    if show_opening():
        return
    if film is None:
        with st.container():
            show_welcome(workspace, service)
        return
    st.empty()  # in the place of the first page, whose films would stay while the search runs
    row = st.container(key="search_room", horizontal=True, vertical_alignment="center", gap="small")
    menu = row.popover(say("Film"), key=f"film_{film.key[:12]}")  # shut again by another film
    asked = state.get(Key.ASKED_FILM)
    fresh = (
        bool(asked) or (state.get(Key.RANKING) or (None,))[0] != film.key
    )  # of the same film the former cases stay meanwhile
    drawer, about, export, steps, word = (empty_for_another(row.container(width="content"), fresh) for _ in range(5))
    above, place = (empty_for_another(st.container(), fresh) for _ in range(2))
    if asked:
        open_asked(workspace, asked)
    with menu:
        offer_films(workspace, (drawer, about, export, steps, word, above, place))
    others = beside.list_others(workspace, film)
    if gate.is_withheld(film):
        state.put(Key.RANKING, None)
        with above.container():
            gate.show_band(film)
        with word:
            show_word()
        return beside.show_alone(film, others, place, plain=True)
    with row, passing_word() as tell:
        if fresh:
            state.put(Key.RANKING, None)
            beside.show_alone(film, others, place)
        if not service.ready:
            service.begin()
            with word:
                show_loading(service, say("The search starts by itself."))
            return
        findings = refining.list_findings(service)
        settings, method = choose_settings(service, film, drawer, tell)
        with word:
            show_word()
        with steps:
            refining.show_refinement(findings, get_trail().by_part or find_method(state.get(Key.METHOD)).points)
        mapped = bool(state.get(Key.CASE_MAPS)) and method != NO_MAP
        try:
            if not is_known(service, film, settings):
                tell(say("Searching …"))
            ranking = search(service, film, settings, tell)
        except IcbirError as error:
            above.warning(escape_markdown(explain(error)))
            state.put(Key.RANKING, None)  # Compare must not show what the settings in force exclude
            if not fresh:
                beside.show_alone(film, others, place)
            return
        state.put(Key.RANKING, (film.key, ranking, method))
        if opened := state.get(Key.COMPARED):
            st.switch_page("pages/compare.py", query_params={**st.query_params.to_dict(), PARAMETER_CASE: opened})
        result = Result(workspace, film, ranking, others, findings, method, mapped, place, again=fresh)
        prepare_pictures(list(result.pictures.values()))
        if fresh and not knows_map(service, film, ranking.target, method):
            result.show(Maps(None, {}))  # the map takes longer than the cases: she sees them meanwhile
        try:
            cases = [hit.case for hit in ranking.hits] if mapped else []
            maps = compute_maps(service, film, cases, ranking.target, method, tell)
        except IcbirError as error:
            above.warning(escape_markdown(explain(error)))
            maps = Maps(None, {})
    view = result.show(maps)  # before what stands around it, so that it reaches the browser first
    with export.popover(say("Export")):
        filters = speak_english(describe_filter)(settings.filter)
        show_export(film, ranking, maps, workspace, view, filters)
        show_dicom(film, ranking, maps, workspace, view, filters)
        show_deidentified(film, workspace)
    with about.popover(say("About this film")):
        show_background(film, workspace, ranking.target)


run_page("Search", draw, heading=False)
