"""The list of the page Catalogue: filters, pages, small pictures, and what its rows lead to."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from icbir_core.access import Person, Role
from icbir_core.audit import Subject, open_audit
from icbir_core.catalogue import read_case_radiograph, thumbnails
from icbir_core.catalogue.adding import ProvenFilm
from icbir_core.catalogue.listing import ListFilter
from icbir_core.catalogue.verifying import verify_workspace
from icbir_core.errors import AccessRefused
from icbir_core.findings import FindingState
from icbir_core.radiograph.writing import encode_lossless
from icbir_ui import access
from icbir_ui.catalogue import browsing, ingest_job
from icbir_ui.catalogue.rows import split_excerpt
from icbir_ui.words import describe_brief
from tests.helpers import fakes
from tests.helpers.stores import change_catalogue

REPORT = "Small effusion <b>on the left</b>."


@pytest.fixture
def listed(workspace, open_page):
    """The page with reports in two rows."""
    change_catalogue(
        workspace,
        f"UPDATE cases SET report = '{REPORT}' WHERE case_id = 'case_003'",
        "UPDATE cases SET diagnosis = 'proven sarcoidosis' WHERE case_id = 'case_005'",
    )
    return open_page("catalogue")


def read_rows(page) -> list[dict]:
    return page.data["rows"]


def test_rows_are_paged_newest_first_with_small_pictures(listed, monkeypatch, open_page):
    rows = read_rows(listed)
    assert [row["name"] for row in rows[:2]] == ["case_013", "case_012"] and len(rows) == 14
    assert all(row["picture"].startswith("data:image/jpeg;base64,") for row in rows)
    monkeypatch.setattr(thumbnails, "read_case_radiograph", lambda *_: pytest.fail("a film was read again"))
    monkeypatch.setattr(browsing, "PAGE", 5)
    again = open_page("catalogue")
    assert [row["name"] for row in read_rows(again)] == [f"case_{number:03d}" for number in (13, 12, 11, 10, 9)]
    assert "1–5 of 14 cases" in again.text()
    again.app.session_state["list_page"] = 3
    assert [row["name"] for row in read_rows(again.run())] == [f"case_{number:03d}" for number in (3, 2, 1, 0)]
    again.widget("text_input", "list_text").set_value("effusion")
    assert [row["name"] for row in read_rows(again.run())] == ["case_003"], "another question begins at its first page"


def test_words_findings_view_and_source_narrow_the_list(listed, workspace):
    listed.widget("text_input", "list_text").set_value("effus")
    (row,) = read_rows(listed.run())
    assert row["name"] == "case_003" and "1 of 14 cases" in listed.text()
    assert ["effusion", True] in row["excerpt"] or not workspace.catalogue.listing.indexed, "a server marks no words"
    listed.widget("text_input", "list_text").set_value("")
    listed.widget("multiselect", "list_findings").set_value(["Effusion"])
    names = {row["name"] for row in read_rows(listed.run())}
    assert names == {case.case_id for case in workspace.catalogue.cases() if "Effusion" in case.present} and names
    listed.widget("text_input", "list_text").set_value("nobody ever wrote this")
    assert "No case is like that" in listed.run().text()


def test_texts_reach_the_browser_as_parts_and_not_as_markup():
    parts = split_excerpt("a <b>\x02bold\x03</b> \x02word\x03")
    assert parts == [("a <b>", False), ("bold", True), ("</b> ", False), ("word", True)]
    script = (Path(browsing.__file__).parent / "rows.js").read_text(encoding="utf-8")
    assert "innerHTML" not in script and "insertAdjacentHTML" not in script


def test_a_chosen_case_opens_with_its_report_beside_the_list(listed):
    listed.app.session_state["chosen_case"] = "case_003"
    listed.run()
    shown = [json.loads(one.proto.json) for one in listed.app.get("bidi_component")]
    (viewer,) = [one for one in shown if "panes" in one]
    assert viewer["panes"][0]["key"] == "case_003" and viewer["panes"][0]["details"]["text"] == REPORT


def test_a_film_that_cannot_be_read_leaves_its_row(listed, workspace, open_page):
    thumbnails.find_thumbnail(workspace, workspace.catalogue.get("case_004")).unlink()
    (workspace.images / "case_004.png").unlink()
    rows = {row["name"]: row["picture"] for row in read_rows(open_page("catalogue"))}
    assert rows["case_004"] == "" and rows["case_003"]


def test_compare_is_offered_once_there_is_a_film_and_shows_a_case_without_a_rank(listed, open_page):
    assert [one[0] for one in listed.data["acts"]] == ["search"]
    search = open_page("search", film="effusion_1")
    outside = next(name for name in (f"case_{number:03d}" for number in range(14)) if name not in search.case_ids)
    compare = open_page("compare")
    for key in ("films", "current_film", "ranking"):
        compare.app.session_state[key] = search.app.session_state[key]
    compare.app.session_state["case_outside"] = outside
    compare.run()
    assert [pane["key"] for pane in compare.data["panes"]] == ["query", outside] and "no rank" in compare.text()
    compare.press("To the cases of the search")
    assert compare.data["panes"][1]["key"] == search.case_ids[0]
    compare.app.session_state["case_outside"] = search.case_ids[2]
    compare.run()
    assert compare.data["panes"][1]["key"] == search.case_ids[2] and "Case 3 of" in compare.text()


def test_compare_offers_the_other_films_of_a_cases_patient(open_page, workspace):
    search = open_page("search", film="effusion_1")
    compare = open_page("compare")
    for key in ("films", "current_film", "ranking"):
        compare.app.session_state[key] = search.app.session_state[key]
    compare.run()
    first = workspace.catalogue.get(search.case_ids[0])
    (other,) = (one for one in workspace.catalogue.cases() if one.patient == first.patient and one != first)
    assert [pane["key"] for pane in compare.data["panes"]] == ["query", first.case_id]
    (choice,) = (one for one in compare.app.segmented_control if one.label == "Films of this patient")
    assert list(choice.options) == ["This case", describe_brief(other.view, other.age, "")]
    compare.app.session_state["film_of_case"] = other.case_id
    compare.run()
    assert [pane["key"] for pane in compare.data["panes"]] == ["query", other.case_id]
    log = open_audit(workspace)
    assert any(log.name(Subject("case", other.case_id)) in entry.subjects for entry in log.entries())
    compare.press("Next ▶")
    assert compare.data["panes"][1]["key"] == search.case_ids[1], "the next case shows its own film"
    workspace.catalogue.remove(other.case_id)
    alone = open_page("compare")
    for key in ("films", "current_film", "ranking"):
        alone.app.session_state[key] = search.app.session_state[key]
    assert not [one for one in alone.run().app.segmented_control if one.label == "Films of this patient"]


def test_an_open_film_is_added_with_its_proven_diagnosis(workspace, open_page, monkeypatch):
    monkeypatch.setattr(ingest_job, "index_targets", lambda *_: None)
    search = open_page("search")
    film = fakes.make_radiograph(77)
    search.app.file_uploader[0].set_value(("Smith_Jane.png", encode_lossless(film), "image/png"))
    search.run()
    page = open_page("catalogue")
    assert not [one for one in page.turn_to("Add films").app.button if one.label == "Add this film"]
    for key in ("films", "current_film"):
        page.app.session_state[key] = search.app.session_state[key]
    page.run()
    page.app.multiselect(key="own_film_present").set_value(["Mass"])
    page.app.multiselect(key="own_film_absent").set_value(["Effusion"])
    page.app.text_area[0].set_value("Hamartoma, resected.")
    page.press("Add this film")
    growth = ingest_job.get_growth(workspace)
    assert growth.finished.wait(60) and growth.error is None, growth.error
    (added,) = workspace.catalogue.listing.read_page(ListFilter(text="hamartoma"))
    assert added.case.present == ("Mass",) and added.case.findings["Effusion"] is FindingState.ABSENT
    assert np.array_equal(read_case_radiograph(workspace, added.case).pixels, film.pixels)
    assert "Smith" not in repr(added.case) and "Smith" not in "".join(path.name for path in workspace.images.iterdir())
    assert all(check.passed for check in verify_workspace(workspace))
    page.press("Add this film")
    growth = ingest_job.get_growth(workspace)
    assert growth.finished.wait(60) and f"has this film already, as '{added.case.case_id}'" in growth.error


def test_one_who_may_not_add_adds_no_film(workspace, monkeypatch):
    monkeypatch.setattr(access, "get_person", lambda: Person("somebody", Role.READER, signed_in=True))
    with pytest.raises(AccessRefused):
        ingest_job.start_addition(workspace, None, ProvenFilm({}, "a diagnosis", "PA"), ())
    assert workspace.catalogue.count() == 14
