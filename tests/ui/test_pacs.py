"""The archive on the pages: a link opens a study, the worklist and the form list them, a fault is one sentence."""

from __future__ import annotations

import datetime
import time
from dataclasses import replace

import pytest

from icbir_core.audit import Subject, open_audit
from icbir_core.pacs.auto_search import search_received
from icbir_core.pacs.inbox import Inbox
from icbir_core.pacs.opening import StudyRequest
from icbir_core.pacs.searched import name_study, read_searched
from icbir_ui import links, shared
from icbir_ui.pacs import jobs, listing, received
from icbir_ui.search.kept import describe_keeping
from icbir_ui.state import Key
from scripts.archive_films import make_archive_films
from tests.helpers import fakes
from tests.helpers.fake_archive import Answer, answer_from, run_fake_archive

JOBS = (Key.STUDY_JOB, Key.FIND_JOB, Key.WORKLIST_JOB)
SETTLED: list[jobs.Job] = []


@pytest.fixture(scope="session")
def films():
    return make_archive_films(patients=8, size=96)


@pytest.fixture
def fake(films, monkeypatch):
    """An archive that holds `films`, named by the settings."""
    with run_fake_archive(answer_from(films)) as running:
        monkeypatch.setenv("ICBIR_DICOMWEB", running.address)
        yield running


def held(page, key: Key):
    """What the session keeps under a key."""
    try:
        return page.app.session_state[key.value]
    except KeyError:
        return None


def list_buttons(page) -> list[str]:
    return [fakes.read_plain(one.label) for one in page.app.button]


def list_toggles(page) -> list[str]:
    return [one.label for one in page.app.toggle]


def settle(page):
    """Run the page until nothing is asked of the archive any more."""
    while job := next((one for key in JOBS if (one := held(page, key)) is not None and one not in SETTLED), None):
        assert job.finished.wait(30)
        SETTLED.append(job)
        page.run()
    return page


@pytest.fixture
def open_link(open_page):
    """open_link(StudyInstanceUIDs="1.2") is the page Search once the study has come."""
    return lambda **parameters: settle(open_page("search", **parameters))


@pytest.mark.parametrize("by", ["StudyInstanceUIDs", "AccessionNumber"])
def test_a_link_opens_the_frontal_film_with_lateral_and_prior_beside_it(workspace, fake, films, by, open_link):
    prior, frontal, lateral = films[:3]
    page = open_link(**{by: frontal.study if by == "StudyInstanceUIDs" else frontal.accession})
    taken = held(page, Key.FILMS)
    assert [film.part for film in taken.values()] == ["frontal", "lateral", "prior"]
    assert held(page, Key.CURRENT) == next(iter(taken))
    assert held(page, Key.RANKING)[0] == held(page, Key.CURRENT)
    assert [one["label"].split(",")[0] for one in page.data["strip"]] == ["Lateral", "Prior"]
    assert str(datetime.date.today() - datetime.timedelta(200)) in page.data["strip"][1]["label"]
    for uid in (prior.study, frontal.study, lateral.instance, frontal.accession, frontal.patient):
        assert uid not in str(dict(page.app.query_params)) and uid not in page.text()
    assert read_searched(workspace) == {name_study(workspace, frontal.study)}
    check_recorded(workspace, frontal, ["opened", "opened", "saw", "saw", "saw", "searched"])


def test_a_film_of_the_strip_is_shown_beside_hers_and_searched_with(workspace, fake, films, open_link):
    page = open_link(StudyInstanceUIDs=films[1].study)
    hits, (lateral, prior) = page.case_ids, [one["key"] for one in page.data["strip"]]
    page.decide("beside", 1, pane=prior)
    query, beside = page.data["panes"][:2]
    assert (query["key"], beside["key"], beside["beside"], beside["lead"]) == ("query", prior, True, True)
    assert page.case_ids == hits and [one["shown"] for one in page.data["strip"]] == [False, True]
    page.decide("beside", 2, pane="")
    assert [one["key"] for one in page.data["panes"] if one["lead"]] == ["query"]
    page.decide("taken", 3, pane=prior)
    page.run()
    current = held(page, Key.FILMS)[held(page, Key.CURRENT)]
    assert current.part == "prior" and lateral in [one["key"] for one in page.data["strip"]]


def check_recorded(workspace, film, actions: list[str]) -> None:
    """That the audit log holds these actions in their order, under hashes alone."""
    log = open_audit(workspace)
    entries = list(log.entries())
    assert sorted(str(entry.action) for entry in entries) == sorted(actions)
    about = {subject for entry in entries if entry.action in ("opened", "saw") for subject in entry.subjects}
    assert {log.name(Subject("examination", film.study)), log.name(Subject("patient", film.patient))} <= about
    held = log.place.path.read_text()
    for text in (film.study, film.instance, film.patient, film.accession, "Simulated"):
        assert text not in held


