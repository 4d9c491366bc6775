"""Films of an archive become a catalogue as films of a tree of files do, and an interrupted run goes on."""

from __future__ import annotations

import io
import json
from dataclasses import replace

import pydicom
import pytest

from icbir_core.catalogue import IngestOptions, Workspace, ingest, read_case_radiograph
from icbir_core.catalogue.film_places import LEFT
from icbir_core.catalogue.storing import read_case_shape
from icbir_core.catalogue.verifying import verify_workspace
from icbir_core.cli import main
from icbir_core.errors import CatalogueError, FilmLost, FilmsAway, PacsError, PacsUnreachable, WorkspaceError
from icbir_core.pipeline.erasing import erase_from_workspace, plan_erasure
from scripts.archive_films import make_archive_films
from tests.helpers.fake_archive import Answer, wrap_film


@pytest.fixture(scope="module")
def films():
    return make_archive_films(patients=3, size=96)


def run(fake, workspace, **more):
    return ingest(workspace, IngestOptions("dicomweb", fake.address, **more))


def fetched(fake) -> int:
    return sum("/instances/" in path for path, _ in fake.asked)


def test_the_catalogue_is_that_of_the_same_files(fake, films, tmp_path):
    folder = tmp_path / "files"
    folder.mkdir()
    for film in films:
        (folder / film.instance).write_bytes(film.data)
    of_files, of_archive = Workspace.create(tmp_path / "a"), Workspace.create(tmp_path / "b")
    ingest(of_files, IngestOptions("dicom", folder, include_laterals=True))
    report = run(fake, of_archive, include_laterals=True)
    assert report.added == len(films) and not report.skipped

    def describe(workspace):
        return {(case.pixel_sha256, case.view, case.age, case.sex) for case in workspace.catalogue.cases()}

    assert describe(of_archive) == describe(of_files)
    patients = {case.patient for case in of_archive.catalogue.cases()}
    assert len(patients) == 3 and None not in patients


def test_nothing_of_the_header_is_kept(fake, films, tmp_path):
    workspace = Workspace.create(tmp_path / "w")
    run(fake, workspace)
    kept = b"".join(path.read_bytes() for path in workspace.path.rglob("*") if path.is_file())
    for film in films:
        for word in (film.patient, film.study, film.series, film.instance, film.accession):
            assert word.encode() not in kept
    assert b"Simulated^" not in kept and b"SIMULATED" not in kept


def test_a_run_that_breaks_off_goes_on_and_fetches_nothing_twice(fake, films, tmp_path):
    workspace, right = Workspace.create(tmp_path / "w"), fake.answer
    fake.answer = lambda path: Answer(status=503) if fetched(fake) > 3 and "/instances/" in path else right(path)
    with pytest.raises(PacsUnreachable):
        run(fake, workspace)
    before = workspace.catalogue.count()
    assert 0 < before < 6
    fake.answer = right
    asked = fetched(fake)
    report = run(fake, workspace)
    assert (report.added, report.already) == (6 - before, before)
    assert fetched(fake) - asked == 6 - before
    assert run(fake, workspace).already == 6 and fetched(fake) - asked == 6 - before


def test_laterals_are_not_even_fetched_and_the_limit_holds(fake, films, tmp_path):
    report = run(fake, Workspace.create(tmp_path / "w"), limit=2)
    assert report.added == 2
    report = run(fake, Workspace.create(tmp_path / "v"))
    assert [reason for _, reason in report.skipped] == ["view LATERAL is not frontal"] * 3
    assert all(film.instance not in item for item, _ in report.skipped for film in films)


def test_a_query_chooses_the_studies(fake, films, tmp_path):
    report = run(fake, Workspace.create(tmp_path / "w"), query=f"patient={films[0].patient}")
    assert report.added == 2


