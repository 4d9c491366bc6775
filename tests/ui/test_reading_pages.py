"""Rate and Results: one click stores, a refresh resumes, and the page's source holds nothing that unblinds."""

from __future__ import annotations

import json

import pytest

from icbir_core.errors import StudyError
from icbir_core.study.creating import open_store
from icbir_core.study.design import Study
from icbir_core.study.exchange import load_study
from icbir_core.study.rating import Rating
from icbir_core.study.session import ReadingSession
from icbir_core.study.simulated_readers import ReaderModel, simulate_reader
from icbir_ui import shared
from tests.helpers import fakes


@pytest.fixture
def study(workspace) -> Study:
    return fakes.make_study(workspace)


def read_ratings(workspace) -> list[Rating]:
    return open_store(workspace).history(study="pilot")


def test_one_click_stores_and_goes_on(study, workspace, open_page):
    page = open_page("rate")
    first = page.data["panes"][1]["key"]
    page.press("4 · ")
    (stored,) = read_ratings(workspace)
    assert (stored.score, stored.reader, stored.stage, stored.blinded, stored.position) == (4, "tester", 1, True, 1)
    assert stored.time_ms is not None and stored.versions["study"] == study.sha256 and stored.method is None
    assert page.data["panes"][1]["key"] != first


@pytest.mark.parametrize("error", [StudyError("Expected another answer."), OSError("disk full")], ids=["known", "disk"])
def test_an_answer_that_is_not_stored_is_told_until_the_next_one(study, workspace, open_page, monkeypatch, error):
    def fail(*_, **__):
        raise error

    page = open_page("rate")
    first = page.data["panes"][1]["key"]
    with monkeypatch.context() as patched:
        patched.setattr(ReadingSession, "answer", fail)
        page.press("4 · ")
    for _ in range(2):  # it stands when the page runs again
        (said,) = page.app.error
        told = fakes.read_plain(said.value)
        assert told.startswith("NOT stored: ") and "disk full" not in told
        assert page.data["panes"][1]["key"] == first and not read_ratings(workspace)
        page.run()
    page.press("4 · ")
    assert not page.app.error and len(read_ratings(workspace)) == 1


def list_answers(page) -> set[str]:
    return {one.key for one in page.app.button if (one.key or "").startswith("rate_") and "·" in one.label}


def test_every_button_belongs_to_its_item(study, workspace, open_page):
    page = open_page("rate")
    before = {
        button.key for button in page.app.button if (button.key or "").startswith("rate_") and "·" in button.label
    }
    page.press("4 · ")
    after = list_answers(page)
    assert len(before) == len(after) == 5 and not before & after


def test_a_refresh_resumes_where_she_was(study, workspace, open_page):
    page = open_page("rate", study="pilot")
    page.press("2 · ")
    waiting = page.data["panes"][1]["key"]
    assert open_page("rate", study="pilot").data["panes"][1]["key"] == waiting


def test_the_source_of_the_page_is_blind(study, workspace, open_page):
    page = open_page("rate")
    cases = workspace.catalogue.cases()
    secrets = {case.case_id for case in cases} | {"ig_cbir", "cnn", "distance", study.salt}
    secrets |= {case.pixel_sha256[:16] for case in cases}
    sent = "".join(str(message) for message in page.app._tree) + json.dumps(page.data) + page.text()
    for secret in secrets:
        assert secret not in sent
    for pane in page.data["panes"]:
        assert not pane["lines"] and not pane["bars"] and pane["title"] in ("Query", "Case")
        assert "map" not in pane


def test_maps_come_only_after_every_answer_without_them(study, workspace, open_page):
    page = open_page("rate")
    steps = study.steps("tester")
    first = sum(step.stage == 1 for step in steps)
    for _ in range(first):
        assert "map" not in page.data["panes"][0]
        page.press("3 · ")
    page.run()
    assert all("map" in pane for pane in page.data["panes"])
    for _ in range(first, len(steps)):
        page.press("3 · ")
    assert "items are answered" in page.app.success[0].value
    assert [one.stage for one in read_ratings(workspace)] == [1] * first + [2] * (len(steps) - first)


def test_cannot_judge_and_back(study, workspace, open_page):
    page = open_page("rate")
    first = page.data["panes"][1]["key"]
    page.press("Cannot judge")
    page.press("Back")
    assert page.data["panes"][1]["key"] == first
    page.press("1 · ")
    assert [one.score for one in read_ratings(workspace)] == [None, 1]
    assert page.data["panes"][1]["key"] != first


