"""The search page as a reader uses it: a film, results, refinement, ratings."""

from __future__ import annotations

import threading
from dataclasses import replace

import pytest

from icbir_core.errors import RetrievalError
from icbir_core.study.rating import SEARCH
from icbir_ui import shared
from icbir_ui.viewer import component
from tests.helpers import fakes
from tests.helpers.stores import change_catalogue


def test_while_the_networks_load_a_word_stands_above_the_upload_field(make_page, monkeypatch):
    go_on = threading.Event()
    monkeypatch.setattr(shared, "open_retriever", lambda held: go_on.wait(20) and fakes.FakeRetriever(held))
    notice = make_page("search", reader="").app.run()
    assert any("networks load while you read" in one.value for one in notice.caption)
    welcome = make_page("search").app.run()
    kinds = [(one.type, getattr(one, "value", "")) for one in welcome.main]
    loading = next(at for at, (_, said) in enumerate(kinds) if "networks are loading" in str(said))
    assert loading < next(at for at, (kind, _) in enumerate(kinds) if kind == "file_uploader")
    go_on.set()


def test_the_query_has_its_map_and_cases_get_theirs_when_asked_at_one_scale(searched):
    query = searched.data["panes"][0]
    assert query["regionable"] and query["mapTitle"] == "Heat map: Effusion"
    assert {bar["name"]: bar["above"] for bar in query["bars"]} == {
        "Effusion": True,
        "No Finding": False,
        "Cardiomegaly": False,
    }
    assert [pane["key"] for pane in searched.data["panes"] if "map" in pane] == ["query"]
    assert shared.open_service().retriever.calls.count("map") == 1, "no map is computed that nobody asked for"
    searched.decide("mapped", 1, on=True)
    assert all("map" in pane for pane in searched.data["panes"]) and searched.data["overlayScale"] > 0
    assert searched.data["answer"]["mapped"]
    searched.decide("mapped", 2, on=False)
    assert sum("map" in pane for pane in searched.data["panes"]) == 1


def test_the_bars_have_their_operating_point_in_the_middle(searched):
    bars = {bar["name"]: bar for bar in searched.data["panes"][0]["bars"]}
    assert list(bars)[0] == "Effusion" and bars["Effusion"]["place"] == pytest.approx(0.5 + 0.5 * 0.41 / 0.69)
    assert bars["Cardiomegaly"]["place"] == pytest.approx(0.5 * 0.14 / 0.4)


def test_one_line_says_what_the_neighbours_carry_against_the_catalogue(searched):
    told = {one["name"]: one for one in searched.data["answer"]["findings"]}
    assert set(told) == {"Effusion", "Cardiomegaly", "No Finding"}
    first = searched.data["answer"]["findings"][0]
    assert first["share"].endswith(" % of the catalogue") and not first["beyond"]
    assert told["Cardiomegaly"]["share"].startswith("3 of 8, 36 %") and "not shown to be more" in first["title"]
    assert told["Effusion"]["askable"] and not told["No Finding"]["askable"]
    assert searched.data["answer"]["eligible"] == "14 of 14 cases eligible"
    captions = [(pane["badge"], pane["heading"], pane["short"]) for pane in searched.data["panes"][1:]]
    assert captions[0] == ("1", "Cardiomegaly", "very close · 42 F · AP")
    assert [badge for badge, _, _ in captions] == [str(rank) for rank in range(1, 9)]


@pytest.mark.parametrize(
    ("seen", "question", "target"),
    [
        ({"Effusion": 0.4, "Cardiomegaly": 0.9}, "Cardiomegaly stands out", "Cardiomegaly"),
        ({"Effusion": 0.1, "Cardiomegaly": 0.1}, "No finding stands out; asked: Effusion", "Effusion"),
    ],
)
def test_the_finding_in_question_is_the_one_that_stands_out(open_page, monkeypatch, seen, question, target):
    monkeypatch.setattr(fakes, "PREDICTION", replace(fakes.PREDICTION, probabilities=seen))
    page = open_page("search", film="effusion_1")
    assert page.data["answer"]["question"] == question and page.data["panes"][0]["mapTitle"] == f"Heat map: {target}"
    assert "target" not in "".join(page.app.query_params.get("search", [""])), (
        "the automatic choice is not written down"
    )
    page.widget("selectbox", "target").select("Cardiomegaly")
    page.run()
    assert page.data["panes"][0]["mapTitle"] == "Heat map: Cardiomegaly"


def test_left_and_right_stand_on_a_case_whose_header_stated_them(workspace, open_page):
    change_catalogue(
        workspace,
        "UPDATE cases SET orientation_verified = true WHERE case_id = 'case_003'",
    )
    shown = {pane["key"]: pane["orientation"] for pane in open_page("search", film="case_003").data["panes"]}
    others = {key: word for key, word in shown.items() if key.startswith("case_")}
    assert shown["query"] == "verified" and set(others.values()) == {"unverified"}
    shown = {pane["key"]: pane["orientation"] for pane in open_page("search", film="effusion_1").data["panes"]}
    assert {key for key, word in shown.items() if word == "verified"} == {"case_003"}


def test_one_vivid_case_does_not_set_the_scale_of_all_and_the_legend_says_what_is_beyond(open_page, monkeypatch):
    before = open_page("search", film="effusion_1").decide("mapped", 1, on=True)
    plain, vivid, compute = before.data["overlayScale"], before.case_ids[3], fakes.FakeRetriever.map_of

    def exaggerate(self, item, *more):
        found = compute(self, item, *more)
        return replace(found, values=1000 * found.values) if getattr(item, "case_id", None) == vivid else found

    monkeypatch.setattr(fakes.FakeRetriever, "map_of", exaggerate)
    shared.open_service().forget()
    data = open_page("search", film="effusion_1").decide("mapped", 2, on=True).data
    assert plain < data["overlayScale"] < 4 * plain and "≥" in data["legend"]


