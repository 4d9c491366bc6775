"""Ingest: what reaches the workspace, what does not, and why."""

from __future__ import annotations

import csv
import errno
import gzip
import shutil
import sqlite3
import tracemalloc
from dataclasses import replace

import cv2
import numpy as np
import pytest

from icbir_core.catalogue import (
    IngestOptions,
    Workspace,
    film_places,
    ingest,
    ingesting,
    read_case_radiograph,
    read_query,
)
from icbir_core.catalogue.storing import name_image
from icbir_core.errors import CatalogueError, WorkspaceError
from icbir_core.files import sha256_of_file
from icbir_core.findings import FindingState
from icbir_core.phantom import write_simulated
from icbir_core.radiograph import describe_facts, read_radiograph
from tests.helpers.made_data_sets import write_dicom, write_film, write_table

pytestmark = pytest.mark.usefixtures("either_database")


@pytest.fixture
def data_set(tmp_path):
    """Six films: two of one patient, one of another, one of nobody, a lateral, and one that is no picture."""
    images = tmp_path / "films"
    for number in range(5):
        write_film(images / f"{number}.png", seed=number)
    (images / "5.png").write_text("not a film")
    table = write_table(
        tmp_path / "labels.csv",
        """image,patient,view,age,sex,Effusion,No Finding
        0.png,p1,PA,40,F,1,0
        1.png,p1,AP,41,F,-1,
        2.png,p2,AP,70,M,,
        3.png,,LATERAL,,,0,1
        4.png,,,,,0,1
        5.png,p3,PA,,,0,1
        0.png,p1,PA,40,F,1,0
        9.png,p1,PA,40,F,1,0""",
    )
    return IngestOptions("folder", images, table)


def read_skipped(workspace: Workspace, name: str = "skipped.csv") -> list[list[str]]:
    """The rows of `skipped.csv`, or of another such list, below its header."""
    with (workspace.path / name).open(newline="", encoding="utf-8-sig") as handle:
        header, *rows = csv.reader(handle)
    assert header == ["item", "reason", "source", "folder"]
    return rows


def test_the_reasons_of_another_data_set_stay(workspace, data_set, tmp_path):
    first = ingest(workspace, data_set).skipped
    other = tmp_path / "other"
    write_film(other / "10.png", seed=10)
    (other / "11.png").write_text("no film")
    ingest(workspace, IngestOptions("folder", other))
    ingest(workspace, IngestOptions("folder", other, source="second"))
    rows = read_skipped(workspace)
    assert [tuple(row[:2]) for row in rows[: len(first)]] == first
    assert [(row[0], row[2]) for row in rows[len(first) :]] == [("11", "folder"), ("10", "second"), ("11", "second")]
    assert len({row[3] for row in rows}) == 2 and str(tmp_path) not in str(rows)
    (data_set.images / "5.png").unlink()
    again = ingest(workspace, data_set).skipped
    assert again != first and sorted(tuple(row[:2]) for row in read_skipped(workspace)) == sorted(
        again + [tuple(row[:2]) for row in rows[len(first) :]]
    )


def test_films_rows_and_reasons(workspace, data_set):
    report = ingest(workspace, data_set)
    catalogue = workspace.catalogue
    assert (report.added, report.already, catalogue.count()) == (4, 0, 4)
    reasons = dict(report.skipped)
    assert reasons["3.png"] == "view LATERAL is not frontal"
    assert reasons["0.png"] == "listed twice" and reasons["9.png"] == "the film is not in the images folder"
    assert "PNG, JPEG or DICOM" in reasons["5.png"]
    assert [tuple(row[:2]) for row in read_skipped(workspace)] == report.skipped
    first, second, third, last = catalogue.cases()
    assert [case.row for case in (first, second, third, last)] == [0, 1, 2, 3]
    assert first.patient == second.patient != third.patient and last.patient is None
    assert first.patient == workspace.hash_patient("p1") and "p1" not in first.patient
    assert second.findings["Effusion"] is FindingState.UNCERTAIN
    assert third.findings["Effusion"] is FindingState.UNKNOWN
    assert np.array_equal(
        catalogue.labels(["Effusion", "No Finding", "Edema"]),
        np.array([[1, 0, np.nan], [np.nan] * 3, [np.nan] * 3, [0, 1, np.nan]], dtype=np.float32),
        equal_nan=True,
    )


