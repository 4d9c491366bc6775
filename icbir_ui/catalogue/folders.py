"""The reader's folders of saved cases: looked through, ordered, annotated, shared by a link, taken away as a file."""

from __future__ import annotations

from functools import partial

import streamlit as st

from icbir_core.audit import Action
from icbir_core.catalogue import Workspace
from icbir_core.catalogue.folder_tables import Folder, SavedCase
from icbir_core.catalogue.folders import FolderStore
from icbir_core.catalogue.listing import ListedCase
from icbir_core.errors import IcbirError
from icbir_ui import access, films, shared, state
from icbir_ui.catalogue.rows import CHOSEN, make_row, show_rows
from icbir_ui.catalogue.saving import NAMELESS
from icbir_ui.catalogue.selected import show_selected
from icbir_ui.choices import show_choice
from icbir_ui.errors import escape_markdown, explain, shielded
from icbir_ui.export.teaching_controls import offer_teaching_file
from icbir_ui.language import count_of, mark, say
from icbir_ui.shared import SearchService
from icbir_ui.state import PARAMETER_FOLDER, Key

SEARCH, UP, DOWN, OUT = "search", "up", "down", "out"
ACTS = [
    (SEARCH, mark("Search"), mark("Search with this case")),
    (UP, "▲", mark("One place up")),
    (DOWN, "▼", mark("One place down")),
    (OUT, mark("Take out"), mark("Take this case out of the folder")),
]
EMPTY = mark("This folder is empty. Open a case in the list, or on the page Compare, and save it here.")
NONE_YET = mark("You have no folder yet. Make one here, or save a case from the list or from the page Compare.")


def take_folder() -> bool:
    """Whether the address is a link to a folder, which is the chosen one from then on."""
    named = st.query_params.get(PARAMETER_FOLDER)
    if named and state.get(Key.FOLDER_TAKEN) != named:
        state.put(Key.FOLDER_TAKEN, named)
        state.put(Key.FOLDER, named)
    return bool(named)


def show_folders(service: SearchService, workspace: Workspace) -> None:
    """The chosen folder, with all that its owner can do with it; a colleague's that is shared can be looked into."""
    reader, store = access.get_person().pseudonym, shared.open_folders()
    own = {one.folder_id: one for one in store.list_folders(reader)}
    offered, chosen = dict(own), state.get(Key.FOLDER)
    if chosen and chosen not in own:
        try:
            offered[chosen] = store.find(chosen, reader)
        except IcbirError as error:
            st.warning(escape_markdown(explain(error)))
            chosen = None
    if chosen is None:
        state.put(Key.FOLDER, next(iter(own), None))
    bar = st.container(horizontal=True, vertical_alignment="bottom")
    if offered:
        with bar:
            show_choice(
                st.selectbox,
                say("Folder"),
                list(offered),
                format_func=lambda one: name_folder(offered[one], reader),
                key=Key.FOLDER,
                width=380,
            )
    with bar.popover(say("New folder")), st.form("new_folder", border=False, clear_on_submit=True):
        name = st.text_input(say("Name"), placeholder=say("teaching: mimics of effusion"))
        if st.form_submit_button(say("Make it")):
            with shielded():
                state.put(Key.FOLDER, store.make_folder(reader, name).folder_id)
                st.rerun()
    show_undo(store, reader, bar)
    folder = offered.get(state.get(Key.FOLDER))
    if folder is None:
        st.markdown(say(NONE_YET))
        return
    saved = store.list_cases(folder.folder_id, reader)
    mine = folder.owner == reader
    if mine:
        show_settings(store, folder, bar)
    if not saved:
        st.markdown(say(EMPTY))
        return
    with bar.popover(say("Teaching file")):
        offer_teaching_file(service, workspace, folder, saved)
    show_cases(workspace, store, folder, saved, mine)


def name_folder(folder: Folder, reader: str) -> str:
    """A folder in the list: its name, its cases, and whose it is where it is a colleague's."""
    whose = "" if folder.owner == reader else say(" · of {owner}", owner=folder.owner)
    return f"{folder.name} ({count_of(folder.cases, 'case')}){whose}"


