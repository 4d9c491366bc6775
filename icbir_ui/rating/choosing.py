"""Which study is read or reported."""

from __future__ import annotations

from typing import Any

import streamlit as st

from icbir_ui import state
from icbir_ui.choices import show_choice
from icbir_ui.language import say
from icbir_ui.state import PARAMETER_STUDY, Key


def choose_study(place: Any, names: list[str]) -> str:
    """Draw the choice into `place`; first the study that the address names, or that was last open on any page."""
    wanted = st.query_params.get(PARAMETER_STUDY)
    if wanted in names:
        state.put(Key.STUDY, wanted)
    elif state.get(Key.STUDY) not in names:
        state.put(Key.STUDY, names[0])
    name: str = show_choice(place.selectbox, say("Study"), names, key=Key.STUDY, on_choice=_write_study)
    _write_study()
    return name


def _write_study() -> None:
    state.write_address({PARAMETER_STUDY: state.get(Key.STUDY)})
