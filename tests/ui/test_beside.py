"""Films of one patient stand together on the page Search: of a drop, of the catalogue, and as the reader says."""

from __future__ import annotations

import io

import cv2
import numpy as np
import pydicom
import pytest

from icbir_core.audit import open_audit
from icbir_ui import films
from icbir_ui.state import Key
from scripts.archive_films import make_archive_films
from tests.helpers import fakes


@pytest.fixture(scope="module")
def dropped():
    """Prior, frontal and lateral film of one patient, then of another."""
    return [film.data for film in make_archive_films(patients=2, size=96)]


@pytest.fixture
def drop(make_page):
    def drop_files(*files: bytes):
        page = make_page("search").run()
        page.app.file_uploader[0].set_value([(f"IM{at}", data, "") for at, data in enumerate(files)])
        return page.run()

    return drop_files


def list_labels(page) -> list[str]:
    return [one["label"] for one in page.data["strip"]]


def test_films_of_one_study_that_are_dropped_together_stand_together(drop, dropped):
    prior, frontal, lateral, stranger = dropped[:4]
    page = drop(frontal, stranger, prior, lateral)
    view = pydicom.dcmread(io.BytesIO(prior)).ViewPosition
    assert list_labels(page) == ["Lateral", f"{view}, another study"]
    assert "IM3" not in str(page.data["strip"]), "a file's name may name a patient"
    page.decide("taken", 1, pane=page.data["strip"][0]["key"])
    page.run()
    held = page.app.session_state[Key.FILMS.value]
    assert held[page.app.session_state[Key.CURRENT.value]].radiograph.view == "LATERAL"
    assert len(list_labels(page)) == 2


def test_a_film_without_a_header_stands_alone_until_the_reader_puts_it_to_another(drop, dropped):
    radiograph = fakes.make_radiograph(3)
    plain = cv2.imencode(".png", np.rint(radiograph.pixels * 255).astype(np.uint8))[1].tobytes()
    page = drop(dropped[1], plain)
    assert list_labels(page) == []
    (choice,) = (one for one in page.app.multiselect if one.label.startswith("Films of the same study"))
    choice.set_value(
        [one for one in page.app.session_state[Key.FILMS.value] if one != page.app.session_state["current_film"]]
    )
    page.run()
    page.press("Put together")
    assert list_labels(page) == ["Film"]


def test_the_catalogues_other_films_of_a_patient_are_offered_by_age(open_page, workspace):
    first, second = (workspace.catalogue.get(f"case_{number:03d}") for number in (2, 3))
    assert first.patient == second.patient
    page = open_page("search", film=second.case_id)
    assert list_labels(page) == [f"Catalogue, {first.age} · {first.view}"]
    page.decide("beside", 1, pane=page.data["strip"][0]["key"])
    assert [one["key"] for one in page.data["panes"] if one["beside"]] == [f"case {first.case_id}"]
    log = open_audit(workspace)
    seen = [entry.subjects for entry in log.entries() if entry.action == "saw"]
    assert (log.name(films.access.Subject("case", first.case_id)),) in seen
    workspace.catalogue.remove(first.case_id)
    page = open_page("search", film=second.case_id)
    assert list_labels(page) == []
