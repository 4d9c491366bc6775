"""The download buttons; a file is made when it is asked for."""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Callable, Mapping
from functools import partial
from html import escape
from typing import Any

import streamlit as st

from icbir_core.audit import Action
from icbir_core.catalogue import Workspace
from icbir_core.types import Ranking
from icbir_ui import access
from icbir_ui.annotations import list_annotations
from icbir_ui.errors import explain
from icbir_ui.export.content import Report, gather_report
from icbir_ui.export.html import write_html
from icbir_ui.export.pdf import write_pdf, write_sentence
from icbir_ui.export.tables import write_csv, write_json
from icbir_ui.films import Film
from icbir_ui.language import say, speak_english
from icbir_ui.search.asking import Maps, get_trail
from icbir_ui.state import NOTICE


def show_export(
    film: Film, ranking: Ranking, maps: Maps, workspace: Workspace, view: Mapping[str, Any], filters: str
) -> None:
    """Report as HTML and PDF, ranking as CSV and JSON. view : the viewer's last state, so that windows agree."""
    region, drawn = get_trail().region, list_annotations()  # now: a download is made outside of the session

    def gather() -> Report:
        return gather_report(film, ranking, maps, workspace, view, filters, region, drawn)

    recorder = access.get_recorder()
    about = [access.name_film(film), *access.name_cases([hit.case for hit in ranking.hits])]

    def record_and_make(make: Callable[[], bytes | str], ending: str) -> bytes | str:
        recorder.record(Action.EXPORTED, *about, format=ending)
        return make()

    name = f"icbir-{film.key[:8]}-{ranking.target.lower().replace(' ', '-')}-{ranking.method}"
    for label, ending, mime, make in (
        (say("Report (HTML)"), "html", "text/html", lambda: write_html(gather())),
        (say("Report (PDF)"), "pdf", "application/pdf", lambda: write_pdf(gather())),
        (say("Ranking (CSV)"), "csv", "text/csv", lambda: write_csv(ranking)),
        (say("Ranking (JSON)"), "json", "application/json", lambda: write_json(ranking, film.key, filters)),
    ):
        made = speak_english(partial(make_or_say, partial(record_and_make, make, ending), ending))
        st.download_button(label, made, f"{name}.{ending}", mime, on_click="ignore", width="stretch")


def make_or_say(make: Callable[[], bytes | str], ending: str) -> bytes | str:
    """The file, else one that says why there is none: it is made after the run, when the page can say nothing."""
    try:
        return make()
    except Exception as error:
        sentence = f"This file could not be made. {explain(error)}"
    if ending == "pdf":
        return write_sentence(sentence)
    if ending == "json":
        return json.dumps({"error": sentence, "notice": NOTICE}, ensure_ascii=False).encode()
    if ending == "html":
        return f'<!doctype html><meta charset="utf-8"><p>{escape(sentence)}</p><p>ICBIR · {NOTICE}</p>'.encode()
    told = f"{sentence}\n{NOTICE}\n".encode()
    if ending == "zip":
        packed = io.BytesIO()
        with zipfile.ZipFile(packed, "w") as archive:
            archive.writestr("NOT_MADE.txt", told)
        return packed.getvalue()
    return told
