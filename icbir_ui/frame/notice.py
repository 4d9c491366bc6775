"""The notice that a reader accepts on her first visit, and the pseudonym that she accepts it under.

Both belong to her browser, as a cookie, and never to the address: a link that she sends to a colleague must neither
skip the colleague's own notice nor store his ratings under her name.
"""

from __future__ import annotations

import unicodedata
import uuid
from contextlib import suppress
from html import escape
from urllib.parse import quote, unquote

import streamlit as st

from icbir_core.errors import IcbirError
from icbir_ui import access, state
from icbir_ui.errors import escape_markdown
from icbir_ui.frame.choosing_language import offer_languages
from icbir_ui.frame.signing_in import sign_out
from icbir_ui.keeping import forget_kept
from icbir_ui.language import say
from icbir_ui.shared import open_service
from icbir_ui.state import NOTICE, PARAMETER_READER, Key
from icbir_ui.theme import SWITCH, make_switch

COOKIE = "icbir_reader"
DAYS = 30
LONGEST = 40
_SCRIPT = f"""export default ({{ data }}) => {{
  if (sessionStorage.getItem("{COOKIE}") === data.number) return;  // once: another tab may have changed it since
  sessionStorage.setItem("{COOKIE}", data.number);
  const age = data.name ? {DAYS * 86400} : 0;
  document.cookie = `{COOKIE}=${{data.name}}; path=/; max-age=${{age}}; samesite=strict`;
}};"""
_BACK = """<script>{
  // Streamlit makes every change of the address a step of the browser's history, and each run of a page writes the
  // settings in force into it: Back would lead through all of them. Here it leads to the page before, in one press.
  const KEPT = Symbol.for("icbir.history");
  if (!window[KEPT]) {
    window[KEPT] = history.pushState.bind(history);
    history.pushState = (state, title, url) => {
      const same = new URL(url ?? "", document.baseURI).pathname === location.pathname;
      return same ? history.replaceState(state, title, url) : window[KEPT](state, title, url);
    };
  }
}</script>"""
_write_cookie = st.components.v2.component("icbir_reader", js=_SCRIPT)


def is_accepted() -> bool:
    """True once this reader has accepted, in this session or before in this browser. A name in the address (an
    invitation to a study) only fills the field: where it is not the browser's own, the notice is shown again."""
    if state.get(Key.ACCEPTED) is None:
        known, invited = _recall(), _read_invitation()
        if person := _find_signed_in():
            if known == person:
                _accept(person)
        elif known and invited in (None, known):
            _accept(known)
        elif invited:
            state.put(Key.ACCEPTED, False)  # also on the pages that she turns to instead
    if told := state.get(Key.COOKIE_WRITTEN):
        with st.container(key="remembered"):
            _write_cookie(key=Key.COOKIE.value, data=told)
    return bool(state.get(Key.ACCEPTED))


def ask_to_accept() -> None:
    """Show the notice; accepting it runs the page again."""
    _, middle, _ = st.columns([1, 2, 1])
    with middle.container(border=True):
        st.subheader(say("Before you start"))
        st.markdown(
            say(
                "ICBIR shows past chest films that resemble yours, and where a network looked for a finding. "
                "It is meant for **research and education**. It is **not a medical device**, has not been "
                "assessed for clinical use, and nothing on its pages is a diagnosis.\n\n- Films stay on this "
                "machine. Upload only films that you may use for this purpose.\n- Probabilities and heat maps "
                "can be wrong, also when they look convincing.\n- Your ratings of similarity are stored under "
                "the pseudonym below."
            )
        )
        with suppress(IcbirError):  # said at the foot
            if open_service().loading:
                st.caption(say("The networks load while you read this."))
        with st.form("notice", border=False):  # so that Enter accepts
            if name := _find_signed_in():
                st.caption(say("Pseudonym: {name}, made from your sign-in", name=name))
            else:
                suggested = _read_invitation() or (None if state.get(Key.LEFT) else _recall()) or clean("")
                name = st.text_input(
                    say("Pseudonym"), value=suggested, max_chars=LONGEST, help=say("Not your name; letters and digits.")
                )
            accepted = st.form_submit_button(say("I understand"), type="primary")
        if accepted:
            _accept(clean(name))
            _tell_browser(state.get_reader())
            st.rerun()


def show_foot() -> None:
    """The line under every page: the notice, and under whose pseudonym ratings are stored."""
    with st.container(key="foot", horizontal=True, vertical_alignment="center"):
        said = f'<div class="icbir-foot" role="contentinfo">ICBIR · {escape(say(NOTICE))}</div>'
        st.html(said + make_switch() + _BACK + SWITCH, width="content", unsafe_allow_javascript=True)
        offer_languages()
        if not state.get(Key.ACCEPTED):
            return
        if _find_signed_in():
            label = say("Reader: {reader} · sign out", reader=escape_markdown(state.get_reader()))
            st.button(label, type="tertiary", key=Key.LEAVE.value, on_click=sign_out)
            return
        label = say("Reader: {reader} · change", reader=escape_markdown(state.get_reader()))
        with st.popover(label, type="tertiary", key=Key.READER_MENU.value):
            st.markdown(
                say("Ratings are stored under this pseudonym.\n\nAnother reader will not see the films of this visit.")
            )
            st.button(say("Read as somebody else"), key=Key.LEAVE.value, on_click=_leave)


def clean(name: str) -> str:
    """A pseudonym of letters, digits and "-_. ", at most 40, whoever wrote it; without any, one of this window. A
    letter with its accent is one, however the keyboard sends it: typed in two parts it is the same reader."""
    composed = unicodedata.normalize("NFC", name)
    kept = "".join(letter for letter in composed if letter.isalnum() or letter in "-_. ")[:LONGEST].strip()
    return kept or f"reader-{state.get_window()[:4]}"


def _find_signed_in() -> str:
    """The pseudonym of one who is signed in; "" where readers name themselves."""
    return access.get_person().pseudonym if access.get_settings().asks_to_sign_in else ""


def _recall() -> str | None:
    """The pseudonym that this browser has accepted under, None before."""
    return _read_name(unquote(st.context.cookies.get(COOKIE) or ""))


def _read_invitation() -> str | None:
    """The name that the address asks for, None without one."""
    return _read_name(st.query_params.get(PARAMETER_READER) or "")


def _read_name(text: str) -> str | None:
    return clean(text) if any(letter.isalnum() for letter in text) else None


def _accept(name: str) -> None:
    state.put(Key.ACCEPTED, True)
    state.put(Key.READER, name)
    st.query_params.pop(PARAMETER_READER, None)


def _tell_browser(name: str) -> None:
    """Have the browser keep the name, or forget it (""); a number makes it do so once."""
    state.put(Key.COOKIE_WRITTEN, {"name": quote(name), "number": uuid.uuid4().hex})


def _leave() -> None:
    """The next reader finds nothing of the one before her: neither name nor films nor marks."""
    forget_kept()
    state.forget()
    st.query_params.clear()
    state.put(Key.ACCEPTED, False)
    state.put(Key.LEFT, True)
    _tell_browser("")