def test_what_is_wrong_with_one_film_costs_that_film_alone(fake, films, tmp_path):
    right, frontal = fake.answer, [film for film in films if film.view != "LL"]
    burned = pydicom.dcmread(io.BytesIO(frontal[1].data))
    burned.BurnedInAnnotation = "YES"
    stream = io.BytesIO()
    burned.save_as(stream)
    changed = {frontal[0].instance: frontal[2].data, frontal[1].instance: stream.getvalue(), frontal[3].instance: b"no"}

    def lie(path):
        said = right(path)
        for instance, data in changed.items():
            if path.endswith(instance):
                said.body, said.kind = data, "application/dicom"
        return said

    fake.answer = lie
    report = run(fake, Workspace.create(tmp_path / "w"))
    assert report.added == 3
    reasons = " ".join(reason for _, reason in report.skipped)
    assert "another film" in reasons and "burned" in reasons and "something else" in reasons


def test_an_archive_that_cannot_be_asked_is_one_sentence_and_leaves_no_workspace(fake, tmp_path, monkeypatch, capsys):
    monkeypatch.delenv("ICBIR_DICOMWEB", raising=False)
    with pytest.raises(CatalogueError, match="No archive"):
        ingest(Workspace.create(tmp_path / "w"), IngestOptions("dicomweb", ""))
    with pytest.raises(CatalogueError, match="belongs to the layout"):
        ingest(Workspace.create(tmp_path / "w"), IngestOptions("dicom", tmp_path, query="patient=1"))
    with pytest.raises(PacsError, match="is written like"):
        run(fake, Workspace.create(tmp_path / "w"), query="who=all")
    words = ["ingest", str(tmp_path / "none"), "--layout", "dicomweb", "--images", "http://127.0.0.1:9/x"]
    assert main(words) == 1 and "cannot be reached" in capsys.readouterr().err
    assert not (tmp_path / "none").exists()
    assert main(["ingest", str(tmp_path / "none"), "--layout", "folder"]) == 1
    assert "Name the folder" in capsys.readouterr().err


