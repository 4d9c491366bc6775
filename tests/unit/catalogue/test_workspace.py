"""The workspace: manifest, artefacts, and verify."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from icbir_core.catalogue import IngestOptions, Workspace, ingest
from icbir_core.catalogue.schema import VERSION
from icbir_core.catalogue.verifying import verify_workspace
from icbir_core.errors import CatalogueError, IcbirError, ManifestMismatch, WorkspaceError
from icbir_core.files import (
    read_json,
    remove_partial_files,
    replace_atomically,
    sha256_of_bytes,
    sha256_of_file,
    write_bytes_atomically,
    write_json_atomically,
)
from tests.helpers.made_data_sets import write_film
from tests.helpers.stores import change_behind


def test_create_and_open(tmp_path):
    made = Workspace.create(tmp_path / "new")
    assert {entry.name for entry in made.path.iterdir()} >= {"manifest.json", "images", "models", "targets"}
    assert Workspace.create(tmp_path / "new").read_manifest() == made.read_manifest()
    assert made.target_directory("Pleural Thickening") == made.path / "targets" / "pleural_thickening"
    with pytest.raises(WorkspaceError, match="it has no manifest.json"):
        Workspace.open(tmp_path / "nothing")
    (tmp_path / "home").mkdir()
    (tmp_path / "home" / "letter.txt").write_text("mine")
    with pytest.raises(WorkspaceError, match="other content"):
        Workspace.create(tmp_path / "home")


def test_a_creation_that_was_cut_short_is_finished(tmp_path):
    made = Workspace.create(tmp_path / "new")
    salt = (made.path / "patients.salt").read_bytes()
    (made.path / "manifest.json").unlink()
    (made.path / ".manifest.0a1b.partial.json").write_text("{")
    assert Workspace.create(tmp_path / "new").read_manifest()["artefacts"] == {}
    assert (made.path / "patients.salt").read_bytes() == salt


def test_another_format_is_refused(workspace):
    write_json_atomically(workspace.path / "manifest.json", {"format": 99, "artefacts": {}})
    with pytest.raises(WorkspaceError, match="has format 99, this version reads 1"):
        Workspace.open(workspace.path)
    (workspace.path / "manifest.json").write_text("{")
    with pytest.raises(WorkspaceError, match="is not JSON"):
        Workspace.open(workspace.path)


def test_an_artefact_is_what_was_recorded(workspace):
    file = workspace.models / "classifier.keras"
    file.write_bytes(b"weights")
    entry = workspace.record_artefact("classifier", {"path": file, "kind": "densenet121"})
    assert entry["path"] == "models/classifier.keras" and entry["sha256"] == sha256_of_bytes(b"weights")
    assert workspace.check_artefact("classifier")["kind"] == "densenet121"
    workspace.record_artefact("maps", {"made_from": {"classifier": entry["sha256"]}})
    workspace.check_artefact("maps")
    file.write_bytes(b"other weights")
    with pytest.raises(ManifestMismatch, match="classifier.keras"):
        workspace.check_artefact("classifier")
    workspace.check_artefact("classifier", content=False)
    workspace.record_artefact("classifier", {"path": file})
    with pytest.raises(ManifestMismatch, match="make 'maps' again"):
        workspace.check_artefact("maps")
    file.unlink()
    with pytest.raises(ManifestMismatch, match="missing"):
        workspace.check_artefact("classifier", content=False)
    with pytest.raises(WorkspaceError, match="It has: classifier, maps"):
        workspace.check_artefact("index")


def test_a_folder_is_an_artefact_too(workspace):
    store = workspace.target_directory("Effusion") / "store.zarr"
    (store / "maps").mkdir(parents=True)
    (store / "maps" / "0").write_bytes(b"chunk")
    workspace.record_artefact("store", {"path": store})
    workspace.check_artefact("store")
    (store / "maps" / "1").write_bytes(b"chunk")
    with pytest.raises(ManifestMismatch):
        workspace.check_artefact("store")


def test_a_workspace_named_from_the_current_folder_finds_its_artefacts(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    workspace = Workspace.create("below/here")
    write_bytes_atomically(workspace.target_directory("Effusion") / "numbers", b"1")
    workspace.record_artefact("numbers", {"path": workspace.target_directory("Effusion") / "numbers"})
    monkeypatch.chdir("/")
    assert workspace.check_artefact("numbers")["path"] == "targets/effusion/numbers"


def test_a_workspace_named_over_the_folder_above_finds_its_artefacts(tmp_path, monkeypatch):
    (tmp_path / "beside").mkdir()
    monkeypatch.chdir(tmp_path / "beside")
    workspace = Workspace.create("../here")
    write_bytes_atomically(workspace.target_directory("Effusion") / "numbers", b"1")
    workspace.record_artefact("numbers", {"path": workspace.target_directory("Effusion") / "numbers"})
    assert Workspace.open("../here").check_artefact("numbers")["path"] == "targets/effusion/numbers"


def test_artefacts_stay_inside(workspace, tmp_path):
    (tmp_path / "outside").write_text("x")
    for path in (tmp_path / "outside", "../outside"):
        with pytest.raises(WorkspaceError, match="inside the workspace"):
            workspace.record_artefact("a", {"path": path})
    with pytest.raises(WorkspaceError, match="make it first"):
        workspace.record_artefact("a", {"path": "models/nothing.keras"})


@pytest.fixture
def filled(workspace, tmp_path) -> Workspace:
    for number in range(4):
        write_film(tmp_path / "films" / f"{number}.png", seed=number)
    ingest(workspace, IngestOptions("folder", tmp_path / "films"))
    return workspace


def find_faults(workspace: Workspace) -> list[str]:
    return [check.name for check in verify_workspace(workspace) if not check.passed]


def test_verify_passes_what_is_whole(either_database, filled):
    assert find_faults(filled) == []
    filled.catalogue.remove("2")
    assert find_faults(filled) == []


def test_verify_names_each_fault(either_database, filled):
    film = filled.images / "1.png"
    good = film.read_bytes()
    film.write_bytes(good[:-1] + b"x")
    assert find_faults(filled) == ["hashes"]
    film.unlink()
    assert find_faults(filled) == ["films"]
    film.write_bytes(good)
    write_film(filled.images / "stray.png")
    assert find_faults(filled) == ["strays"]
    (filled.images / "stray.png").unlink()
    os.chmod(filled.path / "patients.salt", 0o644)
    assert find_faults(filled) == ["salt"]
    os.chmod(filled.path / "patients.salt", 0o600)
    (filled.models / "m.keras").write_bytes(b"1")
    filled.record_artefact("classifier", {"path": "models/m.keras"})
    assert find_faults(filled) == []
    (filled.models / "m.keras").write_bytes(b"2")
    assert find_faults(filled) == ["classifier"]
    (filled.models / "m.keras").write_bytes(b"1")
    filled.record_artefact("catalogue", {"sha256": "0" * 64, "cases": 4})
    assert find_faults(filled) == ["catalogue"]


@pytest.mark.parametrize(
    "change",
    [
        "UPDATE cases SET doubt = 'none'",
        "UPDATE cases SET source_bytes = source_bytes + 1 WHERE row = 2",
        "UPDATE copies SET kept = '2'",
        "DELETE FROM copies",
        "INSERT INTO other_patients VALUES ('0', 'abcd')",
    ],
)
def test_what_is_noted_beside_the_cases_is_checked_too(either_database, filled, tmp_path, change):
    shutil.copy(tmp_path / "films" / "1.png", tmp_path / "films" / "copy.png")
    assert ingest(filled, IngestOptions("folder", tmp_path / "films")).count_copies() == 1
    assert find_faults(filled) == []
    change_behind(filled.path / "catalogue.db", filled.database_schema, change)
    assert find_faults(filled) == ["catalogue"]


def test_a_catalogue_of_a_newer_version_is_refused_by_name(either_database, filled):
    filled.catalogue.close()
    statement = f"PRAGMA user_version = {VERSION + 1}"
    if filled.database_schema:
        statement = f"UPDATE state SET number = {VERSION + 1} WHERE name = 'version'"
    change_behind(filled.path / "catalogue.db", filled.database_schema, statement)
    with pytest.raises(CatalogueError, match=f"newer version of this program .catalogue {VERSION + 1}, this version"):
        Workspace.open(filled.path).catalogue.count()


def test_atomic_writes(tmp_path):
    target = tmp_path / "deep" / "file.json"
    write_json_atomically(target, {"b": 1, "a": [1.5]}, mode=0o600)
    assert read_json(target) == {"a": [1.5], "b": 1} and target.stat().st_mode & 0o777 == 0o600
    assert sha256_of_file(target) == sha256_of_bytes(target.read_bytes())
    with pytest.raises(RuntimeError), replace_atomically(target) as aside:
        aside.write_text("half")
        assert aside.suffix == ".json" and aside.parent == target.parent
        raise RuntimeError
    assert read_json(target)["b"] == 1 and len(list(target.parent.iterdir())) == 1
    with pytest.raises(ValueError):
        write_json_atomically(target, {"a": float("nan")})
    with pytest.raises(IcbirError, match="missing"):
        read_json(tmp_path / "nothing.json")


def test_left_over_partial_files_are_removed(tmp_path):
    write_bytes_atomically(tmp_path / "keep.png", b"1")
    (tmp_path / ".film.00ff.partial.png").write_bytes(b"half")
    assert remove_partial_files(tmp_path) == 1
    assert [file.name for file in tmp_path.iterdir()] == ["keep.png"]


@pytest.mark.parametrize("text", [None, "", "  ", "nan", "None", "N/A", "unknown", "\0"])
def test_a_blank_patient_is_unknown_and_never_one_big_patient(workspace, text):
    assert workspace.hash_patient(text) is None
    assert workspace.hash_patient("0") and workspace.hash_patient("7") != workspace.hash_patient("8")


def test_a_folder_made_where_the_drive_was_is_not_taken_for_one_of_the_workspace(tmp_path, monkeypatch):
    workspace, make = Workspace.create(tmp_path / "workspace"), Path.mkdir

    def lose_and_make(folder, *names, **options):
        monkeypatch.setattr(Path, "mkdir", make)
        workspace.path.rename(tmp_path / "away")
        make(folder, *names, **options)

    monkeypatch.setattr(Path, "mkdir", lose_and_make)
    with pytest.raises(WorkspaceError, match="is not a workspace"):
        workspace.target_directory("Effusion")
