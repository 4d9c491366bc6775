"""Rate: a reading session, one blind item after another; every answer is on disk before the next is shown."""

from __future__ import annotations

import time

import numpy as np
import streamlit as st

from icbir_core.audit import Action, Subject
from icbir_core.catalogue.workspace import Workspace
from icbir_core.study.exchange import load_study
from icbir_core.study.rating import SIMILARITY_SCALE
from icbir_core.study.session import BlindItem, ReadingSession
from icbir_ui import access, shared, state
from icbir_ui.errors import escape_markdown
from icbir_ui.frame.page import empty_for_another, passing_word, run_page
from icbir_ui.language import say, translate_told
from icbir_ui.rating.answering import return_to, show_answers
from icbir_ui.rating.choosing import choose_study
from icbir_ui.rating.creating import offer_new_study, tell_what_was_made
from icbir_ui.rating.panes import QUESTIONS, compute_maps, knows_maps, make_options, make_panes
from icbir_ui.search.asking import show_loading
from icbir_ui.state import Key
from icbir_ui.viewer import show_viewer


def draw() -> None:
    tell_what_was_made()
    workspace, store = shared.open_workspace(), shared.open_ratings()
    names = store.study_names()
    if not names:
        st.title(say("Rate"))
        st.markdown(
            say(
                "There is no reading study yet. A study shows you pairs of films, blinded, and asks how "
                "similar they are. The answers tell which search finds the cases that readers call similar."
            )
        )
        offer_new_study(workspace, store, opened=True)
        return
    left, right = st.columns([2, 3], vertical_alignment="bottom")
    name = choose_study(left, names)
    session = ReadingSession(store, load_study(store, name), state.get_reader(), state.get_window())
    item, reader = find_item(session), escape_markdown(session.reader)
    if item is None:
        st.success(say("All {total} items are answered. Thank you, {reader}.", total=session.total, reader=reader))
        right.button(say("Back to the last item"), on_click=return_to, args=(session, None))
        offer_new_study(workspace, store)
        return
    step = say("second step, with heat maps") if item.with_maps else say("first step, without heat maps")
    right.progress(
        len(session.answered()) / item.total,
        say(
            "Item {position} of {total} · {step} · {reader}",
            position=item.position,
            total=item.total,
            step=step,
            reader=reader,
        ),
    )
    show_item(workspace, session, item)
    offer_new_study(workspace, store)


def find_item(session: ReadingSession) -> BlindItem | None:
    """The item she went back to, else the first that is not answered."""
    returned = state.get(Key.RETURNED)
    return returned if returned and session.owns(returned.token) else session.next_item()


def show_item(workspace: Workspace, session: ReadingSession, item: BlindItem) -> None:
    """The films and the ways to answer."""
    st.markdown(f"**{say(QUESTIONS[item.task])}**")
    service = shared.open_service()
    if item.with_maps and not service.ready:
        return show_loading(service)
    with passing_word() as tell:
        waiting = not knows_maps(service, workspace, session, item)  # never the item before under the words of this one
        place = empty_for_another(st.container(), waiting)
        maps = compute_maps(service, workspace, session, item, tell)
    with place.container():
        show_films(workspace, session, item, maps)


def show_films(workspace: Workspace, session: ReadingSession, item: BlindItem, maps: dict[str, np.ndarray]) -> None:
    """The ways to answer, and below them the films."""
    query, cases = session.find_cases(item.token)
    named = (Subject("case", one) for one in (query, *cases))
    access.record_once(Action.SAW, Subject("study", session.study.name), *named)
    shown = state.get(Key.SHOWN, {})
    if not shown or next(reversed(shown)) != item.token:  # an item that comes back is timed anew
        shown.pop(item.token, None)
        shown[item.token] = time.monotonic()
        state.put(Key.SHOWN, shown)
    with st.container(key=f"{Key.ANSWERS}{item.token}"):
        show_answers(session, item)
    if said := state.get(Key.NOT_STORED):  # until the next answer; below the buttons, so that these do not move
        st.error(escape_markdown(translate_told(said)))
    show_viewer(make_panes(workspace, session, item, maps), make_options(item, maps), Key.RATE_VIEWER.value)
    if item.task == "similarity":
        st.caption(" · ".join(f"**{score}** {translate_told(words)}" for score, words in SIMILARITY_SCALE.items()))


run_page("Rate", draw, heading=False)
