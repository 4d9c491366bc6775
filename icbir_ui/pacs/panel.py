"""The panel of the archive: today's chest films, a question for any other, and films that were pushed here.

It stands on the page PACS, and on Search and Catalogue where the reader asks for it.
"""

from __future__ import annotations

import streamlit as st

from icbir_core.access import Right
from icbir_core.catalogue.workspace import Workspace
from icbir_core.errors import IcbirError
from icbir_ui import access
from icbir_ui.errors import shielded
from icbir_ui.language import say
from icbir_ui.pacs.asking import show_finding, show_worklist
from icbir_ui.pacs.jobs import NO_ARCHIVE, has_archive
from icbir_ui.pacs.received import has_received, show_received


def show_panel(workspace: Workspace, keeping: str) -> None:
    """Worklist, question and received films, as far as there is an archive and the person may ask it. keeping : how
    long a film that is opened stays, in a sentence."""
    if not has_archive() and not has_received(workspace):
        st.warning(say(NO_ARCHIVE))
        return
    st.caption(keeping)
    if not has_archive():
        show_received(workspace)
        return
    if not access.get_person().may(Right.SEARCH_ARCHIVE):
        st.caption(say("The archive is searched by others here; open a study from the PACS itself."))
        show_received(workspace)
        return
    today, find, received = st.tabs([say("Today"), say("Find a study"), say("Received")])
    with today, shielded():
        show_worklist(workspace)
    with find, shielded():
        show_finding(workspace)
    with received, shielded():
        show_received(workspace)


def offer_panel(workspace: Workspace, keeping: str, key: str) -> None:
    """A switch that opens the panel in its place; nothing where no archive is set up."""
    try:
        there = has_archive()
    except IcbirError:
        there = True  # the panel says what is wrong with the settings
    if there and st.toggle(say("Films from the PACS"), key=key):
        with st.container(border=True), shielded():
            show_panel(workspace, keeping)
