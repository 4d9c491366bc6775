"""Widgets whose value the program sets as well as the reader, all drawn through one door.

A browser remembers what a widget held when it was last drawn. While the widget stands in a menu that is shut, or on
another page, the browser does not learn of a value that the program sets; drawn again, the widget would come back with
the former value, and Streamlit would take that for a choice of the reader. So the value is kept in the session under
its own key, the widget gets a new name each time that the program has set it, and a choice counts only where it differs
from what was drawn.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import streamlit as st

from icbir_ui import state
from icbir_ui.state import Key


def show_choice(
    draw: Callable[..., Any],
    *given: Any,
    key: Key,
    on_choice: Callable[[], None] | None = None,
    first: str = "",
    **more: Any,
) -> Any:
    """Draw a widget that shows the value under `key`, and return that value.

    draw : a widget of Streamlit, such as `st.selectbox`; given, more : its arguments, without a default.
    on_choice : called once the reader's choice stands under `key`, before the page runs.
    first : the argument for the default of a widget that always has one, and so may not be set through the session.
    """
    value, drawn = state.get(key), state.get(Key.DRAWN, {})
    former, number = drawn.get(key, (value, 0))
    if former != value:
        number += 1
    state.put(Key.DRAWN, {**drawn, key: (value, number)})
    name = f"{key.value}_{number}"
    if first:
        more[first] = value
    elif name not in st.session_state:
        st.session_state[name] = value
    draw(*given, key=name, on_change=_take, args=(key, name, number, on_choice), **more)
    return state.get(key)


def _take(key: Key, name: str, number: int, on_choice: Callable[[], None] | None) -> None:
    """Before the page runs: what the browser says of a widget becomes the value, if it was drawn so and is another."""
    chosen, drawn = st.session_state[name], state.get(Key.DRAWN, {})
    value, now = drawn[key]
    if number != now or chosen == value or state.get(key) != value:
        return
    state.put(key, chosen)
    state.put(Key.DRAWN, {**drawn, key: (chosen, number)})
    if on_choice is not None:
        on_choice()
