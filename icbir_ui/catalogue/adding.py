"""Adding films from the page: the form, how far it has come, and what was added or left out."""

from __future__ import annotations

from pathlib import Path

import streamlit as st

from icbir_core.access import Right
from icbir_core.catalogue import LAYOUTS, Workspace
from icbir_core.catalogue.adding import ProvenFilm
from icbir_core.findings import KNOWN_FINDINGS, FindingState
from icbir_core.plurals import count_of
from icbir_core.radiograph.views import FRONTAL
from icbir_core.types import UNKNOWN
from icbir_ui import access, films, state
from icbir_ui.catalogue import ingest_job
from icbir_ui.errors import escape_markdown
from icbir_ui.pacs.panel import offer_panel
from icbir_ui.search.kept import describe_keeping
from icbir_ui.shared import SearchService
from icbir_ui.state import Key


def show_adding(service: SearchService, workspace: Workspace) -> None:
    """A form for a folder on the server, and how far the last one has come."""
    if not access.get_person().may(Right.ADD):
        st.caption("Films are added by a study lead or the operator.")
        return
    offer_panel(workspace, describe_keeping("archive"), "archive_to_add")
    if (film := films.get_current()) is not None and film.origin in films.NOT_KEPT:
        show_own_film(service, workspace, film)
    with st.form("add"):
        left, middle, right = st.columns([1, 2, 2])
        explained = "How the films lie in the folder: folder (any films), dicom, or the layout of a public data set."
        names = [name for name in LAYOUTS if name != "dicomweb"]  # for the command line: it may take hours
        layout = left.selectbox("Layout", names, index=names.index("folder"), help=explained)
        folder = middle.text_input("Folder of films on this machine")
        alone = "Alone, it brings its films: from the folder `images` beside it, else from its own folder."
        labels = right.text_input("Table of labels (csv), if there is one", help=alone)
        started = st.form_submit_button("Add")
    if started and (folder.strip() or labels.strip()):
        options = ingest_job.guess_options(layout, folder, labels)
        going = ingest_job.start_growth(workspace, options, service.retriever.targets)
        if going.options is not options:
            st.warning(
                escape_markdown(
                    f"The films of '{going.options.images}' are being added now. Yours, of '{options.images}', were "
                    "NOT started; press Add again when those are in."
                )
            )
    elif started:
        st.warning("Name a folder of films or a table, with its path on the server.")
    running = ingest_job.get_growth(workspace)
    st.fragment(show_growth, run_every=2.0 if running and running.running else None)(workspace)


def show_own_film(service: SearchService, workspace: Workspace, film: films.Film) -> None:
    """A form for the film that the reader has open, with what is proven of it."""
    with st.form("add_own"):
        st.markdown("**Add the film that you have open**, so that later readers find it")
        st.caption("What you leave empty stays unknown.")
        if "capture" in film.radiograph.facts:
            st.warning("A Secondary Capture: look whether text in the picture names the patient before you add it.")
        left, middle, right = st.columns([2, 2, 1])
        known = list(dict.fromkeys([*workspace.catalogue.findings, *KNOWN_FINDINGS]))
        present = left.multiselect("Proven present", known, placeholder="Findings", key=Key.OWN_PRESENT.value)
        absent = middle.multiselect("Proven absent", known, placeholder="Findings", key=Key.OWN_ABSENT.value)
        views = [*FRONTAL, "LATERAL", UNKNOWN]
        held = film.radiograph.view
        view = right.selectbox("View", views, index=views.index(held) if held in views else views.index(UNKNOWN))
        explained = "Kept as you write it and shown to every reader: no name, date or number of a patient."
        diagnosis = st.text_area("Proven diagnosis", help=explained, placeholder=explained, height=80)
        if not st.form_submit_button("Add this film"):
            return
    if both := sorted(set(present) & set(absent)):
        st.warning(escape_markdown(f"{both[0]} cannot be both present and absent; choose one."))
        return
    states = {name: FindingState.PRESENT for name in present} | {name: FindingState.ABSENT for name in absent}
    proven = ProvenFilm(states, diagnosis, view)
    going = ingest_job.start_addition(workspace, film, proven, service.retriever.targets)
    if not going.told:
        st.warning("Other films are being added now. Yours was NOT added; press again when those are in.")


def show_growth(workspace: Workspace) -> None:
    """Progress, then what was added, what of it is doubtful, and what was left out with the reason."""
    growth = ingest_job.get_growth(workspace)
    if growth is None:
        st.caption("Films that are already there are left alone; an interrupted run continues where it stopped.")
        return
    told = growth.told
    if not told:
        named = f"of '{Path(growth.options.labels).name}' are taken" if growth.options.labels else "are taken"
        told = f"The films {named} from '{growth.options.images}'."
    st.caption(escape_markdown(told))
    if growth.running:
        known = f": {growth.done:,} of {growth.total:,}" if growth.total else " …"
        st.progress(min(growth.done / max(growth.total, 1), 1.0), text=escape_markdown(growth.word + known))
    elif growth.error:
        st.error(escape_markdown(growth.error))
    if growth.report is not None:
        st.markdown(
            f"{growth.report.added:,} added, {growth.report.already:,} there before. {growth.report.describe_others()}"
        )
        if growth.report.encoding:
            st.warning(escape_markdown(growth.report.encoding))
        if growth.report.doubtful:
            show_doubtful(growth.report.doubtful)
        if growth.report.skipped:
            st.dataframe([{"Film": name, "Left out because": why} for name, why in growth.report.skipped])
    if not growth.running and state.get(Key.PROGRESS) is not growth:
        state.put(Key.PROGRESS, growth)  # this session counts the cases anew, over the service of what was indexed
        st.rerun()


def show_doubtful(doubtful: list[tuple[str, str]]) -> None:
    """The films with a warning, folded away."""
    with st.expander(f"{count_of(len(doubtful), 'doubtful film')}, in the catalogue all the same"):
        st.dataframe([{"Case": name, "Warning": why} for name, why in doubtful])
        st.caption("The tab *Remove or restore* takes out what should not be found.")
