"""Cases as rows with small pictures, drawn by one component; what the reader does with a row comes back as an event."""

from __future__ import annotations

import base64
import re
from collections.abc import Callable, Sequence
from typing import Any

import streamlit as st

from icbir_core.catalogue import Workspace
from icbir_core.catalogue.listing import ListedCase
from icbir_core.catalogue.text_index import BEGIN, END
from icbir_core.catalogue.thumbnails import find_thumbnail, read_thumbnail
from icbir_core.errors import IcbirError
from icbir_ui.components import make_component
from icbir_ui.language import say
from icbir_ui.search.panes import describe_origin
from icbir_ui.state import Key
from icbir_ui.words import describe_findings

CHOSEN = "chosen"
LONGEST = 160
_MARKED = re.compile(f"{BEGIN}([^{END}]*){END}")
_HTML = '<div class="rows"><ol></ol></div>'
_mount = make_component("rows", __file__, _HTML)


def show_rows(
    rows: Sequence[dict[str, Any]],
    acts: Sequence[tuple[str, str, str]],
    chosen: str | None,
    key: Key,
    react: Callable[[str, str], None],
) -> None:
    """Draw rows made by `make_row`. acts : (name, label, explanation) of the buttons of each row; chosen : the case
    that is shown large; react(act, case) is called before the page runs again, also with the act `CHOSEN`."""

    def take() -> None:
        acted = getattr(st.session_state.get(key.value), "acted", None) or {}
        if {"act", "name"} <= set(acted):
            react(str(acted["act"]), str(acted["name"]))

    data = {"rows": list(rows), "acts": [list(act) for act in acts], "chosen": chosen}
    _mount(key=key.value, data=data, on_acted_change=take)


def make_row(workspace: Workspace, listed: ListedCase) -> dict[str, Any]:
    """What a row shows: the findings, the name, view, age, sex and source, and the place where the words stand."""
    case, added = listed.case, listed.added
    facts = describe_origin(case) + (say(" · added {added}", added=added.isoformat()) if added else "")
    first = next((line for text in (case.diagnosis, case.report) if text for line in text.splitlines() if line), "")
    excerpt = listed.excerpt or (first if len(first) <= LONGEST else f"{first[:LONGEST].rstrip()} …")
    return {
        "name": case.case_id,
        "findings": describe_findings(case),
        "facts": facts,
        "excerpt": split_excerpt(excerpt),
        "picture": _read_picture(workspace, listed),
    }


def split_excerpt(excerpt: str) -> list[tuple[str, bool]]:
    """Parts of an excerpt, each with whether it was searched for; for the browser, which gets no markup from texts."""
    parts = [(part, place % 2 == 1) for place, part in enumerate(_MARKED.split(excerpt))]
    return [(text, marked) for text, marked in parts if text]


def count_unmade(workspace: Workspace, listed: Sequence[ListedCase]) -> int:
    """Of how many of these cases the small picture must still be made."""
    return sum(not find_thumbnail(workspace, one.case).is_file() for one in listed)


def _read_picture(workspace: Workspace, listed: ListedCase) -> str:
    """The address of the picture, with the picture in it; "" for a film that cannot be read."""
    try:
        data = read_thumbnail(workspace, listed.case)
    except IcbirError:
        return ""
    return "data:image/jpeg;base64," + base64.b64encode(data).decode()
