"""How films come to the page Search: uploads, zips, demonstration films, cases of the catalogue."""

from __future__ import annotations

import io
import zipfile

import pytest
import streamlit as st

from icbir_core.catalogue.film_places import LEFT
from icbir_core.catalogue.workspace import CATALOGUE
from icbir_core.keeping.moving import move_films
from icbir_core.radiograph.writing import encode_lossless
from icbir_ui import films, shared, uploads
from tests.helpers import fakes
from tests.helpers.stores import change_behind


def list_films(page) -> list[str]:
    """The reader's own list of films."""
    return [film.entry for film in page.app.session_state["films"].values()]


@pytest.mark.parametrize("place", ["the folder", "a URL"])
def test_without_demonstration_films_the_catalogue_offers_cases(workspace, open_page, tmp_path, place):
    if place == "a URL":
        move_films(workspace, f"file://{tmp_path}/store")
    next((workspace.path / "queries").glob("*.png")).unlink()
    page = open_page("search")
    assert "a case of the catalogue" in page.text()
    page.press("case_000")
    assert page.data["panes"][0]["key"] == "query" and len(page.case_ids) == 8 and "case_000" not in page.case_ids


def test_a_case_whose_film_cannot_be_had_is_not_said_to_be_unknown(workspace, open_page):
    case = workspace.catalogue.get("case_000")
    (workspace.path / case.path).unlink()
    page = open_page("search", film="case_000")
    assert f"The film '{case.path}' of the case 'case_000' is missing; restore it." in page.text()


def test_with_the_archive_away_the_pane_of_a_film_that_lies_there_says_so_and_the_others_stand(
    workspace, open_page, monkeypatch
):
    monkeypatch.setenv("ICBIR_DICOMWEB", "http://127.0.0.1:9/none")
    left, path = "case_013", LEFT + workspace.hide("1.2.3/1.2.4/1.2.5")
    vector = fakes.FakeRetriever(workspace).vectors[workspace.catalogue.get(left).row]
    monkeypatch.setitem(fakes._EMBEDDED, "left", vector)
    change = f"UPDATE cases SET path = '{path}', sha256 = 'left', pixel_sha256 = 'left' WHERE case_id = '{left}'"
    change_behind(workspace.path / CATALOGUE, "", change)
    page = open_page("search", film="effusion_1")
    faults = {pane["key"]: pane["fault"] for pane in page.data["panes"] if "fault" in pane}
    assert list(faults) == [left] and len(page.case_ids) == 8, "the ranking is whole"
    assert f"of the case '{left}' was left in the archive. The archive (PACS) cannot be reached" in faults[left]
    page.decide("mapped", 1, on=True)
    panes = {pane["key"]: pane for pane in page.data["panes"]}
    assert panes[left]["note"] == faults[left] and "map" not in panes[left]
    assert all("map" in pane for key, pane in panes.items() if key != left)


def test_upload_without_ending_gives_results(open_page):
    page = open_page("search")
    page.app.file_uploader[0].set_value(
        ("IM0001", encode_lossless(fakes.make_radiograph(3)), "application/octet-stream")
    )
    page.run()
    assert len(page.case_ids) == 8
    assert page.case_ids[0] == "case_003", "the same film must come first"
    assert page.data["answer"]["question"] == "Effusion stands out"


def list_places(node, path: tuple[int, ...] = ()) -> dict[tuple[int, ...], str]:
    """Where on the page each element stands, and of which kind it is."""
    if not getattr(node, "children", None):
        return {path: node.type}
    children = node.children.items()
    return {place: kind for at, child in children for place, kind in list_places(child, (*path, at)).items()}


@pytest.mark.parametrize("way", ["upload", "demonstration film", "catalogue case"])
def test_nothing_of_the_former_film_stays_while_another_is_read(searched, monkeypatch, way):
    shown = list_places(searched.app.main)
    for module, reading in ((uploads, "take_uploads"), (films, "open_named")):  # as far as the page comes before
        monkeypatch.setattr(module, reading, lambda *given: st.stop())
    if way == "upload":
        searched.app.file_uploader[0].set_value(("IM1", encode_lossless(fakes.make_radiograph(3)), "image/png"))
    elif way == "demonstration film":
        next(one for one in searched.app.selectbox if one.label == "Demonstration film").select("effusion_1")
    else:
        searched.app.text_input[0].set_value("case_003").run()
        next(one for one in searched.app.button if one.label == "Search with this case").click()
    searched.app.run()
    reading = list_places(searched.app.main)
    menu = next(place[:2] for place, kind in shown.items() if kind == "file_uploader")
    foot = max(place[0] for place in shown)
    former = [
        place for place, kind in shown.items() if menu[0] <= place[0] < foot and place[:2] != menu and kind != "empty"
    ]
    assert "bidi_component" in {shown[place] for place in former}, "the viewer is among them"
    # A browser keeps what nothing has taken the place of, until the page has run through.
    ends = {
        place: next((place[:end] for end in range(1, len(place) + 1) if place[:end] in reading), ()) for place in former
    }
    assert {reading.get(end) for end in ends.values()} == {"empty"}


def test_a_file_that_is_no_film_leaves_the_former_one_and_is_told(searched):
    former = searched.data["about"]
    searched.app.file_uploader[0].set_value(("notes.txt", b"no film", "text/plain"))
    searched.run()
    assert "notes.txt: This is no PNG, JPEG or DICOM film" in searched.text()
    assert searched.data["about"] == former and len(searched.case_ids) == 8


