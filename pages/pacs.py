"""PACS: today's chest films of the archive, and a query for any other; a click opens a study and searches with it."""

from __future__ import annotations

import streamlit as st

from icbir_core.access import Right
from icbir_ui import access, shared
from icbir_ui.errors import shielded
from icbir_ui.frame.page import run_page
from icbir_ui.pacs.asking import show_finding, show_worklist
from icbir_ui.pacs.jobs import NO_ARCHIVE, has_archive
from icbir_ui.pacs.received import has_received, show_received
from icbir_ui.search.welcome import show_word


def draw() -> None:
    workspace = shared.open_workspace()
    show_word()
    if not has_archive() and not has_received(workspace):
        st.warning(NO_ARCHIVE)
        return
    st.caption("What you open is held for this visit only, and goes into no file.")
    if not has_archive():
        show_received(workspace)
        return
    if not access.get_person().may(Right.SEARCH_ARCHIVE):
        st.caption("The archive is searched by others here; open a study from the PACS itself.")
        show_received(workspace)
        return
    today, find, received = st.tabs(["Today", "Find a study", "Received"])
    with today, shielded():
        show_worklist(workspace)
    with find, shielded():
        show_finding(workspace)
    with received, shielded():
        show_received(workspace)


run_page("PACS", draw)
