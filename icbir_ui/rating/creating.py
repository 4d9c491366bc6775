"""The form that makes a reading study from the page."""

from __future__ import annotations

import streamlit as st

from icbir_core.access import Right
from icbir_core.audit import Action, Subject
from icbir_core.catalogue.workspace import Workspace
from icbir_core.retrieval.methods import SEARCH_METHODS
from icbir_core.study.creating import create_workspace_study
from icbir_core.study.design import StudyPlan, bound_answers
from icbir_core.study.store import RatingsStore
from icbir_ui import access, shared, state
from icbir_ui.errors import escape_markdown, shielded
from icbir_ui.frame.page import passing_word
from icbir_ui.language import count_of, mark, say
from icbir_ui.shared import SearchService
from icbir_ui.state import PARAMETER_STUDY, Key

TASKS = {
    "similarity": mark("Similarity in five steps"),
    "ranking": mark("Full ranking"),
    "choice": mark("Choice of two"),
}


@st.fragment
def offer_new_study(workspace: Workspace, store: RatingsStore, opened: bool = False) -> None:
    """The form, folded away unless `opened`; storing a study makes it appear in the list. A fragment and no `st.form`:
    the number of answers follows what she changes, and the films are not drawn again."""
    service = shared.open_service()
    if not access.get_person().may(Right.MAKE_STUDY):
        return
    with st.expander(say("New study"), expanded=opened):
        name = st.text_input(say("Name"), max_chars=60).strip()
        left, middle, right = st.columns(3)
        queries = int(left.number_input(say("Queries"), 1, 200, 8))
        top = int(middle.number_input(say("Cases pooled from each method"), 1, 20, 3))
        negatives = int(right.number_input(say("Random cases added"), 0, 20, 2))
        chosen = st.multiselect(
            say("Tasks"), list(TASKS), ["similarity"], format_func=lambda task: say(TASKS[task]), select_all=False
        )
        tasks = tuple(chosen) or ("similarity",)
        stages = 2 if st.checkbox(say("Ask a second time with the heat maps shown"), value=True) else 1
        plan = StudyPlan(k=top, negatives=negatives, tasks=tasks, stages=stages)
        most = bound_answers(plan, queries, count_methods(service))
        st.caption(
            say(
                "At most {answers} for each reader; fewer where methods find the same cases.",
                answers=count_of(most, "answer"),
            )
        )
        if not st.button(say("Make the study"), type="primary"):
            return
        if not name:
            st.warning(say("Give the study a name."))
            return
        if store.find_study(name) is not None:  # the service may remember how that one was made
            st.warning(say("There is a study '{name}' already; give another name.", name=escape_markdown(name)))
            return
    with shielded(), passing_word() as tell, st.spinner(say("Ranking the catalogue for each query …")):
        access.require(Right.MAKE_STUDY)
        study = service.ask(
            ("new study", name),
            lambda retriever: create_workspace_study(workspace, store, name, lambda: retriever, plan, queries),
            tell,
        )
        access.record(Action.MADE_STUDY, Subject("study", study.name), queries=queries)
        answers = count_of(len(study.steps("any reader")), "answer")
        state.put(Key.MADE, say("'{name}' is made: {answers} for each reader.", name=study.name, answers=answers))
        state.write_address({PARAMETER_STUDY: study.name})
        st.rerun()


def count_methods(service: SearchService) -> int:
    """How many methods a new study pools; all that there are while the networks load."""
    return len(service.retriever.methods(service.retriever.default_target) if service.ready else SEARCH_METHODS)


def tell_what_was_made() -> None:
    """Say once that a study was made, above the page, so that nothing moves under the pointer when it disappears."""
    if said := state.get(Key.MADE):
        st.toast(escape_markdown(said), duration="long")
        state.put(Key.MADE, None)
