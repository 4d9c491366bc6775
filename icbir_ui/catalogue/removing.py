"""Taking a case out of every search, and bringing it back."""

from __future__ import annotations

from collections.abc import Callable

import streamlit as st

from icbir_core.access import Right
from icbir_core.audit import Action, Subject
from icbir_core.catalogue import Workspace
from icbir_ui import access, state
from icbir_ui.choices import show_choice
from icbir_ui.errors import escape_markdown, shielded
from icbir_ui.language import mark, say
from icbir_ui.search.panes import describe_origin
from icbir_ui.shared import SearchService
from icbir_ui.state import Key
from icbir_ui.words import describe_findings


def show_removing(service: SearchService, workspace: Workspace) -> None:
    """Take a case out of every search, or bring it back."""
    if not access.get_person().may(Right.REMOVE):
        st.caption(say("Cases are removed and restored by a study lead or the operator."))
        return
    if said := state.get(Key.WORD):
        st.success(escape_markdown(said))
        state.put(Key.WORD, None)
    st.caption(say("A removed case is no longer found; its row is kept, so that old ratings still name it."))
    left, right = st.columns(2, gap="large")
    asked = show_choice(
        left.text_input, say("Case to remove"), placeholder=say("Its name, then Enter"), key=Key.REMOVAL
    )
    name = (asked or "").strip()
    if name:
        with left, shielded():
            case = workspace.catalogue.get(name)
            st.caption(escape_markdown(f"{case.case_id}: {describe_findings(case)} · {describe_origin(case)}"))
            st.button(say("Remove"), on_click=change_case, args=(service, workspace.catalogue.remove, name))
    removed = workspace.catalogue.cases(workspace.catalogue.removed_rows(), include_removed=True)
    if removed:
        back = right.selectbox(say("Removed cases"), [case.case_id for case in removed], key=Key.RESTORAL.value)
        right.button(say("Restore"), on_click=change_case, args=(service, workspace.catalogue.restore, back))
    else:
        right.markdown(say("No case is removed."))


def change_case(service: SearchService, change: Callable[[str], object], name: str) -> None:
    """Remove or restore a case, if the person may, and only once it is recorded."""
    with shielded():
        access.require(Right.REMOVE)
        access.record(Action.REMOVED if change.__name__ == "remove" else Action.RESTORED, Subject("case", name))
        change(name)
        service.forget()
        said = mark("{name} is removed.") if change.__name__ == "remove" else mark("{name} is found again.")
        state.put(Key.WORD, say(said, name=name))
        state.put(Key.REMOVAL, "")