def test_a_link_that_waited_for_its_reader_is_opened_once(workspace, fake, films, make_page, browser):
    key, name = links.WAITING.keep("", StudyRequest(films[1].study))
    page = make_page("search", link=name)
    browser[links.COOKIE] = key
    settle(page.run())
    assert [film.part for film in held(page, Key.FILMS).values()] == ["frontal", "lateral", "prior"]
    assert "link" not in page.app.query_params
    again = make_page("search", link=name).run()
    assert "was used before" in again.text()


def test_the_uids_leave_the_address_before_anything_is_accepted(workspace, fake, films, make_page):
    page = make_page("search", reader="", StudyInstanceUIDs=f"{films[1].study},1.2.3").run()
    assert "StudyInstanceUIDs" not in page.app.query_params
    assert held(page, Key.STUDY_JOB) is None and not fake.asked  # she has not accepted the notice
    assert held(page, Key.STUDY_REQUEST).study == films[1].study


@pytest.mark.parametrize("uid", ["1.2/../../admin", "http://elsewhere.example/", "1.2.3&x=1", "x" * 5000])
def test_a_link_that_names_no_study_asks_nobody(workspace, fake, uid, open_link):
    page = open_link(StudyInstanceUIDs=uid)
    assert "names no study" in page.text() and not fake.asked


def test_a_reload_says_that_the_study_must_be_opened_again(workspace, fake, films, open_link, open_page):
    address = dict(open_link(StudyInstanceUIDs=films[1].study).app.query_params)
    again = open_page("search", film="".join(address["film"]))
    assert "open its study again" in again.text()


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (Answer(status=401), "does not accept"),
        (Answer(status=404), "does not have it"),
        (Answer(b"[]"), "no such study"),
    ],
    ids=["401", "404", "empty"],
)
def test_what_the_archive_refuses_is_one_sentence_above_the_first_page(workspace, fake, films, answer, said, open_link):
    fake.answer = lambda path: answer
    page = open_link(StudyInstanceUIDs=films[1].study)
    assert said in page.text() and films[1].study not in page.text()
    assert "Films from the PACS" in list_toggles(page)


def test_a_study_without_a_chest_film_is_told(workspace, fake, films, open_link):
    right = fake.answer
    fake.answer = lambda path: Answer(b"[]") if "/series" in path else right(path)
    assert "no chest film" in open_link(StudyInstanceUIDs=films[1].study).text()


def test_without_an_archive_the_link_and_the_page_say_so(workspace, films, monkeypatch, open_link, open_page):
    monkeypatch.delenv("ICBIR_DICOMWEB", raising=False)
    page = open_link(StudyInstanceUIDs=films[1].study)
    assert "No archive" in page.text() and not list_toggles(page)
    assert "No archive" in open_page("pacs").text()


def test_she_stops_a_slow_transfer(workspace, fake, films, open_page):
    right = fake.answer
    fake.answer = lambda path: replace(right(path), pieces=50, pause=30.0) if "/instances/" in path else right(path)
    page = open_page("search", StudyInstanceUIDs=films[1].study)
    page.press("Stop")
    settle(page)
    assert "stopped" in page.text() and held(page, Key.CURRENT) is None


def test_todays_films_come_newest_first_and_tell_what_was_searched(workspace, fake, films, open_link, open_page):
    open_link(StudyInstanceUIDs=films[1].study)
    inbox = Inbox(workspace)
    pushed = inbox.put(films[4].data, films[4].instance)
    inbox.put_result(pushed, {"study": name_study(workspace, films[4].study), "error": "None."})
    page = settle(open_page("pacs"))
    studies = held(page, Key.WORKLIST_JOB).studies
    assert {study.uid for study in studies} == {film.study for film in films if not film.prior}
    assert [study.moment for study in studies] == sorted((study.moment for study in studies), reverse=True)
    texts = [one.value for one in page.app.markdown]
    assert texts.count("searched") == 1 and texts.count("result ready") == 1 and list_buttons(page).count("Open") == 9
    assert any("Simulated 000" in text.replace("\\", "") for text in texts)


