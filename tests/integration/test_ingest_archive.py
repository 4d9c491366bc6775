"""Films of an archive become a catalogue as films of a tree of files do, and an interrupted run goes on."""

from __future__ import annotations

import io
import json

import pydicom
import pytest

from icbir_core.catalogue import IngestOptions, Workspace, ingest
from icbir_core.cli import main
from icbir_core.errors import CatalogueError, PacsError, PacsUnreachable
from scripts.archive_films import make_archive_films
from tests.helpers.fake_archive import Answer, answer_from, run_fake_archive


@pytest.fixture(scope="module")
def films():
    return make_archive_films(patients=3, size=96)


@pytest.fixture
def fake(films):
    with run_fake_archive(answer_from(films)) as running:
        yield running


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


def test_films_of_a_real_archive(archive, archive_films, tmp_path, monkeypatch):
    monkeypatch.setenv("ICBIR_DICOMWEB_USER", archive.user)
    monkeypatch.setenv("ICBIR_DICOMWEB_PASSWORD", archive.password)
    workspace = Workspace.create(tmp_path / "w")
    options = IngestOptions("dicomweb", archive.dicomweb, query=f"patient={archive_films[0].patient}")
    assert ingest(workspace, options).added == 2
    assert ingest(workspace, options).already == 2