def test_progress_reaches_its_end(workspace, data_set):
    told = []
    ingest(workspace, data_set, lambda *words: told.append(words))
    assert [done for done, _, _ in told] == sorted(done for done, _, _ in told)
    assert told[-1] == (8, 8, "4 added, 4 skipped")


def test_stored_films_are_lossless_and_checked(workspace, data_set):
    ingest(workspace, data_set)
    case = workspace.catalogue.get("2")
    original, stored = read_radiograph(data_set.images / "2.png"), read_case_radiograph(workspace, case)
    assert np.array_equal(original.pixels, stored.pixels)
    assert stored.pixel_sha256 == case.pixel_sha256 and (stored.view, stored.age, stored.sex) == ("AP", 70, "M")
    write_film(workspace.path / case.path, seed=77)
    with pytest.raises(WorkspaceError, match="not the one that was stored"):
        read_case_radiograph(workspace, case)
    (workspace.path / case.path).unlink()
    with pytest.raises(WorkspaceError, match="missing"):
        read_case_radiograph(workspace, case)


def test_a_second_run_adds_only_what_is_new(workspace, data_set):
    partial = write_table(data_set.labels.with_name("few.csv"), "image,Effusion\n1.png,1\n0.png,0")
    ingest(workspace, replace(data_set, labels=partial))
    before = {case.case_id: case for case in workspace.catalogue.cases()}
    times = {file.name: file.stat().st_mtime_ns for file in workspace.images.iterdir()}
    report = ingest(workspace, data_set)
    assert (report.added, report.already) == (2, 2)
    after = {case.case_id: case for case in workspace.catalogue.cases()}
    assert [case.row for case in after.values()] == [0, 1, 2, 3]
    assert all(after[name].findings["Effusion"] == before[name].findings["Effusion"] for name in before)
    assert all(workspace.images.joinpath(name).stat().st_mtime_ns == time for name, time in times.items())
    digest = workspace.catalogue.sha256()
    assert ingest(workspace, data_set).added == 0 and workspace.catalogue.sha256() == digest


def test_limit_counts_what_is_there(workspace, data_set):
    assert ingest(workspace, replace(data_set, limit=2)).added == 2
    assert ingest(workspace, replace(data_set, limit=2)).added == 0
    report = ingest(workspace, replace(data_set, limit=3))
    assert (report.added, report.already) == (1, 2)
    assert len(list(workspace.images.iterdir())) == 3, "no film is stored beyond the limit"


def test_another_film_of_the_same_name_is_not_taken_for_the_same(workspace, data_set, tmp_path):
    ingest(workspace, data_set)
    write_film(tmp_path / "other" / "0.png", seed=9, size=64)
    report = ingest(workspace, IngestOptions("folder", tmp_path / "other"))
    assert report.skipped == [("0", "the catalogue already has another film of this name")]
    report = ingest(workspace, IngestOptions("folder", tmp_path / "other", source="second"))
    assert report.skipped == [("0", "the source 'folder' already has a case of this name")]


def test_laterals_on_request(workspace, data_set):
    ingest(workspace, replace(data_set, include_laterals=True))
    assert workspace.catalogue.get("3").view == "LATERAL"


def leaks(workspace: Workspace, *secrets: str) -> list[str]:
    """Which secrets stand anywhere in the workspace, in a name or in a file (salt apart)."""
    found = []
    for file in workspace.path.rglob("*"):
        content = file.read_bytes() if file.is_file() else b""
        found += [secret for secret in secrets if secret.encode() in content or secret in file.name]
    return found


