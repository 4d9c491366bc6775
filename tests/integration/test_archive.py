"""The archive that the other tests use is a real one, and holds what they believe."""

from __future__ import annotations

import io
import urllib.error

import pydicom
import pytest

from icbir_core.radiograph import read_radiograph
from scripts.archive_films import SYNTAXES, make_archive_films


def test_thirty_films_of_ten_patients_in_six_transfer_syntaxes(archive_films):
    assert len({film.instance for film in archive_films}) == 30
    assert len({film.patient for film in archive_films}) == 10
    assert {film.syntax for film in archive_films} == {str(one) for one in SYNTAXES}
    for film in archive_films:
        dataset = pydicom.dcmread(io.BytesIO(film.data), stop_before_pixels=True)
        assert dataset.file_meta.TransferSyntaxUID == film.syntax
        assert dataset.SOPInstanceUID == film.instance and dataset.StudyInstanceUID == film.study
    studies = {film.study: film.patient for film in archive_films}
    assert len(studies) == 20


def test_each_film_is_read_and_says_its_view():
    films = make_archive_films(patients=2)
    views = [read_radiograph(film.data).view for film in films]
    assert [view == "LATERAL" for view in views] == [False, False, True, False, False, True]
    assert {film.syntax for film in films} == {str(one) for one in SYNTAXES}


def test_the_archive_stores_and_returns_each_byte(archive, archive_films):
    (name,) = archive.store([archive_films[0].data])  # once more: it keeps the first
    assert archive.read_file(name) == archive_films[0].data
    assert len(archive.ask("/instances")) == 30


def test_the_archive_wants_a_password(archive):
    archive = type(archive)(archive.folder, archive.port, archive.dicom_port, archive.client_port, password="another")
    with pytest.raises(urllib.error.HTTPError, match="40[13]"):
        archive.ask("/system")


def test_a_killed_archive_comes_back_with_its_films(empty_archive, archive_films):
    empty_archive.store([archive_films[0].data])
    empty_archive.kill()
    with pytest.raises(OSError):
        empty_archive.ask("/system")
    empty_archive.start()
    assert len(empty_archive.ask("/instances")) == 1
