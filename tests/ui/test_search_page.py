"""The search page as a reader uses it: a film, results, refinement, ratings."""

from __future__ import annotations

import io
import sqlite3
import threading
import zipfile
from dataclasses import replace

import pytest
import streamlit as st

from icbir_core.errors import RetrievalError
from icbir_core.radiograph.writing import encode_lossless
from icbir_core.study.rating import SEARCH
from icbir_ui import films, shared
from icbir_ui.state import NOTICE
from icbir_ui.viewer import component
from tests.helpers import fakes


def list_films(page) -> list[str]:
    """The reader's own list of films."""
    return [film.entry for film in page.app.session_state["films"].values()]


@pytest.fixture
def searched(open_page):
    return open_page("search", film="effusion_1")


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


def test_without_demonstration_films_the_catalogue_offers_cases(workspace, open_page):
    next((workspace.path / "queries").glob("*.png")).unlink()
    page = open_page("search")
    assert "a case of the catalogue" in page.text()
    page.press("case_000")
    assert page.data["panes"][0]["key"] == "query" and len(page.case_ids) == 8 and "case_000" not in page.case_ids


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
    for reading in ("take_uploads", "open_named"):  # as far as the page comes before it reads
        monkeypatch.setattr(films, reading, lambda *given: st.stop())
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
    assert told["Cardiomegaly"]["share"].startswith("3 of 8, 36 %") and "no more than chance" in first["title"]
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
    with sqlite3.connect(workspace.path / "catalogue.db") as connection:
        connection.execute("UPDATE cases SET orientation_verified = 1 WHERE case_id = 'case_003'")
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


def test_the_film_stands_while_the_search_runs_and_the_cases_of_before_while_it_is_refined(open_page, monkeypatch):
    import icbir_ui.viewer

    shown, show = [], icbir_ui.viewer.show_viewer

    def watch(panes, options, key, *more):
        searched = [] if shared.open_service().loading else shared.open_service().retriever.calls
        shown.append((key, len(panes), searched.count("search")))
        return show(panes, options, key, *more)

    monkeypatch.setattr(icbir_ui.viewer, "show_viewer", watch)
    page = open_page("search", film="effusion_1")
    assert shown[-2:] == [("search_first", 1, 0), ("search_viewer", 9, 1)]
    shown.clear()
    page.run()
    page.decide("region", 1, pane="query", box=[20, 20, 90, 90])
    assert shown == [("search_viewer", 9, 1), ("search_viewer", 9, 2)]


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
    assert "has no case 'none'" in page.text() and page.data["panes"][0]["title"] == "Query · case_000"


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


def test_unknown_error_reaches_the_reader_as_one_sentence(searched, monkeypatch):
    monkeypatch.setattr(fakes.FakeRetriever, "search", lambda *_: 1 / 0)
    searched.app.session_state["count"] = 5
    searched.run()
    assert "went wrong" in searched.text() and "ZeroDivisionError" not in searched.text()


def test_missing_facts_say_unknown(searched):
    assert "view unknown · age unknown · sex unknown" in searched.data["panes"][0]["lines"]


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