def test_dicom_leaves_no_name_behind(workspace, tmp_path):
    root = tmp_path / "archive"
    write_dicom(root / "Secret^Person 1234567" / "IM1", seed=1)
    write_dicom(root / "Secret^Person 1234567" / "IM2", seed=2, ViewPosition="LL")
    write_dicom(root / "Secret^Person 1234567" / "IM3", seed=3, PixelData=b"\0" * 10)
    (root / "Secret^Person.txt").write_text("letter")
    report = ingest(workspace, IngestOptions("dicom", root))
    assert report.added == 1 and len(report.skipped) == 3
    case = workspace.catalogue.get_row(0)
    assert (case.view, case.age, case.sex, case.source) == ("PA", 61, "F", "dicom")
    assert case.patient == workspace.hash_patient("1234567") and case.case_id.startswith("case-")
    assert not leaks(workspace, "Secret", "Person", "1234567", "IM1", "IM3")
    assert not any(word in text for pair in report.skipped for text in pair for word in ("Secret", "IM1", "IM3"))
    moved = tmp_path / "moved"
    root.rename(moved)
    assert ingest(workspace, IngestOptions("dicom", moved)).already == 1


def test_a_stated_orientation_is_kept(workspace, tmp_path):
    for number, sides in enumerate((["L", "F"], ["R", "F"], None)):
        write_dicom(tmp_path / "archive" / f"IM{number}", seed=number, PatientOrientation=sides)
    ingest(workspace, IngestOptions("dicom", tmp_path / "archive"))
    cases = Workspace.open(workspace.path).catalogue.cases()
    assert [case.orientation_verified for case in cases] == [True, False, False], "mirrored is not as shown"
    films = [read_case_radiograph(workspace, case) for case in cases]
    assert [film.orientation_verified for film in films] == [True, False, False]
    told = [dict(describe_facts(film))["Right / left"] for film in films]
    assert "as the header states" in told[0] and told[1:] == ["orientation unverified"] * 2


def test_a_real_film_keeps_its_orientation(workspace, dicom_directory, tmp_path):
    (tmp_path / "archive").mkdir()
    shutil.copy(dicom_directory / "RG1_J2KI.dcm", tmp_path / "archive" / "film.dcm")
    ingest(workspace, IngestOptions("folder", tmp_path / "archive"))
    assert read_case_radiograph(workspace, workspace.catalogue.get("film")).orientation_verified


def test_a_private_folder_leaves_no_name_behind(workspace, tmp_path):
    write_film(tmp_path / "films" / "Person_1.png", seed=1)
    (tmp_path / "films" / "Person_2.png").write_text("no film")
    table = write_table(
        tmp_path / "labels.csv", "image,patient,Effusion\nPerson_1.png,77,1\nPerson_2.png,77,1\nPerson_3.png,77,1"
    )
    report = ingest(workspace, IngestOptions("folder", tmp_path / "films", table, private=True))
    assert report.added == 1 and [item for item, _ in report.skipped] == ["line 4", "line 3"]
    assert not leaks(workspace, "Person")


@pytest.fixture
def mixed(tmp_path) -> IngestOptions:
    """A folder with two ordinary films, a picture in colour before them and one after, and two files of other kinds."""
    images = write_simulated(tmp_path / "made", count=2, seed=3, size=128) / "images"
    colour = np.random.default_rng(1).integers(0, 255, (60, 60, 3), dtype=np.uint8)
    for name in ("holiday.jpg", "zoo.png"):
        cv2.imwrite(str(images / name), colour)
    (images / "letter.docx").write_text("a letter")
    (images / "notes.txt").write_text("notes")
    return IngestOptions("folder", images)


def test_doubtful_films_are_added_and_listed_and_other_files_counted(workspace, mixed):
    report = ingest(workspace, mixed)
    assert (report.added, report.skipped, report.others) == (4, [], 2)
    assert [name for name, _ in report.doubtful] == ["holiday", "zoo"]
    assert all("in colour, perhaps a photograph" in why for _, why in report.doubtful)
    assert [tuple(row[:2]) for row in read_skipped(workspace, "doubtful.csv")] == report.doubtful
    assert report.describe_others() == "2 other files were left alone."
    assert replace(report, others=1).describe_others() == "1 other file was left alone."
    assert replace(report, others=0).describe_others() == ""


def fill_disk_at(monkeypatch, name: str) -> None:
    """The disk is full when the film of that name is to be written."""
    real = film_places.write_bytes_atomically

    def write(path, data):
        if path.name == name:
            raise OSError(errno.ENOSPC, "No space left on device")
        real(path, data)

    monkeypatch.setattr(film_places, "write_bytes_atomically", write)


