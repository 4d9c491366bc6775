"""Widgets whose value the program sets as well as the reader, all drawn through one door.

A browser remembers what a widget held when it was last drawn. While the widget stands in a menu that is shut, or on
another page, the browser does not learn of a value that the program sets; drawn again, the widget would come back with
the former value, and Streamlit would take that for a choice of the reader. So the value is kept in the session under
its own key, the widget gets a new name each time that the program has set it, and a choice counts only where it differs
from what was drawn.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import streamlit as st

from icbir_ui import state
from icbir_ui.language import say
from icbir_ui.state import Key

DEFAULTS = {
    "selectbox": "index",
    **dict.fromkeys(("segmented_control", "pills", "pagination", "multiselect"), "default"),
}
"""The argument for the first value of a widget; "value" of any other."""


def show_choice(
    draw: Callable[..., Any], *given: Any, key: Key, on_choice: Callable[[], None] | None = None, **more: Any
) -> Any:
    """Draw a widget that shows the value under `key`, and return that value.

    draw : a widget of Streamlit, such as `st.selectbox`; given, more : its arguments, without a default.
    on_choice : called once the reader's choice stands under `key`, before the page runs.

    The value is the widget's default and not set through the session: what is set is told to the browser once, and a
    browser that draws the widget only later, because its menu was shut, would begin with the first option.
    """
    value, drawn = state.get(key), state.get(Key.DRAWN, {})
    former, number, first = drawn.get(key, (value, 0, value))
    if former != value:
        number, first = number + 1, value
    state.put(Key.DRAWN, {**drawn, key: (value, number, first)})
    name, argument = f"{key.value}_{number}", DEFAULTS.get(draw.__name__, "value")
    begins = first
    if argument == "index":
        begins = next((list(given[1]).index(one) for one in (first, value) if one in given[1]), None)
    draw(*given, key=name, on_change=_take, args=(key, name, number, on_choice), **{argument: begins, **more})
    return state.get(key)


def show_segments(
    draw: Callable[..., Any],
    label: str,
    options: Sequence[str],
    key: Key,
    help: str | None = None,
    told: Callable[[str], str] = say,
) -> Any:
    """Short words side by side, of which one is always chosen; returns it. draw : a `segmented_control`; told : what
    the reader is shown of a word."""
    return show_choice(draw, label, options, key=key, help=help, format_func=told, required=True)


def _take(key: Key, name: str, number: int, on_choice: Callable[[], None] | None) -> None:
    """Before the page runs: what the browser says of a widget becomes the value, if it was drawn so and is another."""
    chosen, drawn = st.session_state[name], state.get(Key.DRAWN, {})
    value, now, first = drawn[key]
    if number != now or chosen == value or state.get(key) != value:
        return
    state.put(key, chosen)
    state.put(Key.DRAWN, {**drawn, key: (chosen, number, first)})
    if on_choice is not None:
        on_choice()
