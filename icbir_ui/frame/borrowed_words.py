"""Words that Streamlit itself puts into its widgets, in the reader's language. It has no setting for them, so a style
sheet writes over what stands there; what only a screen reader hears of them stays English."""

from __future__ import annotations

import json

import streamlit as st

from icbir_ui.language import mark, say

_DROP, _DAYS = '[data-testid="stFileUploaderDropzone', '[data-testid="stDateInputField"] [data-placeholder][data-type='
_WORDS = {
    f'{_DROP}"] button [data-testid="stMarkdownContainer"] p': mark("Choose files"),
    f'{_DROP}Instructions"] span': mark("up to {size} MB each"),
    '[role="listbox"][data-empty] [role="option"] span': mark("No such entry"),
    f'{_DAYS}"year"]': mark("yyyy"),
    f'{_DAYS}"month"]': mark("mm"),
    f'{_DAYS}"day"]': mark("dd"),
}
"""Selector → what stands there."""


def write_borrowed_words() -> str:
    """The rules of a style sheet. "Press Enter to apply" is left out: leaving the field does the same."""
    rules = ['[data-testid="InputInstructions"] { display: none; }']
    size = st.get_option("server.maxUploadSize")
    for selector, text in _WORDS.items():
        word = json.dumps(say(text, size=size), ensure_ascii=False).replace("<", "\\3c ")
        rules += [f"{selector} {{ font-size: 0; }} {selector}:not([role]) {{ visibility: hidden; }}",
                  f"{selector}::after {{ font-size: .875rem; visibility: visible; content: {word}; }}"]  # fmt: skip
    return "\n".join(rules)