def test_a_run_that_goes_on_lists_the_doubtful_films_of_the_one_before(workspace, mixed, monkeypatch):
    fill_disk_at(monkeypatch, "zoo.png")
    with pytest.raises(WorkspaceError):
        ingest(workspace, mixed)
    monkeypatch.undo()
    assert workspace.catalogue.count() == 3
    report = ingest(workspace, mixed)
    assert report.added == 1 and sorted(name for name, _ in report.doubtful) == ["holiday", "zoo"]
    assert sorted(row[0] for row in read_skipped(workspace, "doubtful.csv")) == ["holiday", "zoo"]
    workspace.catalogue.remove("holiday")
    assert [name for name, _ in ingest(workspace, mixed).doubtful] == ["zoo"], "what was removed is not told again"


def test_a_folder_of_other_files_alone_has_no_films(workspace, tmp_path):
    (tmp_path / "films").mkdir()
    (tmp_path / "films" / "letter.docx").write_text("a letter")
    with pytest.raises(CatalogueError, match="There are no films in"):
        ingest(workspace, IngestOptions("folder", tmp_path / "films"))


def test_a_lateral_that_was_asked_for_is_not_doubtful_for_that(workspace, tmp_path):
    write_dicom(tmp_path / "archive" / "IM1", seed=1, ViewPosition="LL")
    write_dicom(tmp_path / "archive" / "IM2", seed=2, ViewPosition="LL", BodyPartExamined="HAND")
    report = ingest(workspace, IngestOptions("dicom", tmp_path / "archive", include_laterals=True))
    ((name, why),) = report.doubtful
    assert report.added == 2 and why == "The header says that the body part is HAND: choose a chest film."
    assert name.startswith("case-") and workspace.catalogue.get(name).view == "LATERAL"


def test_salts_differ_and_are_secret(tmp_path):
    first, second = Workspace.create(tmp_path / "a"), Workspace.create(tmp_path / "b")
    assert first.hash_patient("7") != second.hash_patient("7")
    assert first.hash_patient("7") == Workspace.open(tmp_path / "a").hash_patient(" 7 ")
    assert len(first.hash_patient("7")) == 16
    assert [first.hash_patient(text) for text in (None, "", "  ", "nan", "\0", float("nan"))] == [None] * 6
    assert (tmp_path / "a" / "patients.salt").stat().st_mode & 0o777 == 0o600


def test_only_one_ingest_at_a_time(workspace, data_set):
    with workspace.lock("catalogue"), pytest.raises(WorkspaceError, match="Another process is writing"):
        ingest(Workspace.open(workspace.path), data_set)


def test_a_full_disk_is_told_and_nothing_done_is_lost(workspace, data_set, monkeypatch):
    fill_disk_at(monkeypatch, "2.png")
    with pytest.raises(WorkspaceError, match="no space left for the film 'images/2.png'; make room and try again"):
        ingest(workspace, data_set)
    assert [case.case_id for case in workspace.catalogue.cases()] == ["0", "1"]
    monkeypatch.undo()
    assert ingest(workspace, data_set).added == 2
    assert [case.case_id for case in workspace.catalogue.cases()] == ["0", "1", "2", "4"]


def test_a_table_that_breaks_off_keeps_what_was_read(workspace, data_set):
    whole = data_set.labels.read_bytes()
    # Beyond the look-ahead, so that films are under way when the table fails.
    filler = b"".join(b"missing_%d.png,,,,,,\n" % number for number in range(500)) + "Müller.png,,,,,,\n".encode()
    data_set.labels.write_bytes(whole + filler + b"4.png,,\xff\xfe,,,,\n")
    with pytest.raises(CatalogueError, match="UTF-8"):
        ingest(workspace, data_set)
    assert workspace.catalogue.count() <= 4
    assert {file.name for file in workspace.images.iterdir()} == {
        case.path.split("/")[1] for case in workspace.catalogue.cases()
    }
    data_set.labels.write_bytes(whole)
    ingest(workspace, data_set)
    assert workspace.catalogue.count() == 4


def test_the_manifest_names_the_catalogue(workspace, data_set):
    ingest(workspace, data_set)
    entry = workspace.check_artefact("catalogue")
    assert entry["sha256"] == workspace.catalogue.sha256() and entry["cases"] == 4


