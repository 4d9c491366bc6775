"""Films over a reload: they come back with their search in the same browser and for the same reader alone."""

from __future__ import annotations

import secrets
import threading

import numpy as np
import pytest

from icbir_core.annotation.records import Annotation, FilmAnnotations
from icbir_core.annotation.turning import Turn
from icbir_core.database import find_engine
from icbir_core.keeping.kept_places import FILM, TABLE, KeptFolder, find_kept_folder, open_kept_place
from icbir_core.radiograph.writing import encode_lossless
from icbir_ui import films, keeping
from icbir_ui.links import KEPT_COOKIE
from tests.helpers import fakes


def drop(page, *numbers: int):
    names = [(f"SMITH_{number}.png", encode_lossless(fakes.make_radiograph(number)), "image/png") for number in numbers]
    page.app.file_uploader[0].set_value(names)
    page.run()
    keeping.WRITER.submit(int).result()  # what was asked for before is written
    return page


@pytest.fixture
def dropped(workspace, open_page, browser):
    """A page with two films, the second of which was refined, in a browser that has a secret."""
    browser[KEPT_COOKIE] = secrets.token_hex(32)
    page = drop(open_page("search"), 77, 78)
    page.decide("region", 1, pane="query", box=[20, 20, 60, 60])
    page.run()
    return page


def list_kept(workspace) -> dict[str, bytes]:
    """The names of what is kept, owner and film, each with the sealed bytes."""
    place = open_kept_place(workspace)
    if isinstance(place, KeptFolder):
        return {str(path): path.read_bytes() for path in place.root.rglob("*") if path.is_file()}
    with find_engine(workspace.database_schema).connect() as connection:
        return {f"{row.owner}/{row.name}": row.sealed for row in connection.execute(TABLE.select())}


def test_films_steps_and_marks_come_back(dropped, open_page, workspace):
    drawn = FilmAnnotations((Annotation("length", ((10.0, 20.0), (30.0, 40.0))),), 3, undo=((),), turn=Turn(1, True))
    dropped.app.session_state["annotations"] = {"a film": drawn}
    dropped.decide("marked", 2, pane=dropped.case_ids[1], mark="more")
    again = open_page("search", film="upload")
    shown, before = again.app.session_state["films"], dropped.app.session_state["films"]
    assert list(shown) == list(before) and len(shown) == 2
    for key, film in shown.items():
        former = before[key]
        assert np.array_equal(film.radiograph.pixels, former.radiograph.pixels) and film.entry == former.entry
        assert (film.warnings, film.doubts, film.query.patient) == (
            former.warnings,
            former.doubts,
            former.query.patient,
        )
        assert {n: v for n, v in vars(film.radiograph).items() if n != "levels"} == {
            n: v for n, v in vars(former.radiograph).items() if n != "levels"
        }
    assert again.app.session_state["current_film"] == dropped.app.session_state["current_film"]
    assert again.app.session_state["steps"] == dropped.app.session_state["steps"]
    assert again.app.session_state["marks"] == {dropped.case_ids[1]: "more"}
    assert again.app.session_state["annotations"] == {"a film": drawn}
    assert again.case_ids == dropped.case_ids and "not kept any more" not in again.text()
    for name, sealed in list_kept(workspace).items():
        assert b"SMITH" not in sealed and "SMITH" not in name


@pytest.mark.parametrize("other", ["browser", "reader", "no secret"])
def test_another_browser_and_another_reader_find_nothing(dropped, open_page, browser, other):
    if other == "browser":
        browser[KEPT_COOKIE] = secrets.token_hex(32)
    elif other == "no secret":
        del browser[KEPT_COOKIE]
    page = open_page("search", film="upload", reader="colleague" if other == "reader" else "tester")
    assert "not kept any more" in page.text() and "films" not in page.app.session_state


def test_a_new_visit_offers_what_was_kept_and_opens_nothing_by_itself(dropped, open_page):
    page = open_page("search")
    assert "films" not in page.app.session_state or not page.app.session_state["films"]
    page.press("Open the 2 kept films")
    assert len(page.app.session_state["films"]) == 2 and page.data["panes"][0]["key"] == "query"


def test_switching_off_deletes_at_once_and_is_remembered(dropped, open_page, workspace):
    assert len(list_kept(workspace)) == 3
    dropped.widget("toggle", "keep_films").set_value(False)
    dropped.run()
    assert len(list_kept(workspace)) == 1, "that nothing is to be kept"
    assert "not kept any more" in open_page("search", film="upload").text()
    page = drop(open_page("search"), 79)
    assert len(list_kept(workspace)) == 1 and not page.widget("toggle", "keep_films").value


