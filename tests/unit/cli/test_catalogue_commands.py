"""The commands of the catalogue, as a reader types them."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest

from icbir_core.catalogue import Workspace
from icbir_core.cli import app, main

ROOT = Path(__file__).resolve().parents[3]


@pytest.fixture
def films(tmp_path: Path) -> Path:
    """A folder of three films and a file that is none, with their table."""
    folder = tmp_path / "films"
    folder.mkdir()
    for number in range(3):
        pixels = np.random.default_rng(number).integers(0, 255, (40, 40), dtype=np.uint8)
        cv2.imwrite(str(folder / f"{number}.png"), pixels)
    (folder / "3.png").write_text("no film")
    rows = "".join(f"{number}.png,p{number},AP,{number % 2}\n" for number in range(4))
    (tmp_path / "labels.csv").write_text(f"image,patient,view,Effusion\n{rows}")
    return folder


@pytest.fixture
def ingested(films: Path, tmp_path: Path, capsys) -> Path:
    workspace = tmp_path / "workspace"
    assert main(["ingest", str(workspace), "--layout", "folder", *name_data(films)]) == 0
    capsys.readouterr()
    return workspace


def name_data(films: Path) -> list[str]:
    return ["--images", str(films), "--labels", str(films.parent / "labels.csv")]


def test_ingest_says_what_it_did(films, tmp_path, capsys):
    words = ["ingest", str(tmp_path / "w"), "--layout", "folder", *name_data(films)]
    assert main(words) == 0
    out, err = capsys.readouterr()
    assert out.startswith("3 added, 0 there before, 1 skipped; 3 cases in all.") and not err
    assert main([*words, "--json"]) == 0
    result = json.loads(capsys.readouterr().out)
    assert (result["added"], result["already"], result["cases"]) == (0, 3, 3)
    assert result["skipped"][0]["item"] == "3.png"
    assert result["catalogue"] == Workspace.open(tmp_path / "w").catalogue.sha256()


@pytest.mark.parametrize(
    ("table", "words", "part"),
    [
        (None, [], "No such file"),
        ("", [], "There are no films in"),
        ("image,Effusion\n", [], "There are no films in"),
        ("a,b\n1,2\n", [], "No column names the film"),
        ("Image Index\n1.png\n", ["--layout", "nih"], "'Finding Labels'"),
        ("image,Effusion\n0.png,1\n", ["--view", "XX"], "known: AP, LATERAL, PA"),
        ("image,Effusion\n0.png,1\n", ["--part", "train"], "--split and --part"),
    ],
)
def test_a_slip_leaves_no_workspace_behind(films, tmp_path, capsys, table, words, part):
    place = tmp_path / "new" / "labels.csv"
    if table is not None:
        place.parent.mkdir()
        place.write_text(table)
    typed = ["ingest", str(tmp_path / "w"), "--layout", "folder", "--images", str(films), "--labels", str(place)]
    assert main([*typed, *words]) == 1
    out, err = capsys.readouterr()
    assert part in err and err.count("\n") == 1 and not out and not (tmp_path / "w").exists()


def test_an_ingest_that_takes_nothing_says_so(films, ingested, tmp_path, capsys):
    words = ["ingest", str(tmp_path / "w"), "--layout", "folder", *name_data(films), "--view", "PA"]
    assert main(words) == 0
    out, err = capsys.readouterr()
    assert "skipped 4: view AP, asked for PA" in out
    assert err == "Warning: no film was taken in: each of the 4 rows was skipped, for the reasons given.\n"
    (tmp_path / "labels.csv").write_text("image,Effusion\n")
    assert main(["ingest", str(ingested), "--layout", "folder", *name_data(films)]) == 1
    assert "There are no films in" in capsys.readouterr().err
    assert Workspace.open(ingested).catalogue.count() == 3


def test_ingest_tells_doubtful_films_and_other_files(films, tmp_path, capsys):
    colour = np.random.default_rng(1).integers(0, 255, (60, 60, 3), dtype=np.uint8)
    (tmp_path / "mixed").mkdir()
    cv2.imwrite(str(tmp_path / "mixed" / "holiday.jpg"), colour)
    (tmp_path / "mixed" / "letter.docx").write_text("a letter")
    words = ["ingest", str(tmp_path / "w"), "--layout", "folder", "--images", str(tmp_path / "mixed")]
    assert main(words) == 0
    first, *lines = capsys.readouterr().out.splitlines()
    assert first == "1 added, 0 there before, 0 skipped; 1 cases in all."
    assert lines[0].startswith("  1 doubtful film, taken in all the same;") and lines[0].endswith("/w/doubtful.csv")
    assert lines[1:] == ["  1 other file was left alone."]
    assert main([*words, "--json"]) == 0
    result = json.loads(capsys.readouterr().out)
    assert result["already"] == result["other_files"] == 1 and result["doubtful"][0]["item"] == "holiday"
    assert "in colour" in result["doubtful"][0]["reason"]


def test_verify_tells_a_fault_and_exits_with_1(ingested, capsys):
    assert main(["verify", str(ingested)]) == 0
    assert all(line.startswith("right") for line in capsys.readouterr().out.splitlines())
    next((ingested / "images").glob("*.png")).write_bytes(b"broken")
    assert main(["verify", str(ingested), "--json"]) == 1
    result = json.loads(capsys.readouterr().out)
    assert not result["passed"]
    assert [check["name"] for check in result["checks"] if not check["passed"]] == ["hashes"]


def test_remove_and_restore(ingested, capsys):
    assert main(["remove", str(ingested), "1"]) == 0
    assert Workspace.open(ingested).catalogue.count() == 2
    assert main(["restore", str(ingested), "1", "--json"]) == 0
    assert json.loads(capsys.readouterr().out.splitlines()[-1]) == {"case_id": "1", "removed": False, "cases": 3}


@pytest.mark.parametrize(
    ("words", "part"),
    [
        (["remove", "WORKSPACE", "nobody"], "'nobody'"),
        (["ingest", "WORKSPACE", "--layout", "nothing", "--images", "."], "known: chexpert"),
        (
            ["ingest", "WORKSPACE", "--layout", "nih", "--images", "."],
            "The layout 'nih' needs a table of labels",
        ),
        (["ingest", "WORKSPACE"], "Missing option '--layout'"),
        (["ingest", "WORKSPACE", "--layout", "folder", "--images", ".", "--limit", "none"], "--limit"),
        (["fetch", "nih", "--to", "NOWHERE", "--parts", "first"], "--parts"),
        (["fetch", "nothing", "--to", "NOWHERE"], "known: nih"),
        (["nothing"], "No such command"),
    ],
)
def test_an_error_is_one_line_and_exit_1(words, part, ingested, tmp_path, capsys):
    places = {"WORKSPACE": str(ingested), "NOWHERE": str(tmp_path / "nowhere")}
    typed = [places.get(word, word) for word in words]
    assert main(typed) == 1
    out, err = capsys.readouterr()
    assert err.startswith("Error: ") and err.count("\n") == 1 and part in err and not out
    assert main([*typed, "--json"]) == 1
    assert part in json.loads(capsys.readouterr().out)["error"]


def test_an_unexpected_error_is_not_swallowed(ingested, capsys, monkeypatch):
    def fail(self, case_id):
        raise ValueError("boom\nwith two lines")

    monkeypatch.setattr("icbir_core.catalogue.table.Catalogue.remove", fail)
    assert main(["remove", str(ingested), "a"]) == 1
    err = capsys.readouterr().err
    assert err == "Error: Unexpected ValueError: boom with two lines (run again with ICBIR_DEBUG=1 for the traceback)\n"
    monkeypatch.setenv("ICBIR_DEBUG", "1")
    with pytest.raises(ValueError):
        main(["remove", str(ingested), "a"])


def test_an_interrupt_says_how_to_go_on(ingested, capsys, monkeypatch):
    def interrupt(self):
        raise KeyboardInterrupt

    monkeypatch.setattr("icbir_core.catalogue.table.Catalogue.sha256", interrupt)
    assert main(["verify", str(ingested)]) == 130
    assert "run the same command again" in capsys.readouterr().err


def test_every_command_has_help(capsys):
    assert main([]) == 0 and "ingest" in capsys.readouterr().out
    names = [command.name or command.callback.__name__.replace("_", "-") for command in app.registered_commands]
    assert {"ingest", "verify", "remove", "restore", "fetch", "simulate"} <= set(names)
    for name in names:
        assert main([name, "--help"]) == 0
        text = capsys.readouterr().out
        # Usage, a sentence, the options: a command without its sentence would go from the one to the next.
        sentence = text.split("\n\n")[1].strip()
        assert text.startswith(f"Usage: icbir {name}") and len(sentence.split()) > 4, text


def test_simulated_films_can_be_ingested(tmp_path, capsys):
    words = ["simulate", str(tmp_path / "made"), "--count", "2", "--seed", "4", "--size", "96", "--json"]
    assert main(words) == 0
    made = json.loads(capsys.readouterr().out)
    data = ["--images", made["images"], "--labels", made["labels"], "--source", "simulated"]
    assert main(["ingest", str(tmp_path / "w"), "--layout", "folder", *data, "--json"]) == 0
    result = json.loads(capsys.readouterr().out)
    assert result["added"] == 2 and not result["skipped"] and not result["ignored"]


def test_the_module_runs_and_help_is_quick_to_load(tmp_path):
    code = (
        "import sys; from icbir_core.cli import main; main(['--help']); print({'tensorflow', 'cv2'} & set(sys.modules))"
    )
    run = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert run.returncode == 0 and run.stdout.endswith("set()\n"), run.stderr
    run = subprocess.run(
        [sys.executable, "-m", "icbir_core", "verify", str(tmp_path)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert run.returncode == 1 and "is not a workspace" in run.stderr and not run.stdout


def test_a_truncated_dicom_brings_no_warning_of_a_library(tmp_path):
    folder = tmp_path / "films"
    folder.mkdir()
    meta = b"\x02\x00\x10\x00UI\x14\x001.2.840.10008.1.2.1\0"
    (folder / "cut").write_bytes(bytes(128) + b"DICM" + meta + b"\x08\x00\x16\x00UI\x1a\x001.2.840.")
    words = ["ingest", str(tmp_path / "w"), "--layout", "dicom", "--images", str(folder)]
    run = subprocess.run(
        [sys.executable, "-m", "icbir_core", *words], cwd=ROOT, capture_output=True, text=True, timeout=60
    )
    assert run.returncode == 0 and run.stderr.startswith("Warning: no film") and run.stderr.count("\n") == 1