def test_zip_of_films_and_a_damaged_file(open_page):
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        archive.writestr("study/a", encode_lossless(fakes.make_radiograph(5)))
        archive.writestr("study/notes.txt", b"no film")
    page = open_page("search")
    page.app.file_uploader[0].set_value(("films.zip", packed.getvalue(), "application/zip"))
    page.run()
    assert page.data["panes"][0]["title"] == "Query" and list_films(page) == ["a"]
    assert shared.open_service().retriever.calls.count("search") == 1


def test_a_damaged_zip_loses_neither_the_other_uploads_nor_the_demonstration_films(open_page):
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a", b"film" * 20)
    data = bytearray(packed.getvalue())
    data[31] = 0xFF  # no block of a deflate stream begins so
    damaged = ("damaged.zip", bytes(data), "application/zip")
    page = open_page("search")
    page.app.file_uploader[0].set_value(damaged)
    page.run()
    assert "damaged.zip" in page.text() and "went wrong" not in page.text()
    assert any(button.label == "Effusion 1" for button in page.app.button)
    film = ("IM0001", encode_lossless(fakes.make_radiograph(3)), "application/octet-stream")
    page = open_page("search")
    page.app.file_uploader[0].set_value([damaged, film])
    page.run()
    assert "damaged.zip" in page.text() and list_films(page) == ["IM0001"] and len(page.case_ids) == 8


def test_the_same_film_dropped_twice_is_told(open_page):
    data = encode_lossless(fakes.make_radiograph(3))
    page = open_page("search")
    page.app.file_uploader[0].set_value([(name, data, "image/png") for name in ("first.png", "again.png")])
    page.run()
    assert "'again.png' is the same film as 'first.png' and stands in its place" in page.text()
    assert list_films(page) == ["again.png"] and len(page.case_ids) == 8


def test_a_demonstration_film_needs_one_run_of_the_page(open_page, monkeypatch):
    page = open_page("search")
    runs, count = [], shared.open_service
    monkeypatch.setattr(shared, "open_service", lambda: runs.append(1) or count())
    page.press("Effusion 1")
    assert len(page.case_ids) == 8 and len(runs) == 1


def test_demonstration_films_that_are_numbers_have_plain_names_and_keep_their_keys(workspace, open_page):
    for seed in (7100000, 7100001):
        (workspace.path / "queries" / f"sim_{seed}.png").write_bytes(encode_lossless(fakes.make_radiograph(seed)))
    page = open_page("search")
    buttons = {one.key: one.label for one in page.app.button if (one.key or "").startswith("demonstration_")}
    assert buttons == {
        "demonstration_effusion_1": "Effusion 1",
        "demonstration_sim_7100000": "Demonstration film 2",
        "demonstration_sim_7100001": "Demonstration film 3",
    }
    page.press("Demonstration film 3")
    assert page.data["panes"][0]["title"] == "Query · Demonstration film 3"
    assert list(page.app.query_params["film"]) == ["sim_7100001"] or page.app.query_params["film"] == "sim_7100001"
    (choice,) = [one for one in page.app.selectbox if one.label == "Demonstration film"]
    assert choice.options == ["Effusion 1", "Demonstration film 2", "Demonstration film 3"]
    choice.select("sim_7100000")
    page.run()
    assert page.data["panes"][0]["title"] == "Query · Demonstration film 2"
    next(one for one in page.app.text_input if one.label == "Catalogue case").set_value("case_000")
    page.run().press("Search with this case")
    assert page.data["panes"][0]["title"] == "Query · case_000", "an earlier choice does not come back"
    next(one for one in page.app.text_input if one.label == "Catalogue case").set_value("none")
    page.run().press("Search with this case")
    assert "No case is named 'none'" in page.text() and page.data["panes"][0]["title"] == "Query · case_000"


def test_stray_files_among_the_demonstration_films_take_away_none(workspace, open_page):
    queries = workspace.path / "queries"
    for name, data in ((".DS_Store", b"x"), ("README", b"Films."), ("a_damaged.png", b"\x89PNG\r\n\x1a\nx")):
        (queries / name).write_bytes(data)
    (queries / "other.png").write_bytes(encode_lossless(fakes.make_radiograph(101)))
    page = open_page("search")
    offered = [one.key for one in page.app.button if (one.key or "").startswith("demonstration_")]
    assert offered == ["demonstration_effusion_1", "demonstration_other"] and not page.app.error
    page.press("Effusion 1")
    (named,) = [one.options for one in page.app.selectbox if one.label == "Demonstration film"]
    assert named == ["A damaged", "Effusion 1", "Other"], "a README is no film, whatever stands in it"
    page = open_page("search")
    (queries / "a_damaged.png").write_bytes(encode_lossless(fakes.make_radiograph(102)))
    assert any(one.key == "demonstration_a_damaged" for one in page.run().app.button), "a mended film is offered"


def test_films_that_are_not_held_are_told_and_the_first_is_searched_with(open_page):
    drawn = [(f"film {number}", encode_lossless(fakes.make_radiograph(number)), "image/png") for number in range(27)]
    page = open_page("search")
    page.app.file_uploader[0].set_value(drawn)
    page.run()
    assert "24 films are held at a time; the oldest 3 were left out: film 1, film 2, film 3." in page.text()
    held = page.app.session_state["films"]
    assert held[page.app.session_state["current_film"]].entry == "film 0" and page.data["panes"][0]["title"] == "Query"
    (held,) = [one for one in page.app.selectbox if one.label == "Films of this session (24)"]
    assert held.options == [f"film {number}" for number in (0, *range(4, 27))], "in the order in which they came"


def test_a_zip_without_films_is_told_on_the_page(open_page):
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        archive.writestr(".hidden", b"x")
    page = open_page("search")
    page.app.file_uploader[0].set_value(("x.zip", packed.getvalue(), "application/zip"))
    assert "There is no film in 'x.zip'." in page.run().text()
