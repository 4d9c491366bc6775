"""The download buttons of a teaching file; the file, with its maps, is made when it is asked for."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from functools import partial

import streamlit as st

from icbir_core.audit import Action, Subject
from icbir_core.catalogue import Workspace
from icbir_core.catalogue.folder_tables import Folder, SavedCase
from icbir_core.errors import IcbirError
from icbir_core.radiograph.overlay import shared_scale
from icbir_core.saliency.display import find_threshold, smooth_for_display
from icbir_core.types import Case
from icbir_ui import access, shared
from icbir_ui.export.controls import make_or_say
from icbir_ui.export.html import write_teaching_html
from icbir_ui.export.pdf import write_teaching_pdf
from icbir_ui.export.teaching import TeachingFile, gather_teaching_file
from icbir_ui.language import say, speak_english
from icbir_ui.search.asking import Maps
from icbir_ui.shared import SearchService

METHOD = "deep_taylor"


def offer_teaching_file(
    service: SearchService, workspace: Workspace, folder: Folder, saved: Sequence[SavedCase]
) -> None:
    """A self-contained HTML and a PDF of a folder."""
    st.markdown(say("The cases with heat maps, proven diagnoses and notes. Reports and names of cases are left out."))
    if not service.ready:
        st.caption(say("The networks are loading; until they are there, the file has no heat maps."))
    recorder = access.get_recorder()  # now: a download is made outside of the session
    about = [Subject("folder", folder.folder_id), *(Subject("case", one.case_id) for one in saved)]

    def make(write: Callable[[TeachingFile], bytes], ending: str) -> bytes:
        recorder.record(Action.EXPORTED, *about, format=ending)
        return write(gather_teaching_file(folder.name, workspace, saved, partial(find_maps, service)))

    name = re.sub(r"[^\w-]+", "-", folder.name).strip("-")[:60] or "folder"
    for label, ending, mime, write in (
        (say("Teaching file (HTML)"), "html", "text/html", write_teaching_html),
        (say("Teaching file (PDF)"), "pdf", "application/pdf", write_teaching_pdf),
    ):
        made = speak_english(partial(make_or_say, partial(make, write, ending), ending))
        st.download_button(label, made, f"icbir-{name}.{ending}", mime, on_click="ignore", width="stretch")


def find_maps(service: SearchService, case: Case) -> Maps:
    """The heat map of the first finding that a case carries and that can be asked for, at its own scale; none where
    there is no such finding, or no network yet."""
    if not service.ready:
        return Maps(None, {})
    target = next((name for name in case.present if name in service.retriever.questions), None)
    if target is None:
        return Maps(None, {})
    method = service.retriever.choose_map(METHOD)
    title, signed, _ = shared.list_map_methods()[method]
    key = ("map", case.pixel_sha256, target, method)
    try:
        found = smooth_for_display(service.ask(key, lambda retriever: retriever.map_of(case, method, target)))
    except IcbirError:  # its film cannot be read, and its place says so
        return Maps(None, {})
    scale = shared_scale([found.values])
    return Maps(found, {}, method, title, signed, scale, find_threshold(found.values, scale, signed))
