"""Refinement on the page: what the reader did in the viewer becomes steps, and the trail can be walked back."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import streamlit as st

from icbir_core.errors import IcbirError
from icbir_core.findings import NO_FINDING
from icbir_core.retrieval.refinement import Finding, MoreLikeThese, RefinementTrail, Region, Step
from icbir_ui import state
from icbir_ui.choices import show_choice
from icbir_ui.errors import escape_markdown, explain
from icbir_ui.language import say, translate_told
from icbir_ui.search.asking import get_trail
from icbir_ui.shared import SearchService
from icbir_ui.state import Key


def add_step(step: Step) -> None:
    """Add a step to the trail; what it says wrongly becomes a word to the reader."""
    try:
        state.put(Key.STEPS, get_trail().add(step))
    except IcbirError as error:
        state.put(Key.WORD, explain(error))


def mark_case(case_id: str, mark: str | None) -> None:
    """Tick ("more"), cross ("less") or clear a case; nothing is searched yet."""
    marks = dict(state.get(Key.MARKS) or {})
    marks.pop(case_id, None)
    if mark:
        marks[case_id] = mark
    state.put(Key.MARKS, marks)


def take_region(box: list[float]) -> None:
    """A box (left, top, right, bottom) in film pixels, as the viewer draws it, becomes a step."""
    left, top, right, bottom = box
    add_step(Region((left, top, right - left, bottom - top)))


def _apply_marks() -> None:
    marks: Mapping[str, str] = state.get(Key.MARKS) or {}
    ticked = tuple(case for case, mark in marks.items() if mark == "more")
    crossed = tuple(case for case, mark in marks.items() if mark == "less")
    state.put(Key.MARKS, {})
    add_step(MoreLikeThese(ticked, crossed))


def _change(trail: RefinementTrail) -> None:
    state.put(Key.STEPS, trail)


def show_refinement(findings: Sequence[str] = (), movable: bool = True) -> None:
    """The trail with undo, and the button that searches again with the ticked and crossed cases.

    findings : what can be asked for as "this finding". movable : whether cases are points in this search, so that a
    query can move towards them.
    """
    trail, marks = get_trail(), state.get(Key.MARKS) or {}
    if not (marks or trail.steps or trail.undone):
        return
    with st.container(key="search_steps", horizontal=True, vertical_alignment="center", gap="small"):
        if marks and not movable:
            st.caption(say("The cases you marked wait: this search compares pictures and cannot move towards them."))
        elif marks:
            more = sum(mark == "more" for mark in marks.values())
            label = say("Search again: {more} more like, {less} less like", more=more, less=len(marks) - more)
            st.button(label, type="primary", on_click=_apply_marks, key=Key.APPLY_MARKS.value)
        if trail.steps:
            words = " → ".join((say("first search"), *map(translate_told, trail.describe())))
            st.caption(escape_markdown(words), help=escape_markdown(f"{words}. {describe_part(trail)}".strip()))
            st.button(say("Undo"), on_click=_change, args=(trail.undo(),), key=Key.UNDO.value)
            st.button(say("Start again"), on_click=_change, args=(RefinementTrail(),), key=Key.START_AGAIN.value)
        if trail.undone:
            st.button(say("Redo"), on_click=_change, args=(trail.redo(),), key=Key.REDO.value)
        if trail.region is not None:
            anywhere = Region(trail.region.box, not trail.region.anywhere)
            label = say("Only in the same place") if trail.region.anywhere else say("Anywhere in the film")
            explained = say("Whether what your region shows must lie in the same place of a case, or may lie anywhere.")
            st.button(label, on_click=add_step, args=(anywhere,), key=Key.ANYWHERE.value, help=explained)
        others = [name for name in findings if trail.region is not None or name != trail.finding]
        if trail.steps and others:  # for the first step there are the bars under the query
            show_choice(
                st.selectbox,
                say("This finding"),
                others,
                index=None,
                format_func=translate_told,
                placeholder=say("This finding: …"),
                width=160,
                key=Key.FINDING_STEP,
                on_choice=_take_chosen_finding,
                label_visibility="collapsed",
            )


def describe_part(trail: RefinementTrail) -> str:
    """What is compared in place of "Search by" where a step names a part of the film; "" where none does."""
    if trail.region is not None:
        return say("Your region is compared by stored spatial features of the network, not by “Search by”.")
    if trail.finding is not None:
        return say(
            "Ranked by what the classifier uses for {finding}, not by “Search by”.",
            finding=translate_told(trail.finding),
        )
    return ""


def list_findings(service: SearchService) -> list[str]:
    """What a search by "this finding" is offered for; "No Finding" is none to search by."""
    return [name for name in service.retriever.findings if name != NO_FINDING]


def take_finding(name: str) -> None:
    """The step "this finding": rank by what the classifier uses for it, keeping what was ticked; again: leave it."""
    trail = get_trail()
    if trail.region is None and trail.finding == name:
        _change(RefinementTrail(tuple(step for step in trail.steps if step != Finding(name))))
    else:
        add_step(Finding(name))


def _take_chosen_finding() -> None:
    take_finding(state.get(Key.FINDING_STEP))
    state.put(Key.FINDING_STEP, None)
