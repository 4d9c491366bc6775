"""Studies of the archive in rows, page by page, each with a button that opens it."""

from __future__ import annotations

import math

import streamlit as st

from icbir_core.catalogue.workspace import Workspace
from icbir_core.pacs.inbox import Inbox
from icbir_core.pacs.opening import StudyRequest
from icbir_core.pacs.searched import name_study, read_searched
from icbir_core.pacs.studies import Study, read_date
from icbir_ui import state
from icbir_ui.errors import escape_markdown
from icbir_ui.language import count_of, mark, say, translate_told
from icbir_ui.pacs.jobs import FindJob
from icbir_ui.pacs.opening import request_study, show_progress
from icbir_ui.state import Key

ROWS = 20
SEARCHED = mark("searched")
READY = mark("result ready")
WIDTHS = (1.4, 2.2, 1.6, 1.6, 2.2, 0.8, 1.1, 1.0)
TITLES = (mark("Date"), mark("Name"), mark("Patient"), mark("Accession"), mark("Study"), mark("Kind"), "", "")


def show_found(workspace: Workspace, job: FindJob, page: Key, name: str) -> None:
    """The answer of a question, or how far it is. page : where the number of the page shown is kept."""
    if job.running:
        return show_progress(job, name)
    if job.error:
        st.warning(escape_markdown(translate_told(job.error)))
        return
    if not job.studies:
        st.caption(say("The archive has no such study."))
        return
    more = say("; there are more: ask for fewer") if job.more else ""
    st.caption(say("{studies}, newest first{more}.", studies=count_of(len(job.studies), "study", "studies"), more=more))
    pages = math.ceil(len(job.studies) / ROWS)
    number = min(state.get(page, 0), pages - 1)
    marks = dict.fromkeys(read_searched(workspace), SEARCHED) | dict.fromkeys(Inbox(workspace).list_ready(), READY)
    for place, column in zip(TITLES, st.columns(WIDTHS), strict=True):
        column.markdown(f"**{say(place)}**" if place else "")
    for row, study in enumerate(job.studies[number * ROWS : (number + 1) * ROWS]):
        _show_row(study, f"{name}_{row}", marks.get(name_study(workspace, study.uid), ""))
    if pages > 1:
        back, word, forth = st.columns([1, 2, 1], vertical_alignment="center")
        back.button(say("Newer"), key=f"{name}_back", disabled=number == 0, on_click=state.put, args=(page, number - 1))
        word.caption(say("Page {number} of {pages}", number=number + 1, pages=pages))
        last = number == pages - 1
        forth.button(say("Older"), key=f"{name}_forth", disabled=last, on_click=state.put, args=(page, number + 1))


def _show_row(study: Study, name: str, mark_of: str) -> None:
    day = read_date(study.date)
    clock = f" {study.time[:2]}:{study.time[2:4]}" if len(study.time) >= 4 else ""
    texts = (
        f"{day.isoformat() if day else say('no date')}{clock}",
        study.name.replace("^", " ").strip() or say("no name"),
        study.patient,
        study.accession,
        study.description,
        ", ".join(study.modalities),
        say(mark_of) if mark_of else "",
    )
    *columns, last = st.columns(WIDTHS, vertical_alignment="center")
    for column, text in zip(columns, texts, strict=True):
        column.markdown(escape_markdown(text))
    if last.button(say("Open"), key=f"open_{name}", width="stretch"):
        request_study(StudyRequest(study=study.uid))
        st.switch_page("pages/search.py")
