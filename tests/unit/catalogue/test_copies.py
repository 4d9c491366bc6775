"""One film in several files is one case, however the copies came, and every patient that they name is known."""

from __future__ import annotations

import shutil
import sqlite3
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
from pydicom import dcmread

from icbir_core.catalogue import IngestOptions, Workspace, ingest, ingesting, read_query
from icbir_core.catalogue.film_places import LocalFilms
from icbir_core.catalogue.workspace import SALT
from icbir_core.errors import FilmsAway
from icbir_core.phantom import write_simulated
from icbir_core.radiograph import read_radiograph
from icbir_core.radiograph.same_picture import is_same_picture
from icbir_core.retrieval.case_keys import CaseKeys
from tests.helpers.made_data_sets import write_dicom, write_film, write_table

pytestmark = pytest.mark.usefixtures("either_database")

UID = "1.2.826.0.1.3680043.8.498.200.0"


def change(source: Path, target: Path, **elements: object) -> Path:
    """The same DICOM file with other elements; None takes one out."""
    dataset = dcmread(source)
    for keyword, value in elements.items():
        if value is None:
            delattr(dataset, keyword)
        else:
            setattr(dataset, keyword, value)
    target.parent.mkdir(exist_ok=True)
    dataset.save_as(target)
    return target


@pytest.fixture
def archive(tmp_path) -> Path:
    """Four files of one film, one of them under another patient number, and a film of its own."""
    folder = tmp_path / "archive"
    first = write_dicom(folder / "a.dcm", seed=1, SOPInstanceUID=UID, PatientID="P0")
    change(first, folder / "b.dcm", InstitutionName="Archive 2")
    change(first, folder / "c.dcm", PatientID="P0-OLD")
    change(first, folder / "d.dcm", SOPInstanceUID="1.2.3.4", PatientName="Other^Name")
    write_dicom(folder / "e.dcm", seed=2, PatientID="P9")
    return folder


def find_excluded(workspace: Workspace, patient: str) -> set[str]:
    """The cases that a search with a film of a patient leaves out."""
    rows = CaseKeys.read(workspace.catalogue).find_patient(workspace.hash_patient(patient))
    return {workspace.catalogue.get_row(int(row)).case_id for row in rows}


@pytest.mark.parametrize("layout", ["folder", "dicom", "table", "vindr"])
def test_one_film_in_four_files_is_one_case(workspace, archive, layout):
    names = ("a", "b", "c", "d", "e")
    if layout == "table":
        table = write_table(archive.parent / "l.csv", "image,Effusion\n" + "\n".join(f"{name}.dcm,1" for name in names))
        options = IngestOptions("folder", archive, table)
    elif layout == "vindr":
        rows = "\n".join(f"{name},Cardiomegaly,R1" for name in names)
        options = IngestOptions(
            "vindr", archive, write_table(archive.parent / "l.csv", f"image_id,class_name,rad_id\n{rows}")
        )
    else:
        options = IngestOptions(layout, archive)
    report = ingest(workspace, options)
    assert (report.added, report.count_copies(), len(report.skipped)) == (2, 3, 3)
    case = workspace.catalogue.get_row(0)
    assert all(reason.startswith(f"a copy of the case '{case.case_id}'") for _, reason in report.skipped)
    assert sum("under another patient" in reason for _, reason in report.skipped) == 1
    assert report.count_reasons() == {"a copy of a film that the catalogue holds": 3}
    assert case.patients == tuple(workspace.hash_patient(one) for one in ("P0", "P0-OLD"))
    for patient in ("P0", "P0-OLD"):
        assert find_excluded(workspace, patient) == {case.case_id}, "the copy does not slip by the same-patient rule"
    assert len(list(workspace.images.iterdir())) == 2, "no stored film of a copy is left"
    digest = workspace.catalogue.sha256()
    again = ingest(workspace, options)
    assert (again.added, again.already, again.skipped) == (0, 2, report.skipped)
    assert workspace.catalogue.sha256() == digest


