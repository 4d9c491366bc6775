"""Vectors of a database server in a copy of the workspace: they come back into a server, or the index is asked for."""

from __future__ import annotations

import json

import numpy as np
import pytest

from icbir_core.catalogue import Workspace
from icbir_core.catalogue.ingesting import record_catalogue
from icbir_core.catalogue.verifying import verify_workspace
from icbir_core.cli import main
from icbir_core.errors import IndexMismatch
from icbir_core.keeping.backup import back_up, restore_backup
from icbir_core.retrieval import vector_index
from icbir_core.retrieval.target_files import TargetFiles
from icbir_core.retrieval.vector_index import VectorIndex
from tests.helpers import fakes
from tests.helpers.postgres import create_empty_database

COUNT = 30
VECTORS = np.random.default_rng(5).normal(size=(COUNT, 8)).astype(np.float32)
MADE_FROM = {"model": "m" * 64, "catalogue": "c" * 64}


@pytest.fixture
def workspace(vector_url, tmp_path, monkeypatch) -> Workspace:
    """A workspace of a folder, with an index in a server."""
    monkeypatch.delenv("ICBIR_DATABASE_URL", raising=False)
    monkeypatch.setattr(vector_index, "SAMPLE", 10)
    made = fakes.make_workspace(tmp_path / "w", 3)
    record_catalogue(made)
    monkeypatch.setenv("ICBIR_DATABASE_URL", vector_url)
    files = TargetFiles(made, "Effusion")
    VectorIndex.update(files.get_index("cnn"), VECTORS, np.arange(COUNT), np.empty(0, np.int64), MADE_FROM)
    made.record_artefact(files.get_index_name("cnn"), {"path": files.get_index("cnn"), "made_from": {}})
    return made


def open_index(workspace: Workspace) -> VectorIndex:
    return VectorIndex.open(TargetFiles(workspace, "Effusion").get_index("cnn"), MADE_FROM)


def find_faults(workspace: Workspace) -> list[str]:
    return [f"{one.name}: {one.text}" for one in verify_workspace(workspace) if not one.passed]


@pytest.mark.parametrize("chunk", [7, 1000])
def test_a_copy_is_searched_in_another_server(workspace, vector_server, tmp_path, monkeypatch, chunk):
    monkeypatch.setattr(vector_index, "CHUNK", chunk)
    former = open_index(workspace)
    back_up(workspace, tmp_path / "copy")
    assert find_faults(workspace) == [], "the copied one stays as it is"
    monkeypatch.setenv("ICBIR_DATABASE_URL", create_empty_database(vector_server))
    assert restore_backup(tmp_path / "copy", tmp_path / "again").unindexed == ()
    again = Workspace.open(tmp_path / "again")
    found = open_index(again)
    assert found.sha256 == former.sha256 and found.search(VECTORS[4], 3).rows[0] == 4
    np.testing.assert_array_equal(found.get_vectors(np.arange(COUNT)), VECTORS)
    assert find_faults(again) == [] and not list(found.directory.glob("*.npy"))


def test_a_restored_one_has_a_table_of_its_own_beside_the_original(workspace, tmp_path):
    back_up(workspace, tmp_path / "copy")
    restore_backup(tmp_path / "copy", tmp_path / "again")
    tables = {open_index(one).manifest["table"] for one in (workspace, Workspace.open(tmp_path / "again"))}
    assert len(tables) == 2 and find_faults(workspace) == []


def test_without_a_server_it_is_said_and_the_original_is_not_searched(
    workspace, vector_url, tmp_path, monkeypatch, capsys
):
    back_up(workspace, tmp_path / "copy")
    monkeypatch.delenv("ICBIR_DATABASE_URL")
    assert main(["restore-backup", str(tmp_path / "copy"), str(tmp_path / "again")]) == 0
    assert "run `icbir index` for Effusion first" in capsys.readouterr().out
    again = Workspace.open(tmp_path / "again")
    assert back_up(again, tmp_path / "second").unindexed == (), "it hands the vectors on"
    monkeypatch.setenv("ICBIR_DATABASE_URL", vector_url)
    with pytest.raises(IndexMismatch, match="holds no vectors of this index; run the index command again"):
        open_index(again)
    assert restore_backup(tmp_path / "second", tmp_path / "third").unindexed == ()
    assert open_index(Workspace.open(tmp_path / "third")).search(VECTORS[4], 1).rows[0] == 4


def test_a_copy_without_the_vectors_names_the_finding(workspace, tmp_path, capsys):
    manifest = TargetFiles(workspace, "Effusion").get_index("cnn") / "manifest.json"
    manifest.write_text(json.dumps(json.loads(manifest.read_text()) | {"table": "v_gone"}))
    assert main(["backup", str(workspace.path), str(tmp_path / "copy")]) == 0
    assert "The vectors of Effusion could not be read from the database server" in capsys.readouterr().out
    assert restore_backup(tmp_path / "copy", tmp_path / "again").unindexed == ("Effusion",)
