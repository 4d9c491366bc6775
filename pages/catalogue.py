"""Catalogue: what is in it, where its cases lie, films to add, cases to remove."""

from __future__ import annotations

from collections import Counter

import streamlit as st

from icbir_core.catalogue import Workspace
from icbir_core.findings import FindingState
from icbir_core.plurals import count_of
from icbir_core.retrieval.methods import find_title
from icbir_core.types import Case
from icbir_ui import charts, films, shared
from icbir_ui.catalogue.adding import show_adding
from icbir_ui.catalogue.placing import list_placeable_methods, place_catalogue
from icbir_ui.catalogue.removing import show_removing
from icbir_ui.catalogue.selected import show_selected
from icbir_ui.errors import escape_markdown, shielded
from icbir_ui.frame.page import passing_word, run_page
from icbir_ui.search.asking import show_loading
from icbir_ui.shared import SearchService
from icbir_ui.state import Key


def draw() -> None:
    service, workspace = shared.open_service(), shared.open_workspace()
    cases = workspace.catalogue.cases()
    removed = workspace.catalogue.count(include_removed=True) - len(cases)
    counted = f"{len(cases):,} cases · {describe_patients(cases)} · {removed:,} removed"
    st.caption(f"{counted} · {escape_markdown(workspace.path.name)}")
    overview, placed, add, remove = st.tabs(["Overview", "Embeddings", "Add films", "Remove or restore"])
    with overview, shielded():
        show_counts(cases)
    with placed, shielded():
        show_embeddings(service, workspace)
    with add, shielded():
        show_adding(service, workspace)
    with remove, shielded():
        show_removing(service, workspace)


def describe_patients(cases: list[Case]) -> str:
    """How many patients the cases are of, and how many cases have no patient number."""
    unknown = sum(case.patient is None for case in cases)
    if unknown == len(cases):
        return "no patient numbers"
    patients = count_of(len({case.patient for case in cases} - {None}), "patient")
    return f"{patients} · {count_of(unknown, 'case')} without a patient number" if unknown else patients


def show_counts(cases: list[Case]) -> None:
    """Counts by finding, view, sex, age and source."""
    present = Counter(name for case in cases for name, found in case.findings.items() if found is FindingState.PRESENT)
    left, middle, right = st.columns([1.4, 1, 1.2])
    left.markdown("**Findings present**")
    quiet = {"config": {"displayModeBar": False}}
    charts.show_chart(left, charts.draw_counts(present), "Findings present", key=Key.FINDINGS_CHART.value, **quiet)
    middle.markdown("**View**")
    charts.show_chart(middle, charts.draw_counts(Counter(case.view for case in cases)), "Cases by view", **quiet)
    middle.markdown("**Sex**")
    sexes = Counter({"F": "female", "M": "male"}.get(case.sex, "unknown") for case in cases)
    charts.show_chart(middle, charts.draw_counts(sexes), "Cases by sex", key=Key.SEX_CHART.value, **quiet)
    ages = [case.age for case in cases if case.age is not None]
    right.markdown(f"**Age** ({len(cases) - len(ages):,} unknown)")
    charts.show_chart(right, charts.draw_ages(ages), "Cases by age in years, from", key=Key.AGE_CHART.value, **quiet)
    right.markdown("**Source**")
    charts.show_chart(right, charts.draw_counts(Counter(case.source for case in cases)), "Cases by source", **quiet)


def show_embeddings(service: SearchService, workspace: Workspace) -> None:
    """The scatter map; a selection opens its cases, drawn with the mouse or named by the keyboard."""
    if not service.ready:
        return show_loading(service)
    left, right = st.columns(2)
    target = left.selectbox("Target finding", service.retriever.targets, key=Key.MAP_TARGET.value)
    methods = list_placeable_methods(service, target)
    method = right.selectbox("Embedding", methods, format_func=find_title, key=Key.MAP_METHOD.value)
    with passing_word() as tell:
        found, point = place_catalogue(service, films.get_current(), target, method, tell)
    cases = workspace.catalogue.cases(found.rows, include_removed=True)
    figure = charts.draw_scatter(found.points, cases, target, point)
    plot, beside = st.columns([1.25, 1], gap="medium")
    with plot:
        title, plain = f"Embeddings of the cases in the plane, by {target}", {"displaylogo": False}
        chosen = charts.show_chart(st, figure, title, on_select="rerun", key=Key.SCATTER.value, config=plain)
        st.caption(
            f"Two principal components, which keep {100 * found.kept:.0f} % of the variance: near here is not always "
            "near in the search."
        )
    drawn = [str(one["customdata"]) for one in chosen.selection.points if one.get("customdata")]
    with beside:
        every = sorted(case.case_id for case in cases)
        named = st.multiselect("Or name cases", every, placeholder="Type a name", key=Key.NAMED.value)
        ids = list(dict.fromkeys([*named, *drawn]))
        if ids:
            show_selected(workspace, ids)
        else:
            st.markdown("Draw round some points, or name cases, to see their films here.")


run_page("Catalogue", draw)
