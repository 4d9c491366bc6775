"""What a machine with nothing but the essential packages sees first."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
ESSENTIAL = ("sh", "grep", "sed", "awk", "cat", "echo", "true", "env")
"""Of the tools of a Debian without the standard packages, those that the help needs."""


@pytest.fixture
def bare(tmp_path) -> dict[str, str]:
    """An environment whose PATH holds the essential tools alone: no Python, no compiler."""
    for name in ESSENTIAL:
        (tmp_path / name).symlink_to(shutil.which(name))
    return {"PATH": str(tmp_path)}


def test_make_alone_prints_help_and_what_is_missing(bare):
    if (make := shutil.which("make")) is None:
        pytest.skip("make is not here")
    run = subprocess.run([make], cwd=ROOT, env=bare, capture_output=True, text=True, timeout=60)
    assert run.returncode == 0, run.stderr
    assert "make test " in run.stdout and "not found" not in run.stderr
    (missing,) = [line for line in run.stdout.splitlines() if line.startswith("missing:")]
    assert {"python3-venv", "g++"} <= set(missing.split()) and "apt-get install" in missing


def test_check_system_fails_where_something_is_missing(bare):
    run = subprocess.run(["sh", "scripts/check-system"], cwd=ROOT, env=bare, capture_output=True, text=True, timeout=60)
    assert run.returncode == 1 and run.stdout.count("\n") == 1
