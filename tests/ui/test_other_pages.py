"""Compare, catalogue and about; and what they say when there is nothing to show."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import streamlit as st

from icbir_core.radiograph.writing import encode_lossless
from icbir_ui import shared
from tests.helpers import fakes
from tests.helpers.stores import change_catalogue

ROOT = Path(__file__).resolve().parents[2]


def open_compare(open_page, search, *more: str):
    """Compare in the same session as a search: what the pages share is carried over."""
    compare = open_page("compare")
    for key in ("films", "current_film", "ranking", *more):
        compare.app.session_state[key] = search.app.session_state[key]
    return compare


def test_compare_without_a_search_points_to_the_search(open_page):
    assert "Search first" in open_page("compare").text()


def test_compare_shows_two_films_and_steps(open_page):
    search = open_page("search", film="effusion_1")
    compare = open_compare(open_page, search)
    compare.run()
    assert [pane["key"] for pane in compare.data["panes"]] == ["query", search.case_ids[0]]
    assert compare.data["full"] and compare.data["arrows"] == "step"
    compare.decide("stepped", 1, by=1)
    assert compare.data["panes"][1]["key"] == search.case_ids[1]
    compare.app.session_state["compare_map"] = "None"
    compare.run()
    assert "map" not in compare.data["panes"][0]
    compare.decide("rated", 2, pane=search.case_ids[1], rating=4)
    (rating,) = shared.open_ratings().history()
    assert (rating.case_id, rating.stage) == (search.case_ids[1], 1)


def test_compare_shows_four_cases_together_and_steps_by_four(open_page):
    search = open_page("search", film="effusion_1")
    compare = open_compare(open_page, search)
    compare.app.session_state["compared_place"] = 6
    compare.app.session_state["compare_count"] = "Four together"
    compare.run()
    shown = [pane["key"] for pane in compare.data["panes"]]
    assert shown == ["query", *search.case_ids[4:8]] and compare.data["board"] and not compare.data["full"]
    assert compare.data["panes"][0]["lead"] and all("map" in pane for pane in compare.data["panes"])
    assert "Cases 5 to 8 of 8" in compare.text() and "Similarity" not in compare.text()
    compare.decide("stepped", 1, by=1)
    assert compare.case_ids == search.case_ids[:4], "round at the end"
    compare.decide("rated", 2, pane=search.case_ids[2], rating=2)
    (rating,) = shared.open_ratings().history()
    assert rating.case_id == search.case_ids[2]
    compare.decide("opened", 3, pane=search.case_ids[3])
    assert [pane["key"] for pane in compare.data["panes"]] == ["query", search.case_ids[3]] and compare.data["full"]


def test_a_last_case_that_stands_alone_among_four_is_one_case(open_page):
    search = open_page("search", film="effusion_1")
    compare = open_compare(open_page, search)
    for page in (search, compare):
        page.app.session_state["count"] = 5
    search.run()
    compare.app.session_state["compared_place"] = 4
    compare.app.session_state["compare_count"] = "Four together"
    compare.run()
    assert compare.case_ids == search.case_ids[4:] and "Case 5 of 5" in compare.text()


def test_compare_after_a_region_search_offers_no_map_of_whole_films(open_page):
    search = open_page("search", film="effusion_1")
    search.decide("region", 1, pane="query", box=[20, 20, 60, 60])
    compare = open_compare(open_page, search, "steps")
    compare.app.session_state["compare_map"] = "Similarity"
    compare.run()
    assert "this search compared a region" in compare.text()
    assert compare.app.session_state["compare_map"] == "Finding" and "map" in compare.data["panes"][0]


def test_compare_leaves_out_a_case_that_was_removed_since(open_page, workspace):
    search = open_page("search", film="effusion_1")
    first, second = search.case_ids[:2]
    workspace.catalogue.remove(first)
    shared.open_service().forget()
    compare = open_compare(open_page, search)
    compare.run()
    assert compare.data["panes"][1]["key"] == second


def test_compare_opens_without_maps_where_the_search_showed_none(open_page):
    search = open_page("search", film="effusion_1")
    search.widget("selectbox", "map").set_value("none")
    search.run()
    compare = open_compare(open_page, search, "map")
    compare.run()
    assert compare.app.session_state["compare_map"] == "None"
    assert not any("map" in pane for pane in compare.data["panes"])


def test_compare_says_what_must_be_known_before_its_cases_are_believed(open_page, monkeypatch):
    found = fakes.FakeRetriever.search
    far = lambda self, *asked: replace(found(self, *asked), percentiles=(1.0,) * 8)  # noqa: E731
    monkeypatch.setattr(fakes.FakeRetriever, "search", far)
    compare = open_compare(open_page, open_page("search", film="effusion_1"))
    assert "no close match" in compare.run().text()


def test_compare_after_a_search_by_a_finding_shows_its_maps_and_asks_for_no_other(open_page):
    search = open_page("search", film="effusion_1")
    search.decide("finding", 1, pane="query", finding="Cardiomegaly")
    compare = open_compare(open_page, search, "steps")
    compare.run()
    assert "map of Cardiomegaly" in compare.text() and "compared what is seen of one finding" in compare.text()
    assert compare.data["panes"][0]["bars"] and not any(
        bar["askable"] or "Click" in bar["title"] for bar in compare.data["panes"][0]["bars"]
    )


def test_compare_of_a_demonstration_film_outlives_a_reload(open_page):
    case = open_page("search", film="effusion_1").case_ids[4]
    again = open_page("compare", film="effusion_1", case=case)
    assert [pane["key"] for pane in again.data["panes"]] == ["query", case]
    again.press("Next")
    film, shown = (again.app.query_params[name] for name in ("film", "case"))
    assert "effusion_1" in film and again.data["panes"][1]["key"] in shown and case not in shown


def test_compare_of_an_upload_says_after_a_reload_that_the_film_is_gone(open_page):
    search = open_page("search")
    film = encode_lossless(fakes.make_radiograph(3))
    search.app.file_uploader[0].set_value(("patient.png", film, "image/png"))
    search.run()
    compare = open_compare(open_page, search)
    compare.run()
    address = dict(compare.app.query_params)
    assert "case" in address and "patient" not in "".join(map(str, address.values()))
    again = open_page("compare", film="upload", case=search.case_ids[0])
    assert "drop it again on the page Search" in again.text()
    assert any(button.label == "To the page Search" for button in again.app.button)


def test_catalogue_counts_and_removes_a_case(open_page, workspace):
    page = open_page("catalogue").turn_to("Overview")
    assert "14 cases" in page.text()
    page.turn_to("Remove or restore").widget("text_input", "case_to_remove").set_value("case_003")
    page.run()
    assert "case_003: Effusion" in page.text()
    page.press("Remove")
    assert workspace.catalogue.count() == 13 and "13 cases" in page.turn_to("Overview").text()
    assert page.turn_to("Remove or restore").app.selectbox(key="case_to_restore").options == ["case_003"]
    page.press("Restore")
    assert workspace.catalogue.count() == 14 and "No case is removed" in page.text()


def test_removing_an_unknown_case_is_one_sentence(open_page):
    page = open_page("catalogue").turn_to("Remove or restore")
    page.widget("text_input", "case_to_remove").set_value("nobody")
    page.run()
    assert any("nobody" in one.value for one in page.app.error)
    assert not [button for button in page.app.button if button.label == "Remove"]


def test_about_says_what_it_is_not_for(open_page):
    text = open_page("about").text()
    assert "not for diagnosis" in text and "Interpretability-guided" in text


@pytest.mark.parametrize(
    ("without", "words"),
    [
        (0, "14 cases · 7 patients · 0 removed"),
        (1, "14 cases · 7 patients · 1 case without a patient number · 0 removed"),
        (4, "14 cases · 5 patients · 4 cases without a patient number · 0 removed"),
        (14, "14 cases · no patient numbers · 0 removed"),
    ],
)
def test_catalogue_tells_patients_and_cases_without_a_number(open_page, workspace, without, words):
    change_catalogue(
        workspace,
        f"UPDATE cases SET patient = NULL WHERE row < {without}",
    )
    assert words in open_page("catalogue").turn_to("Overview").text()


@pytest.mark.parametrize("name", ["search", "compare", "catalogue", "about"])
def test_without_a_workspace_every_page_says_what_to_do(name, workspace, monkeypatch, open_page):
    monkeypatch.delenv("ICBIR_WORKSPACE")
    st.cache_resource.clear()
    page = open_page(name)
    if name != "about":
        assert "make app" in page.text()
    assert any("not for diagnosis" in one.body for one in page.app.get("html"))


def test_failed_loading_is_told(open_page, monkeypatch):
    from icbir_core.errors import WorkspaceError

    def fail(_):
        raise WorkspaceError("Expected an indexed workspace, got none; run the index command.")

    monkeypatch.setattr(shared, "open_retriever", fail)
    st.cache_resource.clear()
    assert "run the index command" in open_page("search", film="effusion_1").text()


def test_compare_keeps_the_scale_of_the_search_and_names_its_map(open_page):
    search = open_page("search", film="effusion_1")
    search.decide("mapped", 1, on=True)
    compare = open_compare(open_page, search)
    compare.run()
    assert compare.data["overlayScale"] == search.data["overlayScale"] and "map of Effusion" in compare.text()
    compare.decide("stepped", 1, by=1)
    assert compare.data["overlayScale"] == search.data["overlayScale"]


def test_a_map_that_marks_no_place_says_so(open_page, monkeypatch):
    mapped = fakes.FakeRetriever.map_of

    def map_of(self, item, method="deep_taylor", target=None):
        found = mapped(self, item, method, target)
        flat = getattr(item, "case_id", "") == "case_003"
        return replace(found, values=np.zeros_like(found.values), state="zero") if flat else found

    monkeypatch.setattr(fakes.FakeRetriever, "map_of", map_of)
    page = open_page("search", film="effusion_1")
    page.decide("mapped", 1, on=True)
    notes = {pane["key"]: pane["note"] for pane in page.data["panes"] if not pane["lead"]}
    assert "case_003" in notes, "the case is among the hits"
    assert {key for key, note in notes.items() if note} == {"case_003"}
    assert notes["case_003"] == "Empty: this map is all zero and marks no place."


def test_keys_of_the_session_are_written_in_one_place():
    sources = [*(ROOT / "pages").rglob("*.py"), *(ROOT / "icbir_ui").rglob("*.py")]
    written = {name for path in sources for name in re.findall(r'\bkey="(\w+)"', path.read_text(encoding="utf-8"))}
    places = {"to_come", "search_controls", "search_room", "search_steps", "beside", "gate", "foot", "remembered"}
    places |= {"remembered_language", "compare_bar", "list_bar"}
    assert written <= places | {"show_anyway", "worklist_again"}, "places that only the style knows, and two buttons"


def test_cases_are_opened_by_their_names_beside_the_map(open_page):
    page = open_page("catalogue").turn_to("Embeddings")
    assert "name cases" in page.text() and not page.app.get("bidi_component")
    page.app.multiselect(key="named_cases").set_value(["case_004", "case_002"])
    page.run()
    assert [pane["key"] for pane in page.data["panes"]] == ["case_004", "case_002"] and "2 selected" in page.text()
