"""The search in the address: what a reload finds again, and what it says of an address that it cannot read."""

from __future__ import annotations

import json

import pytest

from icbir_core.radiograph.writing import encode_lossless
from icbir_core.retrieval.refinement import Finding, MoreLikeThese, Region
from icbir_ui.search.address import MISSING, UNREADABLE, read_search
from tests.helpers import fakes


def refine(page) -> dict[str, str]:
    """Change every setting, take three steps; what stands in the address then."""
    state = page.app.session_state
    state["target"], state["count"], state["filter_sex"], state["filter_age"] = "Effusion", 3, "F", (10, 90)
    page.run()
    page.decide("marked", 1, pane=page.case_ids[0], mark="more")
    page.press("Search again")
    page.decide("region", 2, pane="query", box=[20, 20, 60, 60])
    return {name: "".join(page.app.query_params[name]) for name in ("film", "search")}


def test_a_reload_finds_settings_and_steps_again(open_page):
    page = open_page("search", film="effusion_1")
    first, address = page.case_ids, refine(page)
    again = open_page("search", **address)
    assert again.case_ids == page.case_ids != first[:3]
    for key in ("target", "method", "map", "count", "filter_sex", "filter_age", "filter_findings", "steps"):
        assert again.app.session_state[key] == page.app.session_state[key]
    again.press("Undo")
    assert "region" not in "".join(again.app.query_params["search"])


def test_a_reload_of_compare_finds_the_refined_search_again(open_page):
    page = open_page("search", film="effusion_1")
    address = refine(page)
    again = open_page("compare", case=page.case_ids[1], **address)
    assert [pane["key"] for pane in again.data["panes"]] == ["query", page.case_ids[1]]
    assert "Case 2 of 3" in again.text() and "this search compared a region" in again.text()


def test_a_new_film_starts_without_steps(open_page):
    page = open_page("search", film="effusion_1")
    refine(page)
    page.app.text_input[0].set_value("case_003").run()
    page.press("Search with this case")
    assert "steps" not in json.loads("".join(page.app.query_params["search"]))


def test_the_search_of_an_upload_is_not_in_the_address(open_page):
    page = open_page("search")
    page.app.file_uploader[0].set_value(("film.png", encode_lossless(fakes.make_radiograph(3)), "image/png"))
    page.run()
    page.run()
    assert page.case_ids and "search" not in page.app.query_params
    assert "".join(page.app.query_params["film"]) == "upload", "all that a reload may know"
    again = open_page("search", film="upload")
    assert "not kept any more" in again.text() and "film" not in again.app.query_params


DAMAGED = {
    "cut off": "{",
    "no object": "[]",
    "a word for a number": '{"count":"many"}',
    "an empty step": '{"steps":[{}]}',
    "one age": '{"filter_age":[1]}',
    "no list of steps": '{"steps":7}',
    "a word for a step": '{"steps":["x"]}',
    "no number": '{"steps":[{"region":[NaN,2,3,4],"anywhere":false}]}',
    "an endless region": '{"steps":[{"region":[1,2,Infinity,Infinity],"anywhere":false}]}',
    "a region off the film": '{"steps":[{"region":[1e308,2,1e308,4],"anywhere":false}]}',
    "a region without area": '{"steps":[{"region":[1,2,0,4],"anywhere":true}]}',
    "endlessly many cases": '{"count":Infinity}',
    "half a letter": '{"steps":[{"finding":"\\ud800"}]}',
    "half a letter in a setting": '{"target":"\\ud800"}',
    "too deep": '{"steps":' + "[" * 5_000,
}


@pytest.mark.parametrize("held", DAMAGED.values(), ids=DAMAGED.keys())
def test_an_address_that_cannot_be_read_is_told_and_loses_nothing(open_page, held):
    page = open_page("search", film="effusion_1", search=held)
    assert UNREADABLE in page.text() and len(page.case_ids) == 8
    page.run()
    held = json.loads("".join(page.app.query_params["search"]))
    assert UNREADABLE not in page.text() and set(held) == {"method", "map", "count"}


def test_names_that_are_not_offered_fall_back(open_page):
    held = {"target": "Nothing", "method": "none", "map": "none?", "count": 77, "filter_view": "up", "filter_sex": "",
            "filter_age": [90, 10], "filter_findings": ["Nothing present"]}  # fmt: skip
    page = open_page("search", film="effusion_1", search=json.dumps(held))
    assert len(page.case_ids) == 8 and page.app.session_state["filter_age"] == (0, 100)


def test_steps_are_read_as_they_were_written():
    held = {"steps": [{"more": ["a"], "less": []}, {"region": [1, 2, 3.5, 4], "anywhere": True}, {"finding": "Mass"}]}
    steps = read_search(json.dumps(held))[1].steps
    assert steps == (MoreLikeThese(("a",)), Region((1, 2, 3.5, 4), True), Finding("Mass"))


def test_a_region_is_cut_to_the_film(open_page):
    held = {"steps": [{"region": [-20, 20, 1e308, 1e308], "anywhere": False}]}
    page = open_page("search", film="effusion_1", search=json.dumps(held))
    assert page.data["panes"][0]["region"] == [0, 20, 160, 180] and len(page.case_ids) == 8


@pytest.mark.parametrize("page_name", ["search", "compare"])
def test_a_film_that_is_not_here_is_told_once(page_name, open_page):
    page = open_page(page_name, film="![x](y)", search='{"count":3}')
    assert MISSING in page.text() and not {"film", "search"} & set(page.app.query_params)
    assert MISSING not in page.run().text()


def test_a_demonstration_film_that_cannot_be_read_does_not_close_the_page(workspace, open_page):
    (workspace.path / "queries" / "broken.png").write_bytes(b"no film")
    page = open_page("search", film="broken")
    assert "Find past films" in page.text() and page.app.warning and "film" not in page.app.query_params