def test_back_to_a_choice_that_could_not_be_judged(workspace, open_page):
    fakes.make_study(workspace, tasks=("choice",), stages=1)
    page = open_page("rate")
    page.press("Cannot judge")
    page.press("Back")
    assert page.text().count("went wrong") == 0 and find_marked(page) == ["Cannot judge"]


def find_marked(page) -> list[str]:
    """The buttons that are drawn as chosen."""
    return [
        button.label for button in page.app.button if button.proto.type == "primary" and "study" not in button.label
    ]


def test_she_sees_what_she_answered_and_goes_forward_to_where_she_was(study, workspace, open_page):
    page = open_page("rate")

    def is_forward_open() -> bool:
        return not next(button for button in page.app.button if button.label == "Forward").disabled

    shown = [page.data["panes"][1]["key"]]
    for label in ("4 · ", "Cannot judge"):
        page.press(label)
        shown.append(page.data["panes"][1]["key"])
    assert not find_marked(page) and not is_forward_open()
    page.press("Back")
    assert find_marked(page) == ["Cannot judge"] and is_forward_open()
    page.press("Back")
    assert page.data["panes"][1]["key"] == shown[0] and [label[0] for label in find_marked(page)] == ["4"]
    for place in (1, 2):
        page.press("Forward")
        assert page.data["panes"][1]["key"] == shown[place]
    assert not find_marked(page) and not is_forward_open() and len(read_ratings(workspace)) == 2


def test_forward_from_the_last_item_ends_the_study_again(workspace, open_page):
    session = ReadingSession(open_store(workspace), fakes.make_study(workspace, stages=1), "tester")
    for item in session.remaining_items():
        session.answer(item.token, score=3)
    page = open_page("rate")
    page.press("Back to the last item")
    page.press("Forward")
    assert "items are answered" in page.app.success[0].value


def test_the_case_that_was_chosen_is_marked(workspace, open_page):
    fakes.make_study(workspace, tasks=("choice",), stages=1)
    page = open_page("rate")
    assert find_marked(page) == ["Case A", "Case B"]
    page.press("Case B")
    page.press("Back")
    assert find_marked(page) == ["Case B"]
    page.press("Cannot judge")
    page.press("Back")
    assert find_marked(page) == ["Cannot judge"]


def test_the_time_of_an_item_outlives_its_answer_and_begins_anew_when_it_comes_back(study, workspace, open_page):
    page = open_page("rate")

    def read_shown() -> dict[str, float]:
        return dict(page.app.session_state["rate_shown_at"])

    (first,) = read_shown()
    began = read_shown()[first]
    page.press("2 · ")
    assert read_shown()[first] == began, "a second click that is on its way finds the time it needs"
    page.press("Back")
    assert read_shown()[first] > began
    page.press("4 · ")
    assert all(one.time_ms is not None for one in read_ratings(workspace))


def test_choice_and_ranking_are_stored(workspace, open_page):
    study = fakes.make_study(workspace, tasks=("choice", "ranking"), stages=1)
    page = open_page("rate")
    choices = sum(step.task == "choice" for step in study.steps("tester"))
    for _ in range(choices):
        page.press("Case B")
    page.press("Store this order")
    page.press("Cannot judge")
    kinds = [(one.task, one.cannot_judge) for one in read_ratings(workspace)]
    assert kinds == [("choice", False)] * choices + [("ranking", False), ("ranking", True)]


def test_results_wait_until_she_is_through_and_then_show_numbers(study, workspace, open_page):
    assert "No rating" in open_page("results").text()
    page = open_page("rate")
    page.press("2 · ")
    results = open_page("results")
    assert "would unblind you" in results.text() and not results.app.table
    for number in (1, 2):
        simulate_reader(open_store(workspace), study, f"simulated-{number}", ReaderModel(), lambda a, b: 3.0, number)
    results = open_page("results")
    results.press("Show them anyway")
    assert any("Only 1 reader: agreement" in fakes.read_plain(one.value) for one in results.app.warning)
    assert "Structural similarity (SSIM)" in results.text() and "ig_cbir" not in results.text()
    assert "1 reader (tester)" in results.text() and "1 readers" not in results.text()
    assert not any("SIMULATED" in one.value for one in results.app.error)


