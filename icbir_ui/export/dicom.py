"""The result as DICOM objects: to download, and to send to the archive, where the operator lets them leave."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial
from typing import Any

import numpy as np
import streamlit as st

from icbir_core.access import Right
from icbir_core.annotation.drawing import Marks
from icbir_core.annotation.records import FilmAnnotations
from icbir_core.annotation.turning import Turn
from icbir_core.audit import Action, Subject
from icbir_core.catalogue import Workspace
from icbir_core.deidentifying.leaving import read_leaving_case
from icbir_core.errors import IcbirError
from icbir_core.pacs.composing import QUERY, Asked, DrawnMaps, compose_result
from icbir_core.pacs.destination import read_destination
from icbir_core.pacs.outbox import SendState
from icbir_core.pacs.result_objects import BURNED_IN, ResultObjects, make_result_objects, pack_objects
from icbir_core.types import Ranking
from icbir_ui import access, state
from icbir_ui.annotations import get_annotations
from icbir_ui.errors import escape_markdown, explain
from icbir_ui.export.content import apply_window
from icbir_ui.export.controls import make_or_say
from icbir_ui.films import Film
from icbir_ui.language import mark, say, speak_english, translate_told
from icbir_ui.pacs.sender import Sender, get_sender
from icbir_ui.search.asking import Maps, describe_scale, get_trail
from icbir_ui.state import Key

LOOK = 1.0
NO_HEADER = mark("This film was no DICOM file, so it names no patient and no study that DICOM objects could belong to.")


def show_dicom(
    film: Film, ranking: Ranking, maps: Maps, workspace: Workspace, view: Mapping[str, Any], filters: str
) -> None:
    """The zip of the objects and the button to send them; nothing while the operator has not allowed it."""
    try:
        person = access.get_person()
        if not read_destination().makes_objects or not person.may(Right.EXPORT_DICOM):
            return
        sender = get_sender()
    except IcbirError as error:
        st.caption(escape_markdown(explain(error)))
        return
    if film.source is None:
        st.caption(escape_markdown(translate_told(film.no_source or NO_HEADER)))
        return
    if film.source.may_show_text:
        st.warning(escape_markdown(translate_told(BURNED_IN)))
    region, drawn = get_trail().region, get_annotations(film.key)
    made = _remember_moment(film, ranking, maps, view, filters, (region, drawn))
    asked = Asked(filters, region.box if region else None, made=made)
    make = speak_english(partial(_make, film, ranking, maps, workspace, dict(view), asked, drawn))
    name = f"icbir-{film.key[:8]}-dicom.zip"
    recorder, cases = access.get_recorder(), access.name_cases([hit.case for hit in ranking.hits])
    about = [access.name_film(film), Subject("examination", film.source.study), *cases]

    def pack() -> bytes:  # outside of the session, so with what the person was when the page was drawn
        person.require(Right.EXPORT_DICOM)
        recorder.record(Action.EXPORTED, *about, format="dicom")
        return pack_objects(make())

    zipped = speak_english(partial(make_or_say, pack, "zip"))
    st.download_button(say("DICOM objects (ZIP)"), zipped, name, "application/zip", on_click="ignore", width="stretch")
    if sender is None or not person.may(Right.SEND):
        return
    parcel = (state.get(Key.PARCELS) or {}).get(made)
    # One name for all results of a film: a click is not lost where a window that she left changes the result meanwhile.
    if st.button(say("Send to PACS"), width="stretch", disabled=parcel is not None, key=f"send_{film.key[:12]}"):
        with st.spinner(say("Making the objects …")):
            parcel = send_objects(sender, make, made, about)
    if parcel is not None:
        _show_progress(sender, parcel)


def send_objects(sender: Sender, make: Callable[[], ResultObjects], made: datetime, about: list[Subject]) -> str | None:
    """Put what `make` returns into the outbox, once the reader's right to send was asked and the sending recorded.

    made : when the result was first shown; about : what the record names. Returns the name of the parcel; None where it
    went wrong, which the page tells.
    """
    try:
        access.require(Right.SEND)
        access.record(Action.SENT, *about)
        objects = make()
        parcel = sender.outbox.put(objects.objects)
    except Exception as error:
        st.warning(escape_markdown(explain(error)))
        return None
    for sentence in (*objects.left_out, *objects.warnings):
        st.caption(escape_markdown(translate_told(sentence)))
    state.put(Key.PARCELS, {**(state.get(Key.PARCELS) or {}), made: parcel})
    sender.wake()
    return parcel


def _remember_moment(
    film: Film, ranking: Ranking, maps: Maps, view: Mapping[str, Any], filters: str, on_film: tuple[Any, ...]
) -> datetime:
    """When this result was first shown as it is: the same result gives the same objects, and is sent once.

    on_film : what was searched with and drawn on the film.
    """
    said = json.dumps(
        [ranking.as_record(), dict(view), filters, maps.method, repr(on_film)], sort_keys=True, default=str
    )
    identity = hashlib.sha256(f"{film.key} {said}".encode()).hexdigest()
    held, moment = state.get(Key.RESULT) or ("", datetime.now(UTC))
    if held != identity:
        moment = datetime.now(UTC)
        state.put(Key.RESULT, (identity, moment))
    return moment


def _make(
    film: Film,
    ranking: Ranking,
    maps: Maps,
    workspace: Workspace,
    view: dict[str, Any],
    asked: Asked,
    on_film: FilmAnnotations,
) -> ResultObjects:
    """The objects, with the reader's own windows, outside of the session. Raises `DicomExportError`."""
    panes, invert = view.get("panes") or {}, bool(view.get("invert"))
    style = maps.style_by(view)
    title = describe_scale(maps, "films") if maps.title else ""
    drawn = DrawnMaps(maps.query, maps.cases, title, maps.scale, style)

    def window(name: str, pixels: np.ndarray) -> np.ndarray:
        return apply_window(pixels, panes.get("query" if name == QUERY else name), invert)

    assert film.source is not None
    read = partial(read_leaving_case, workspace)
    marks = Marks.of(on_film.items, film.radiograph) if on_film.items else None
    asked = replace(asked, marks=marks, turn=Turn.from_view(panes.get("query")))
    return make_result_objects(compose_result(film.source, film.radiograph, ranking, drawn, read, asked, window))


def _show_progress(sender: Sender, name: str) -> None:
    if sender.outbox.is_sent(name):
        st.caption(say("Sent to the PACS."))
    else:
        _follow(sender, name)


@st.fragment(run_every=LOOK)
def _follow(sender: Sender, name: str) -> None:
    """How far a parcel is, until it has arrived or was refused."""
    parcel = sender.outbox.find(name)
    if parcel is None:
        st.caption(say("Sent to the PACS.") if sender.outbox.is_sent(name) else say("It is no longer in the outbox."))
        return
    arrived = sum(one.state is SendState.SENT for one in parcel.objects)
    word = translate_told(sender.error or parcel.word)
    if parcel.refused:
        st.warning(escape_markdown(say("{word} The operator can have it tried again.", word=word)))
        return
    st.progress(
        arrived / len(parcel.objects),
        say("Sending to the PACS: {arrived} of {count} have arrived.", arrived=arrived, count=len(parcel.objects)),
    )
    if word:
        st.caption(escape_markdown(say("{word} It goes on by itself, also when you leave this page.", word=word)))
