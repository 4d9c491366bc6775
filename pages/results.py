"""Results: what the ratings say, beside chance and beside the band between readers."""

from __future__ import annotations

from functools import partial

import streamlit as st

from icbir_core.access import Right
from icbir_core.audit import Action, Subject
from icbir_core.study.analysis import StudyResult, analyse_study
from icbir_core.study.design import Study
from icbir_core.study.exchange import load_study
from icbir_core.study.rating import SEARCH, Rating
from icbir_core.study.report import make_sections, render_report
from icbir_core.study.session import ReadingSession
from icbir_core.study.store import RatingsStore
from icbir_ui import access, charts, shared, state
from icbir_ui.errors import escape_markdown
from icbir_ui.export.carrying import offer_import, offer_study
from icbir_ui.export.controls import make_or_say
from icbir_ui.frame.page import run_page
from icbir_ui.language import count_of, mark, say, speak_english, translate_told
from icbir_ui.rating.choosing import choose_study
from icbir_ui.state import Key


def draw() -> None:
    store = shared.open_ratings()
    names = store.study_names()
    # A case that was rated with maps and without is one case.
    searches = {(one.reader, one.query, one.case_id) for one in store.latest(study=SEARCH)}
    st.caption(
        say(
            "{cases} rated on the search page: unblinded, kept apart, in no statistic below. {studies}.",
            cases=count_of(len(searches), "case"),
            studies=count_of(len(names), "reading study", "reading studies"),
        )
    )
    if names:
        show_study(store, load_study(store, choose_study(st, names)))
    else:
        st.markdown(
            say(
                "There is no reading study yet; make one on the page Rate. Its results will appear here: "
                "nDCG of each search method with its interval, beside chance and beside the band between "
                "readers, and how well readers agree with themselves and with each other."
            )
        )
    offer_import(store)


def show_study(store: RatingsStore, study: Study) -> None:
    """The statistics of one study, unless that would unblind a reader who has not finished."""
    ratings = [one for one in store.latest(study=study.name) if one.blinded]
    real = [one for one in ratings if not one.simulated]
    simulated = False
    if len(real) < len(ratings):
        shown = st.segmented_control(
            say("Ratings of"),
            [mark("Readers"), mark("Simulated readers")],
            default="Readers",
            format_func=say,
            required=True,
        )
        simulated = shown == "Simulated readers"
    if not [one for one in ratings if one.simulated == simulated]:
        st.markdown(say("No rating in this study yet."))
        return
    session = ReadingSession(store, study, state.get_reader())
    left = session.total - len(session.answered())
    blind = left and (study.name, session.reader) not in state.get(Key.UNBLINDED, set())  # any reader may still begin
    if blind and not simulated:
        st.warning(
            say(
                "You still have {items} to answer in this study. Seeing its results now would unblind you.",
                items=count_of(left, "item"),
            )
        )
        if not access.get_person().may(Right.UNBLIND) or not st.button(say("Show them anyway")):
            return
        unblind(study, session.reader)
        blind = False
    with st.spinner(say("Computing the statistics …")):
        result = compute(study.sha256, len(store.history(study=study.name)), simulated, study, ratings)
    show_result(study, result)
    access.record_once(Action.SAW, Subject("study", study.name), what="results")
    report = speak_english(partial(make_or_say, lambda: render_report(study, result), "html"))
    st.download_button(say("Report (HTML)"), report, f"{study.name}.html", "text/html")
    if not access.get_person().may(Right.DOWNLOAD_STUDY):
        return
    if not blind:
        offer_study(store, study)
    elif st.button(
        say("Offer the study with its ratings too"),
        help=say("It contains the readers' answers, so that you would no longer be blinded."),
    ):
        unblind(study, session.reader)
        st.rerun()


def unblind(study: Study, reader: str) -> None:
    """Remember that a reader asked for the results of a study before she had finished it. Raises `AccessRefused`
    for one who may not."""
    access.require(Right.UNBLIND)
    access.record(Action.UNBLINDED, Subject("study", study.name))
    state.put(Key.UNBLINDED, state.get(Key.UNBLINDED, set()) | {(study.name, reader)})


@st.cache_data(max_entries=16, show_spinner=False)
def compute(sha256: str, answers: int, simulated: bool, _study: Study, _ratings: list[Rating]) -> StudyResult:
    """The statistics, anew only when a rating was added."""
    return analyse_study(_study, _ratings, simulated=simulated)


def show_result(study: Study, result: StudyResult) -> None:
    """The sections of the report, on the page."""
    if result.simulated:
        st.error(say("SIMULATED READERS: these numbers test the statistics and say nothing about the retrieval."))
    for note in result.notes:
        st.warning(escape_markdown(translate_told(note)))
    for section in make_sections(study, result):
        st.subheader(escape_markdown(translate_told(section.title)))
        for paragraph in section.paragraphs:
            st.markdown(escape_markdown(translate_told(paragraph)))
        for figure in section.figures:
            charts.show_chart(st, charts.translate_figure(figure), translate_told(section.title), width="stretch")
        for table in (one for one in section.tables if one.rows):
            st.markdown(f"**{escape_markdown(translate_told(table.caption))}**")
            columns = zip(map(_show, table.header), zip(*table.rows, strict=True), strict=True)
            st.table({title: [_show(cell) for cell in cells] for title, cells in columns}, hide_index=True)


def _show(cell: str) -> str:
    return escape_markdown(translate_told(cell))


run_page("Results", draw)