def test_a_question_is_answered_in_pages(workspace, fake, films, open_page):
    page = settle(open_page("pacs"))
    find(page, Name="simulated")
    assert len(held(page, Key.FIND_JOB).studies) == 16
    find(page, Name="nobody")
    assert "no such study" in page.text()
    find(page, **{"Patient number": films[0].patient})
    assert len(held(page, Key.FIND_JOB).studies) == 2
    asked = len(fake.asked)
    find(page, **{"Patient number": "SIM*"})
    assert "without * and ?" in page.text() and len(fake.asked) == asked
    entries = list(open_audit(workspace).entries())
    told = [entry.details.get("by") for entry in entries if entry.action == "asked_archive"]
    assert told == ["days", "received", "name", "name", "patient"]
    held_text = open_audit(workspace).place.path.read_text()
    assert "simulated" not in held_text.lower() and films[0].patient not in held_text


@pytest.mark.parametrize("name", ["search", "catalogue"])
def test_the_panel_stands_on_search_and_catalogue(workspace, fake, films, open_page, name, monkeypatch):
    monkeypatch.setattr(listing.st, "switch_page", lambda page: listing.st.rerun())  # here is one page alone
    page = open_page(name)
    if name == "catalogue":
        page.turn_to("Add films")
    assert not fake.asked and not held(page, Key.WORKLIST_JOB)
    page.app.toggle[0].set_value(True)
    settle(page.run())
    assert list_buttons(page).count("Open") == 8 and describe_keeping("archive") in page.text()
    find(page, Name="simulated")
    assert len(held(page, Key.FIND_JOB).studies) == 16
    page.app.button(key="open_found_0").click()
    settle(page.run())
    opened = held(page, Key.FILMS)[held(page, Key.CURRENT)]
    assert opened.origin == "archive" and opened.radiograph.view in ("PA", "AP")


def test_many_studies_are_shown_page_by_page(workspace, fake, films, monkeypatch, open_page):
    monkeypatch.setattr("icbir_ui.pacs.listing.ROWS", 5)
    page = settle(open_page("pacs"))
    assert "Page 1 of 2" in page.text() and list_buttons(page).count("Open") == 5
    page.press("Older")
    assert "Page 2 of 2" in page.text() and list_buttons(page).count("Open") == 3


def test_a_job_that_is_left_ends_by_itself(fake, films, workspace):
    job = jobs.start_opening(workspace, jobs.StudyRequest(films[1].study))
    assert job.finished.wait(30) and not job.error
    job = jobs.start_opening(workspace, jobs.StudyRequest("1.2.3"))
    assert job.finished.wait(30) and "no such study" in job.error
    started = time.monotonic()
    job.stop()
    assert not job.running and time.monotonic() - started < 5


def find(page, **words: str) -> None:
    for one in page.app.text_input:
        if one.label in ("Name", "Patient number", "Accession number"):
            one.set_value(words.get(one.label, ""))
    next(one for one in page.app.button if one.label == "Find").click()
    page.run()
    settle(page)


def test_films_that_were_pushed_wait_with_their_results(workspace, films, open_page, monkeypatch):
    monkeypatch.delenv("ICBIR_DICOMWEB", raising=False)
    inbox = Inbox(workspace)
    name = inbox.put(films[1].data, films[1].instance)
    inbox.put_result(name, {"probabilities": {"Effusion": 0.75}, "ranking": {"target": "Effusion", "hits": []}})
    inbox.put(films[4].data, films[4].instance)
    page = open_page("pacs")
    texts = page.text()
    assert "2 films received" in texts and "Effusion 0.75" in texts and "waits for its search" in texts
    assert films[1].patient in texts and films[1].instance not in texts
    assert list_buttons(page).count("Open") == 2


@pytest.mark.parametrize("changed", [False, True])
def test_a_film_that_was_searched_behind_is_not_searched_again(workspace, films, open_page, monkeypatch, changed):
    monkeypatch.delenv("ICBIR_DICOMWEB", raising=False)
    inbox = Inbox(workspace)
    name = inbox.put(films[1].data, films[1].instance)
    expected = search_received(fakes.FakeRetriever(workspace), inbox, name)
    if changed:
        workspace.catalogue.raise_revision()
    monkeypatch.setattr(received.st, "switch_page", lambda page: received.st.rerun())  # here is one page alone
    opened = open_page("pacs").press("Open").app.session_state
    page = open_page("search")
    for key in (Key.FILMS, Key.CURRENT, Key.READY):
        page.app.session_state[key.value] = opened[key.value]
    page.run()
    assert page.case_ids == [case_id for case_id, *_ in expected["answer"]["hits"]]
    calls = shared.open_service().retriever.calls
    assert any(one.startswith("search") for one in calls) == changed
    assert ("searched anew" in page.text()) == changed
