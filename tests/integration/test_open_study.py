"""A study of a real archive is opened: frontal film first, then lateral and prior, and what speaks against them."""

from __future__ import annotations

import io
from dataclasses import replace

import pydicom
import pytest

from icbir_core.catalogue import Workspace
from icbir_core.errors import PacsMismatch, PacsNotFound, PacsStopped
from icbir_core.pacs.archive import Archive
from icbir_core.pacs.opening import Fetching, LeftOut, OpenedFilm, Part, StudyRequest, find_study, open_study
from icbir_core.pacs.searched import name_study, read_searched, record_searched
from icbir_core.radiograph.reading import read_radiograph
from icbir_core.settings import PacsSettings


@pytest.fixture
def workspace(tmp_path):
    return Workspace.create(tmp_path / "workspace")


def connect(orthanc) -> Archive:
    return Archive(PacsSettings(orthanc.dicomweb, user=orthanc.user, password=orthanc.password))


def open_films(opened: Archive, workspace: Workspace, request: StudyRequest, **more):
    return list(open_study(opened, workspace, find_study(opened, request), **more))


def pick(films, number: int):
    """Prior, frontal and lateral film of a patient."""
    return films[3 * number : 3 * number + 3]


@pytest.mark.parametrize("by", ["study", "accession"])
def test_the_frontal_film_comes_first_then_lateral_and_prior(archive, archive_films, workspace, by):
    for number in range(2):
        prior, frontal, lateral = pick(archive_films, number)
        request = StudyRequest(**{by: getattr(frontal, by)})
        found = open_films(connect(archive), workspace, request)
        assert [one.part for one in found] == [Part.FRONTAL, Part.LATERAL, Part.PRIOR]
        for one, film in zip(found, (frontal, lateral, prior), strict=True):
            assert one.data == film.data
            assert one.query.radiograph.pixel_sha256 == read_radiograph(film.data).pixel_sha256
            assert one.query.patient == workspace.hash_patient(f"{film.patient}^^^SIMULATED")
            assert one.query.instance == workspace.hash_instance(film.instance)
        assert found[2].day < found[0].day


def test_the_first_study_of_a_patient_has_no_prior(archive, archive_films, workspace):
    prior, *_ = pick(archive_films, 0)
    found = open_films(connect(archive), workspace, StudyRequest(prior.study))
    assert [one.part for one in found] == [Part.FRONTAL]


def test_a_number_of_another_issuer_is_another_patient(empty_archive, archive_films, workspace):
    prior, frontal, _ = pick(archive_films, 0)
    stranger = pydicom.dcmread(io.BytesIO(prior.data))
    stranger.IssuerOfPatientID = "ELSEWHERE"
    stream = io.BytesIO()
    stranger.save_as(stream)
    empty_archive.store([frontal.data, stream.getvalue()])
    found = open_films(connect(empty_archive), workspace, StudyRequest(frontal.study))
    assert isinstance(found[1], LeftOut) and "another patient" in found[1].reason
    assert [type(one) for one in found] == [OpenedFilm, LeftOut]


def test_what_is_not_asked_for_is_left_out_and_told(archive, archive_films, workspace, monkeypatch):
    prior, frontal, lateral = pick(archive_films, 0)
    right = Archive.fetch_film

    def lie(self, reference, *more):
        wrong = replace(reference, series=prior.series, study=prior.study, instance=prior.instance)
        return right(self, wrong if reference.instance == lateral.instance else reference, *more)

    monkeypatch.setattr(Archive, "fetch_film", lie)
    found = open_films(connect(archive), workspace, StudyRequest(frontal.study))
    assert [getattr(one, "part", None) for one in found] == [Part.FRONTAL, None, Part.PRIOR]
    assert "another film" in found[1].reason


def test_where_no_film_is_right_the_reason_is_raised(archive, archive_films, workspace, monkeypatch):
    frontal, other = archive_films[1], archive_films[4]
    monkeypatch.setattr(Archive, "fetch_film", lambda self, *more: other.data)
    with pytest.raises(PacsMismatch):
        open_films(connect(archive), workspace, StudyRequest(frontal.study))


def test_a_damaged_film_is_left_out(archive, archive_films, workspace, monkeypatch):
    _, frontal, lateral = pick(archive_films, 0)
    right = Archive.fetch_film

    def cut(self, reference, *more):
        data = right(self, reference, *more)
        return data[: len(data) // 2] if reference.instance == lateral.instance else data

    monkeypatch.setattr(Archive, "fetch_film", cut)
    found = open_films(connect(archive), workspace, StudyRequest(frontal.study))
    assert [type(one) for one in found] == [OpenedFilm, LeftOut, OpenedFilm]


def test_unknown_studies_and_a_reader_who_stops(archive, archive_films, workspace):
    opened = connect(archive)
    for request in (StudyRequest("1.2.3"), StudyRequest(accession="nothing"), StudyRequest()):
        with pytest.raises(PacsNotFound):
            find_study(opened, request)
    found = open_study(opened, workspace, opened.get_study(archive_films[1].study), Fetching(stopped=lambda: True))
    with pytest.raises(PacsStopped):
        next(found)


def test_searched_studies_are_remembered_without_their_uids(workspace):
    assert read_searched(workspace) == frozenset()
    for _ in range(2):
        record_searched(workspace, "1.2.3")
    record_searched(workspace, "1.2.4")
    assert read_searched(workspace) == {name_study(workspace, "1.2.3"), name_study(workspace, "1.2.4")}
    (file,) = workspace.path.glob("searched*")
    assert "1.2.3" not in file.read_text() and len(file.read_text().split()) == 2
