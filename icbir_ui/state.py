"""Every key of the session state, in one place, with typed access to it."""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from enum import StrEnum
from typing import Any

import streamlit as st
from streamlit.runtime.scriptrunner import get_script_run_ctx


class Key(StrEnum):
    """Names in `st.session_state`. What widgets show is kept under them by `icbir_ui.choices`, not by Streamlit.
    `ANSWERS` is only the beginning of a name, which the token of an item ends."""

    READER = "reader"
    ACCEPTED = "accepted"
    SIGNED_IN = "signed_in"
    SIGN_IN = "sign_in"
    RECORDED = "recorded_in_audit"
    LEAVE = "read_as_another"
    LEFT = "reader_left"
    READER_MENU = "reader_menu"
    LANGUAGE = "language"
    LANGUAGE_MENU = "language_menu"
    LANGUAGE_COOKIE = "language_cookie"
    COOKIE_WRITTEN = "cookie_written"
    COOKIE = "reader_cookie"
    WINDOW = "window"
    FILMS = "films"
    CURRENT = "current_film"
    STEPS = "steps"
    MARKS = "marks"
    ANNOTATIONS = "annotations"
    RANKING = "ranking"
    COMPARED = "compared_case"
    COMPARED_PLACE = "compared_place"
    COMPARE_MAP = "compare_map"
    COMPARE_COUNT = "compare_count"
    CASE_OF_FILMS = "case_of_films"
    CASE_FILM = "film_of_case"
    TAKEN = "taken_uploads"
    TARGET = "target"
    METHOD = "method"
    MAP = "map"
    COUNT = "count"
    DRAWER = "search_settings"
    CASE_MAPS = "maps_on_cases"
    SHOWN_ANYWAY = "shown_anyway"
    VIEW_FILTER = "filter_view"
    SEX_FILTER = "filter_sex"
    AGE_FILTER = "filter_age"
    FINDINGS_FILTER = "filter_findings"
    PRESENT_FILTER = "filter_present"
    ABSENT_FILTER = "filter_absent"
    SELECTION = "selected_cases"
    SELECTION_PAGE = "selected_page"
    PROGRESS = "ingest_progress"
    WORD = "word"
    FINDING_STEP = "refine_by_finding"
    SESSION_FILM = "film_of_session"
    OTHER_DEMONSTRATION = "another_demonstration"
    ASKED_FILM = "film_asked_for"
    REMOVAL = "case_to_remove"
    STUDY = "study"
    MADE = "study_made"
    RESULT = "result_moment"
    PARCELS = "parcels_sent"
    RETURNED = "rate_returned_to"
    SHOWN = "rate_shown_at"
    NOT_STORED = "rate_not_stored"
    UNBLINDED = "results_unblinded"
    SEARCH_VIEWER = "search_viewer"
    FILM_VIEWER = "search_first"
    COMPARE_VIEWER = "compare_viewer"
    RATE_VIEWER = "rate_viewer"
    CATALOGUE_VIEWER = "catalogue_viewer"
    DECIDED = "decided"
    DRAWN = "drawn_widgets"
    FINDINGS_CHART = "findings"
    SEX_CHART = "sexes"
    AGE_CHART = "ages"
    SCATTER = "scatter"
    MAP_TARGET = "map_target"
    MAP_METHOD = "map_method"
    NAMED = "named_cases"
    RESTORAL = "case_to_restore"
    IMPORT = "results_import"
    APPLY_MARKS = "apply_marks"
    UNDO = "undo"
    REDO = "redo"
    START_AGAIN = "start_again"
    ANYWHERE = "anywhere"
    ORDER = "rate_order"
    STUDY_REQUEST = "study_asked_for"
    READY = "ready_result"
    STUDY_JOB = "study_being_opened"
    FIND_JOB = "studies_being_found"
    WORKLIST_JOB = "worklist_being_read"
    STUDY_PAGE = "studies_page"
    WORKLIST_PAGE = "worklist_page"
    CATALOGUE_PART = "catalogue_part"
    ROWS = "case_rows"
    LISTED = "listed"
    LIST_PAGE = "list_page"
    LIST_TEXT = "list_text"
    LIST_FINDINGS = "list_findings"
    LIST_VIEW = "list_view"
    LIST_SOURCE = "list_source"
    LIST_DAYS = "list_days"
    LIST_ORDER = "list_order"
    CHOSEN_CASE = "chosen_case"
    LEADS_TO = "leads_to"
    OUTSIDE = "case_outside"
    FOLDER = "folder"
    FOLDER_TAKEN = "folder_of_address"
    FOLDER_ROWS = "folder_rows"
    SAVED_CASE = "saved_case"
    TAKEN_OUT = "taken_out"
    KEEP = "keep_films"
    KEPT = "kept_films"
    KEPT_STATE = "kept_state"
    OWN_PRESENT = "own_film_present"
    OWN_ABSENT = "own_film_absent"
    OUTSIDE_VIEWER = "outside_viewer"
    BESIDE = "film_beside"
    TOGETHER = "films_put_together"
    ANSWERS = "answers_"


NOTICE = "For research and education. Not a medical device; not for diagnosis."
PARAMETER_READER = "reader"
PARAMETER_FILM = "film"
PARAMETER_CASE = "case"
PARAMETER_SEARCH = "search"
PARAMETER_STUDY = "study"
PARAMETER_FOLDER = "folder"


def get(key: Key, default: Any = None) -> Any:
    """The value under `key`, or `default`."""
    return st.session_state.get(key.value, default)


def put(key: Key, value: Any) -> None:
    """Set the value under `key`."""
    st.session_state[key.value] = value


def forget() -> None:
    """Leave nothing of this visit but the language, which belongs to the window: its cookie is read with a new one."""
    language = get(Key.LANGUAGE)
    st.session_state.clear()
    if language:
        put(Key.LANGUAGE, language)


def write_address(values: Mapping[str, str]) -> None:
    """Set parameters of the address, which is what a reload leaves, in one step; "" takes one out."""
    before = st.query_params.to_dict()
    after = {name: value for name, value in {**before, **values}.items() if value}
    if after != before:
        st.query_params.from_dict(after)


def get_reader() -> str:
    """The pseudonym under which this reader's ratings are stored."""
    return get(Key.READER) or "reader"


def name_asker() -> str:
    """Who asks, for turns and logs: the reader's pseudonym, "" where no page runs."""
    return get_reader() if get_script_run_ctx(suppress_warning=True) else ""


def get_window() -> str:
    """A name for this browser window, stored with each rating."""
    if get(Key.WINDOW) is None:
        put(Key.WINDOW, uuid.uuid4().hex[:12])
    return str(get(Key.WINDOW))
