"""Refining and filtering a search on its page: regions, findings, ticked cases, filters."""

from __future__ import annotations

from icbir_core.study.rating import SEARCH
from icbir_ui import shared
from icbir_ui.state import NOTICE
from tests.helpers import fakes


def test_region_changes_the_ranking_and_undo_brings_it_back(searched):
    before = searched.case_ids
    searched.decide("region", 1, pane="query", box=[20, 20, 60, 60])
    assert searched.case_ids != before
    assert {tuple(pane["region"]) for pane in searched.data["panes"]} == {(20, 20, 60, 60)}, "on the cases too"
    assert searched.data["panes"][1]["lines"][-1] == "In the box: the same place."
    searched.press("Undo")
    assert not any(pane["region"] for pane in searched.data["panes"])
    assert searched.case_ids == before


def test_a_region_is_compared_by_its_own_features_and_page_and_rating_say_so(searched):
    def find_control():
        return next(one for one in searched.app.selectbox if one.label == "Search by")

    assert not find_control().disabled and "stored spatial features" not in searched.text()
    searched.decide("region", 1, pane="query", box=[20, 20, 60, 60])
    assert find_control().disabled and "stored spatial features" in searched.text()
    assert searched.data["panes"][2]["lines"][1].endswith("close in the region")
    searched.decide("rated", 2, pane=searched.case_ids[0], rating=4)
    (rating,) = shared.open_ratings().history(study=SEARCH)
    assert (rating.method, rating.ranking["metric"]) == ("region", "euclidean (region)")
    searched.press("Undo")
    assert not find_control().disabled


def test_a_finding_of_the_bars_ranks_anew_and_shows_its_maps(searched, open_page):
    before = searched.case_ids
    bars = {bar["name"]: bar for bar in searched.data["panes"][0]["bars"]}
    assert [name for name, bar in bars.items() if bar["askable"]] == ["Effusion", "Cardiomegaly"]
    assert "Click to rank" in bars["Effusion"]["title"] and "Click" not in bars["No Finding"]["title"]
    assert not any(bar["asked"] for bar in bars.values())
    searched.decide("finding", 1, pane="query", finding="Cardiomegaly")
    panes = searched.data["panes"]
    assert searched.case_ids != before and panes[2]["lines"][1] == "close for Cardiomegaly"
    assert panes[0]["mapTitle"] == "Heat map: Cardiomegaly"
    assert searched.data["answer"]["question"] == "Ranked by Cardiomegaly"
    assert [one["name"] for one in searched.data["answer"]["findings"] if one["asked"]] == ["Cardiomegaly"]
    assert panes[0]["bars"][0]["name"] == "Cardiomegaly" and panes[0]["bars"][0]["asked"]
    assert next(one for one in searched.app.selectbox if one.label == "Search by").disabled
    assert "finding Cardiomegaly" in searched.text() and "uses for Cardiomegaly" in searched.text()
    ranked = searched.case_ids
    searched.decide("rated", 2, pane=ranked[0], rating=4)
    (rating,) = shared.open_ratings().history(study=SEARCH)
    assert (rating.method, rating.ranking["metric"]) == ("finding", "euclidean (finding)")
    again = open_page("search", film="effusion_1", search="".join(searched.app.query_params["search"]))
    assert again.case_ids == ranked, "a reload finds it again"
    assert "Click to leave this finding" in searched.data["panes"][0]["bars"][0]["title"]
    searched.decide("finding", 3, pane="query", finding="Cardiomegaly")
    assert searched.case_ids == before and "uses for Cardiomegaly" not in searched.text(), "a second click leaves it"
    again.press("Undo")
    assert again.case_ids == before


def test_another_finding_is_chosen_beside_the_trail(searched):
    assert not any(one.label == "This finding" for one in searched.app.selectbox)
    searched.decide("region", 1, pane="query", box=[20, 20, 60, 60])
    chosen = next(one for one in searched.app.selectbox if one.label == "This finding")
    assert chosen.options == ["Effusion", "Cardiomegaly"]
    chosen.set_value("Effusion")
    searched.run()
    assert searched.data["panes"][2]["lines"][1] == "close for Effusion"
    assert "uses for Effusion" in searched.text() and "stored spatial features" not in searched.text()
    searched.decide("region", 2, pane="query", box=[20, 20, 60, 60])
    searched.decide("finding", 3, pane="query", finding="Effusion")
    assert len(searched.app.session_state["steps"].steps) == 4, "after a region the same finding is a step again"
    assert searched.widget("selectbox", "target").disabled, "the step's finding is in force"
    searched.press("Start again")
    assert not searched.widget("selectbox", "target").disabled


def test_an_unknown_finding_in_the_address_is_told_and_can_be_taken_back(open_page):
    page = open_page("search", film="effusion_1", search='{"steps":[{"finding":"Scoliosis"}]}')
    assert "Scoliosis" in page.text() and "went wrong" not in page.text() and not page.case_ids
    page.press("Undo")
    assert len(page.case_ids) == 8


def test_without_the_classifiers_features_no_finding_is_offered(open_page, monkeypatch):
    monkeypatch.setattr(fakes.FakeRetriever, "findings", ())
    page = open_page("search", film="effusion_1")
    assert not any(bar["askable"] or "Click" in bar["title"] for bar in page.data["panes"][0]["bars"])


def test_ticked_cases_become_a_step(searched):
    ticked, crossed = searched.case_ids[:2]
    searched.decide("marked", 1, pane=ticked, mark="more")
    searched.decide("marked", 2, pane=crossed, mark="less")
    searched.press("Search again: 1 more like, 1 less like")
    assert f"more like {ticked}; less like {crossed}" in searched.text()


def test_filter_says_how_many_are_eligible(searched):
    searched.app.session_state["filter_view"] = "PA"
    searched.run()
    assert searched.data["answer"]["eligible"] == "7 of 14 cases eligible"


def test_filter_that_leaves_nothing_is_one_sentence(searched, monkeypatch):
    from icbir_core.errors import FilterError

    def refuse(*_):
        raise FilterError("The filter leaves none of 14 eligible cases; loosen it.")

    monkeypatch.setattr(fakes.FakeRetriever, "search", refuse)
    searched.app.session_state["count"] = 3
    searched.run()
    assert "loosen it" in searched.text() and len(searched.data["panes"]) == 1
    assert searched.data["notice"] == f"ICBIR. {NOTICE}", "the picture of a lone film carries it too"
