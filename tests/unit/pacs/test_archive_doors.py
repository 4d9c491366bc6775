"""Films of the archive meet the checks that films of the disk meet: duplicates, laterals, inverted films, films that
are no chest films, and text in the picture."""

from __future__ import annotations

import io
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pydicom
import pytest
from pydicom.dataset import Dataset
from pydicom.uid import ExplicitVRLittleEndian

from icbir_core.catalogue import IngestOptions, Workspace, ingest, read_query
from icbir_core.pacs.opening import read_archive_film
from icbir_core.pacs.studies import FilmReference
from icbir_core.radiograph import assess_quality
from scripts.archive_films import ArchiveFilm
from tests.helpers.fake_archive import answer_from, run_fake_archive


def draw_noise(dataset: Dataset) -> None:
    noise = np.random.default_rng(1).integers(0, 4096, (dataset.Rows, dataset.Columns), dtype=np.uint16)
    dataset.PixelData = noise.tobytes()


def invert(dataset: Dataset) -> None:
    dataset.PixelData = (4080 - dataset.pixel_array).tobytes()


KINDS: dict[str, Callable[[Dataset], object]] = {
    "": lambda dataset: None,
    "inverted": invert,
    "not_chest": draw_noise,
    "lateral": lambda dataset: setattr(dataset, "ViewPosition", "LL"),
    "burned_in": lambda dataset: setattr(dataset, "BurnedInAnnotation", "YES"),
}


@pytest.fixture(scope="module")
def films(archive_films) -> dict[str, ArchiveFilm]:
    """A film of a patient of its own for each kind, and the first one once more under other UIDs."""
    plain = [film for film in archive_films if film.syntax == ExplicitVRLittleEndian and film.prior]
    changed = {kind: change(film, KINDS[kind]) for kind, film in zip(KINDS, plain, strict=True)}
    return changed | {"twin": change(plain[0], lambda dataset: None, other=True)}


def change(film: ArchiveFilm, alter: Callable[[Dataset], object], other: bool = False) -> ArchiveFilm:
    dataset = pydicom.dcmread(io.BytesIO(film.data))
    alter(dataset)
    names = {name: f"{getattr(film, name)[:-2]}99" if other else getattr(film, name) for name in ("study", "series")}
    dataset.StudyInstanceUID, dataset.SeriesInstanceUID = names["study"], names["series"]
    dataset.SOPInstanceUID = f"{film.instance[:-2]}99" if other else film.instance
    dataset.file_meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID
    stream = io.BytesIO()
    dataset.save_as(stream)
    return replace(film, data=stream.getvalue(), instance=str(dataset.SOPInstanceUID), **names)


def test_a_film_that_is_opened_is_doubted_as_one_that_is_dropped(films, tmp_path):
    workspace = Workspace.create(tmp_path / "w")
    for kind, film in films.items():
        reference = FilmReference(film.study, film.series, film.instance, film.patient)
        opened = read_archive_film(workspace, reference, film.data).query
        dropped = read_query(workspace, "drop", film.data)
        for query in (opened, dropped):
            assert assess_quality(query.radiograph).kinds == ((kind,) if kind in KINDS and kind else ())
        assert (opened.patient, opened.instance) == (dropped.patient, dropped.instance)
        assert opened.radiograph.pixel_sha256 == dropped.radiograph.pixel_sha256


def test_an_ingest_from_the_archive_takes_doubts_and_refuses_as_one_of_files(films, tmp_path):
    folder = tmp_path / "files"
    folder.mkdir()
    for film in films.values():
        (folder / film.instance).write_bytes(film.data)
    told = []
    with run_fake_archive(answer_from(list(films.values()))) as fake:
        for name, options in (
            ("files", IngestOptions("dicom", folder)),
            ("web", IngestOptions("dicomweb", fake.address)),
        ):
            report = ingest(Workspace.create(tmp_path / f"of {name}"), options)
            reasons = sorted(reason.split("'")[0] for _, reason in report.skipped)
            told.append((report.added, report.already, reasons, sorted(doubt for _, doubt in report.doubtful)))
    assert told[0] == told[1]
    added, already, reasons, doubts = told[0]
    assert added == 3 and len(reasons) + already == 3 and len(doubts) == 2
