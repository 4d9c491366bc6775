"""Catalogue: its cases as a list, what is in it, where its cases lie, films to add, cases to remove."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from functools import partial

import streamlit as st

from icbir_core.catalogue import Workspace
from icbir_core.catalogue.listing import Summary
from icbir_core.plurals import count_of
from icbir_core.retrieval.methods import find_title
from icbir_ui import charts, films, shared
from icbir_ui.catalogue.adding import show_adding
from icbir_ui.catalogue.browsing import show_list
from icbir_ui.catalogue.folders import show_folders, take_folder
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
    parts: dict[str, Callable[[], None]] = {
        "List": partial(show_list, workspace),
        "Folders": partial(show_folders, service, workspace),
        "Overview": partial(show_counts, workspace),
        "Embeddings": partial(show_embeddings, service, workspace),
        "Add films": partial(show_adding, service, workspace),
        "Remove or restore": partial(show_removing, service, workspace),
    }
    first = "Folders" if take_folder() else None  # a link opens its part
    tabs = st.tabs(list(parts), key=Key.CATALOGUE_PART.value, default=first, on_change="rerun")
    for tab, show in zip(tabs, parts.values(), strict=True):
        if tab.open:  # only what is seen costs time
            with tab, shielded():
                show()


def show_counts(workspace: Workspace) -> None:
    """Counts by finding, view, sex, age and source."""
    found = workspace.catalogue.listing.summarise()
    removed = workspace.catalogue.count(include_removed=True) - found.total
    counted = f"{found.total:,} cases · {describe_patients(found)} · {removed:,} removed"
    st.caption(f"{counted} · {escape_markdown(workspace.path.name)}")
    left, middle, right = st.columns([1.4, 1, 1.2])
    left.markdown("**Findings present**")
    quiet = {"config": {"displayModeBar": False}}
    charts.show_chart(
        left, charts.draw_counts(found.findings), "Findings present", key=Key.FINDINGS_CHART.value, **quiet
    )
    middle.markdown("**View**")
    charts.show_chart(middle, charts.draw_counts(found.views), "Cases by view", **quiet)
    middle.markdown("**Sex**")
    sexes: Counter[str] = Counter()
    for sex, count in found.sexes.items():
        sexes[{"F": "female", "M": "male"}.get(sex, "unknown")] += count
    charts.show_chart(middle, charts.draw_counts(sexes), "Cases by sex", key=Key.SEX_CHART.value, **quiet)
    ages = [age for age, count in found.ages.items() if age is not None for _ in range(count)]
    right.markdown(f"**Age** ({found.ages.get(None, 0):,} unknown)")
    charts.show_chart(right, charts.draw_ages(ages), "Cases by age in years, from", key=Key.AGE_CHART.value, **quiet)
    right.markdown("**Source**")
    charts.show_chart(right, charts.draw_counts(found.sources), "Cases by source", **quiet)


def describe_patients(found: Summary) -> str:
    """How many patients the cases are of, and how many cases have no patient number."""
    unknown = found.without_patient
    if unknown == found.total:
        return "no patient numbers"
    patients = count_of(found.patients, "patient")
    return f"{patients} · {count_of(unknown, 'case')} without a patient number" if unknown else patients


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


run_page("Catalogue", draw, heading=False)
