"""The cases that were selected on the map of embeddings, some films at a time."""

from __future__ import annotations

from collections.abc import Sequence

import streamlit as st

from icbir_core.audit import Action, Subject
from icbir_core.catalogue.workspace import Workspace
from icbir_core.types import Case
from icbir_ui import access, films, state
from icbir_ui.choices import show_choice
from icbir_ui.errors import shielded
from icbir_ui.language import say
from icbir_ui.search.panes import describe_origin, find_text
from icbir_ui.state import Key
from icbir_ui.viewer import Pane, ViewerOptions, show_viewer
from icbir_ui.words import describe_findings

SHOWN = 8


@st.fragment
def show_selected(workspace: Workspace, ids: Sequence[str]) -> None:
    """The cases in the viewer with a pager; only the films of the page that is shown are read. A fragment: another page
    of films draws neither the map nor the charts again. A film that cannot be read becomes one sentence."""
    if state.get(Key.SELECTION) != ids:
        state.put(Key.SELECTION, ids)
        state.put(Key.SELECTION_PAGE, 1)
    word, first = say("**{count} selected**", count=len(ids)) if len(ids) > 1 else "", 0
    if len(ids) > SHOWN:
        said = st.empty()
        page = show_choice(st.pagination, -(-len(ids) // SHOWN), key=Key.SELECTION_PAGE)
        first = SHOWN * (page - 1)
        said.markdown(
            say(
                "{word} · cases {first}–{last} of {count}",
                word=word,
                first=first + 1,
                last=min(first + SHOWN, len(ids)),
                count=len(ids),
            )
        )
    else:
        st.markdown(word)
    with shielded():
        panes = []
        for place, name in enumerate(ids[first : first + SHOWN], start=1):
            case = workspace.catalogue.get(name)
            shown = case.case_id if len(ids) == 1 else f"{place} · {case.case_id}"
            panes.append(make_case_pane(workspace, case, shown, str(place)))
        access.record_once(Action.SAW, *(Subject("case", name) for name in ids[first : first + SHOWN]))
        columns = 1 if len(ids) == 1 else 0
        show_viewer(panes, ViewerOptions(notice=f"ICBIR. {state.NOTICE}", columns=columns), Key.CATALOGUE_VIEWER.value)


def make_case_pane(workspace: Workspace, case: Case, title: str, shortcut: str) -> Pane:
    """A case for the viewer, with its facts and its texts."""
    return Pane(
        case.case_id,
        title,
        films.case_picture(workspace, case),
        lines=(describe_findings(case), describe_origin(case)),
        details=find_text(case),
        oriented=case.orientation_verified,
        shortcut=shortcut,
    )
