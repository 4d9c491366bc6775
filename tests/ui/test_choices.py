"""Widgets that the program sets too: what a browser brings back of a former drawing is no choice."""

from __future__ import annotations

import ast

import pytest
from streamlit.testing.v1 import AppTest

from icbir_core.radiograph.writing import encode_lossless
from tests.helpers import fakes
from tests.ui.conftest import ROOT

DEFAULTS = {
    *("selectbox", "multiselect", "text_input", "slider", "segmented_control", "pills", "pagination", "checkbox"),
    *("text_area", "number_input", "date_input", "time_input", "radio", "toggle", "select_slider", "feedback"),
    *("color_picker", "data_editor", "tabs", "file_uploader"),
}


def draw() -> None:
    import streamlit as st

    from icbir_ui import state
    from icbir_ui.choices import show_choice
    from icbir_ui.state import Key

    if state.get(Key.TARGET) is None:
        state.put(Key.TARGET, "a")
    st.session_state.setdefault("chosen", [])
    show_choice(st.selectbox, "Letter", ["a", "b", "c"], key=Key.TARGET,
                on_choice=lambda: st.session_state["chosen"].append(state.get(Key.TARGET)))  # fmt: skip


@pytest.fixture
def app() -> AppTest:
    return AppTest.from_function(draw).run()


def test_a_choice_of_the_reader_counts_once_and_leaves_the_widget_as_it_is(app):
    (before,) = app.selectbox
    before.set_value("b").run()
    (after,) = app.selectbox
    assert app.session_state["target"] == after.value == "b" and app.session_state["chosen"] == ["b"]
    assert before.key == after.key, "it is not drawn anew under her hand"


def test_what_the_program_sets_is_shown_and_is_no_choice(app):
    (before,) = app.selectbox
    app.session_state["target"] = "c"
    app.run()
    (after,) = app.selectbox
    assert after.value == "c" and after.key != before.key and app.session_state["chosen"] == []


def test_the_former_value_that_a_browser_brings_back_is_no_choice(app):
    """As it sends it for a widget that stood in a shut menu while the program set its value."""
    (before,) = app.selectbox
    former = app._tree.get_widget_states()
    before.set_value("b").run()
    app.session_state["target"] = "c"
    app.run()
    app._run(former)
    assert app.session_state["target"] == app.selectbox[0].value == "c" and app.session_state["chosen"] == ["b"]


def test_the_menu_names_the_film_on_the_screen_however_it_came_and_takes_a_choice(open_page):
    page = open_page("search")
    for number in (43, 44, 45):
        film = (f"film {number}", encode_lossless(fakes.make_radiograph(number)), "image/png")
        page.app.file_uploader[0].set_value(film)
        page.run()
    page.app.text_input[0].set_value("case_003").run()
    page.press("Search with this case")
    chooser = page.widget("selectbox", "film_of_session")
    assert chooser.options == ["film 43", "film 44", "film 45", "case_003"]
    films = page.app.session_state["films"]
    assert films[page.app.session_state["current_film"]].entry == films[chooser.value].entry == "case_003"
    chooser.set_value(next(key for key, film in films.items() if film.entry == "film 44"))
    page.run()
    assert films[page.app.session_state["current_film"]].entry == "film 44" and len(page.case_ids) == 8


def test_films_of_one_name_are_told_apart_in_the_list(open_page):
    page = open_page("search")
    drawn = [("IM000001", encode_lossless(fakes.make_radiograph(number)), "image/png") for number in (3, 4, 5)]
    page.app.file_uploader[0].set_value(drawn)
    page.run()
    chooser = page.widget("selectbox", "film_of_session")
    assert chooser.options == ["IM000001", "IM000001 (2)", "IM000001 (3)"]
    keys = list(page.app.session_state["films"])
    assert chooser.value == keys[0], "the first that was dropped is searched with"
    chooser.set_value(keys[1])
    assert page.run().app.session_state["current_film"] == keys[1]


def find_widgets(path) -> list[tuple[str, str]]:
    """(place, widget) of every widget that is drawn with a key of the session."""
    found = []
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr in DEFAULTS:
            keys = [ast.unparse(one.value) for one in node.keywords if one.arg == "key"]
            found += [(f"{path.name}:{node.lineno}", key.removesuffix(".value")) for key in keys if "Key." in key]
    return found


def test_no_widget_shows_a_value_that_the_program_sets_but_through_one_door():
    """The program never writes what these show: they may be Streamlit's own."""
    sources = [*(ROOT / "pages").rglob("*.py"), *(ROOT / "icbir_ui").rglob("*.py")]
    drawn = [one for path in sources for one in find_widgets(path)]
    written = "\n".join(path.read_text(encoding="utf-8") for path in sources)
    assert drawn, "the search finds widgets at all"
    assert not [(place, key) for place, key in drawn if f"state.put({key}," in written]
