"""A film of the archive in the catalogue: without whose it was, and only where its picture names nobody."""

from __future__ import annotations

import io

import numpy as np
import pydicom
import pytest

from icbir_core.catalogue import Workspace, read_case_radiograph
from icbir_core.catalogue.adding import ProvenFilm, add_film
from icbir_core.catalogue.asking import read_query
from icbir_core.catalogue.verifying import verify_workspace
from icbir_core.errors import CatalogueError
from icbir_core.findings import FindingState
from scripts.archive_films import make_archive_films

pytestmark = pytest.mark.usefixtures("either_database")

PROVEN = ProvenFilm({"Mass": FindingState.PRESENT}, "", "PA")


@pytest.fixture(scope="module")
def film():
    return make_archive_films(patients=1, size=64)[1]


def test_a_film_of_the_archive_goes_in_without_name_number_and_uid(tmp_path, film):
    workspace = Workspace.create(tmp_path / "workspace")
    query = read_query(workspace, "film from the PACS", film.data)
    case = workspace.catalogue.get(add_film(workspace, query, PROVEN))
    assert case.present == ("Mass",) and np.array_equal(
        read_case_radiograph(workspace, case).pixels, query.radiograph.pixels
    )
    assert case.patient == workspace.hash_patient(f"{film.patient}^^^SIMULATED")
    assert case.instance == workspace.hash_instance(film.instance)
    held = [path.read_bytes() for path in workspace.path.rglob("*") if path.is_file()]
    for text in (film.patient, film.study, film.instance, film.accession, "Simulated^"):
        assert not [one for one in held if text.encode() in one], text
    assert all(check.passed for check in verify_workspace(workspace))
    assert workspace.catalogue.find_of_patients([case.patient]) == [case]
    assert workspace.catalogue.find_of_patients(["0" * 16]) == []


def test_a_film_of_which_nothing_is_proven_goes_in_with_every_finding_unknown(tmp_path, film):
    workspace = Workspace.create(tmp_path / "workspace")
    query = read_query(workspace, "film from the PACS", film.data)
    unknown = ProvenFilm({"Mass": FindingState.UNKNOWN}, " ", "PA")
    case = workspace.catalogue.get(add_film(workspace, query, unknown))
    assert case.findings == {} and case.present == () and case.diagnosis is None
    assert all(check.passed for check in verify_workspace(workspace))


def test_a_film_with_text_burned_in_is_refused_and_leaves_nothing(tmp_path, film):
    dataset = pydicom.dcmread(io.BytesIO(film.data))
    dataset.BurnedInAnnotation = "YES"
    stream = io.BytesIO()
    dataset.save_as(stream)
    workspace = Workspace.create(tmp_path / "workspace")
    with pytest.raises(CatalogueError, match="burned into the picture"):
        add_film(workspace, read_query(workspace, "film", stream.getvalue()), PROVEN)
    assert workspace.catalogue.count() == 0 and not list(workspace.images.glob("*.png"))
