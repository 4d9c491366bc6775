"""Jobs that workers do: how far each is, and taking back what waits. For the operator."""

from __future__ import annotations

import streamlit as st

from icbir_core.access import Right
from icbir_core.audit import Action
from icbir_core.catalogue import Workspace
from icbir_core.jobs.listing import Work, list_work
from icbir_ui import access
from icbir_ui.errors import escape_markdown, shielded
from icbir_ui.language import count_of, mark, say, translate_told

LOOK = 2.0
"""Seconds between two looks while something is to be done."""


def are_jobs_shown(workspace: Workspace) -> bool:
    """Whether the person may see jobs, and the workspace can have any: they need a database server."""
    return bool(workspace.database_schema) and access.get_person().may(Right.CANCEL_JOBS)


def show_jobs(workspace: Workspace) -> None:
    """A row for each thing that was asked for, which follows it while it is open."""
    is_open = any(one.is_open for one in list_work(workspace))
    st.fragment(_show_rows, run_every=LOOK if is_open else None)(workspace)


def _show_rows(workspace: Workspace) -> None:
    with shielded():
        listed = list_work(workspace)
        if not listed:
            nothing = say("No job was put. `icbir index … --jobs index` puts an indexing, `icbir put-job` a command.")
            st.markdown(nothing)
        for one in listed:
            _show_row(workspace, one)


def _show_row(workspace: Workspace, one: Work) -> None:
    left, right = st.columns([5, 1], vertical_alignment="center")
    left.progress(one.done / one.total, text=f"**{_name(one)}** · {escape_markdown(one.queue)}")
    left.caption(_describe(one))
    if one.reason:
        left.error(escape_markdown(translate_told(one.reason)))
    if one.waiting:
        right.button(say("Cancel"), key=f"cancel_{one.key}", on_click=_cancel, args=(workspace, one))


def _name(one: Work) -> str:
    """What was asked for, in Markdown."""
    if one.kind == "command":
        return f"`icbir {one.what.replace('`', '')}`"
    finding = translate_told(one.what) if one.what else ""
    return say("Indexing {finding}", finding=escape_markdown(finding)).strip()


def _describe(one: Work) -> str:
    """How far it is, in words."""
    if one.kind == "plan" and one.is_open:
        return say("waits to be divided into chunks")
    parts = [say("{done} of {jobs} done", done=f"{one.done:,}", jobs=count_of(one.total, "job"))]
    for number, words in (
        (one.running, mark("{number} running")), (one.waiting, mark("{number} waiting")),
        (one.failed, mark("{number} failed")), (one.cancelled, mark("{number} cancelled")),
    ):  # fmt: skip
        parts += [say(words, number=f"{number:,}")] if number else []
    return " · ".join(parts)


def _cancel(workspace: Workspace, one: Work) -> None:
    """Take back what waits of one thing, if the person may, and only once it is recorded."""
    with shielded():
        access.require(Right.CANCEL_JOBS)
        access.record(Action.REMOVED, jobs=one.waiting)
        from icbir_core.jobs.queue import Queue

        Queue(workspace).cancel(one.key)
