"""The part Folders of the page Catalogue, its links, and its teaching files."""

from __future__ import annotations

import base64
import io
import re

import cv2
import numpy as np
import pytest
from pypdf import PdfReader

from icbir_core.access import Person, Role
from icbir_core.catalogue.folder_tables import SavedCase
from icbir_core.deidentifying import leaving
from icbir_ui import shared
from icbir_ui.catalogue import folders as part
from icbir_ui.export.html import write_teaching_html
from icbir_ui.export.pdf import write_teaching_pdf
from icbir_ui.export.teaching import gather_teaching_file
from icbir_ui.export.teaching_controls import find_maps
from icbir_ui.search.asking import Maps
from tests.helpers.stores import change_catalogue

NOTE = "a <b>mimic</b> of effusion"


@pytest.fixture
def folder(workspace):
    """A folder of the reader "tester" with three cases."""
    store = shared.open_folders()
    made = store.make_folder("tester", "teaching: mimics")
    for name in ("case_000", "case_003", "case_004"):
        store.save(made.folder_id, "tester", name, NOTE if name == "case_003" else "")
    return made


def list_rows(page) -> list[str]:
    return [row["name"] for row in page.data["rows"]]


def list_saved(folder) -> list[str]:
    return [one.case_id for one in shared.open_folders().list_cases(folder.folder_id, folder.owner)]


def test_a_reader_looks_through_renames_and_removes_her_folder_and_undoes_it(folder, open_page, workspace):
    page = open_page("catalogue").turn_to("Folders")
    assert list_rows(page) == ["case_000", "case_003", "case_004"]
    assert page.data["rows"][1]["excerpt"] == [[NOTE, False]]
    page.app.text_input[-1].set_value("mimics of effusion")
    page.press("Rename")
    assert "mimics of effusion (3 cases)" in page.app.selectbox[0].options
    page.app.session_state["saved_case"] = "case_004"
    page.run()
    page.app.text_area[0].set_value("my note")
    page.press("Keep the note")
    assert shared.open_folders().list_cases(folder.folder_id, "tester")[2].note == "my note"
    page.press("Remove the folder")
    assert "no folder yet" in page.text()
    page.press("Undo: bring the folder back")
    assert list_rows(page) == ["case_000", "case_003", "case_004"]


def test_rows_are_ordered_taken_out_and_brought_back(folder, workspace, monkeypatch, open_page):
    taken = {}
    store = shared.open_folders()
    with monkeypatch.context() as patch:
        patch.setattr(part.access, "get_person", lambda: Person("tester", Role.READER, signed_in=True))
        patch.setattr(part.state, "put", taken.__setitem__)
        part.react(workspace, store, folder, "up", "case_004")
        assert list_saved(folder) == ["case_000", "case_004", "case_003"]
        part.react(workspace, store, folder, "out", "case_000")
    assert list_saved(folder) == ["case_004", "case_003"] and taken["taken_out"] == (folder.folder_id, "case_000")
    page = open_page("catalogue")
    page.app.session_state["taken_out"] = taken["taken_out"]
    page.turn_to("Folders").press("Undo: bring the case back")
    assert list_saved(folder) == ["case_000", "case_004", "case_003"]


def test_a_colleague_with_the_link_looks_into_a_shared_folder_and_changes_nothing(folder, open_page):
    refused = open_page("catalogue", reader="colleague", folder=folder.folder_id)
    assert "does not share it" in refused.text() and "no folder yet" in refused.text()
    shared.open_folders().share(folder.folder_id, "tester", True)
    page = open_page("catalogue", reader="colleague", folder=folder.folder_id)
    assert list_rows(page) == ["case_000", "case_003", "case_004"] and [one[0] for one in page.data["acts"]] == [
        "search"
    ]
    labels = [one.label for one in page.app.button]
    assert "Rename" not in labels and "Remove the folder" not in labels
    assert f"teaching: mimics (3 cases) · of {folder.owner}" in page.app.selectbox[0].options


def test_a_case_is_saved_from_the_list_into_a_new_folder(workspace, open_page):
    page = open_page("catalogue")
    page.app.session_state["chosen_case"] = "case_002"
    page.run()
    page.app.text_input[-1].set_value("mine")
    page.app.text_area[0].set_value("a note")
    page.press("Save")
    (made,) = shared.open_folders().list_folders("tester")
    assert made.name == "mine" and shared.open_folders().list_cases(made.folder_id, "tester")[0].case_id == "case_002"


@pytest.fixture
def gathered(workspace, folder):
    change_catalogue(
        workspace,
        "UPDATE cases SET report = 'report of Mrs Smith', diagnosis = 'a proven one' WHERE row = 3",
        "UPDATE cases SET age = 97 WHERE row = 4",
    )
    service = shared.open_service()
    assert service.retriever is not None
    saved = shared.open_folders().list_cases(folder.folder_id, "tester")
    return gather_teaching_file(folder.name, workspace, saved, lambda case: find_maps(service, case))


def test_a_teaching_file_holds_films_maps_and_notes_and_no_name(gathered):
    text = write_teaching_html(gathered).decode()
    assert "a &lt;b&gt;mimic&lt;/b&gt; of effusion" in text and "a proven one" in text and "not for diagnosis" in text
    assert "90 years or more" in text and "97 years" not in text
    assert "case_0" not in text and "Smith" not in text and "<script" not in text and "http" not in text
    pictures = [base64.b64decode(found) for found in re.findall(r"base64,([^\"]+)", text)]
    shapes = [cv2.imdecode(np.frombuffer(one, np.uint8), cv2.IMREAD_UNCHANGED).shape for one in pictures]
    assert len(shapes) == 6 and shapes[0][:2] == (180, 160), "three films, each with its map"


def test_a_film_with_text_burned_in_is_left_off(workspace, folder, monkeypatch):
    saved = shared.open_folders().list_cases(folder.folder_id, "tester")
    monkeypatch.setattr(leaving, "is_burned_in_case", lambda workspace, case: case.case_id == saved[1].case_id)
    file = gather_teaching_file(folder.name, workspace, saved, lambda case: Maps(None, {}))
    assert [one.film is None for one in file.pictures] == [False, True, False]
    assert file.pictures[1].lines[-1] == leaving.LEFT_OFF


def test_the_same_file_as_pdf(gathered):
    read = PdfReader(io.BytesIO(write_teaching_pdf(gathered)))
    text = " ".join(page.extract_text() for page in read.pages)
    assert read.metadata.title == "teaching: mimics" and "mimic" in text and "a proven one" in text
    assert (
        "case_0" not in text
        and "Smith" not in text
        and all("not for diagnosis" in p.extract_text() for p in read.pages)
    )
    assert sum(len(page.images) for page in read.pages) == 6


def test_a_film_that_cannot_be_read_leaves_its_place_and_its_sentence(workspace, folder):
    (workspace.images / "case_003.png").unlink()
    saved = [SavedCase("case_003", NOTE, "")]
    made = gather_teaching_file("one", workspace, saved, lambda case: Maps(None, {}))
    assert made.pictures[0].film is None and "is missing" in " ".join(made.pictures[0].lines)
    assert b"mimic" in write_teaching_html(made) and write_teaching_pdf(made)[:4] == b"%PDF"
