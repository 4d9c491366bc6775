"""The catalogue as a list: words, finding, view, source and day of adding narrow it; each case opens beside it."""

from __future__ import annotations

from functools import partial

import streamlit as st
from streamlit.delta_generator import DeltaGenerator

from icbir_core.audit import Action
from icbir_core.catalogue import Workspace
from icbir_core.catalogue.listing import ListFilter, Order
from icbir_ui import access, films, state
from icbir_ui.catalogue.rows import CHOSEN, count_unmade, make_row, show_rows
from icbir_ui.catalogue.saving import offer_saving
from icbir_ui.catalogue.selected import show_selected
from icbir_ui.choices import show_choice
from icbir_ui.errors import shielded
from icbir_ui.language import count_of, mark, say, translate_told
from icbir_ui.search.panes import find_text
from icbir_ui.state import Key

PAGE = 20
TALLEST, LONG = 150, 300
"""Pixels of the place of a text of more than so many letters, which is scrolled."""
SEARCH, COMPARE = "search", "compare"
HELP = mark(
    'Words of reports, proven diagnoses and names. Each finds longer words too; "in quotes" finds a '
    "phrase, -word leaves out."
)


def show_list(workspace: Workspace) -> None:
    """The filters, one page of rows, and the chosen case beside them."""
    wanted, order = choose_filter(workspace)
    found, every = workspace.catalogue.listing.count(wanted), workspace.catalogue.count()
    if state.get(Key.LISTED) != (wanted, order):
        state.put(Key.LISTED, (wanted, order))
        state.put(Key.LIST_PAGE, 1)
    pages = max(1, -(-found // PAGE))
    above = st.container(horizontal=True, vertical_alignment="center", horizontal_alignment="distribute")
    said = above.empty()
    if pages > 1:
        with above.container(width="content"):
            show_choice(st.pagination, pages, key=Key.LIST_PAGE)
    first = PAGE * (min(state.get(Key.LIST_PAGE, 1), pages) - 1)
    listed = workspace.catalogue.listing.read_page(wanted, first, PAGE, order)
    if not listed:
        said.markdown(say("No case is like that; take a filter away.") if every else say("There is no case yet."))
        return
    of = (
        count_of(found, "case")
        if found == every
        else say("{found} of {every} cases", found=f"{found:,}", every=f"{every:,}")
    )
    said.caption(
        say("{first}–{last} of {cases}", first=f"{first + 1:,}", last=f"{first + len(listed):,}", cases=of)
        if pages > 1
        else of
    )
    access.record_once(Action.SAW, *access.name_cases([one.case for one in listed]))
    passing = st.empty()
    if unmade := count_unmade(workspace, listed):
        passing.caption(say("Making {pictures}, once …", pictures=count_of(unmade, "small picture")))
    rows = [make_row(workspace, one) for one in listed]
    passing.empty()
    left, right = st.columns([1.35, 1], gap="medium")
    acts = [(SEARCH, say("Search"), say("Search with this case"))]
    if films.get_current() is not None:
        acts.append((COMPARE, say("Compare"), say("Show this case beside your film")))
    chosen = state.get(Key.CHOSEN_CASE)
    with left:
        show_rows(rows, acts, chosen, Key.ROWS, partial(react, workspace))
    with right, shielded():
        if chosen is None:
            st.caption(say("Click a case to see its film and its report here."))
        else:
            offer_saving(chosen, "list")
            if text := find_text(workspace.catalogue.get(chosen)):
                with st.container(height=TALLEST if len(text[1]) > LONG else "content", border=False):
                    st.markdown(f"**{text[0]}**")
                    st.text(text[1])
            show_selected(workspace, [chosen])
    if (page := state.get(Key.LEADS_TO)) is not None:
        state.put(Key.LEADS_TO, None)
        st.switch_page(page)


def choose_filter(workspace: Workspace) -> tuple[ListFilter, Order]:
    """Draw the filters; what they say, and the order."""
    listing = workspace.catalogue.listing
    with st.container(key="list_bar"):
        columns = st.columns([2.4, 1.8, 0.9, 1.1, 1.3, 1.2])
    for key, value in ((Key.LIST_DAYS, ()), (Key.LIST_ORDER, Order.NEWEST), (Key.LIST_FINDINGS, [])):
        if state.get(key) is None:
            state.put(key, value)
    words = show_choice(
        columns[0].text_input, say("Words"), key=Key.LIST_TEXT, help=say(HELP), placeholder=say("effusion -old")
    )
    show_choice(
        columns[1].multiselect, say("Findings present"), workspace.catalogue.findings, key=Key.LIST_FINDINGS,
        placeholder=say("any"), format_func=translate_told, select_all=False,
    )  # fmt: skip
    choose_value(columns[2], say("View"), listing.list_values("view"), Key.LIST_VIEW)
    choose_value(columns[3], say("Source"), listing.list_values("source"), Key.LIST_SOURCE)
    if days := listing.find_days():
        show_choice(
            columns[4].date_input,
            say("Added between"),
            key=Key.LIST_DAYS,
            min_value=days[0],
            max_value=days[1],
            format="YYYY-MM-DD",
            help=say("Cases of which the day is not known are left out while days are given."),
        )
    show_choice(columns[5].selectbox, say("Order"), list(Order), key=Key.LIST_ORDER, format_func=translate_told)
    since, until = (*state.get(Key.LIST_DAYS), None, None)[:2]
    present, view, source = (state.get(key) for key in (Key.LIST_FINDINGS, Key.LIST_VIEW, Key.LIST_SOURCE))
    return ListFilter((words or "").strip(), tuple(present), view, source, since, until), state.get(Key.LIST_ORDER)


def choose_value(column: DeltaGenerator, label: str, values: list[str], key: Key) -> None:
    """One of the values that the rows hold, or any."""
    show_choice(column.selectbox, label, values, key=key, placeholder=say("any"), format_func=translate_told)


def react(workspace: Workspace, act: str, name: str) -> None:
    """What a click on a row or on one of its buttons does, before the page runs."""
    with shielded():
        if act == CHOSEN:
            state.put(Key.CHOSEN_CASE, None if state.get(Key.CHOSEN_CASE) == name else name)
        elif act == SEARCH and films.open_named(workspace, name):
            state.put(Key.LEADS_TO, "pages/search.py")
        elif act == COMPARE:
            state.put(Key.OUTSIDE, workspace.catalogue.get(name).case_id)
            state.put(Key.LEADS_TO, "pages/compare.py")
