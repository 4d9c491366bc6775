"""A case of the catalogue beside the reader's film, whether or not it is among the cases of her search."""

from __future__ import annotations

import streamlit as st

from icbir_core.audit import Action
from icbir_core.catalogue import Workspace
from icbir_core.types import Case, Ranking
from icbir_ui import access, state
from icbir_ui.catalogue.selected import make_case_pane
from icbir_ui.choices import show_choice
from icbir_ui.errors import escape_markdown
from icbir_ui.films import Film
from icbir_ui.language import mark, say
from icbir_ui.search.beside import order_by_age
from icbir_ui.search.panes import query_pane
from icbir_ui.state import NOTICE, Key
from icbir_ui.viewer import ViewerOptions, show_viewer
from icbir_ui.words import describe_brief

NOT_RANKED = mark("This case is not among the cases of your search, so it has no rank and no distance here.")


def show_outside(workspace: Workspace, film: Film, ranking: Ranking | None) -> bool:
    """Show the case that was asked for on another page; False where none was, or where the search has it."""
    name = state.get(Key.OUTSIDE)
    if name is None:
        return False
    if ranking is not None and name in [hit.case.case_id for hit in ranking.hits]:
        state.put(Key.COMPARED, name)
        state.put(Key.OUTSIDE, None)
        return False
    case = workspace.catalogue.get(name)
    left, right = st.columns([4, 1], vertical_alignment="bottom")
    left.markdown(f"**{escape_markdown(case.case_id)}** · {say(NOT_RANKED)}")
    right.button(say("To the cases of the search"), on_click=state.put, args=(Key.OUTSIDE, None), width="stretch")
    show_beside(workspace, film, ranking, case)
    return True


def choose_other_film(workspace: Workspace, case: Case) -> Case | None:
    """The film that the reader chose among the others of a case's patient (a lateral, an earlier one), by age; None
    for the case's own, and where the catalogue has no other."""
    found = workspace.catalogue.find_of_patients(case.patients) if case.patients else []
    others = {one.case_id: one for one in sorted(found, key=order_by_age) if one.case_id != case.case_id}
    if not others:
        return None
    named = {case.case_id: say("This case")} | {
        name: describe_brief(one.view, one.age, "") or say("unknown view") for name, one in others.items()
    }
    if state.get(Key.CASE_FILM) not in named or state.get(Key.CASE_OF_FILMS) != case.case_id:
        state.put(Key.CASE_FILM, case.case_id)  # the next case may be another film of this one's patient
        state.put(Key.CASE_OF_FILMS, case.case_id)
    chosen = show_choice(
        st.segmented_control, say("Films of this patient"), list(named), key=Key.CASE_FILM,
        format_func=lambda name: named[name], required=True,
    )  # fmt: skip
    return others.get(chosen)


def show_beside(workspace: Workspace, film: Film, ranking: Ranking | None, case: Case) -> None:
    """The reader's film and a case that her search did not rank, in full size."""
    access.record_once(Action.SAW, access.name_film(film), *access.name_cases([case]))
    panes = [query_pane(film, ranking).alone(), make_case_pane(workspace, case, case.case_id, "1")]
    show_viewer(panes, ViewerOptions(notice=f"ICBIR. {NOTICE}", full=True, columns=2), Key.OUTSIDE_VIEWER.value)
