"""Open this study: a link of the PACS or a row of the worklist names it, and its films come into the session."""

from __future__ import annotations

import streamlit as st

from icbir_core.catalogue.workspace import Workspace
from icbir_core.pacs.opening import Part, StudyRequest
from icbir_core.pacs.studies import is_uid
from icbir_ui import films, state
from icbir_ui.errors import escape_markdown
from icbir_ui.pacs.jobs import Job, StudyJob, start_opening
from icbir_ui.state import PARAMETER_ACCESSION, PARAMETER_FILM, PARAMETER_SEARCH, PARAMETER_STUDY_UIDS, Key

NO_STUDY = "The link names no study; open it again from the PACS."
LONGEST_ACCESSION = 64
LOOK = 0.4
"""Seconds between two looks at what comes."""


def take_request() -> None:
    """Take the study that a link names out of the address, at once, whoever reads: a UID names a person's visit."""
    uids, accession = (st.query_params.get(name, "") for name in (PARAMETER_STUDY_UIDS, PARAMETER_ACCESSION))
    if not uids and not accession:
        return
    names = (PARAMETER_STUDY_UIDS, PARAMETER_ACCESSION, PARAMETER_FILM, PARAMETER_SEARCH)
    state.write_address(dict.fromkeys(names, ""))
    # The form of OHIF: several UIDs stand between commas, and the first is the study to read.
    uid, accession = uids.split(",")[0].strip(), accession.strip()
    right = is_uid(uid) if uid else len(accession) <= LONGEST_ACCESSION and accession.isprintable()
    if right:
        state.put(Key.STUDY_REQUEST, StudyRequest(study=uid, accession="" if uid else accession))
    else:
        state.put(Key.WORD, NO_STUDY)


def request_study(request: StudyRequest) -> None:
    """Ask for a study; it is opened when the page runs."""
    state.put(Key.STUDY_REQUEST, request)


def follow_study(workspace: Workspace) -> None:
    """Begin what was asked for, and take the films that have come: the frontal one is searched with."""
    request = state.get(Key.STUDY_REQUEST)
    if request is not None:
        state.put(Key.STUDY_REQUEST, None)
        if (former := state.get(Key.STUDY_JOB)) is not None:
            former.stop()
        state.put(Key.STUDY_JOB, start_opening(workspace, request))
        state.put(Key.CURRENT, None)
        state.write_address({PARAMETER_FILM: "", PARAMETER_SEARCH: ""})
    job: StudyJob | None = state.get(Key.STUDY_JOB)
    if job is None:
        return
    over = not job.running
    came = job.films[job.adopted :]
    for film in came:
        films.add(film)
    job.adopted += len(came)
    frontal = (film for film in job.films if film.part == Part.FRONTAL)
    first = next(frontal, job.films[0] if job.films and over else None)
    if first is not None and not job.told:
        job.told = True
        films.choose(first)
    if over and job.adopted == len(job.films):
        words = [*job.left_out, *([job.error] if job.error else [])]
        if words:
            state.put(Key.WORD, " ".join(words))
        state.put(Key.STUDY_JOB, None)


def show_opening() -> bool:
    """How far the study has come, while it comes. True where there is no film of it yet to be shown."""
    job: StudyJob | None = state.get(Key.STUDY_JOB)
    if job is None:
        return False
    show_progress(job, "study")
    return not job.told


def show_progress(job: Job, name: str) -> None:
    """A bar and a button to stop; the page runs again when something has come."""
    _show_progress(job, name, getattr(job, "adopted", 0))


@st.fragment(run_every=LOOK)
def _show_progress(job: Job, name: str, adopted: int) -> None:
    if not job.running or len(getattr(job, "films", ())) > adopted:
        st.rerun()
    bar, button = st.columns([5, 1], vertical_alignment="center")
    if job.total:
        text = f"{job.word} {job.done / 1e6:.1f} of {job.total / 1e6:.1f} MB"
        bar.progress(min(job.done / job.total, 1.0), text=escape_markdown(text))
    else:
        bar.caption(escape_markdown(f"{job.word} {job.done:,}" if job.done else job.word))
    button.button("Stop", key=f"stop_{name}", on_click=job.stop, width="stretch")
