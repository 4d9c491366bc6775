"""A study and its ratings out of this server, and one from elsewhere into it."""

from __future__ import annotations

import io
import tempfile
from functools import partial
from pathlib import Path

import streamlit as st

from icbir_core.access import Person, Right
from icbir_core.audit import Action, Subject
from icbir_core.study.design import Study
from icbir_core.study.exchange import ImportReport, export_study, import_study
from icbir_core.study.store import RatingsStore
from icbir_ui import access
from icbir_ui.errors import escape_markdown, shielded
from icbir_ui.export.controls import make_or_say
from icbir_ui.language import count_of, say, speak_english
from icbir_ui.state import Key


def offer_study(store: RatingsStore, study: Study) -> None:
    """The study with all its ratings as one zip; it holds the ranks of the methods and every reader's answers."""
    person, recorder = access.get_person(), access.get_recorder()  # now: a download is made outside of the session
    packed = speak_english(partial(make_or_say, lambda: pack(store, study, person, recorder), "zip"))
    st.download_button(say("Study with ratings (zip)"), packed, f"{study.name}.zip", "application/zip")


def pack(store: RatingsStore, study: Study, person: Person, recorder: access.Recorder) -> bytes:
    """The bytes of the export. Raises `AccessRefused` for one who may not have it."""
    person.require(Right.DOWNLOAD_STUDY)
    recorder.record(Action.EXPORTED, Subject("study", study.name), format="zip")
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "study.zip"
        export_study(store, study.name, path)
        return path.read_bytes()


def offer_import(store: RatingsStore) -> None:
    """Take in a study that was exported elsewhere."""
    if not access.get_person().may(Right.IMPORT):
        return
    with st.expander(say("Import a study")):
        file = st.file_uploader(say("Exported zip"), type=["zip"], key=Key.IMPORT.value)
        if file is not None and st.button(say("Import")):
            with shielded():
                done = take_in(store, file.getvalue())
                added = say(
                    "'{study}': {ratings} added, {already} were there already.",
                    study=done.study,
                    ratings=count_of(done.added, "rating"),
                    already=done.already,
                )
                st.success(escape_markdown(added))


def take_in(store: RatingsStore, data: bytes) -> ImportReport:
    """Import the bytes of a study. Raises `AccessRefused` for one who may not, `StudyError` for other bytes."""
    access.require(Right.IMPORT)
    done = import_study(store, io.BytesIO(data))
    access.record(Action.IMPORTED, Subject("study", done.study), ratings=done.added)
    return done
