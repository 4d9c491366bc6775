"""Films of a real archive: found, fetched byte for byte, and read as if they had been files."""

from __future__ import annotations

import datetime
import io
import zipfile

import pydicom
import pytest

from icbir_core.errors import PacsNotFound, PacsRefused, PacsUnreachable
from icbir_core.pacs.archive import Archive, check_film
from icbir_core.pacs.studies import StudyQuery
from icbir_core.radiograph.reading import read_film, read_radiograph
from icbir_core.settings import PacsSettings


def open_archive(orthanc, **more) -> Archive:
    settings = {"user": orthanc.user, "password": orthanc.password} | more
    return Archive(PacsSettings(orthanc.dicomweb, **settings))


def test_studies_are_found_by_each_word_and_newest_first(archive, archive_films):
    opened, film = open_archive(archive), archive_films[4]
    every = opened.find_studies(StudyQuery())
    assert {study.uid for study in every} == {one.study for one in archive_films}
    assert [study.moment for study in every] == sorted((study.moment for study in every), reverse=True)
    of_patient = opened.find_studies(StudyQuery(patient=film.patient))
    assert {study.uid for study in of_patient} == {one.study for one in archive_films if one.patient == film.patient}
    (by_accession,) = opened.find_studies(StudyQuery(accession=film.accession))
    assert by_accession.uid == film.study and by_accession.patient == film.patient
    today = datetime.date.today()
    assert len(opened.find_studies(StudyQuery(first=today, last=today))) == 10
    assert opened.find_studies(StudyQuery(patient="nobody")) == []
    assert opened.find_studies(StudyQuery(modalities=("CR",))) == []
    for name in ("Simulated^00", "simulated", "Simulated 009", "S?mulated"):
        assert len(opened.find_studies(StudyQuery(name=name))) == (2 if "9" in name else 20)
    assert opened.find_studies(StudyQuery(name="Nobody")) == []
    assert opened.get_study(film.study).accession == film.accession


def test_each_film_comes_byte_for_byte_and_is_the_one_asked_for(archive, archive_films):
    opened = open_archive(archive)
    held = {film.instance: film for film in archive_films}
    for film in archive_films[3:9]:  # two patients: each of the six transfer syntaxes
        for reference in opened.list_films(opened.get_study(film.study)):
            data = opened.fetch_film(reference)
            assert data == held[reference.instance].data
            radiograph, header = read_film(data)
            check_film(reference, header)
            assert radiograph.pixel_sha256 == read_radiograph(held[reference.instance].data).pixel_sha256
            assert reference.view == radiograph.view


def test_the_frontal_film_comes_first(archive, archive_films):
    opened = open_archive(archive)
    study = next(film.study for film in archive_films if film.view == "LL")
    assert [film.view == "LATERAL" for film in opened.list_films(opened.get_study(study))] == [False, True]


def test_what_is_not_there_and_who_is_not_let_in(archive):
    with pytest.raises(PacsNotFound):
        open_archive(archive).get_study("1.2.3.4")
    with pytest.raises(PacsRefused):
        open_archive(archive, password="another").find_studies(StudyQuery())


def test_a_study_without_a_chest_film_has_none(empty_archive, archive_films):
    empty_archive.store([change_film(archive_films[0].data, BodyPartExamined="HAND")])
    opened = open_archive(empty_archive)
    assert opened.list_films(opened.get_study(archive_films[0].study)) == []


def test_an_archive_that_is_killed_in_the_middle_of_a_fetch(empty_archive, archive_films):
    film = archive_films[0]
    large = change_film(film.data, Rows=2500, Columns=2500, PixelData=bytes(2 * 2500 * 2500))
    empty_archive.store([large])
    opened = open_archive(empty_archive)
    (reference,) = opened.list_films(opened.get_study(film.study))

    def kill(done, total, text):
        empty_archive.kill()

    with pytest.raises(PacsUnreachable):
        opened.fetch_film(reference, kill)
    empty_archive.start()
    assert opened.fetch_film(reference) == large


def test_an_archive_that_does_not_answer_is_given_up_and_serves_later(empty_archive, archive_films):
    empty_archive.store([archive_films[0].data])
    opened = Archive(PacsSettings(empty_archive.dicomweb, empty_archive.user, empty_archive.password, seconds=0.5))
    empty_archive.pause()
    with pytest.raises(PacsUnreachable):
        opened.find_studies(StudyQuery())
    empty_archive.resume()
    assert len(opened.find_studies(StudyQuery())) == 1


def test_two_thousand_studies_in_one_query(empty_archive, archive_films):
    """Small objects without a picture: only what a list needs."""
    film = archive_films[0]
    small = pydicom.dcmread(io.BytesIO(film.data), stop_before_pixels=True)
    plain = write_film(small)
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        for number in range(2001):
            data = plain
            for uid in (film.study, film.series, film.instance):
                data = data.replace(uid.encode(), uid[:-5].encode() + f"{number:05d}".encode())
            archive.writestr(f"{number}.dcm", data)
    empty_archive.ask("/instances", packed.getvalue())
    opened = open_archive(empty_archive)
    heard = []
    found = opened.find_studies(StudyQuery(patient=film.patient), lambda *said: heard.append(said[0]))
    assert len(found) == 2001 and len({study.uid for study in found}) == 2001
    assert heard == sorted(heard) and heard[-1] == 2000


def change_film(data: bytes, **elements) -> bytes:
    """The film with other elements in its header."""
    dataset = pydicom.dcmread(io.BytesIO(data))
    for keyword, value in elements.items():
        setattr(dataset, keyword, value)
    return write_film(dataset)


def write_film(dataset) -> bytes:
    stream = io.BytesIO()
    dataset.save_as(stream)
    return stream.getvalue()