def test_names_of_stored_films_are_safe():
    assert name_image("00000001_000") == "00000001_000.png"
    names = {name_image(text) for text in ("a/b", "a b", ".hidden", "ä", "x" * 300, "..")}
    assert len(names) == 6 and all(len(name) < 120 and not set("/ ä").intersection(name) for name in names)
    assert not any(name.startswith(".") for name in names)


def test_real_films(workspace, nih_directory):
    options = IngestOptions("nih", nih_directory / "images", nih_directory / "Data_Entry_2017_v2020.csv", limit=40)
    seen = []
    report = ingest(workspace, options, lambda done, total, text: seen.append((done, total)))
    assert report.added == 40 and seen[-1] == (40, 40)
    for case in workspace.catalogue.cases()[::13]:
        assert sha256_of_file(workspace.path / case.path) == case.sha256
        original = read_radiograph(nih_directory / "images" / f"{case.case_id}.png")
        assert original.pixel_sha256 == case.pixel_sha256 == read_case_radiograph(workspace, case).pixel_sha256


@pytest.mark.in_a_file
def test_a_damaged_catalogue_is_told(workspace, data_set):
    ingest(workspace, data_set)
    workspace.catalogue.close()
    (workspace.path / "catalogue.db").write_bytes(b"no database at all, but long enough to be read as one" * 100)
    with pytest.raises(CatalogueError, match="damaged"):
        Workspace.open(workspace.path).catalogue.count()


@pytest.mark.in_a_file
def test_the_table_can_be_read_by_any_sqlite(workspace, data_set):
    ingest(workspace, data_set)
    with sqlite3.connect(workspace.path / "catalogue.db") as connection:
        found = connection.execute("select case_id, json_extract(findings, '$.Effusion') from cases order by row")
        assert found.fetchall() == [("0", "present"), ("1", "uncertain"), ("2", None), ("4", "absent")]


@pytest.mark.parametrize("damage", ["plain", "truncated", "altered"])
def test_a_damaged_gzip_table_is_one_sentence(workspace, data_set, damage):
    whole = gzip.compress(data_set.labels.read_bytes(), mtime=0)
    table = data_set.labels.with_name("labels.csv.gz")
    altered = whole[:12] + b"\xff" * 20 + whole[32:]
    table.write_bytes({"plain": b"image,Effusion\n", "truncated": whole[:-20], "altered": altered}[damage])
    with pytest.raises(CatalogueError, match=r"The gzip file 'labels.csv.gz' is damaged or cut short"):
        ingest(workspace, replace(data_set, labels=table))


@pytest.mark.parametrize(("rows", "columns"), [(1, 1), (1, 2000), (2000, 31)])
def test_a_film_too_small_for_a_chest_is_refused(workspace, tmp_path, rows, columns):
    (tmp_path / "films").mkdir()
    cv2.imwrite(str(tmp_path / "films" / "0.png"), np.full((rows, columns), 9, np.uint8))
    ((_, reason),) = ingest(workspace, IngestOptions("folder", tmp_path / "films")).skipped
    assert reason == f"The film has {columns} × {rows} pixels; it needs at least 32 a side."


def test_the_names_already_seen_are_not_held_in_memory():
    seen = ingesting.NamesSeen()
    tracemalloc.start()
    assert all(seen.add(f"case {number}") for number in range(20_000)) and not seen.add("case 7")
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 200_000, "a set of them takes above two million bytes"


def test_a_new_dicom_film_tells_its_patient_as_the_catalogue_knows_her(workspace, tmp_path):
    ingest(workspace, IngestOptions("dicom", write_dicom(tmp_path / "archive" / "IM1", seed=1).parent))
    new = write_dicom(tmp_path / "IM2", seed=2)
    for source in (new, new.read_bytes()):
        query = read_query(workspace, "film", source)
        assert query.patient == workspace.catalogue.get_row(0).patient is not None
        assert "1234567" not in repr(query)
    assert read_query(workspace, "film", write_film(tmp_path / "film.png")).patient is None


@pytest.mark.parametrize("number", ["", "  ", "Anonymous", "n/a", None])
def test_a_dicom_film_without_a_number_is_of_an_unknown_patient(workspace, tmp_path, number):
    assert read_query(workspace, "film", write_dicom(tmp_path / "IM1", PatientID=number)).patient is None
