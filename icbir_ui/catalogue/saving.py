"""A case into one of the reader's folders, with her note."""

from __future__ import annotations

import streamlit as st

from icbir_ui import access, shared
from icbir_ui.errors import escape_markdown, shielded
from icbir_ui.language import mark, say

NEW = mark("A new folder …")
NAMELESS = mark("Shown to all who open the folder, and in its teaching file: no name, date or number of a patient.")


def offer_saving(case_id: str, place: str) -> None:
    """A menu that saves a case. place : tells this menu from others for the same case."""
    with st.popover(say("Save in a folder")), shielded():
        owner, store = access.get_person().pseudonym, shared.open_folders()
        held = store.list_folders(owner)
        with st.form(f"save_{place}_{case_id}", border=False, clear_on_submit=True):
            titles = {one.folder_id: one.name for one in held}
            chosen = st.selectbox(say("Folder"), [*titles, NEW], format_func=lambda one: titles.get(one) or say(one))
            named = st.text_input(say("Name of the new folder"), placeholder=say("teaching: mimics of effusion"))
            note = st.text_area(say("Your note on the case"), help=say(NAMELESS), height=80)
            if not st.form_submit_button(say("Save"), type="primary"):
                return
        if named.strip() or chosen == NEW:
            made = store.make_folder(owner, named)
            chosen, titles[made.folder_id] = made.folder_id, made.name
        store.save(chosen, owner, case_id, note)
        st.success(
            escape_markdown(
                say("Saved in '{folder}'; it is in the part Folders of the page Catalogue.", folder=titles[chosen])
            )
        )
