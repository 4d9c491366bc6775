"""Catalogue: what is in it, where its cases lie, films to add, cases to remove."""

from __future__ import annotations

from collections import Counter

import streamlit as st

from icbir_core.catalogue import LAYOUTS, Workspace
from icbir_core.findings import FindingState
from icbir_core.plurals import count_of
from icbir_core.types import Case
from icbir_ui import charts, films, growing, resources, state
from icbir_ui.errors import shielded
from icbir_ui.page import passing_word, run_page
from icbir_ui.removing import show_removing
from icbir_ui.resources import Engine
from icbir_ui.searching import show_loading
from icbir_ui.selected import show_selected
from icbir_ui.state import Key
from icbir_ui.words import METHOD_TITLES


def draw() -> None:
    engine, workspace = resources.open_engine(), resources.open_workspace()
    cases = workspace.catalogue.cases()
    removed = workspace.catalogue.count(include_removed=True) - len(cases)
    st.caption(f"{len(cases):,} cases · {describe_patients(cases)} · {removed:,} removed · {workspace.path.name}")
    overview, placed, add, remove = st.tabs(["Overview", "Embeddings", "Add films", "Remove or restore"])
    with overview, shielded():
        show_counts(cases)
    with placed, shielded():
        show_embeddings(engine, workspace)
    with add, shielded():
        show_adding(engine, workspace)
    with remove, shielded():
        show_removing(engine, workspace)


def describe_patients(cases: list[Case]) -> str:
    """How many patients the cases are of, and how many cases have no patient number."""
    unknown = sum(case.patient is None for case in cases)
    if unknown == len(cases):
        return "no patient numbers"
    patients = count_of(len({case.patient for case in cases} - {None}), "patient")
    return f"{patients} · {count_of(unknown, 'case')} without a patient number" if unknown else patients


def show_counts(cases: list) -> None:
    """Counts by finding, view, sex, age and source."""
    present = Counter(name for case in cases for name, found in case.findings.items() if found is FindingState.PRESENT)
    left, middle, right = st.columns([1.4, 1, 1.2])
    left.markdown("**Findings present**")
    quiet = {"config": {"displayModeBar": False}}
    charts.show_chart(left, charts.draw_counts(present), "Findings present", key="findings", **quiet)
    middle.markdown("**View**")
    charts.show_chart(middle, charts.draw_counts(Counter(case.view for case in cases)), "Cases by view", **quiet)
    middle.markdown("**Sex**")
    sexes = Counter({"F": "female", "M": "male"}.get(case.sex, "unknown") for case in cases)
    charts.show_chart(middle, charts.draw_counts(sexes), "Cases by sex", key="sexes", **quiet)
    ages = [case.age for case in cases if case.age is not None]
    right.markdown(f"**Age** ({len(cases) - len(ages):,} unknown)")
    charts.show_chart(right, charts.draw_ages(ages), "Cases by age in years, from", key="ages", **quiet)
    right.markdown("**Source**")
    charts.show_chart(right, charts.draw_counts(Counter(case.source for case in cases)), "Cases by source", **quiet)


def show_embeddings(engine: Engine, workspace: Workspace) -> None:
    """The scatter map; a selection opens its cases."""
    if not engine.ready:
        return show_loading(engine)
    left, right = st.columns(2)
    target = left.selectbox("Target finding", engine.retriever.targets, key="map_target")
    methods = resources.list_placeable_methods(engine, target)
    method = right.selectbox("Embedding", methods, format_func=METHOD_TITLES.get, key="map_method")
    with passing_word() as tell:
        found, point = resources.place_catalogue(engine, films.get_current(), target, method, tell)
    cases = workspace.catalogue.cases(found.rows, include_removed=True)
    figure = charts.draw_scatter(found.points, cases, target, point)
    plot, beside = st.columns([1.25, 1], gap="medium")
    with plot:
        title, plain = f"Embeddings of the cases in the plane, by {target}", {"displaylogo": False}
        chosen = charts.show_chart(st, figure, title, on_select="rerun", key="scatter", config=plain)
        st.caption(
            f"Two principal components, which keep {100 * found.kept:.0f} % of the variance: near here is not always "
            "near in the search."
        )
    ids = [str(one["customdata"]) for one in chosen.selection.points if one.get("customdata")]
    with beside:
        if ids:
            show_selected(workspace, ids)
        else:
            st.markdown("Draw round some points to see their films here.")


def show_adding(engine: Engine, workspace: Workspace) -> None:
    """A form for a folder on the server, and how far the last one has come."""
    with st.form("add"):
        left, middle, right = st.columns([1, 2, 2])
        explained = "How the films lie in the folder: folder (any films), dicom, or the layout of a public data set."
        layout = left.selectbox("Layout", LAYOUTS, index=LAYOUTS.index("folder"), help=explained)
        folder = middle.text_input("Folder of films on this machine")
        alone = "Alone, it brings its films: from the folder `images` beside it, else from its own folder."
        labels = right.text_input("Table of labels (csv), if there is one", help=alone)
        started = st.form_submit_button("Add")
    if started and (folder.strip() or labels.strip()):
        growing.start_growth(workspace, growing.guess_options(layout, folder, labels), engine.retriever.targets)
    elif started:
        st.warning("Expected a folder of films or a table, got neither; write its path as this machine knows it.")
    running = growing.get_growth(workspace)
    st.fragment(show_growth, run_every=2.0 if running and running.running else None)(workspace)


def show_growth(workspace: Workspace) -> None:
    """Progress, then what was added, what of it is doubtful, and what was left out with the reason."""
    growth = growing.get_growth(workspace)
    if growth is None:
        st.caption("Films that are already there are left alone; an interrupted run goes on where it was.")
        return
    if growth.options.labels:
        st.caption(f"The films of `{growth.options.labels.name}` are taken from `{growth.options.images}`.")
    if growth.running:
        known = f": {growth.done:,} of {growth.total:,}" if growth.total else " …"
        st.progress(min(growth.done / max(growth.total, 1), 1.0), text=growth.word + known)
    elif growth.error:
        st.error(growth.error)
    if growth.report is not None:
        st.markdown(
            f"{growth.report.added:,} added, {growth.report.already:,} there before. {growth.report.describe_others()}"
        )
        if growth.report.doubtful:
            show_doubtful(growth.report.doubtful)
        if growth.report.skipped:
            st.dataframe([{"Film": name, "Left out because": why} for name, why in growth.report.skipped])
    if not growth.running and state.get(Key.PROGRESS) is not growth:
        state.put(Key.PROGRESS, growth)  # this session counts the cases anew; the engine is reloaded for all at once
        growth.reload_once()
        st.rerun()


def show_doubtful(doubtful: list[tuple[str, str]]) -> None:
    """The films with a warning, folded away."""
    with st.expander(f"{count_of(len(doubtful), 'doubtful film')}, in the catalogue all the same"):
        st.dataframe([{"Case": name, "Warning": why} for name, why in doubtful])
        st.caption("The tab *Remove or restore* takes out what should not be found.")


run_page("Catalogue", draw)
