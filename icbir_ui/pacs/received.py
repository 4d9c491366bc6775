"""Films that the archive pushed here, with the results that wait for the reader."""

from __future__ import annotations

import time
from typing import Any

import streamlit as st

from icbir_core.access import Right
from icbir_core.audit import Action
from icbir_core.catalogue.asking import read_query
from icbir_core.catalogue.workspace import Workspace
from icbir_core.errors import IcbirError
from icbir_core.pacs.inbox import Inbox, Received
from icbir_core.pacs.opening import FILM_NAME
from icbir_core.radiograph.identity import read_film_header
from icbir_ui import access, films, state
from icbir_ui.errors import escape_markdown, explain
from icbir_ui.language import count_of, mark, say, translate_told
from icbir_ui.state import Key

ROWS = 20
WIDTHS = (1.2, 1.6, 1.0, 3.5, 1.0)


def has_received(workspace: Workspace) -> bool:
    """Whether films were pushed here and still lie there."""
    return bool(Inbox(workspace).list_films())


def show_received(workspace: Workspace) -> None:
    """The newest films, each with its result and a button that opens it."""
    if not access.get_person().may(Right.OPEN_STUDY):
        st.caption(say("Films of the archive are opened by others here."))
        return
    inbox = Inbox(workspace)
    received = inbox.list_films()
    access.record_once(Action.ASKED_ARCHIVE, by="received")
    if not received:
        st.caption(say("No film was pushed here in the last hours."))
        return
    left = say("; the newest {count} are shown", count=ROWS) if len(received) > ROWS else ""
    st.caption(say("{films} received, the newest first{left}.", films=count_of(len(received), "film"), left=left))
    for title, column in zip(
        (say("Received"), say("Patient"), say("View"), say("Result"), ""), st.columns(WIDTHS), strict=True
    ):
        column.markdown(f"**{title}**" if title else "")
    for one in received[:ROWS]:
        _show_row(workspace, inbox, one)


def describe_result(result: dict[str, Any] | None) -> str:
    """The result of a film's search in words."""
    if result is None:
        return say("waits for its search")
    if "error" in result:
        return translate_told(str(result["error"]))
    ranking, probabilities = result.get("ranking", {}), result.get("probabilities", {})
    target, hits = ranking.get("target", ""), ranking.get("hits", [])
    words = [f"{translate_told(target)} {probabilities[target]:.2f}"] if target in probabilities else []
    words += [say("nearest case {case}", case=hits[0]["case_id"])] if hits else []
    return " · ".join(words) or say("searched")


def _show_row(workspace: Workspace, inbox: Inbox, received: Received) -> None:
    try:
        header = read_film_header(received.path)
    except (IcbirError, OSError):
        header = None  # said by whoever opens it
    texts = (
        time.strftime("%H:%M", time.localtime(received.moment)),
        (header.number if header else None) or say("no number"),
        header.view if header else "",
        describe_result(received.result),
    )
    *columns, last = st.columns(WIDTHS, vertical_alignment="center")
    for column, text in zip(columns, texts, strict=True):
        column.markdown(escape_markdown(text))
    if last.button(say("Open"), key=f"received_{received.name}", width="stretch"):
        _open(workspace, inbox, received)


def _open(workspace: Workspace, inbox: Inbox, received: Received) -> None:
    try:
        access.require(Right.OPEN_STUDY)
        data = inbox.read(received.name)
        film = films.make_film(read_query(workspace, FILM_NAME, data), "archive", data, file_name=mark("Received film"))
        access.record(Action.OPENED, access.name_film(film), by="received")
    except IcbirError as error:
        st.warning(escape_markdown(explain(error)))
        return
    films.choose(film)
    state.put(Key.READY, (film.key, received.result) if "answer" in (received.result or {}) else None)
    st.switch_page("pages/search.py")
