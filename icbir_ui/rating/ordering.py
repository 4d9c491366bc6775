"""A list of cases that the reader orders by drag or by the arrow keys."""

from __future__ import annotations

from collections.abc import Sequence

from icbir_ui.components import make_component

_HTML = '<div class="ordering"><span></span><ol></ol><span></span></div>'
_mount = make_component("ordering", __file__, _HTML)


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
