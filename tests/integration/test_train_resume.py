"""A training killed in the middle of an epoch goes on with the same command and ends in the same weights on the CPU."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from icbir_core.catalogue import Workspace, ingest
from icbir_core.cli import main
from icbir_core.model.checkpoint import FILE_NAME
from icbir_core.model.network import read_named_weights
from tests.helpers.labelled_films import LabelledFilm, write_labelled

ROOT = Path(__file__).resolve().parents[2]
EPOCHS = 6


@pytest.fixture
def workspace(tmp_path: Path) -> Path:
    """Sixty small films of thirty patients; those with the finding have a bright base."""
    generator = np.random.default_rng(5)
    films = []
    for number in range(60):
        pixels = generator.integers(0, 120, (48, 48), dtype=np.uint8)
        pixels[32:] += np.uint8(90 * (number % 2))
        patient = number // 2 % 30 + 100 * (number % 2)
        films.append(LabelledFilm(f"{number:03d}.png", pixels, str(patient), number % 2))
    ingest(Workspace.create(tmp_path / "whole"), write_labelled(tmp_path, films))
    return tmp_path / "whole"


def write_command(workspace: Path) -> list[str]:
    words = ["train", str(workspace), "--target", "Effusion", "--weights", "none", "--network", "densenet_small"]
    words += ["--size", "32", "--epochs", str(EPOCHS), "--batch-size", "4", "--stage", "classifier", "--device", "cpu"]
    return words


def count_epochs(workspace: Path) -> int:
    history = workspace / "models" / "training" / "history.jsonl"
    return len(history.read_text().splitlines()) if history.is_file() else 0


@pytest.mark.slow  # tests/unit/model/test_training_parts.py asks the same of `train` itself
@pytest.mark.timeout(900)  # for a machine that may be busy
def test_killed_in_an_epoch_gives_the_same_weights(workspace, tmp_path, capsys):
    """A process of its own is killed; this one goes on where it was, and trains the whole for comparison."""
    killed = tmp_path / "killed"
    shutil.copytree(workspace, killed)

    command = [sys.executable, "-m", "icbir_core", *write_command(killed)]
    process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    deadline = time.monotonic() + 400
    while process.poll() is None and count_epochs(killed) < 2:
        assert time.monotonic() < deadline, "the training did not get that far"
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert process.returncode == -signal.SIGKILL
    assert 2 <= count_epochs(killed) < EPOCHS, "killed after some epochs and before the last"
    assert (killed / "models" / "training" / FILE_NAME).is_file()
    assert not (killed / "models" / "classifier.keras").exists()

    done = count_epochs(killed)
    for folder in (killed, workspace):
        assert main(write_command(folder)) == 0, capsys.readouterr().err
        told = capsys.readouterr().err
        assert ("classifier: epoch 1," in told) == (folder is workspace), f"it goes on after epoch {done}"
    first = read_named_weights(workspace / "models" / "classifier.keras")
    second = read_named_weights(killed / "models" / "classifier.keras")
    assert first.keys() == second.keys()
    for name, values in first.items():
        near = {"rtol": 1e-3, "atol": 1e-3 * float(np.abs(values).max())}
        np.testing.assert_allclose(second[name], values, **near, err_msg=name)
    one, other = (json.loads((folder / "models" / "classifier.json").read_text()) for folder in (workspace, killed))
    losses = [[row["loss"] for row in manifest["training"]["history"]] for manifest in (one, other)]
    assert losses[0] == pytest.approx(losses[1], rel=1e-3) and len(losses[0]) == EPOCHS
    assert one["auroc"]["Effusion"]["value"] == pytest.approx(other["auroc"]["Effusion"]["value"], abs=0.02)
    assert not [name for name in os.listdir(killed / "models" / "training") if name == FILE_NAME], "room is freed"
