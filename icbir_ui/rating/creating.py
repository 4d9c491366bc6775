"""The form that makes a reading study from the page."""

from __future__ import annotations

import streamlit as st

from icbir_core.catalogue.workspace import Workspace
from icbir_core.study.creating import create_workspace_study
from icbir_core.study.store import RatingsStore
from icbir_ui import resources, state
from icbir_ui.errors import shielded
from icbir_ui.page import passing_word
from icbir_ui.state import PARAMETER_STUDY

TASKS = {"similarity": "Similarity in five steps", "ranking": "Full ranking", "choice": "Choice of two"}


def offer_new_study(workspace: Workspace, store: RatingsStore, opened: bool = False) -> None:
    """The form, folded away unless `opened`; storing a study makes it appear in the list."""
    with st.expander("New study", expanded=opened), st.form("new_study", border=False):
        name = st.text_input("Name", max_chars=60)
        left, middle, right = st.columns(3)
        queries = left.number_input("Queries", 1, 200, 8)
        top = middle.number_input("Cases pooled from each method", 1, 20, 3)
        negatives = right.number_input("Random cases added", 0, 20, 2)
        tasks = st.multiselect("Tasks", list(TASKS), default=["similarity"], format_func=TASKS.get)
        maps = st.checkbox("Ask a second time with the heat maps shown", value=True)
        if not st.form_submit_button("Make the study", type="primary"):
            return
    with shielded(), passing_word() as tell, st.spinner("Ranking the catalogue for each query …"):
        engine = resources.open_engine()
        study = engine.ask(
            ("new study", name),
            lambda retriever: create_workspace_study(
                workspace, store, name, count=int(queries), k=int(top), negatives=int(negatives), tasks=tuple(tasks),
                stages=2 if maps else 1, retriever=retriever,
            ),
            tell,
        )  # fmt: skip
        st.success(f"'{study.name}' is made: {len(study.steps('any reader'))} answers for each reader.")
        state.write_address(PARAMETER_STUDY, study.name)
        st.rerun()
