"""A list of cases that the reader orders by drag or by the arrow keys."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import streamlit as st

_FOLDER = Path(__file__).parent
_HTML = (
    '<div class="ordering"><span>most similar</span>'
    '<ol aria-label="Cases, most similar first"></ol><span>least similar</span></div>'
)
_mount = st.components.v2.component(
    "icbir_ordering",
    html=_HTML,
    css=(_FOLDER / "ordering.css").read_text(encoding="utf-8"),
    js=(_FOLDER / "ordering.js").read_text(encoding="utf-8"),
    isolate_styles=True,
)


def choose_order(
    showing: str, tokens: Sequence[str], letters: Sequence[str], key: str, first: Sequence[str]
) -> list[str]:
    """The tokens in the reader's order, most similar first; `first` before she moved any.

    showing : another each time that an item is shown, so that what she moved and did not store is forgotten.
    """
    data = {"item": showing, "tokens": list(tokens), "letters": list(letters), "order": list(first)}
    state = _mount(key=key, data=data, on_order_change=lambda: None)
    held = getattr(state, "order", None) or {}
    fits = held.get("item") == showing and sorted(held.get("tokens", ())) == sorted(tokens)
    return list(held["tokens"]) if fits else list(first)
