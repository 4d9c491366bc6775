"""The row of controls over a search: target, method, map, number, filters."""

from __future__ import annotations

import streamlit as st

from icbir_core.retrieval.refinement import Finding, RefinementTrail
from icbir_core.settings import SearchFilter, SearchSettings
from icbir_ui import resources, state
from icbir_ui.resources import Engine
from icbir_ui.searching import NO_MAP, get_trail
from icbir_ui.state import Key
from icbir_ui.words import METHOD_TITLES

COUNTS = (3, 5, 8, 10, 12)
FIRST_COUNT = 8
OLDEST = 100


def _ensure(key: Key, options: list, first: object) -> None:
    """A remembered choice that is no longer offered falls back to the first."""
    if state.get(key) not in options:
        state.put(key, first if first in options else options[0])


def choose_settings(engine: Engine, columns: list) -> tuple[SearchSettings, str]:
    """Draw the controls into five columns; (settings, map method)."""
    targets = list(engine.retriever.targets)
    _ensure(Key.TARGET, targets, engine.retriever.default_target)
    target = columns[0].selectbox("Target finding", targets, key=Key.TARGET.value, on_change=_leave_finding_steps)
    methods = list(engine.retriever.methods(target))
    _ensure(Key.METHOD, methods, methods[0])
    method = columns[1].selectbox(
        "Search by",
        methods,
        format_func=METHOD_TITLES.get,
        key=Key.METHOD.value,
        disabled=get_trail().region is not None,
        help="Without effect while a region is searched: it is compared by its stored spatial features.",
    )
    maps = resources.list_map_methods()
    _ensure(Key.MAP, [*maps, NO_MAP], "deep_taylor")
    shown = columns[2].selectbox(
        "Heat map",
        [*maps, NO_MAP],
        format_func=lambda name: maps[name][0] if name in maps else "None",
        key=Key.MAP.value,
        help="\n\n".join(f"**{title}.** {text}" for title, _, text in maps.values()),
    )
    _ensure(Key.COUNT, list(COUNTS), FIRST_COUNT)
    count = columns[3].selectbox("Cases", COUNTS, key=Key.COUNT.value)
    search_filter = choose_filter(engine, columns[4])
    return SearchSettings(top_k=count, method=method, target=target, filter=search_filter), shown


def first_settings(engine: Engine) -> SearchSettings:
    """The settings of a search that nobody has changed."""
    target = engine.retriever.default_target
    return SearchSettings(top_k=FIRST_COUNT, method=engine.retriever.methods(target)[0], target=target)


def _leave_finding_steps() -> None:
    """A target chosen here replaces one that a step of the trail named."""
    trail = state.get(Key.STEPS)
    if trail is not None:
        state.put(Key.STEPS, RefinementTrail(tuple(step for step in trail.steps if not isinstance(step, Finding))))


def choose_filter(engine: Engine, column) -> SearchFilter:
    """The filters in a popover that says how many cases they leave."""
    catalogue = engine.workspace.catalogue
    chosen = read_filter()
    eligible, total = len(catalogue.eligible_rows(chosen)), catalogue.count()
    label = "Filters" if chosen.empty else f"Filters · {eligible} of {total}"
    with column.popover(label, width="stretch"):
        _ensure(Key.VIEW_FILTER, ["any", "PA", "AP"], "any")
        _ensure(Key.SEX_FILTER, ["any", "F", "M"], "any")
        st.segmented_control("View", ["any", "PA", "AP"], key=Key.VIEW_FILTER.value, required=True)
        st.segmented_control("Sex", ["any", "F", "M"], key=Key.SEX_FILTER.value, required=True)
        if state.get(Key.AGE_FILTER) is None:
            state.put(Key.AGE_FILTER, (0, OLDEST))
        st.slider("Age", 0, OLDEST, key=Key.AGE_FILTER.value)
        if state.get(Key.FINDINGS_FILTER) is None:
            state.put(Key.FINDINGS_FILTER, [])
        options = [f"{name} {word}" for name in catalogue.findings for word in ("present", "absent")]
        st.multiselect("Findings", options, key=Key.FINDINGS_FILTER.value)
        st.caption(f"{eligible} of {total} cases are eligible.")
    return chosen


def read_filter() -> SearchFilter:
    """The filter that the widgets hold."""
    low, high = state.get(Key.AGE_FILTER) or (0, OLDEST)
    view, sex = state.get(Key.VIEW_FILTER), state.get(Key.SEX_FILTER)
    return SearchFilter(
        view=view if view not in (None, "any") else None,
        sex=sex if sex not in (None, "any") else None,
        age_min=low or None,
        age_max=high if high < OLDEST else None,
        findings=dict(text.rsplit(" ", 1) for text in state.get(Key.FINDINGS_FILTER) or []),
    )
