"""Which study is read or reported."""

from __future__ import annotations

from typing import Any

import streamlit as st

from icbir_ui import state
from icbir_ui.state import PARAMETER_STUDY, Key


def choose_study(place: Any, names: list[str]) -> str:
    """Draw the choice into `place`; first the study that the address names, or that was last open on any page."""
    wanted = st.query_params.get(PARAMETER_STUDY) or state.get(Key.STUDY)
    name = place.selectbox("Study", names, index=names.index(wanted) if wanted in names else 0)
    state.put(Key.STUDY, name)
    state.write_address({PARAMETER_STUDY: name})
    return name
