"""A film that is no upright frontal chest film stands under a band: nothing is computed of it before she says so."""

from __future__ import annotations

import streamlit as st

from icbir_ui import state
from icbir_ui.errors import escape_markdown
from icbir_ui.films import Film
from icbir_ui.language import say, translate_told
from icbir_ui.state import Key

WITHHELD = frozenset({"not_chest", "lateral", "inverted", "rotated", "modality"})
"""The doubts under which probabilities, heat map and neighbours are held back."""


def is_withheld(film: Film) -> bool:
    """True while the answers about this film are held back."""
    return not WITHHELD.isdisjoint(film.doubts) and film.key not in state.get(Key.SHOWN_ANYWAY, ())


def show_band(film: Film) -> None:
    """Why the answers are held back, and the button that shows them anyway, for this film and this visit."""
    with st.container(key="gate", horizontal=True, vertical_alignment="center", border=True):
        st.markdown(
            say(
                "**{warnings}** Probabilities, heat map and neighbours would mean nothing for another "
                "kind of picture, and are not shown.",
                warnings=escape_markdown(" ".join(map(translate_told, film.warnings))),
            )
        )
        st.button(say("Show anyway"), key="show_anyway", on_click=_show_anyway, args=(film.key,))


def _show_anyway(key: str) -> None:
    state.put(Key.SHOWN_ANYWAY, (*state.get(Key.SHOWN_ANYWAY, ()), key))