def test_film_cases_and_map_come_one_after_another_and_refining_keeps_what_stands(open_page, monkeypatch):
    import icbir_ui.viewer

    shown, show = [], icbir_ui.viewer.show_viewer

    def watch(panes, options, key, *more):
        searched = [] if shared.open_service().loading else shared.open_service().retriever.calls
        shown.append((len(panes), searched.count("search"), searched.count("map"), panes[0].map is not None))
        return show(panes, options, key, *more)

    monkeypatch.setattr(icbir_ui.viewer, "show_viewer", watch)
    page = open_page("search", film="effusion_1")
    assert shown[-3:] == [(1, 0, 0, False), (9, 1, 0, False), (9, 1, 1, True)]
    assert len(page.app.get("bidi_component")) == 1, "each takes the place of the one before"
    shown.clear()
    page.run()
    page.decide("region", 1, pane="query", box=[20, 20, 90, 90])
    assert shown == [(9, 1, 1, True), (9, 2, 1, True)]


def test_a_map_that_fails_leaves_the_cases_and_says_so(open_page, monkeypatch):
    def refuse(*given):
        raise RetrievalError("No map today; come back tomorrow.")

    monkeypatch.setattr(fakes.FakeRetriever, "map_of", refuse)
    page = open_page("search", film="effusion_1")
    assert "No map today" in page.text() and len(page.case_ids) == 8 and not page.data["panes"][0].get("map")


def test_a_rerun_computes_nothing_and_names_the_same_pixels(searched):
    calls, films = list(shared.open_service().retriever.calls), [pane["film"] for pane in searched.data["panes"]]
    searched.run()
    assert shared.open_service().retriever.calls == calls
    assert [pane["film"] for pane in searched.data["panes"]] == films


def test_rating_is_stored_at_the_click_and_found_after_a_reload(searched, open_page):
    case = searched.case_ids[1]
    searched.decide("rated", 1, pane=case, rating=4)
    (rating,) = shared.open_ratings().history(study=SEARCH)
    assert (rating.case_id, rating.score, rating.reader, rating.blinded) == (case, 4, "tester", False)
    assert rating.method == "ig_cbir" and rating.versions["model"] and rating.ranking["cases"][1] == case
    again = open_page("search", film="effusion_1")
    assert {pane["key"]: pane["rating"] for pane in again.data["panes"]}[case] == 4


def test_a_rating_says_whether_a_heat_map_lay_on_the_films(searched):
    searched.decide("rated", 1, pane=searched.case_ids[0], rating=3, mapped=True)
    searched.decide("rated", 2, pane=searched.case_ids[0], rating=2, mapped=False)
    assert [(one.stage, one.score) for one in shared.open_ratings().history(study=SEARCH)] == [(2, 3), (1, 2)]
    searched.run()
    assert searched.data["panes"][1]["rating"] == 2, "the last word counts, whatever was shown"


def test_the_same_decision_twice_is_stored_once(searched):
    for _ in range(2):
        searched.decide("rated", 7, pane=searched.case_ids[0], rating=2)
    assert len(shared.open_ratings().history(study=SEARCH)) == 1


def test_unknown_error_reaches_the_reader_as_one_sentence(searched, monkeypatch):
    monkeypatch.setattr(fakes.FakeRetriever, "search", lambda *_: 1 / 0)
    searched.app.session_state["count"] = 5
    searched.run()
    assert "went wrong" in searched.text() and "ZeroDivisionError" not in searched.text()


def test_missing_facts_say_unknown(searched):
    assert "view, age, sex unknown" in searched.data["panes"][0]["lines"]


def test_a_decision_about_another_film_or_of_a_lost_session_is_not_taken(searched):
    """After a lost connection the browser sends its last decisions again, to a session that knows none of them."""
    case, state = searched.case_ids[0], searched.app.session_state
    searched.decide("rated", 1, about=f"{state['window']}:another film", pane=case, rating=5)
    searched.decide("rated", 2, about=f"a lost session:{state['current_film']}", pane=case, rating=5)
    assert not shared.open_ratings().history(study=SEARCH)
    searched.decide("rated", 3, pane=case, rating=2)
    assert [one.score for one in shared.open_ratings().history(study=SEARCH)] == [2]


def test_a_first_search_that_fails_is_one_sentence_and_compare_shows_nothing_old(open_page, monkeypatch):
    def refuse(*given):
        raise RetrievalError("No case is eligible; widen the filters.")

    monkeypatch.setattr(fakes.FakeRetriever, "search", refuse)
    page = open_page("search", film="effusion_1")
    assert "widen the filters" in page.text() and not page.app.error
    assert [pane["key"] for pane in page.data["panes"]] == ["query"] and page.app.session_state["ranking"] is None


def test_a_film_that_is_gone_is_told_in_its_own_pane(searched, workspace):
    lost = workspace.catalogue.get(searched.case_ids[2])
    (workspace.path / lost.path).unlink()
    component.pack_picture.clear()  # else the film is still there as it was sent
    before = searched.case_ids
    searched.run()
    faults = {pane["key"]: pane.get("fault") for pane in searched.data["panes"]}
    assert searched.case_ids == before and lost.case_id in faults.pop(lost.case_id) and not any(faults.values())
