"""The one place that turns an error into a sentence for the reader. No traceback reaches a page."""

from __future__ import annotations

import logging
import re
import uuid
from collections.abc import Iterator
from contextlib import contextmanager

import streamlit as st
from streamlit.errors import StreamlitAPIException

from icbir_core.errors import IcbirError
from icbir_ui import metrics, state
from icbir_ui.language import say, translate_told
from icbir_ui.logs import log_event

_ACTIVE = re.compile(r"([!-/:-@\[-`{-~])")
_FOUND_LATER = re.compile(r"(?<=:)(?=\S)|(?<=www)(?=\.)|(?<=\S)(?=@)", re.IGNORECASE)
_JOINER = "\u2060"


def explain(error: BaseException) -> str:
    """One sentence for the reader: the core's own, or a number under which the log holds the details."""
    if isinstance(error, IcbirError):
        return translate_told(str(error))
    number = uuid.uuid4().hex[:8]
    metrics.ERRORS.inc()
    log_event("error", logging.ERROR, state.name_asker(), error, number=number)
    return say("Something went wrong (number {number} in the server's log); try again.", number=number)


def escape_markdown(text: str) -> str:
    """Text of others (names of files, cases and studies, sentences that hold them) as Streamlit shows it letter by
    letter: a name must not become a picture that the browser fetches, nor a link.

    Addresses and symbols such as `:name:` are found again after backslashes are gone; a joiner that nobody sees breaks
    them.
    """
    return _ACTIVE.sub(r"\\\1", _FOUND_LATER.sub(_JOINER, text))


@contextmanager
def shielded() -> Iterator[None]:
    """Run the block; an error becomes one sentence on the page, and the rest of the page goes on."""
    try:
        yield
    except StreamlitAPIException:
        raise
    except Exception as error:
        st.error(escape_markdown(explain(error)), icon=None)
