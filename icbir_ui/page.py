"""What every page calls first and last: theme, notice to accept, the line at the foot."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from html import escape

import streamlit as st
from streamlit.runtime.pages_manager import PagesManager

from icbir_core.errors import IcbirError
from icbir_ui import state
from icbir_ui.address import restore_search, write_search
from icbir_ui.errors import shielded
from icbir_ui.resources import GRACE, open_engine, open_workspace
from icbir_ui.state import NOTICE, PARAMETER_READER, Key

KEPT = (
    Key.TARGET,
    Key.METHOD,
    Key.MAP,
    Key.COUNT,
    Key.VIEW_FILTER,
    Key.SEX_FILTER,
    Key.AGE_FILTER,
    Key.FINDINGS_FILTER,
    Key.COMPARE_MAP,
)
STYLE = """<style>
.stMainBlockContainer { padding: 4.6rem 1.5rem 1rem; max-width: none; }
.stAppHeader { background: #0b0d10; border-bottom: 1px solid #1b2129; }
[data-testid="stHeaderLogo"], .stLogo { height: 1.8rem; }
[data-testid^="stBaseButton-primary"] { color: #0b0d10; font-weight: 600; }
.st-key-upload_first [data-testid="stFileUploaderDropzone"] { min-height: 8rem; align-items: center; }
[data-testid="stFullScreenFrame"]:has(.stImage) [data-testid="stElementToolbar"] { display: none; }
[data-testid="stElementToolbarButton"]:has([aria-label^="Download as CSV"]) { display: none; }
.stMultiSelect [data-tag], .stMultiSelect [data-tag] * { color: #0b0d10; }
.st-key-search_controls [data-testid="stHorizontalBlock"] { flex-wrap: wrap; }
.st-key-search_controls [data-testid="stColumn"] { min-width: 6.2rem; }
.st-key-search_controls [data-testid="stColumn"]:is(:nth-child(2), :nth-child(6)) { min-width: 8.5rem; }
.st-key-search_controls [data-testid="stColumn"]:is(:nth-child(3), :nth-child(4)) { min-width: 13.2rem; }
.st-key-search_controls [data-testid="stColumn"]:nth-child(5) { min-width: 5rem; }
h1 { padding: 0 0 .4rem; } h1, h2, h3 { letter-spacing: 0; }
[data-testid="stVerticalBlock"] { gap: .7rem; }
.icbir-foot { color: #97a3b0; border-top: 1px solid #1b2129; margin-top: 1.2rem; padding-top: .5rem; font-size: .8rem; }
.icbir-quiet { color: #97a3b0; font-size: .9rem; margin: 0; }
.icbir-said { font-size: .95rem; margin: 0; }
.icbir-facts { border-collapse: collapse; font-size: .9rem; }
.icbir-facts :is(th, td) { text-align: left; padding: .25rem 1.5rem .25rem 0; border-bottom: 1px solid #1b2129; }
.icbir-facts th { color: #97a3b0; font-weight: 400; white-space: nowrap; }
.st-key-to_come { display: none; }
[class*="st-key-tile_"] { position: relative; padding-bottom: 3.2rem; }
[class*="st-key-tile_"] .stElementContainer:has(.stButton) { position: absolute; inset: 0; height: 100%; }
[class*="st-key-tile_"] :is(.stButton, .stButton > div) { height: 100%; }
[class*="st-key-tile_"] button { height: 100%; background: transparent; align-items: flex-end; }
.st-key-apply_marks { position: fixed; bottom: 1.2rem; left: 50%; transform: translateX(-50%); z-index: 20; }
</style>"""


def run_page(title: str, draw: Callable[[], None], heading: bool = True) -> None:
    """Draw one page: frame, notice, then `draw`, which is not called before the reader has accepted the notice.

    An error in `draw` becomes one sentence; the foot is always there.
    """
    if PagesManager.uses_pages_directory:
        # A fresh server that is first asked for a page other than the default runs it without app.py, under the menu
        # that Streamlit makes from the folder. From here on, every page goes through app.py.
        PagesManager.uses_pages_directory = False
        st.rerun()
    st.html(STYLE)
    state.keep(*KEPT)
    with shielded():
        if _recall_reader():
            if film := restore_search(open_workspace()):
                write_search(film)
            if heading:
                st.title(title)
            draw()
        else:
            _ask_to_accept()
    st.html(f'<div class="icbir-foot" role="contentinfo">ICBIR · {NOTICE}</div>')
    with shielded():
        open_engine().begin(GRACE)  # whatever page she reads first, the networks load behind it


@contextmanager
def passing_word() -> Iterator[Callable[[str], None]]:
    """tell(word) for one who waits: one line that the next word replaces, gone at the end, however the block ends."""
    place = st.empty()
    try:
        yield place.caption
    finally:
        place.empty()


def show_facts(facts: Sequence[tuple[str, str]]) -> None:
    """Label and text in rows. As plain HTML, because `st.table` makes the browser fetch a megabyte of program first."""
    rows = "".join(f'<tr><th scope="row">{escape(label)}</th><td>{escape(text)}</td></tr>' for label, text in facts)
    st.html(f'<table class="icbir-facts">{rows}</table>')


def _recall_reader() -> bool:
    """True once accepted. The address keeps the pseudonym, so that a refresh does not ask again."""
    named = st.query_params.get(PARAMETER_READER)
    if named and not state.get(Key.ACCEPTED):
        state.put(Key.ACCEPTED, True)
        state.put(Key.READER, _clean(named))
    if state.get(Key.ACCEPTED) and named != state.get_reader():
        st.query_params[PARAMETER_READER] = state.get_reader()
    return bool(state.get(Key.ACCEPTED))


def _clean(name: str) -> str:
    return "".join(letter for letter in name if letter.isalnum() or letter in "-_. ")[:40].strip() or "reader"


def _ask_to_accept() -> None:
    _, middle, _ = st.columns([1, 2, 1])
    with middle.container(border=True):
        st.subheader("Before you start")
        st.markdown(
            "ICBIR shows past chest radiographs that resemble yours, and where a network looked for a finding. "
            "It is meant for **research and education**. It is **not a medical device**, has not been assessed for "
            "clinical use, and nothing on its pages is a diagnosis.\n\n"
            "- Films stay on this machine. Upload only films that you may use for this purpose.\n"
            "- Probabilities and heat maps can be wrong, also when they look convincing.\n"
            "- Your ratings of similarity are stored under the pseudonym below."
        )
        with suppress(IcbirError):  # said at the foot
            if open_engine().loading:
                st.caption("The networks load while you read this.")
        with st.form("notice", border=False):  # so that Enter accepts
            name = st.text_input("Pseudonym", value="reader", max_chars=40, help="Not your name; letters and digits.")
            accepted = st.form_submit_button("I understand", type="primary")
        if accepted:
            state.put(Key.ACCEPTED, True)
            state.put(Key.READER, _clean(name))
            st.rerun()
