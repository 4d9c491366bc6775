"""The cases of a selection: all of them, some films at a time."""

from __future__ import annotations

import json

import pytest
from streamlit.testing.v1 import AppTest

from tests.helpers.stores import change_catalogue


def draw(path: str, ids: list[str]) -> None:
    from icbir_core.catalogue import Workspace
    from icbir_ui.catalogue.selected import show_selected

    show_selected(Workspace.open(path), ids)


@pytest.fixture
def read_shown(workspace):
    """The text of the page, and which cases it shows."""

    def read(app: AppTest) -> tuple[str, list[str]]:
        assert not app.exception, app.exception
        data = json.loads(next(one.proto for one in app.get("bidi_component")).json)
        return "\n".join(one.value for one in app.markdown), [pane["key"] for pane in data["panes"]]

    return read


def test_every_selected_case_has_its_page(workspace, read_shown):
    ids = [f"case_{number:03d}" for number in range(13)]
    app = AppTest.from_function(draw, args=(str(workspace.path), ids)).run(timeout=30)
    text, shown = read_shown(app)
    assert "13 selected" in text and "cases 1–8 of 13" in text and shown == ids[:8]
    app.session_state["selected_page"] = 2
    text, shown = read_shown(app.run(timeout=30))
    assert "cases 9–13 of 13" in text and shown == ids[8:]


def test_another_selection_begins_at_its_first_page(workspace, read_shown):
    ids = [f"case_{number:03d}" for number in range(13)]
    app = AppTest.from_function(draw, args=(str(workspace.path), ids)).run(timeout=30)
    app.session_state["selected_page"] = 2
    app.run(timeout=30)
    app.args = (str(workspace.path), ids[::-1])
    text, shown = read_shown(app.run(timeout=30))
    assert "cases 1–8 of 13" in text and shown == ids[:4:-1]


def test_few_cases_need_no_pages(workspace, read_shown):
    app = AppTest.from_function(draw, args=(str(workspace.path), ["case_004", "case_002"])).run(timeout=30)
    text, shown = read_shown(app)
    assert "2 selected" in text and "cases 1" not in text and shown == ["case_004", "case_002"]


def test_left_and_right_stand_where_the_header_stated_them(workspace):
    change_catalogue(
        workspace,
        "UPDATE cases SET orientation_verified = true WHERE case_id = 'case_001'",
    )
    app = AppTest.from_function(draw, args=(str(workspace.path), ["case_000", "case_001"])).run(timeout=30)
    panes = json.loads(next(one.proto for one in app.get("bidi_component")).json)["panes"]
    assert [pane["orientation"] for pane in panes] == ["unverified", "verified"]


def test_only_the_films_of_the_page_are_read(workspace, read_shown, monkeypatch):
    from icbir_ui import films

    read, calls = films.read_case_radiograph, []
    monkeypatch.setattr(films, "read_case_radiograph", lambda *given: calls.append(given[1].case_id) or read(*given))
    ids = [f"case_{number:03d}" for number in range(13)]
    AppTest.from_function(draw, args=(str(workspace.path), ids)).run(timeout=30)
    assert sorted(calls) == ids[:8]


def test_a_missing_film_is_one_sentence(workspace):
    (workspace.images / "case_002.png").unlink()
    app = AppTest.from_function(draw, args=(str(workspace.path), ["case_002"])).run(timeout=30)
    (viewer,) = app.get("bidi_component")
    (pane,) = json.loads(viewer.proto.json)["panes"]
    assert not app.exception and "case_002" in pane["fault"]
