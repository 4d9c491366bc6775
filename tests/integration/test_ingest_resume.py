"""An ingest that is killed in the middle goes on with the same command and ends with the same catalogue."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from icbir_core.catalogue import IngestOptions, Workspace, ingest
from icbir_core.catalogue.verifying import verify_workspace
from icbir_core.catalogue.workspace import SALT
from tests.helpers.labelled_films import LabelledFilm, write_labelled

FILMS = 48
ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def data_set(tmp_path: Path) -> IngestOptions:
    """Films big enough that an ingest takes a while, of twenty patients, some of them twice under another patient."""
    generator = np.random.default_rng(5)
    films = []
    for number in range(FILMS):
        pixels = generator.integers(0, 65535, (400, 400), dtype=np.uint16)
        films.append(LabelledFilm(f"{number:03d}.png", pixels, str(number % 20), number % 2))
        if number % 5 == 0:
            films.append(LabelledFilm(f"{number:03d}-copy.png", pixels, f"old {number % 20}", number % 2))
    return write_labelled(tmp_path, films)


def start(workspace: Path, options: IngestOptions) -> subprocess.Popen:
    """The command, in a process of its own."""
    command = [sys.executable, "-m", "icbir_core", "ingest", str(workspace), "--layout", "folder"]
    command += ["--images", str(options.images), "--labels", str(options.labels)]
    return subprocess.Popen(command, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)


def test_killed_again_and_again_gives_the_same_catalogue(data_set, tmp_path):
    whole = Workspace.create(tmp_path / "whole")
    killed = Workspace.create(tmp_path / "killed")
    # Equal salts, so that equal patients have equal numbers and the two catalogues can be compared.
    shutil.copy(whole.path / SALT, killed.path / SALT)
    assert ingest(whole, data_set).added == FILMS

    kills = []
    for target in (1, 22):
        process = start(killed.path, data_set)
        deadline = time.monotonic() + 60
        while process.poll() is None and len(list(killed.images.glob("[0-9]*.png"))) < target:
            assert time.monotonic() < deadline, "the ingest did not get that far"
            time.sleep(0.002)
        process.send_signal(signal.SIGKILL)
        process.communicate()
        kills.append(process.returncode)
        assert killed.catalogue.count() < FILMS
    assert kills == [-signal.SIGKILL] * 2, "every run was killed before its end"

    process = start(killed.path, data_set)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 0, errors
    assert killed.catalogue.count() == FILMS
    assert killed.catalogue.sha256() == whole.catalogue.sha256()
    patients = [case.patients for case in whole.catalogue.cases()]
    assert [case.patients for case in killed.catalogue.cases()] == patients and max(map(len, patients)) == 2
    assert (killed.path / "skipped.csv").read_text().count("a copy of the case") == 10
    assert all(check.passed for check in verify_workspace(killed))
    assert not [name for name in os.listdir(killed.images) if ".partial" in name]
