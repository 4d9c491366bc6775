"""The whole chain from the command line with a small network: ingest, train, index (killed once), query."""

from __future__ import annotations

import io
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from contextlib import redirect_stdout
from pathlib import Path

import cv2
import numpy as np
import pytest

from icbir_core.catalogue import Workspace
from icbir_core.cli import main
from icbir_core.phantom import write_simulated
from icbir_core.retrieval.index import Index
from icbir_core.retrieval.methods import SEARCH_METHODS
from icbir_core.retrieval.store import LEDGER, CaseStore

# Each step has quick tests of its own: tests/unit/training, tests/unit/retrieval and test_open_server.py.
pytestmark = pytest.mark.slow
FILMS = 48


def run(*words: str, capsys=None) -> list[dict]:
    """One command that must succeed; its JSON lines."""
    capsys.readouterr()
    assert main([*words, "--json"]) == 0, capsys.readouterr().err
    return [json.loads(line) for line in capsys.readouterr().out.splitlines()]


@pytest.fixture(scope="module")
def films(tmp_path_factory) -> Path:
    return write_simulated(tmp_path_factory.mktemp("films") / "f", FILMS, 300, size=96)


@pytest.fixture(scope="module")
def trained(tmp_path_factory, films) -> Path:
    """A workspace with a catalogue and both networks, made by the command line."""
    path = tmp_path_factory.mktemp("chain") / "w"
    commands = (
        [
            "ingest",
            str(path),
            "--layout",
            "folder",
            "--images",
            str(films / "images"),
            "--labels",
            str(films / "labels.csv"),
        ],
        ["train", str(path), "--target", "Effusion", "--findings", "Cardiomegaly", "--weights", "none", "--epochs", "1"]
        + ["--network", "densenet_small", "--size", "64", "--device", "cpu"],
    )
    for command in commands:
        assert main(command) == 0
    return path


@pytest.fixture(scope="module")
def indexed(trained, tmp_path_factory) -> tuple[Path, dict]:
    """A copy of it that is indexed in one go, and what the command told."""
    path = tmp_path_factory.mktemp("indexed") / "w"
    shutil.copytree(trained, path)
    told = io.StringIO()
    with redirect_stdout(told):
        assert main(["index", str(path), "--device", "cpu", "--json"]) == 0
    return path, json.loads(told.getvalue())


def test_chain_with_an_indexing_killed_and_resumed(trained, indexed, films, tmp_path, capsys):
    unbroken, report = indexed
    assert report["embedded"] == FILMS and not report["starter_models"]
    # The shipped encoder joins the starter models only, and this classifier was trained here.
    assert set(report["indexes"]) == set(SEARCH_METHODS) - {"encoders_centred"}
    assert report["indexes"]["cnn"]["recall_at_10"] >= 0.99

    broken = tmp_path / "broken"
    shutil.copytree(trained, broken)
    noted = kill_while_indexing(broken)
    (report,) = run("index", str(broken), "--device", "cpu", capsys=capsys)
    assert report["already"] == noted and report["embedded"] == FILMS - noted
    compare_workspaces(unbroken, broken)
    ask(broken, films, tmp_path, capsys)


def kill_while_indexing(path: Path) -> int:
    """Start an indexing, kill it once some cases are noted, and return how many are."""
    ledger = Path(Workspace.open(path).target_directory("Effusion")) / "store.zarr" / LEDGER
    command = [sys.executable, "-m", "icbir_core", "index", str(path), "--device", "cpu"]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=os.environ)
    deadline = time.monotonic() + 200
    while time.monotonic() < deadline and process.poll() is None:
        if ledger.is_file() and ledger.stat().st_size >= 16 * 8:
            break
        time.sleep(0.002)
    assert process.poll() is None, "the indexing ended before it could be killed"
    process.send_signal(signal.SIGKILL)
    process.wait()
    noted = len(CaseStore.open(ledger.parent).get_completed())
    assert 0 < noted <= FILMS
    return noted


def compare_workspaces(first: Path, second: Path) -> None:
    """Same values (batches of other sizes may differ in the last digits) and the same answers."""
    folders = [Path(Workspace.open(path).target_directory("Effusion")) for path in (first, second)]
    stores, rows = [CaseStore.open(folder / "store.zarr") for folder in folders], np.arange(FILMS)
    for name in stores[0].names:
        one, other = (store.read(name, rows).astype("f8") for store in stores)
        np.testing.assert_allclose(one, other, rtol=1e-3, atol=1e-5 * np.abs(one).max(), err_msg=name)
    indexes = [Index.open(folder / "index" / "ig_cbir") for folder in folders]
    for row in range(0, FILMS, 7):
        answers = [index.search(index.get_vectors(np.array([row]))[0], 1).rows[0] for index in indexes]
        assert answers == [row, row]


def ask(path: Path, films: Path, folder: Path, capsys) -> None:
    """Query by a catalogue film, a broken file and a film turned into another container; look at what is printed."""
    known, spoilt, foreign = films / "images" / "sim_305.png", folder / "spoilt.png", folder / "other.tiff.png"
    spoilt.write_bytes(b"not a film")
    cv2.imwrite(str(foreign), cv2.imread(str(known), cv2.IMREAD_GRAYSCALE)[::-1])
    capsys.readouterr()
    overlays = folder / "overlays"
    words = ["query", str(path), str(known), str(spoilt), str(foreign), "--top-k", "5", "--device", "cpu", "--json"]
    assert main([*words, "--save-overlays", str(overlays)]) == 1
    first, error, third = (json.loads(line) for line in capsys.readouterr().out.splitlines())
    assert set(error) == {"query", "error"} and error["query"] == str(spoilt)
    for answer in (first, third):
        assert answer["method"] == "cnn_centred" and answer["target"] == "Effusion" and answer["route"] == "annoy"
        assert [hit["rank"] for hit in answer["hits"]] == [1, 2, 3, 4, 5]
        distances = [hit["distance"] for hit in answer["hits"]]
        assert distances == sorted(distances) and all(0 <= value <= 1 for value in answer["prediction"].values())
        assert {"case_id", "findings", "view", "age", "sex"} <= set(answer["hits"][0])
        assert {"model", "catalogue", "index"} <= set(answer["versions"]) and "search" in answer["timings_ms"]
    assert first["eligible"] == FILMS - 1 and third["eligible"] == FILMS
    assert "sim_305" not in {hit["case_id"] for hit in first["hits"]}
    assert len(list(overlays.glob("sim_305_*.png"))) == 6

    words = [
        "query",
        str(path),
        str(known),
        "--identical-image",
        "--search",
        "exact",
        "--device",
        "cpu",
        "--top-k",
        "1",
    ]
    (answer,) = run(*words, capsys=capsys)
    assert answer["hits"][0]["case_id"] == "sim_305" and answer["hits"][0]["distance"] < 1e-3
    assert main(["query", str(path), str(known), "--method", "cnn", "--filter", "view=PA"]) == 0
    assert "exact (few eligible)" in capsys.readouterr().out
    assert main(["query", str(path), str(known), "--filter", "colour=blue"]) == 1
    assert "colour=blue" in capsys.readouterr().err
    assert main(["verify", str(path)]) == 0