def test_a_known_copy_is_not_decoded_again(workspace, archive, monkeypatch):
    ingest(workspace, IngestOptions("folder", archive))
    monkeypatch.setattr(ingesting, "store_film", lambda *_: pytest.fail("nothing is new"))
    assert ingest(workspace, IngestOptions("folder", archive)).already == 2
    monkeypatch.undo()
    write_dicom(archive / "b.dcm", seed=7, PatientID="P7", SOPInstanceUID="1.2.7", InstitutionName="Other")
    assert ingest(workspace, IngestOptions("folder", archive)).added == 1, "another film of that name is one of its own"


def test_a_copy_that_comes_later_from_another_place(workspace, archive, tmp_path):
    ingest(workspace, IngestOptions("dicom", archive))
    kept = workspace.catalogue.get_row(0).case_id
    film = read_radiograph(archive / "a.dcm")
    other = tmp_path / "other"
    other.mkdir()
    cv2.imwrite(str(other / "export.png"), np.rint(film.pixels * 65535).astype(np.uint16))
    table = write_table(tmp_path / "l.csv", "image,patient,Effusion\nexport.png,ward-12,1")
    digest = workspace.catalogue.sha256()
    report = ingest(workspace, IngestOptions("folder", other, table))
    assert report.added == 0 and report.skipped == [
        (
            "export.png",
            f"a copy of the case '{kept}', under another patient; a search with a film of either leaves that case out",
        )
    ]
    assert find_excluded(workspace, "ward-12") == {kept}
    assert workspace.catalogue.sha256() == digest, "an index made before stays right"


def test_a_removed_case_does_not_come_back_by_a_copy(workspace, archive):
    ingest(workspace, IngestOptions("folder", archive))
    workspace.catalogue.remove("a")
    (archive / "f.dcm").write_bytes((archive / "a.dcm").read_bytes())
    assert ingest(workspace, IngestOptions("folder", archive)).added == 0 and workspace.catalogue.count() == 1


def test_a_patient_that_only_the_copy_names_is_known(workspace, archive, tmp_path):
    films = tmp_path / "films"
    change(archive / "a.dcm", archive / "0.dcm", PatientID="")
    films.mkdir()
    for name in ("0.dcm", "a.dcm"):
        shutil.copy(archive / name, films)
    report = ingest(workspace, IngestOptions("folder", films))
    assert report.skipped == [("a", "a copy of the case '0'")]
    assert workspace.catalogue.get("0").patients == (workspace.hash_patient("P0"),)


def test_a_film_compressed_with_loss_is_the_same_instance(workspace, tmp_path):
    films = write_simulated(tmp_path / "made", count=2, seed=3, size=128) / "images"
    pictures = [cv2.imread(str(path), cv2.IMREAD_GRAYSCALE) for path in sorted(films.glob("*.png"))]
    folder = tmp_path / "archive"
    for name, picture, uid in (("a", pictures[0], UID), ("b", pictures[0], UID), ("c", pictures[1], UID)):
        if name == "b":
            picture = np.clip(picture.astype(int) * 1.4 - 40, 0, 255).astype(np.uint8)
        shape = {"Rows": picture.shape[0], "Columns": picture.shape[1], "PixelData": picture.tobytes()}
        write_dicom(
            folder / f"{name}.dcm",
            SOPInstanceUID=uid,
            BitsAllocated=8,
            BitsStored=8,
            HighBit=7,
            PatientID=name,
            **shape,
        )
    report = ingest(workspace, IngestOptions("folder", folder))
    assert [item for item, _ in report.skipped] == ["b"] and report.count_copies() == 1
    assert workspace.catalogue.get("c").instance is None
    doubt = dict(report.doubtful)["c"]
    assert "identifier of the case 'a', which shows another picture" in doubt, "an exporter that gives all one UID"