def test_a_reader_without_any_answer_is_asked_too_and_for_each_study_anew(study, workspace, open_page):
    other = fakes.make_study(workspace, "second")
    for one in (study, other):
        session = ReadingSession(open_store(workspace), one, "colleague")
        session.answer(session.next_item().token, score=3)
    results = open_page("results", reader="newcomer")
    assert "would unblind you" in results.text() and not results.app.table
    results.press("Show them anyway")
    assert results.app.table
    results.app.selectbox[0].set_value("second")
    results.run()
    assert "would unblind you" in results.text() and not results.app.table
    results.run()
    assert results.app.selectbox[0].value == "second" and results.app.session_state["study"] == "second"
    assert open_page("results", study="second").app.selectbox[0].value == "second"
    assert open_page("rate", study="none of them").app.selectbox[0].value == "pilot"


def test_one_who_is_through_sees_the_results_at_once(workspace, open_page):
    session = ReadingSession(open_store(workspace), fakes.make_study(workspace, stages=1), "tester")
    for item in session.remaining_items():
        session.answer(item.token, score=3)
    results = open_page("results")
    assert "unblind you" not in results.text() and results.app.table


def test_simulated_readers_are_named_as_such(study, workspace, open_page):
    for number in (1, 2):
        simulate_reader(open_store(workspace), study, f"simulated-{number}", ReaderModel(), lambda a, b: 3.0, number)
    page = open_page("results")
    page.app.segmented_control[0].set_value("Simulated readers")
    page.run()
    assert "SIMULATED" in page.app.error[0].value and len(page.app.table) > 3


def test_the_study_with_its_ratings_is_offered_to_none_who_is_still_blind(workspace, open_page):
    study = fakes.make_study(workspace, stages=1)
    for number in (1, 2):
        simulate_reader(open_store(workspace), study, f"simulated-{number}", ReaderModel(), lambda a, b: 3.0, number)

    def open_simulated():
        page = open_page("results")
        page.app.segmented_control[0].set_value("Simulated readers")
        return page.run()

    def list_offered(page) -> list[str]:
        return [one.proto.label for one in page.app.get("download_button")]

    both = ["Report (HTML)", "Study with ratings (zip)"]
    page = open_simulated()
    assert list_offered(page) == both[:1]
    assert list_offered(page.press("Offer the study with its ratings too")) == both
    session = ReadingSession(open_store(workspace), study, "tester")
    for item in session.remaining_items():
        session.answer(item.token, score=3)
    assert list_offered(open_simulated()) == list_offered(open_page("results")) == both


def test_without_a_study_the_page_makes_one(workspace, open_page):
    page = open_page("rate")
    assert "no reading study" in page.text()
    page.app.text_input[0].set_value("from the page")
    page.app.number_input[0].set_value(2)
    page.press("Make the study")
    assert open_store(workspace).study_names() == ["from the page"]
    assert page.data["panes"][0]["title"] == "Query"
    made = load_study(open_store(workspace), "from the page")
    (said,) = page.app.toast
    answers = len(made.steps("tester"))
    assert fakes.read_plain(said.value) == f"'from the page' is made: {answers} answers for each reader."
    assert not page.run().app.toast


def test_the_form_says_beforehand_how_much_it_will_ask(workspace, open_page):
    page = open_page("rate")
    assert "At most 306 answers for each reader" in page.text()  # 2 × (8 × (5 × 3 + 2) + 17)
    assert len(shared.open_service().retriever.methods("Effusion")) == 3  # waits until they are known
    page.run()
    assert "At most 198 answers for each reader" in page.text()  # 2 × (8 × (3 × 3 + 2) + 11)
    page.app.number_input[0].set_value(2)
    page.app.checkbox[0].uncheck()
    assert "At most 25 answers for each reader" in page.run().text()


def test_a_study_without_a_name_or_with_one_that_is_taken_is_not_made(study, workspace, open_page):
    page = open_page("rate")
    for name, answer in (("", "Give the study a name."), ("pilot", "There is a study 'pilot' already")):
        page.app.text_input[0].set_value(name)
        page.press("Make the study")
        assert answer in page.text() and "search" not in page.text()
    assert open_store(workspace).study_names() == ["pilot"]


def test_another_study_is_made_while_one_is_being_read(study, workspace, open_page):
    page = open_page("rate")
    assert [one.label for one in page.app.expander] == ["New study"] and not page.app.expander[0].proto.expanded
    page.app.text_input[0].set_value("another")
    page.app.number_input[0].set_value(2)
    page.press("Make the study")
    assert open_store(workspace).study_names() == ["another", "pilot"] and page.app.selectbox[0].value == "another"