def show_settings(store: FolderStore, folder: Folder, bar: st.delta_generator.DeltaGenerator) -> None:
    """Name, place, link and removal of the reader's own folder."""
    number, owner = folder.folder_id, folder.owner
    with bar.popover(say("This folder")), shielded():
        with st.form(f"rename_{number}", border=False):
            name = st.text_input(say("Name"), folder.name)
            renamed = st.form_submit_button(say("Rename"))
        if renamed:
            store.rename(number, owner, name)
            st.rerun()
        with st.container(horizontal=True):
            st.button(say("Earlier in the list"), on_click=_change, args=(partial(store.move, number, owner, -1),))
            st.button(say("Later"), on_click=_change, args=(partial(store.move, number, owner, 1),))
        explained = say("Whoever may use this server and has the link sees cases and notes, and changes nothing.")
        shared_now = st.toggle(say("Share by a link"), folder.shared, key=f"share_{number}", help=explained)
        if shared_now != folder.shared:
            store.share(number, owner, shared_now)
            st.rerun()
        if folder.shared:
            st.code(f"{st.context.url or ''}?{PARAMETER_FOLDER}={number}", language=None, wrap_lines=True)
        st.button(say("Remove the folder"), on_click=_remove, args=(store, number, owner, None))


def show_cases(workspace: Workspace, store: FolderStore, folder: Folder, saved: list[SavedCase], mine: bool) -> None:
    """The cases in their order, and the chosen one beside them with the note on it."""
    listed = {}
    for one in saved:
        try:
            listed[one.case_id] = ListedCase(workspace.catalogue.get(one.case_id), None, one.note)
        except IcbirError:  # it was erased, and the folder's own file is elsewhere
            st.caption(escape_markdown(say("'{case_id}' is not in this catalogue any more.", case_id=one.case_id)))
    access.record_once(Action.SAW, *access.name_cases([one.case for one in listed.values()]))
    chosen = state.get(Key.SAVED_CASE)
    left, right = st.columns([1.35, 1], gap="medium")
    with left:
        rows = [make_row(workspace, one) for one in listed.values()]
        acts = [(act, say(label), say(told)) for act, label, told in (ACTS if mine else ACTS[:1])]
        show_rows(rows, acts, chosen, Key.FOLDER_ROWS, partial(react, workspace, store, folder))
    with right, shielded():
        if chosen not in listed:
            st.caption(say("Click a case to see its film, and to write your note on it."))
        else:
            note = next(one.note for one in saved if one.case_id == chosen)
            if mine:
                show_note(store, folder, chosen, note)
            elif note:
                st.text(note)
            show_selected(workspace, [chosen])
    if (page := state.get(Key.LEADS_TO)) is not None:
        state.put(Key.LEADS_TO, None)
        st.switch_page(page)


def show_note(store: FolderStore, folder: Folder, case_id: str, note: str) -> None:
    """A field for the owner's note on a case."""
    with st.form(f"note_{folder.folder_id}_{case_id}", border=False):
        written = st.text_area(say("Your note"), note, help=say(NAMELESS), height=80)
        if st.form_submit_button(say("Keep the note")):
            store.write_note(folder.folder_id, folder.owner, case_id, written)
            st.rerun()


def show_undo(store: FolderStore, reader: str, bar: st.delta_generator.DeltaGenerator) -> None:
    """A button for what was taken away last."""
    if taken := state.get(Key.TAKEN_OUT):
        number, case_id = taken
        label = say("Undo: bring the folder back") if case_id is None else say("Undo: bring the case back")
        bar.button(label, on_click=_bring_back, args=(store, number, reader, case_id))


def react(workspace: Workspace, store: FolderStore, folder: Folder, act: str, name: str) -> None:
    """What a click on a row or on one of its buttons does, before the page runs."""
    number, owner = folder.folder_id, access.get_person().pseudonym
    with shielded():
        if act == CHOSEN:
            state.put(Key.SAVED_CASE, None if state.get(Key.SAVED_CASE) == name else name)
        elif act == SEARCH and films.open_named(workspace, name):
            state.put(Key.LEADS_TO, "pages/search.py")
        elif act in (UP, DOWN):
            store.move_case(number, owner, name, -1 if act == UP else 1)
        elif act == OUT:
            _remove(store, number, owner, name)


def _change(change: partial[None]) -> None:
    with shielded():
        change()


def _remove(store: FolderStore, number: str, owner: str, case_id: str | None) -> None:
    with shielded():
        if case_id is None:
            store.remove(number, owner)
            state.put(Key.FOLDER, None)
        else:
            store.remove_case(number, owner, case_id)
        state.put(Key.TAKEN_OUT, (number, case_id))


def _bring_back(store: FolderStore, number: str, owner: str, case_id: str | None) -> None:
    state.put(Key.TAKEN_OUT, None)
    with shielded():
        if case_id is None:
            store.restore(number, owner)
        else:
            store.restore_case(number, owner, case_id)
        state.put(Key.FOLDER, number)