def test_a_film_that_is_closed_before_it_is_written_is_not_kept(workspace, open_page, browser):
    browser[KEPT_COOKIE] = secrets.token_hex(32)
    page, may_write = open_page("search"), threading.Event()
    keeping.WRITER.submit(may_write.wait, 60)
    page.app.file_uploader[0].set_value([("a.png", encode_lossless(fakes.make_radiograph(77)), "image/png")])
    page.run()
    (key,) = page.app.session_state["films"]
    page.app.session_state["films"] = {}
    threading.Timer(2, may_write.set).start()
    page.run()
    keeping.WRITER.submit(int).result()
    assert not [name for name in list_kept(workspace) if name.endswith(FILM)]
    assert key not in page.app.session_state["kept_films"]


def test_one_who_leaves_leaves_nothing(dropped, workspace):
    dropped.press("Read as somebody else")
    assert not list_kept(workspace)


@pytest.mark.parametrize(("mode", "kept"), [("on", True), ("ask", False), ("off", False)])
def test_the_operator_decides_what_is_kept_at_first(workspace, open_page, browser, monkeypatch, mode, kept):
    monkeypatch.setenv("ICBIR_KEEP_FILMS", mode)
    monkeypatch.setenv("ICBIR_KEEP_HOURS", "3")
    browser[KEPT_COOKIE] = secrets.token_hex(32)
    page = open_page("search")
    assert ("encrypted" in page.text() and "3 hours" in page.text()) == kept
    assert any("3 hours" in one.label for one in page.app.toggle) == (mode != "off")
    drop(page, 77)
    assert bool(list_kept(workspace)) == kept


@pytest.mark.parametrize("allowed", [False, True])
def test_a_film_from_the_archive_stays_only_where_the_operator_allows_it(
    workspace, open_page, browser, monkeypatch, allowed
):
    if allowed:
        monkeypatch.setenv("ICBIR_KEEP_ARCHIVE", "on")
    browser[KEPT_COOKIE] = secrets.token_hex(32)
    make = films.make_film
    monkeypatch.setattr(films, "make_film", lambda query, origin, *of, **more: make(query, "archive", *of, **more))
    page = drop(open_page("search"), 77)
    page.app.session_state["annotations"] = {
        page.app.session_state["current_film"]: FilmAnnotations((Annotation("text", ((1.0, 2.0),), "a word"),), 1)
    }
    page.run()
    keeping.WRITER.submit(int).result()
    assert bool(list_kept(workspace)) == allowed
    # Beside an upload, which is kept, nothing of it is written either.
    monkeypatch.setattr(films, "make_film", make)
    drop(page, 78)
    key = next(key for key, film in page.app.session_state["films"].items() if film.origin == "archive")
    page.run()
    keeping.WRITER.submit(int).result()
    monkeypatch.setenv("ICBIR_KEEP_ARCHIVE", "on")  # whatever was written is read
    again = open_page("search", film="upload").app.session_state
    assert (key in again["films"]) == allowed and len(again["films"]) == 1 + allowed
    assert (key in again["annotations"] if "annotations" in again else False) == allowed


def test_what_was_kept_of_the_archive_goes_once_the_operator_forbids_it(workspace, open_page, browser, monkeypatch):
    monkeypatch.setenv("ICBIR_KEEP_ARCHIVE", "on")
    browser[KEPT_COOKIE] = secrets.token_hex(32)
    make = films.make_film
    monkeypatch.setattr(films, "make_film", lambda query, origin, *of, **more: make(query, "archive", *of, **more))
    drop(open_page("search"), 77)
    before = len(list_kept(workspace))
    monkeypatch.delenv("ICBIR_KEEP_ARCHIVE")
    page = open_page("search", film="upload")
    assert "not kept any more" in page.text() and len(list_kept(workspace)) == before - 1


@pytest.mark.in_a_file
def test_a_film_that_cannot_be_kept_is_told_and_searched(workspace, open_page, browser):
    browser[KEPT_COOKIE] = secrets.token_hex(32)
    find_kept_folder(workspace.path).write_text("in the way")
    page = drop(open_page("search"), 77)
    page.run()
    assert "gone after a reload" in page.text() and page.case_ids


def test_the_sweep_begins_at_once_and_ends_when_it_is_told(workspace, monkeypatch):
    folder = find_kept_folder(workspace.path) / ("0" * 32)
    folder.mkdir(parents=True)
    (folder / "x.film").write_bytes(b"of yesterday")
    monkeypatch.setenv("ICBIR_KEEP_FILMS", "off")
    thread = keeping.start_sweeping(lambda seconds: True)
    thread.join(20)
    assert not thread.is_alive() and not folder.exists()
