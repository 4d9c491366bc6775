"""The languages at the foot of every page. Her choice holds for the session at once; the browser keeps it as a cookie,
so that nothing has to be loaded again and no film is lost."""

from __future__ import annotations

import streamlit as st

from icbir_ui import state
from icbir_ui.language import COOKIE, ENGLISH, get_language, list_languages
from icbir_ui.state import Key

_YEAR = 31536000
_SCRIPT = f"""export default ({{ data }}) => {{
  document.documentElement.lang = data.language;
  if (data.chosen) document.cookie = `{COOKIE}=${{data.chosen}}; path=/; max-age={_YEAR}; samesite=strict`;
}};"""
_tell_browser = st.components.v2.component("icbir_language", js=_SCRIPT)


def offer_languages() -> None:
    """A menu of the languages, each by its own name; none where there is only one."""
    here, languages, chosen = get_language(), list_languages(), state.get(Key.LANGUAGE)
    if len(languages) < 2:
        return
    with st.popover(languages[here], type="tertiary", key=Key.LANGUAGE_MENU.value):
        for code, name in languages.items():
            st.button(name, key=f"language_{code}", disabled=code == here, on_click=_choose, args=(code,))
    if chosen or here != ENGLISH:
        with st.container(key="remembered_language"):
            _tell_browser(key=Key.LANGUAGE_COOKIE.value, data={"language": here, "chosen": chosen})


def _choose(code: str) -> None:
    state.put(Key.LANGUAGE, code)
    state.put(Key.DRAWN, {})  # every widget is drawn anew with its words, and begins with the value that is kept
