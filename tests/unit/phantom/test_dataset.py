"""A data set of simulated films on disk: complete, resumable, never half written."""

import csv
import os
import signal
import subprocess
import sys
import time

import cv2
import numpy as np
import pytest

from icbir_core.phantom import SIMULATED_FINDINGS, SimulationError, simulate_film, write_simulated
from icbir_core.phantom.dataset import read_truth


def test_labels_images_and_truth_agree(tmp_path):
    write_simulated(tmp_path, 4, 40, 96, workers=1)
    rows = list(csv.DictReader((tmp_path / "labels.csv").open()))
    truths = read_truth(tmp_path)
    assert [row["image"] for row in rows] == [f"sim_{seed}.png" for seed in range(40, 44)]
    for row, truth in zip(rows, truths, strict=True):
        picture = cv2.imread(str(tmp_path / "images" / row["image"]), cv2.IMREAD_UNCHANGED)
        film = simulate_film(truth.seed, 96)
        assert np.array_equal(picture, film.pixels) and truth == film.truth
        assert {name for name in SIMULATED_FINDINGS if row[name] == "1"} == set(truth.names)
        assert row["No Finding"] == str(int(not truth.names))
        assert (row["view"], int(row["age"]), row["sex"]) == (truth.view, truth.age, truth.sex)
    assert len({row["patient"] for row in rows}) == 4


def test_a_killed_run_goes_on(tmp_path):
    code = f"from icbir_core.phantom import write_simulated; write_simulated({str(tmp_path)!r}, 200, 10, 96, workers=1)"
    process = subprocess.Popen([sys.executable, "-c", code])
    images = tmp_path / "images"
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline and (not images.is_dir() or len(list(images.glob("sim_*.png"))) < 5):
        time.sleep(0.02)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    kept = {path.name: path.stat().st_mtime_ns for path in images.glob("sim_*.png")}
    assert 5 <= len(kept) < 200
    assert not (tmp_path / "labels.csv").exists()
    journal = tmp_path / "truth.partial.jsonl"
    journal.write_text(journal.read_text() + '{"seed": 999, "vie')
    steps = []
    count = len(kept) + 2
    write_simulated(tmp_path, count, 10, 96, workers=1, progress=lambda done, total, _: steps.append((done, total)))
    assert steps[0][0] >= len(kept) - 1 and steps[-1] == (count, count)
    again = sum(path.stat().st_mtime_ns != kept[path.name] for path in images.glob("sim_*.png") if path.name in kept)
    assert again <= 1
    assert not journal.exists() and len(read_truth(tmp_path)) == count


def test_more_films_are_added_and_another_size_is_refused(tmp_path):
    write_simulated(tmp_path, 2, 0, 96, workers=1)
    first = (tmp_path / "images" / "sim_0.png").stat().st_mtime_ns
    write_simulated(tmp_path, 3, 0, 96, workers=1)
    assert (tmp_path / "images" / "sim_0.png").stat().st_mtime_ns == first and len(read_truth(tmp_path)) == 3
    with pytest.raises(SimulationError, match="96 pixels"):
        write_simulated(tmp_path, 3, 0, 128, workers=1)
    with pytest.raises(SimulationError, match="at least 1"):
        write_simulated(tmp_path, 0, 0, 96)
