"""The row of controls over a search: target, method, map, number, filters."""

from __future__ import annotations

from typing import Any

import streamlit as st

from icbir_core.retrieval.methods import find_title
from icbir_core.settings import SearchFilter, SearchSettings
from icbir_ui import resources, state
from icbir_ui.resources import Engine
from icbir_ui.searching import NO_MAP, get_trail
from icbir_ui.state import Key

COUNTS = (3, 5, 8, 10, 12)
FIRST_COUNT = 8
ANY = "any"
VIEWS, SEXES = [ANY, "PA", "AP"], [ANY, "F", "M"]
OLDEST = 100
ALL_AGES = (0, OLDEST)


def _ensure(key: Key, options: list, first: object = None) -> Any:
    """The remembered choice; one that is not offered (any more) falls back to the first."""
    if state.get(key) not in options:
        state.put(key, first if first in options else options[0])
    return state.get(key)


def choose_settings(engine: Engine, columns: list) -> tuple[SearchSettings, str]:
    """Draw the controls into five columns; (settings, map method)."""
    read_settings(engine)
    target = state.get(Key.TARGET)
    columns[0].selectbox(
        "Target finding",
        engine.retriever.targets,
        key=Key.TARGET.value,
        disabled=get_trail().finding is not None,
        help="Without effect while a step of the trail names a finding: that one is searched and mapped.",
    )
    columns[1].selectbox(
        "Search by",
        engine.retriever.methods(target),
        format_func=find_title,
        key=Key.METHOD.value,
        disabled=get_trail().by_part,
        help="Without effect while a region or a finding is searched: a part of what is seen is compared then.",
    )
    maps = resources.list_map_methods()
    columns[2].selectbox(
        "Heat map",
        [*maps, NO_MAP],
        format_func=lambda name: maps[name][0] if name in maps else "None",
        key=Key.MAP.value,
        help="\n\n".join(f"**{title}.** {text}" for title, _, text in maps.values()),
    )
    columns[3].selectbox("Cases", COUNTS, key=Key.COUNT.value)
    choose_filter(engine, columns[4])
    return read_settings(engine)


def read_settings(engine: Engine) -> tuple[SearchSettings, str]:
    """(settings, map method) that the session holds; what it does not hold, or is not offered, becomes the first."""
    target = _ensure(Key.TARGET, list(engine.retriever.targets), engine.retriever.default_target)
    method = _ensure(Key.METHOD, list(engine.retriever.methods(target)))
    shown = _ensure(Key.MAP, [*resources.list_map_methods(), NO_MAP], "deep_taylor")
    count = _ensure(Key.COUNT, list(COUNTS), FIRST_COUNT)
    _ensure(Key.VIEW_FILTER, VIEWS)
    _ensure(Key.SEX_FILTER, SEXES)
    low, high = state.get(Key.AGE_FILTER) or ALL_AGES
    if state.get(Key.AGE_FILTER) is None or not 0 <= low <= high <= OLDEST:
        state.put(Key.AGE_FILTER, ALL_AGES)
    offered, chosen = _list_finding_filters(engine), state.get(Key.FINDINGS_FILTER)
    if chosen is None or not set(chosen) <= set(offered):
        state.put(Key.FINDINGS_FILTER, [name for name in chosen or () if name in offered])
    return SearchSettings(top_k=count, method=method, target=target, filter=read_filter()), shown


def _list_finding_filters(engine: Engine) -> list[str]:
    return [f"{name} {word}" for name in engine.workspace.catalogue.findings for word in ("present", "absent")]


def choose_filter(engine: Engine, column) -> None:
    """Draw the filters in a popover that says how many cases they leave."""
    catalogue = engine.workspace.catalogue
    chosen = read_filter()
    eligible, total = len(catalogue.eligible_rows(chosen)), catalogue.count()
    label = "Filters" if chosen.empty else f"Filters · {eligible} of {total}"
    with column.popover(label, width="stretch"):
        st.segmented_control("View", VIEWS, key=Key.VIEW_FILTER.value, required=True)
        st.segmented_control("Sex", SEXES, key=Key.SEX_FILTER.value, required=True)
        st.slider("Age", 0, OLDEST, key=Key.AGE_FILTER.value)
        st.multiselect(
            "Findings", _list_finding_filters(engine), key=Key.FINDINGS_FILTER.value, on_change=_leave_opposites,
            select_all=False,
        )  # fmt: skip
        st.button("No filter", on_click=_clear_filter, disabled=chosen.empty)
        st.caption(f"{eligible} of {total} cases are eligible.")


def _leave_opposites() -> None:
    """A finding cannot be present and absent: the word that was chosen last stays."""
    state.put(Key.FINDINGS_FILTER, [f"{name} {word}" for name, word in _read_findings().items()])


def _read_findings() -> dict[str, str]:
    return dict(text.rsplit(" ", 1) for text in state.get(Key.FINDINGS_FILTER) or [])


def _clear_filter() -> None:
    for key, value in (
        (Key.VIEW_FILTER, ANY), (Key.SEX_FILTER, ANY), (Key.AGE_FILTER, ALL_AGES), (Key.FINDINGS_FILTER, []),
    ):  # fmt: skip
        state.put(key, value)


def read_filter() -> SearchFilter:
    """The filter that the widgets hold."""
    low, high = state.get(Key.AGE_FILTER) or ALL_AGES
    view, sex = state.get(Key.VIEW_FILTER), state.get(Key.SEX_FILTER)
    return SearchFilter(
        view=view if view not in (None, ANY) else None,
        sex=sex if sex not in (None, ANY) else None,
        age_min=low or None,
        age_max=high if high < OLDEST else None,
        findings=_read_findings(),
    )
