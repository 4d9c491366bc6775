"""The commands under "A catalogue of your own films" in README.md, as a reader types them one after the other."""

from __future__ import annotations

import csv
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from icbir_core.phantom import write_simulated
from scripts.chromium import find_port, wait_for_server

pytestmark = pytest.mark.slow
ROOT = Path(__file__).resolve().parents[2]
QUICK = "--network densenet_small --weights none --epochs 1 --size 64"


def read_commands() -> list[str]:
    section = (
        (ROOT / "README.md").read_text(encoding="utf-8").split("## A catalogue of your own films")[1].split("##")[0]
    )
    return re.findall(r"^ {4}icbir (.+)$", section, re.M)


@pytest.fixture
def folder(tmp_path) -> Path:
    """A folder with what the commands name: the films `DIR`, the table of NIH ChestX-ray14, and `film.png`."""
    made = write_simulated(tmp_path / "made", 40, 300, size=96)
    (tmp_path / "DIR").symlink_to(made / "images")
    (tmp_path / "film.png").symlink_to(sorted((made / "images").glob("*.png"))[0])
    with open(made / "labels.csv", newline="") as source, open(tmp_path / "Data_Entry_2017_v2020.csv", "w") as table:
        writer = csv.writer(table)
        writer.writerow(
            [
                "Image Index",
                "Finding Labels",
                "Follow-up #",
                "Patient ID",
                "Patient Age",
                "Patient Gender",
                "View Position",
            ]
        )
        for number, row in enumerate(csv.DictReader(source)):
            found = [name for name in ("Effusion", "Cardiomegaly") if row.get(name) == "1"] or ["No Finding"]
            writer.writerow([row["image"], "|".join(found), 0, number // 2, row["age"], row["sex"], row["view"]])
    return tmp_path


def test_the_commands_of_the_readme_run_in_their_order(folder):
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "TF_CPP_MIN_LOG_LEVEL": "3"}
    *commands, last = read_commands()
    assert [line.split()[0] for line in commands] == ["ingest", "train", "index", "verify", "query"]
    for line in commands:
        words = shlex.split(f"{line} {QUICK}" if line.startswith("train") else line)
        done = subprocess.run(
            [sys.executable, "-m", "icbir_core", *words], cwd=folder, env=environment, capture_output=True, text=True
        )
        assert done.returncode == 0, f"{line}\n{done.stdout}\n{done.stderr}"
    assert len(re.findall(r"^ +\d  ", done.stdout, re.M)) == 5, "the query prints the cases that it was asked for"
    port = find_port()
    words = [*last.split(), "--port", str(port)]
    server = subprocess.Popen([sys.executable, "-m", "icbir_core", *words], cwd=folder, env=environment)
    try:
        wait_for_server(server, f"http://127.0.0.1:{port}", 120)
    finally:
        server.terminate()
        server.wait(30)
