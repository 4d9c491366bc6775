"""Compare: the query beside one case in full size, or beside four."""

from __future__ import annotations

import streamlit as st

from icbir_core.retrieval.methods import REGION, find_method
from icbir_ui import films, shared, state
from icbir_ui.catalogue.outside import choose_other_film, show_beside, show_outside
from icbir_ui.catalogue.saving import offer_saving
from icbir_ui.choices import show_segments
from icbir_ui.compare.showing import CLASS_MAP, FOUR, NONE, ONE, PAIR_MAP, Comparison, find_place, show_comparison, step
from icbir_ui.errors import escape_markdown
from icbir_ui.frame.page import passing_word, run_page
from icbir_ui.language import mark, say, translate_told
from icbir_ui.search import gate
from icbir_ui.search.asking import NO_MAP, search, show_loading
from icbir_ui.search.controls import read_settings
from icbir_ui.state import PARAMETER_CASE, Key
from icbir_ui.words import describe_cautions, describe_hit

GONE = mark("The case in the address is not among the cases of this search; this is the nearest one.")
WHOLE_FILM = mark("No similarity map here: it explains the distance between whole films, and this search compared {}.")
HELP = mark(
    "**Finding**: where the network saw the finding. **Similarity**: which places of the two films bring "
    "them nearer or farther apart in this search; added up over both films they give the distance. "
    "**None**: the films alone."
)


def draw() -> None:
    service, workspace = shared.open_service(), shared.open_workspace()
    film, held, wanted = films.get_current(), state.get(Key.RANKING), st.query_params.get(PARAMETER_CASE)
    known = film is not None and held is not None and held[0] == film.key and bool(held[1].hits)
    if film is not None and not gate.is_withheld(film) and show_outside(workspace, film, held[1] if known else None):
        return
    if film is None or gate.is_withheld(film) or not (known or wanted):
        st.title(say("Compare"))
        lost = state.get(Key.WORD)
        st.markdown(escape_markdown(translate_told(lost or "")) or say("Search first, then open a case with its ⤢."))
        state.put(Key.WORD, None)
        if lost and st.button(say("To the page Search")):
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
        st.caption(say(GONE))
    with st.container(key="compare_bar"):
        columns = st.columns([2.4, 1.5, 1.7, 0.8, 0.8], vertical_alignment="bottom")
    counts = [ONE, FOUR] if len(ids) > 1 else [ONE]
    if state.get(Key.COMPARE_COUNT) not in counts:
        state.put(Key.COMPARE_COUNT, ONE)
    count = show_segments(columns[1].segmented_control, say("Cases"), counts, Key.COMPARE_COUNT)
    place, four = find_place(len(ids), count == FOUR), count == FOUR
    hit = ranking.hits[place]
    state.write_address({PARAMETER_CASE: hit.case.case_id})
    explained = find_method(ranking.method).explain and not four  # a similarity map is one of two films
    offered = [CLASS_MAP, PAIR_MAP, NONE] if explained else [CLASS_MAP, NONE]
    if state.get(Key.COMPARE_MAP) not in offered:
        state.put(Key.COMPARE_MAP, NONE if method == NO_MAP else CLASS_MAP)
    draw_maps = columns[2].segmented_control
    shown = show_segments(draw_maps, say("Map"), offered, Key.COMPARE_MAP, help=say(HELP))
    asked = Comparison(service, workspace, film, ranking, place, four, shown, method)
    maps = {CLASS_MAP: mark(" · map of {target}"), PAIR_MAP: mark(" · map of their distance"), NONE: ""}
    of = maps[shown] and say(maps[shown], target=translate_told(ranking.target))
    last = asked.places[-1] + 1
    named = mark("Cases {first} to {last}") if last > hit.rank else mark("Case {first}")
    named = say(named, first=hit.rank, last=last)
    words = of if four else f" · {describe_hit(ranking, hit)}{of}"
    columns[0].markdown(say("**{named} of {count}**{words}", named=named, count=len(ids), words=escape_markdown(words)))
    if cautions := describe_cautions(ranking):
        columns[0].markdown(f":orange[{escape_markdown(' '.join(cautions))}]")
    if find_method(ranking.method).part:
        part = mark("a region") if ranking.method == REGION.name else mark("what is seen of one finding")
        st.caption(say(WHOLE_FILM).format(say(part)))
    buttons = (-1, mark("◀ Previous"), mark("Left arrow")), (1, mark("Next ▶"), mark("Right arrow"))
    for column, (by, label, key) in zip(columns[3:], buttons, strict=True):
        column.button(say(label), on_click=step, args=(by, len(ids), four), width="stretch", help=say(key))
    if not four and (other := choose_other_film(workspace, hit.case)) is not None:
        show_beside(workspace, film, ranking, other)
    else:
        show_comparison(asked)
    if not four:
        offer_saving(hit.case.case_id, "compare")


run_page("Compare", draw, heading=False)
