"""Catalogue: its cases as a list, what is in it, where its cases lie, films to add, cases to remove."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from functools import partial

import streamlit as st

from icbir_core.catalogue import Workspace
from icbir_core.catalogue.listing import Summary
from icbir_ui import charts, films, shared
from icbir_ui.catalogue.adding import show_adding
from icbir_ui.catalogue.browsing import show_list
from icbir_ui.catalogue.folders import show_folders, take_folder
from icbir_ui.catalogue.jobs import are_jobs_shown, show_jobs
from icbir_ui.catalogue.placing import list_placeable_methods, place_catalogue
from icbir_ui.catalogue.removing import show_removing
from icbir_ui.catalogue.selected import show_selected
from icbir_ui.errors import escape_markdown, shielded
from icbir_ui.frame.page import passing_word, run_page
from icbir_ui.language import count_of, say, translate_told
from icbir_ui.search.asking import show_loading
from icbir_ui.shared import SearchService
from icbir_ui.state import Key
from icbir_ui.words import name_method


def draw() -> None:
    service, workspace = shared.open_service(), shared.open_workspace()
    parts: dict[str, Callable[[], None]] = {
        say("List"): partial(show_list, workspace),
        say("Folders"): partial(show_folders, service, workspace),
        say("Overview"): partial(show_counts, workspace),
        say("Embeddings"): partial(show_embeddings, service, workspace),
        say("Add films"): partial(show_adding, service, workspace),
        say("Remove or restore"): partial(show_removing, service, workspace),
    }
    if are_jobs_shown(workspace):
        parts[say("Jobs")] = partial(show_jobs, workspace)
    first = say("Folders") if take_folder() else None  # a link opens its part
    tabs = st.tabs(list(parts), key=Key.CATALOGUE_PART.value, default=first, on_change="rerun")
    for tab, show in zip(tabs, parts.values(), strict=True):
        if tab.open:  # only what is seen costs time
            with tab, shielded():
                show()


def show_counts(workspace: Workspace) -> None:
    """Counts by finding, view, sex, age and source."""
    found = workspace.catalogue.listing.summarise()
    removed = workspace.catalogue.count(include_removed=True) - found.total
    counted = say(
        "{total} cases · {patients} · {removed} removed",
        total=f"{found.total:,}",
        patients=describe_patients(found),
        removed=f"{removed:,}",
    )
    st.caption(f"{counted} · {escape_markdown(workspace.path.name)}")
    left, middle, right = st.columns([1.4, 1, 1.2])
    left.markdown(f"**{say('Findings present')}**")
    quiet = {"config": {"displayModeBar": False}}
    charts.show_chart(
        left, charts.draw_counts(found.findings), say("Findings present"), key=Key.FINDINGS_CHART.value, **quiet
    )
    middle.markdown(f"**{say('View')}**")
    charts.show_chart(middle, charts.draw_counts(found.views), say("Cases by view"), **quiet)
    middle.markdown(f"**{say('Sex')}**")
    sexes: Counter[str] = Counter()
    for sex, count in found.sexes.items():
        sexes[{"F": "female", "M": "male"}.get(sex, "unknown")] += count
    charts.show_chart(middle, charts.draw_counts(sexes), say("Cases by sex"), key=Key.SEX_CHART.value, **quiet)
    ages = [age for age, count in found.ages.items() if age is not None for _ in range(count)]
    right.markdown(say("**Age** ({count} unknown)", count=f"{found.ages.get(None, 0):,}"))
    charts.show_chart(
        right, charts.draw_ages(ages), say("Cases by age in years, from"), key=Key.AGE_CHART.value, **quiet
    )
    right.markdown(f"**{say('Source')}**")
    charts.show_chart(right, charts.draw_counts(found.sources), say("Cases by source"), **quiet)


def describe_patients(found: Summary) -> str:
    """How many patients the cases are of, and how many cases have no patient number."""
    unknown = found.without_patient
    if unknown == found.total:
        return say("no patient numbers")
    patients = count_of(found.patients, "patient")
    return (
        say("{patients} · {cases} without a patient number", patients=patients, cases=count_of(unknown, "case"))
        if unknown
        else patients
    )


def show_embeddings(service: SearchService, workspace: Workspace) -> None:
    """The scatter map; a selection opens its cases, drawn with the mouse or named by the keyboard."""
    if not service.ready:
        return show_loading(service)
    left, right = st.columns(2)
    target = left.selectbox(
        say("Target finding"), service.retriever.targets, format_func=translate_told, key=Key.MAP_TARGET.value
    )
    methods = list_placeable_methods(service, target)
    method = right.selectbox(say("Embedding"), methods, format_func=name_method, key=Key.MAP_METHOD.value)
    with passing_word() as tell:
        found, point = place_catalogue(service, films.get_current(), target, method, tell)
    cases = workspace.catalogue.cases(found.rows, include_removed=True)
    figure = charts.draw_scatter(found.points, cases, target, point)
    plot, beside = st.columns([1.25, 1], gap="medium")
    with plot:
        title = say("Embeddings of the cases in the plane, by {target}", target=translate_told(target))
        plain = {"displaylogo": False}
        chosen = charts.show_chart(st, figure, title, on_select="rerun", key=Key.SCATTER.value, config=plain)
        st.caption(
            say(
                "Two principal components, which keep {share} % of the variance: near here is not always "
                "near in the search.",
                share=f"{100 * found.kept:.0f}",
            )
        )
    drawn = [str(one["customdata"]) for one in chosen.selection.points if one.get("customdata")]
    with beside:
        every = sorted(case.case_id for case in cases)
        named = st.multiselect(
            say("Or name cases"), every, placeholder=say("Type a name"), select_all=False, key=Key.NAMED.value
        )
        ids = list(dict.fromkeys([*named, *drawn]))
        if ids:
            show_selected(workspace, ids)
        else:
            st.markdown(say("Draw round some points, or name cases, to see their films here."))


run_page("Catalogue", draw, heading=False)