def test_the_same_stored_values_under_another_header_are_one_film(workspace, archive, tmp_path):
    """Another window, another instance, another patient: only the values in the file are the same."""
    folder = tmp_path / "stations"
    first = write_dicom(folder / "a.dcm", seed=1, PatientID="P0", SOPInstanceUID="1.2.1")
    windowed = {"WindowCenter": 100, "WindowWidth": 900}
    change(first, folder / "b.dcm", PatientID="P1", SOPInstanceUID="1.2.2", **windowed)
    change(first, folder / "c.dcm", PatientID="P2", SOPInstanceUID="1.2.3", PhotometricInterpretation="MONOCHROME1")
    values = dcmread(first).pixel_array
    other = {"PatientID": "P3", "SOPInstanceUID": "1.2.4", "PixelData": (values // 2).tobytes()}
    change(first, folder / "d.dcm", **other)
    report = ingest(workspace, IngestOptions("folder", folder))
    assert [item for item, _ in report.skipped] == ["b", "c"] and report.count_copies() == 2
    assert len(list(workspace.images.iterdir())) == 2
    for patient in ("P0", "P1", "P2"):
        assert find_excluded(workspace, patient) == {"a"}
    windowed = {"WindowCenter": 300, "WindowWidth": 700}
    later = change(first, tmp_path / "later" / "e.dcm", PatientID="P5", SOPInstanceUID="1.2.5", **windowed)
    assert ingest(workspace, IngestOptions("folder", later.parent)).count_copies() == 1
    query = read_query(workspace, "q", later).radiograph
    keys = CaseKeys.read(workspace.catalogue)
    assert keys.find_image(query.pixel_sha256, query.stored_sha256).tolist() == [0]


def test_what_is_one_picture_and_what_is_not(tmp_path):
    films = write_simulated(tmp_path / "made", count=3, seed=5, size=256) / "images"
    first, second, third = (read_radiograph(path) for path in sorted(films.glob("*.png")))
    path = tmp_path / "other.png"
    for pixels in (1.0 - first.pixels, first.pixels**2.2, cv2.resize(first.pixels, (128, 128))):
        cv2.imwrite(str(path), np.rint(pixels * 65535).astype(np.uint16))
        assert is_same_picture(first.pixels, read_radiograph(path).pixels)
    assert not is_same_picture(first.pixels, second.pixels) and not is_same_picture(second.pixels, third.pixels)


def test_a_query_knows_its_film_by_pixels_and_by_instance(workspace, archive, tmp_path):
    ingest(workspace, IngestOptions("dicom", archive))
    keys = CaseKeys.read(workspace.catalogue)
    by_pixels = change(archive / "a.dcm", tmp_path / "q1.dcm", PatientID="X", SOPInstanceUID="1.2.3.9")
    by_instance = change(archive / "a.dcm", tmp_path / "q2.dcm", PatientID="X", WindowCenter=100, WindowWidth=900)
    other = write_dicom(tmp_path / "q3.dcm", seed=8, PatientID="X")
    found = []
    for path in (by_pixels, by_instance, other):
        query = read_query(workspace, "q", path)
        found += [keys.find_image(query.radiograph.pixel_sha256).tolist(), keys.find_instance(query.instance).tolist()]
    assert found == [[0], [], [], [0], [], []]


@pytest.mark.in_a_file
def test_nothing_of_an_instance_is_stored_as_it_is(workspace, archive):
    ingest(workspace, IngestOptions("dicom", archive))
    content = (workspace.path / "catalogue.db").read_bytes()
    assert UID.encode() not in content and b"P0-OLD" not in content


@pytest.mark.in_a_file
def test_a_catalogue_made_before_this_is_opened_and_knows_its_films_by_pixels(workspace, archive):
    ingest(workspace, IngestOptions("folder", archive))
    digest = workspace.catalogue.sha256()
    workspace.catalogue.close()
    with sqlite3.connect(workspace.path / "catalogue.db") as connection:
        connection.execute("DROP INDEX ix_cases_instance")
        connection.execute("DROP INDEX ix_cases_stored_sha256")
        for column in ("instance", "stored_sha256"):
            connection.execute(f"ALTER TABLE cases DROP COLUMN {column}")
        for table in ("copies", "other_patients"):
            connection.execute(f"DROP TABLE {table}")
    opened = Workspace.open(workspace.path)
    assert opened.catalogue.sha256() == digest and opened.catalogue.get("a").other_patients == ()
    report = ingest(opened, IngestOptions("folder", archive))
    assert (report.added, report.already, report.count_copies()) == (0, 2, 3)


def test_a_run_cut_short_among_copies_ends_in_the_same_catalogue(tmp_path, monkeypatch):
    folder = tmp_path / "films"
    for number in range(24):
        first = write_dicom(folder / f"{number:02d}a.dcm", seed=number, PatientID=f"P{number}")
        change(first, folder / f"{number:02d}b.dcm", PatientID=f"Q{number}")
    whole, cut = Workspace.create(tmp_path / "whole"), Workspace.create(tmp_path / "cut")
    shutil.copy(whole.path / SALT, cut.path / SALT)
    complete = ingest(whole, IngestOptions("folder", folder))
    real = ingesting.store_film

    def fail(*arguments):
        if arguments[3] == "15b":
            raise KeyboardInterrupt
        return real(*arguments)

    monkeypatch.setattr(ingesting, "store_film", fail)
    with pytest.raises(KeyboardInterrupt):
        ingest(cut, IngestOptions("folder", folder))
    monkeypatch.undo()
    report = ingest(cut, IngestOptions("folder", folder))
    assert report.skipped == complete.skipped and report.count_copies() == 24
    assert cut.catalogue.sha256() == whole.catalogue.sha256()
    assert [case.patients for case in cut.catalogue.cases()] == [case.patients for case in whole.catalogue.cases()]
    assert {path.name for path in cut.images.iterdir()} == {path.name for path in whole.images.iterdir()}


def test_pngs_of_one_film_under_two_names(workspace, tmp_path):
    write_film(tmp_path / "films" / "a.png", seed=1)
    shutil.copy(tmp_path / "films" / "a.png", tmp_path / "films" / "b.png")
    report = ingest(workspace, IngestOptions("folder", tmp_path / "films", private=True))
    ((item, reason),) = report.skipped
    assert item == "file 2" and reason.startswith("a copy of the case 'case-")


def write_twice(folder: Path) -> IngestOptions:
    """The same picture with other grey levels in a second file of the same identifier."""
    first = write_dicom(folder / "a.dcm", seed=1, SOPInstanceUID=UID, PatientID="P0")
    dataset = dcmread(first)
    dataset.PixelData = (dataset.pixel_array // 2 + 3).astype(dataset.pixel_array.dtype).tobytes()
    dataset.PatientID = "P1"
    dataset.save_as(folder / "b.dcm")
    return IngestOptions("folder", folder)


def test_a_film_that_cannot_be_compared_is_no_copy_and_is_tried_again(workspace, tmp_path, monkeypatch):
    options = write_twice(tmp_path / "archive")
    ingest(workspace, replace(options, limit=1))
    (case,) = workspace.catalogue.cases()
    stored = workspace.path / case.path

    def refuse(place, name):
        raise FilmsAway(f"The film '{name}' cannot be reached (Busy); try again later.")

    with monkeypatch.context() as patch:
        patch.setattr(LocalFilms, "read", refuse)
        with pytest.raises(FilmsAway, match="try again later"):
            ingest(workspace, options)
    whole = stored.read_bytes()
    for left in (None, write_film(tmp_path / "other.png", seed=9).read_bytes()):
        stored.unlink() if left is None else stored.write_bytes(left)
        ((name, reason),) = ingest(workspace, options).skipped
        assert name == "b" and "cannot be compared with the case of its identifier" in reason
        assert not workspace.catalogue.copies.find(["b"]) and find_excluded(workspace, "P1") == set()
        assert workspace.catalogue.count() == 1 and not (workspace.images / "b.png").exists()
    stored.write_bytes(whole)
    assert ingest(workspace, options).skipped == [
        ("b", "a copy of the case 'a', under another patient; a search with a film of either leaves that case out")
    ]
