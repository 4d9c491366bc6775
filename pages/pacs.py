"""PACS: today's chest films of the archive, and a query for any other; a click opens a study and searches with it."""

from __future__ import annotations

from icbir_ui import shared
from icbir_ui.frame.page import run_page
from icbir_ui.pacs.panel import show_panel
from icbir_ui.search.kept import describe_keeping
from icbir_ui.search.welcome import show_word


def draw() -> None:
    show_word()
    show_panel(shared.open_workspace(), describe_keeping("archive"))


run_page("PACS", draw)
