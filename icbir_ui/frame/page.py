"""What every page calls first and last: theme, notice to accept, the line at the foot."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from html import escape
from typing import Any

import streamlit as st
from streamlit.runtime.pages_manager import PagesManager

from icbir_core.catalogue.workspace import Workspace
from icbir_ui.errors import escape_markdown, shielded
from icbir_ui.films import Film
from icbir_ui.frame.borrowed_words import write_borrowed_words
from icbir_ui.frame.notice import ask_to_accept, is_accepted, show_foot
from icbir_ui.frame.signing_in import let_in
from icbir_ui.language import say, speak_one_language, translate_told
from icbir_ui.model_cards import describe_training
from icbir_ui.pacs.opening import follow_study, take_request
from icbir_ui.pacs.sender import resume_sending
from icbir_ui.search.address import describe_search, restore_search, write_search
from icbir_ui.search.kept import follow_films
from icbir_ui.shared import GRACE, open_service, open_workspace
from icbir_ui.theme import write_scheme, write_variables

STYLE = (
    "<style>"
    + write_variables(":root")
    + """
.stMainBlockContainer { padding: 4.6rem 1.5rem 1rem; max-width: none; }
.stAppHeader { background: var(--icbir-ground); border-bottom: 1px solid var(--icbir-line); }
[data-testid="stHeaderLogo"], .stLogo { height: 1.8rem; }
[data-testid^="stBaseButton-primary"] { color: var(--icbir-on-accent); font-weight: 600; }
.st-key-upload_first [data-testid="stFileUploaderDropzone"] { min-height: 8rem; align-items: center; }
[data-testid="stFullScreenFrame"]:has(.stImage) [data-testid="stElementToolbar"] { display: none; }
[data-testid="stElementToolbarButton"]:has([aria-label^="Download as CSV"]) { display: none; }
.stMultiSelect [data-tag], .stMultiSelect [data-tag] * { color: var(--icbir-on-accent); }
.stApp:has(.st-key-search_room) .stMainBlockContainer { padding: 4rem .7rem 0; }
.st-key-search_room { min-height: 2rem; flex-wrap: wrap; }
.st-key-search_room button { min-height: 2rem; padding: 0 .7rem; }
@media (min-width: 1200px) { /* one line with the menus: what is long in it is cut off, and whole on hover */
  .st-key-search_room, .st-key-search_room > :has(.st-key-search_steps) { flex: 1 1 0; min-width: 0; }
  .st-key-search_steps { flex-wrap: nowrap; min-width: 0; }
  .st-key-search_steps > :has([data-testid="stCaptionContainer"]) { flex: 0 1 auto; min-width: 3rem; }
  .st-key-search_steps [data-testid="stCaptionContainer"] p {
    overflow: hidden; text-overflow: ellipsis; white-space: nowrap;
  }
  .st-key-search_steps > :has(button) { flex: none; }
}
.stApp:has(.st-key-search_room) .stMainBlockContainer > [data-testid="stVerticalBlock"] { gap: .3rem; }
.stApp:has(.st-key-search_room) .st-key-foot {
  position: fixed; inset: auto 0 0; z-index: 9; margin: 0; padding: .15rem .7rem; background: var(--icbir-ground);
}
.stApp :is(a, main, [role="spinbutton"]):focus-visible { outline: 2px solid var(--icbir-accent); outline-offset: -2px; }
h1 { padding: 0 0 .4rem; } h1, h2, h3 { letter-spacing: 0; }
[data-testid="stVerticalBlock"] { gap: .7rem; }
.st-key-foot {
  border-top: 1px solid var(--icbir-line); margin-top: 1.2rem; padding-top: .5rem; color: var(--icbir-quiet);
}
.st-key-foot :is(.icbir-foot, button p) { font-size: .8rem; }
#icbir-theme {
  border: 0; background: none; cursor: pointer; font: inherit; font-size: .8rem; padding: 0; margin-left: 1.2rem;
  color: var(--icbir-quiet); text-decoration: underline;
}
.icbir-foot { display: inline; }
.st-key-foot button { color: var(--icbir-quiet); min-height: 0; padding: 0; }
.icbir-quiet { color: var(--icbir-quiet); font-size: .9rem; margin: 0; }
.icbir-said { font-size: .95rem; margin: 0; }
.icbir-facts { border-collapse: collapse; font-size: .9rem; }
.icbir-facts :is(th, td) {
  text-align: left; padding: .25rem 1.5rem .25rem 0; border-bottom: 1px solid var(--icbir-line);
}
.icbir-facts th { color: var(--icbir-quiet); font-weight: 400; white-space: nowrap; }
.st-key-to_come, .st-key-remembered, :has(> .st-key-remembered_language) { display: none; }
[class*="st-key-tile_"] { position: relative; padding-bottom: 3.2rem; }
[class*="st-key-tile_"] .stElementContainer:has(.stButton) { position: absolute; inset: 0; height: 100%; }
[class*="st-key-tile_"] :is(.stButton, .stButton > div) { height: 100%; }
[class*="st-key-tile_"] button { height: 100%; background: transparent; align-items: flex-end; }
</style>"""
)

BARS = """
.st-key-compare_bar > div, .st-key-list_bar > div, [class*="st-key-answers"] > div { flex-wrap: wrap; }
.st-key-compare_bar [data-testid="stColumn"] { min-width: fit-content; }
.st-key-list_bar [data-testid="stColumn"] { flex: 1 1 8.5rem; min-width: 8.5rem; }
.st-key-list_bar [data-testid="stColumn"]:has([data-testid="stDateInput"]) { flex-basis: 14.5rem; min-width: 14.5rem; }
@media (max-width: 900px) {
  .st-key-compare_bar [data-testid="stColumn"]:first-child { flex-basis: 100%; }
  .st-key-list_bar [data-testid="stColumn"] { flex-basis: 30%; }
  [class*="st-key-answers"] [data-testid="stColumn"] { flex: 1 1 22%; min-width: 22%; }
}
"""
"""Bars that wrap in a narrow window."""


@speak_one_language()
def run_page(title: str, draw: Callable[[], None], heading: bool = True) -> None:
    """Draw one page: frame, notice, then `draw`, which is not called before the reader has accepted the notice. An
    error in `draw` becomes one sentence; the foot is always there."""
    if PagesManager.uses_pages_directory:
        # A fresh server that is first asked for a page other than the default runs it without app.py, under the menu
        # that Streamlit makes from the folder. From here on, every page goes through app.py.
        PagesManager.uses_pages_directory = False
        st.rerun()
    st.html(f"{STYLE}<style>{BARS}{write_scheme()}{write_borrowed_words()}</style>")
    entered = False  # also where what decides about it fails
    with shielded():
        entered = let_in()
    if not entered:
        return
    take_request()
    with shielded():
        if is_accepted():
            follow_study(open_workspace())
            if film := restore_search(open_workspace()):
                write_search(film)
            follow_films(describe_search())
            if heading:
                st.title(say(title))
            if lag := open_service().describe_lag():
                st.warning(escape_markdown(translate_told(lag)))
            draw()
            follow_films(describe_search())
        else:
            ask_to_accept()
    show_foot()
    with shielded():
        open_service().begin(GRACE)  # whatever page she reads first, the networks load behind it
        resume_sending()


def empty_for_another(place: Any, another: bool) -> Any:
    """`place`, for one element, emptied at once where `another` film or case comes there. What stood there would stay
    until the page has run through, in sight and under the name of the new one."""
    return place.empty() if another else place


@contextmanager
def passing_word() -> Iterator[Callable[[str], None]]:
    """Yield a callback that shows one line of progress; it disappears when the block ends, even by an error."""
    place = st.empty()

    def tell(word: str) -> None:
        place.caption(word)

    try:
        yield tell
    finally:
        place.empty()


def show_facts(facts: Sequence[tuple[str, str]]) -> None:
    """Label and text in rows. As plain HTML, because `st.table` makes the browser fetch a megabyte of program first."""
    rows = "".join(f'<tr><th scope="row">{escape(label)}</th><td>{escape(text)}</td></tr>' for label, text in facts)
    st.html(f'<table class="icbir-facts">{rows}</table>')


def show_background(film: Film, workspace: Workspace, target: str) -> None:
    """Every fact of the film, and what the classifier was trained on."""
    from icbir_core.radiograph.facts import describe_facts

    show_facts([(translate_told(label), translate_told(told)) for label, told in describe_facts(film.radiograph)])
    with st.expander(say("What the probabilities rest on")):
        for line in describe_training(workspace, target):
            st.markdown(line)
