"""The commands of reading studies: what they print, write, and say when they cannot."""

from __future__ import annotations

import json

import pytest

from icbir_core.catalogue import Workspace
from icbir_core.cli import main
from icbir_core.study.creating import open_store
from icbir_core.study.exchange import save_study
from icbir_core.study.simulated_readers import ReaderModel, simulate_reader


@pytest.fixture(scope="module")
def read_workspace(tmp_path_factory, make_known_study, true_similarity):
    """A workspace with a study that three simulated readers have answered; no test here changes it."""
    workspace = Workspace.create(tmp_path_factory.mktemp("read") / "here")
    store, study = open_store(workspace), make_known_study(queries=4, stages=1)
    save_study(store, study)
    for seed in range(3):
        simulate_reader(store, study, f"simulated-{seed}", ReaderModel(), true_similarity, seed)
    store.close()
    return workspace.path


def test_export_import_and_report(read_workspace, tmp_path, capsys):
    there, file, page = Workspace.create(tmp_path / "there").path, tmp_path / "pilot.zip", tmp_path / "pilot.html"
    assert main(["study", "export", str(read_workspace), "--name", "pilot", "--file", str(file), "--json"]) == 0
    exported = json.loads(capsys.readouterr().out)["ratings"]
    assert main(["study", "import", str(there), str(file)]) == 0
    assert f"{exported} ratings added, 0 were there" in capsys.readouterr().out
    assert main(["study", "report", str(there), "--name", "pilot", "--simulated", "--report", str(page)]) == 0
    printed = capsys.readouterr().out
    assert printed.startswith("SIMULATED READERS") and "Krippendorff" in printed
    assert "SIMULATED READERS" in page.read_text()


def test_simulated_ratings_are_not_reported_as_real_ones(read_workspace, capsys):
    assert main(["study", "report", str(read_workspace), "--name", "pilot"]) == 1
    assert "has no ratings of readers; read it first" in capsys.readouterr().err


def test_an_unknown_study_names_the_known_ones(read_workspace, capsys):
    assert main(["study", "report", str(read_workspace), "--name", "other"]) == 1
    assert "there are: pilot" in capsys.readouterr().err


def test_planning_prints_queries_by_readers(capsys):
    assert main(["study", "plan", "--effect", "0.1", "--json"]) == 0
    needed = json.loads(capsys.readouterr().out)["queries_by_readers"]
    known = [count for count in needed.values() if count is not None]
    assert len(known) >= 4 and known == sorted(known, reverse=True)


def test_half_a_description_of_the_query_films_is_one_sentence(read_workspace, capsys):
    assert main(["evaluate", str(read_workspace), "--layout", "nih"]) == 1
    assert "--layout and --images belong together" in capsys.readouterr().err
