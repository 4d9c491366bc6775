"""Open this study: a link of the PACS or a row of the worklist names it, and its films come into the session."""

from __future__ import annotations

import streamlit as st

from icbir_core.catalogue.workspace import Workspace
from icbir_core.errors import IcbirError
from icbir_core.pacs.opening import Part, StudyRequest
from icbir_ui import films, links, state
from icbir_ui.errors import escape_markdown, explain
from icbir_ui.language import mark, say, translate_told
from icbir_ui.pacs.jobs import Job, StudyJob, start_opening
from icbir_ui.state import PARAMETER_FILM, PARAMETER_SEARCH, Key

NO_STUDY = mark("The link names no study; open it again from the PACS.")
USED = mark("The link was used before or has waited too long; open the study again from the PACS.")
LOOK = 0.4
"""Seconds between two looks at what comes."""


def take_request() -> None:
    """Take the study that a link named: from the address itself, or where the server's gate put it. What names a
    person's visit leaves the address at once."""
    name = st.query_params.get(links.PARAMETER_LINK, "")
    request = links.read_link(st.query_params.to_dict())
    if request is None:
        request = links.WAITING.take(st.context.cookies.get(links.COOKIE) or "", name)
    if request is None and not name:
        return
    state.write_address(dict.fromkeys((*links.NAMES_A_FILM, links.PARAMETER_LINK), ""))
    if request is not None and (request.study or request.accession):
        state.put(Key.STUDY_REQUEST, request)
    else:
        state.put(Key.WORD, USED if request is None else NO_STUDY)


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
        state.put(Key.STUDY_JOB, None)
        state.put(Key.CURRENT, None)
        try:
            state.put(Key.STUDY_JOB, start_opening(workspace, request))
        except IcbirError as error:
            state.put(Key.WORD, explain(error))
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
    done, total = job.done, job.total  # once: the job goes on beside the page
    if total:
        text = say(
            "{word} {done} of {total} MB",
            word=translate_told(job.word),
            done=f"{done / 1000000.0:.1f}",
            total=f"{total / 1000000.0:.1f}",
        )
        bar.progress(min(done / total, 1.0), text=escape_markdown(text))
    else:
        bar.caption(escape_markdown(f"{translate_told(job.word)} {done:,}" if done else translate_told(job.word)))
    button.button(say("Stop"), key=f"stop_{name}", on_click=job.stop, width="stretch")
