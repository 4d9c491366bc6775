"""Adding films from the page: the form, how far it has come, and what was added or left out."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import streamlit as st

from icbir_core.access import Right
from icbir_core.catalogue import LAYOUTS, Workspace
from icbir_core.catalogue.adding import ProvenFilm
from icbir_core.findings import KNOWN_FINDINGS, FindingState
from icbir_core.radiograph.views import FRONTAL
from icbir_core.types import UNKNOWN
from icbir_ui import access, films, state
from icbir_ui.catalogue import ingest_job
from icbir_ui.errors import escape_markdown
from icbir_ui.language import count_of, say, translate_told
from icbir_ui.pacs.panel import offer_panel
from icbir_ui.search.kept import describe_keeping
from icbir_ui.shared import SearchService
from icbir_ui.state import Key


def show_adding(service: SearchService, workspace: Workspace) -> None:
    """A form for a folder on the server, and how far the last one has come."""
    if not access.get_person().may(Right.ADD):
        st.caption(say("Films are added by a study lead or the operator."))
        return
    offer_panel(workspace, describe_keeping("archive"), "archive_to_add")
    if (film := films.get_current()) is not None and film.origin in films.NOT_KEPT:
        show_own_film(service, workspace, film)
    with st.form("add"):
        left, middle, right = st.columns([1, 2, 2])
        explained = say("How the films lie in the folder: folder (any films), dicom, or that of a public data set.")
        names = [name for name in LAYOUTS if name != "dicomweb"]  # for the command line: it may take hours
        layout = left.selectbox(say("Layout"), names, index=names.index("folder"), help=explained)
        folder = middle.text_input(say("Folder of films on this machine"))
        alone = say("Alone, it brings its films: from the folder `images` beside it, else from its own folder.")
        labels = right.text_input(say("Table of labels (csv), if there is one"), help=alone)
        started = st.form_submit_button(say("Add"))
    if started and (folder.strip() or labels.strip()):
        options = ingest_job.guess_options(layout, folder, labels)
        going = ingest_job.start_growth(workspace, options, service.retriever.targets)
        if going.options is not options:
            st.warning(
                escape_markdown(
                    say(
                        "The films of '{running}' are being added now. Yours, of '{asked}', were NOT started; "
                        "press Add again when those are in.",
                        running=going.options.images,
                        asked=options.images,
                    )
                )
            )
    elif started:
        st.warning(say("Name a folder of films or a table, with its path on the server."))
    running = ingest_job.get_growth(workspace)
    st.fragment(show_growth, run_every=2.0 if running and running.running else None)(workspace)


def show_own_film(service: SearchService, workspace: Workspace, film: films.Film) -> None:
    """A form for the film that the reader has open, with what is proven of it."""
    with st.form("add_own"):
        st.markdown(say("**Add the film that you have open**, so that later readers find it"))
        st.caption(say("What you leave empty stays unknown."))
        if "capture" in film.radiograph.facts:
            st.warning(say("A Secondary Capture: see whether text in the picture names the patient before you add it."))
        left, middle, right = st.columns([2, 2, 1])
        known = list(dict.fromkeys([*workspace.catalogue.findings, *KNOWN_FINDINGS]))
        told: dict[str, Any] = {"format_func": translate_told, "placeholder": say("Findings"), "select_all": False}
        present = left.multiselect(say("Proven present"), known, key=Key.OWN_PRESENT.value, **told)
        absent = middle.multiselect(say("Proven absent"), known, key=Key.OWN_ABSENT.value, **told)
        views = [*FRONTAL, "LATERAL", UNKNOWN]
        held = film.radiograph.view
        view = right.selectbox(
            say("View"),
            views,
            index=views.index(held) if held in views else views.index(UNKNOWN),
            format_func=translate_told,
        )
        explained = say("Kept as you write it and shown to every reader: no name, date or number of a patient.")
        diagnosis = st.text_area(say("Proven diagnosis"), help=explained, placeholder=explained, height=80)
        if not st.form_submit_button(say("Add this film")):
            return
    if both := sorted(set(present) & set(absent)):
        st.warning(escape_markdown(say("{finding} is present or absent, not both.", finding=translate_told(both[0]))))
        return
    states = {name: FindingState.PRESENT for name in present} | {name: FindingState.ABSENT for name in absent}
    proven = ProvenFilm(states, diagnosis, view)
    going = ingest_job.start_addition(workspace, film, proven, service.retriever.targets)
    if not going.told:
        st.warning(say("Other films are being added now. Yours was NOT added; press again when those are in."))


def show_growth(workspace: Workspace) -> None:
    """Progress, then what was added, what of it is doubtful, and what was left out with the reason."""
    growth = ingest_job.get_growth(workspace)
    if growth is None:
        st.caption(say("Films that are already there are left alone; an interrupted run continues where it stopped."))
        return
    told = translate_told(growth.told)
    if not told:
        named = Path(growth.options.labels).name if growth.options.labels else ""
        told = (
            say("The films of '{table}' are taken from '{images}'.", table=named, images=growth.options.images)
            if named
            else say("The films are taken from '{images}'.", images=growth.options.images)
        )
    st.caption(escape_markdown(told))
    if growth.running:
        known = f": {growth.done:,} / {growth.total:,}" if growth.total else " …"
        st.progress(
            min(growth.done / max(growth.total, 1), 1.0), text=escape_markdown(translate_told(growth.word) + known)
        )
    elif growth.error:
        st.error(escape_markdown(translate_told(growth.error)))
    if growth.report is not None:
        st.markdown(
            say(
                "{added} added, {already} there before. {others}",
                added=f"{growth.report.added:,}",
                already=f"{growth.report.already:,}",
                others=translate_told(growth.report.describe_others()),
            )
        )
        if growth.report.encoding:
            st.warning(escape_markdown(translate_told(growth.report.encoding)))
        if growth.report.doubtful:
            show_doubtful(growth.report.doubtful)
        if growth.report.skipped:
            st.dataframe(
                [
                    {say("Film"): name, say("Left out because"): translate_told(why)}
                    for name, why in growth.report.skipped
                ]
            )
    if not growth.running and state.get(Key.PROGRESS) is not growth:
        state.put(Key.PROGRESS, growth)  # this session counts the cases anew, over the service of what was indexed
        st.rerun()


def show_doubtful(doubtful: list[tuple[str, str]]) -> None:
    """The films with a warning, folded away."""
    with st.expander(say("{films}, in the catalogue all the same", films=count_of(len(doubtful), "doubtful film"))):
        st.dataframe([{say("Case"): name, say("Warning"): translate_told(why)} for name, why in doubtful])
        st.caption(say("The tab *Remove or restore* takes out what should not be found."))
