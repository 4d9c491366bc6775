"""The two questions to the archive on the page PACS: today's chest films, and whatever the form asks."""

from __future__ import annotations

import datetime

import streamlit as st

from icbir_core.catalogue.workspace import Workspace
from icbir_core.errors import PacsError
from icbir_core.pacs.studies import StudyQuery
from icbir_ui import state
from icbir_ui.errors import escape_markdown, explain
from icbir_ui.language import say
from icbir_ui.pacs.jobs import start_finding
from icbir_ui.pacs.listing import show_found
from icbir_ui.state import Key

MODALITIES = ("DX", "CR")


def show_worklist(workspace: Workspace) -> None:
    """Today's chest films, the newest first, and which of them were searched."""
    job = state.get(Key.WORKLIST_JOB)
    asked = st.button(say("Look again"), key="worklist_again", disabled=job is not None and job.running)
    if job is None or asked:
        today = datetime.date.today()
        job = start_finding(StudyQuery(first=today, last=today, modalities=MODALITIES))
        state.put(Key.WORKLIST_JOB, job)
        state.put(Key.WORKLIST_PAGE, 0)
    show_found(workspace, job, Key.WORKLIST_PAGE, "worklist")


def show_finding(workspace: Workspace) -> None:
    """A form, and what the archive answers."""
    with st.form("find_studies"):
        left, middle, right = st.columns(3)
        patient = left.text_input(say("Patient number"), help=say("Whole, as the archive writes it."))
        name = middle.text_input(say("Name"), help=say("Its beginning, family name first; * and ? are wildcards."))
        accession = right.text_input(say("Accession number"), help=say("Whole."))
        first = left.date_input(say("From"), value=None)
        last = middle.date_input(say("To"), value=None)
        kinds = right.multiselect(say("Kind"), MODALITIES, default=MODALITIES, select_all=False)
        asked = st.form_submit_button(say("Find"))
    if asked:
        query = StudyQuery(
            patient=patient.strip(),
            name=name.strip(),
            accession=accession.strip(),
            first=first,
            last=last,
            modalities=tuple(kinds) or MODALITIES,
        )
        try:
            query.list_filters("")
        except PacsError as error:
            st.warning(escape_markdown(explain(error)))
            return
        if (former := state.get(Key.FIND_JOB)) is not None:
            former.stop()
        state.put(Key.FIND_JOB, start_finding(query))
        state.put(Key.STUDY_PAGE, 0)
    if (job := state.get(Key.FIND_JOB)) is not None:
        show_found(workspace, job, Key.STUDY_PAGE, "found")
