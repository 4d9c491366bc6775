"""The way from other pages to the films of the archive (PACS)."""

from __future__ import annotations

import streamlit as st

from icbir_core.errors import IcbirError
from icbir_core.settings import read_pacs_settings
from icbir_ui.language import say


def offer_archive(key: str) -> None:
    """A button to the page PACS; nothing where no archive is set up."""
    try:
        there = read_pacs_settings() is not None
    except IcbirError:
        there = True  # the page says what is wrong with the settings
    if there and st.button(say("Films from the PACS"), key=key):
        st.switch_page("pages/pacs.py")