def test_the_command_takes_the_address_of_the_settings(fake, tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("ICBIR_DICOMWEB", fake.address)
    assert main(["ingest", str(tmp_path / "w"), "--layout", "dicomweb", "--query", "modality=DX", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["added"] == 6


def find_faults(workspace):
    return {one.name: one.text for one in verify_workspace(workspace) if not one.passed}


def test_films_that_are_left_in_the_archive(fake, films, tmp_path, monkeypatch, capsys):
    stored = Workspace.create(tmp_path / "stored")
    run(fake, stored)
    monkeypatch.setenv("ICBIR_DICOMWEB", fake.address)
    words = ["ingest", str(tmp_path / "w"), "--layout", "dicomweb", "--leave-films"]
    assert main(words) == 0 and main(words) == 0, "a second run adds nothing"
    workspace = Workspace.open(tmp_path / "w")
    cases, asked = workspace.catalogue.cases(), fetched(fake)
    assert len(cases) == 6 == workspace.catalogue.count_left() and not list(workspace.images.iterdir())
    for case, other in zip(cases, stored.catalogue.cases(), strict=True):
        assert (read_case_radiograph(workspace, case).pixels == read_case_radiograph(stored, other).pixels).all()
    assert fetched(fake) == asked + 6 and read_case_shape(workspace, cases[0]) == (96, 96)
    kept = b"".join(path.read_bytes() for path in workspace.path.rglob("*") if path.is_file())
    assert not any(uid.encode() in kept for one in films for uid in (one.patient, one.study, one.series, one.instance))
    assert find_faults(workspace) == {}

    capsys.readouterr()
    assert main(["backup", str(workspace.path), str(tmp_path / "copy")]) == 0
    assert "Not in the copy: 6 films left in the archive" in capsys.readouterr().out
    assert main(["restore-backup", str(tmp_path / "copy"), str(tmp_path / "again")]) == 0
    assert "Not in the copy: 6 films" in capsys.readouterr().out
    assert find_faults(Workspace.open(tmp_path / "again")) == {}
    assert main(["move-films", str(tmp_path / "again"), f"file://{tmp_path}/far"]) == 0
    again = Workspace.open(tmp_path / "again")
    for opened in (workspace, again):
        erase_from_workspace(opened, plan_erasure(opened, [cases[0].case_id], []))
        assert opened.catalogue.count_left() == 5 and find_faults(Workspace.open(opened.path)) == {}
    assert main(["repair", str(workspace.path), "--from", str(tmp_path / "copy")]) == 0


def test_what_happens_to_a_film_in_the_archive_is_one_sentence(fake, films, tmp_path, monkeypatch):
    monkeypatch.setenv("ICBIR_DICOMWEB", fake.address)
    workspace = Workspace.create(tmp_path / "w")
    ingest(workspace, IngestOptions("dicomweb", "", leave_films=True))
    right, case = fake.answer, workspace.catalogue.cases()[2]
    uid = workspace.reveal(case.path.removeprefix(LEFT)).rpartition("/")[2]
    film = pydicom.dcmread(io.BytesIO(next(one.data for one in films if one.instance == uid)))

    def say(answer):
        fake.answer = lambda path: answer() if path.endswith(uid) else right(path)
        with pytest.raises(WorkspaceError) as told:
            read_case_radiograph(workspace, case)
        assert str(told.value).startswith(f"The film of the case '{case.case_id}' ") and uid not in str(told.value)
        faults = find_faults(workspace)
        assert list(faults) == ["left in the archive"], "the other films are looked at all the same"
        return told.value, faults["left in the archive"]

    def send(**changed):
        for name, value in changed.items():
            setattr(film, name, value)
        stream = io.BytesIO()
        film.save_as(stream)
        return lambda: wrap_film(stream.getvalue())

    away, told = say(lambda: Answer(status=503))
    assert isinstance(away, FilmsAway) and "was left in the archive" in told and "error of its own" in str(away)
    gone, told = say(lambda: Answer(status=404))
    assert isinstance(gone, FilmLost) and "not in the archive" in str(gone) and "1 film gone or changed" in told
    assert "is not what the archive" in str(say(lambda: wrap_film(b"no film"))[0])
    fake.answer = lambda path: send(PatientName="Corrected^Name")() if path.endswith(uid) else right(path)
    assert read_case_radiograph(workspace, case).pixel_sha256 == case.pixel_sha256, "a header may be corrected"
    other = bytearray(film.PixelData)
    other[len(other) // 2] ^= 1
    assert "shows another picture" in str(say(send(PixelData=bytes(other)))[0])
    fake.answer = right
    monkeypatch.delenv("ICBIR_DICOMWEB")
    with pytest.raises(FilmsAway, match="No archive .PACS. is named"):
        read_case_radiograph(workspace, case)
    for wrong in (
        IngestOptions("dicomweb", fake.address, leave_films=True),
        IngestOptions("folder", tmp_path, leave_films=True),
    ):
        with pytest.raises(CatalogueError, match="archive of the settings alone"):
            ingest(workspace, wrong)
    (workspace.path / "patients.salt").write_bytes(b"o" * 32)
    with pytest.raises(WorkspaceError, match="not hidden with the salt"):
        read_case_radiograph(Workspace.open(workspace.path), case)


def test_films_of_a_real_archive(archive, archive_films, tmp_path, monkeypatch):
    monkeypatch.setenv("ICBIR_DICOMWEB_USER", archive.user)
    monkeypatch.setenv("ICBIR_DICOMWEB_PASSWORD", archive.password)
    workspace = Workspace.create(tmp_path / "w")
    options = IngestOptions("dicomweb", archive.dicomweb, query=f"patient={archive_films[0].patient}")
    assert ingest(workspace, options).added == 2
    assert ingest(workspace, options).already == 2
    monkeypatch.setenv("ICBIR_DICOMWEB", archive.dicomweb)
    left = Workspace.create(tmp_path / "left")
    assert ingest(left, replace(options, images="", leave_films=True)).added == 2
    assert find_faults(left) == {} and not list(left.images.iterdir())
