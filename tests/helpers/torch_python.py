"""A Python with PyTorch, for slow tests that compare with it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest


def find_torch(folder: Path, *packages: str, alone: tuple[str, ...] = ()) -> str:
    """The Python that ICBIR_TORCH_PYTHON names, else a new environment in `folder` with PyTorch and `packages`, and
    with `alone` without what they depend on; skips where these cannot be installed."""
    named = os.environ.get("ICBIR_TORCH_PYTHON")
    if named:
        return named
    subprocess.run([sys.executable, "-m", "venv", str(folder / "torch")], check=True)
    python = str(folder / "torch" / "bin" / "python")
    for words in (["torch==2.13.0", "numpy", *packages], *([["--no-deps", *alone]] if alone else [])):
        if subprocess.run([python, "-m", "pip", "install", "-q", *words], capture_output=True).returncode:
            pytest.skip(
                f"PyTorch and {' '.join((*packages, *alone))} cannot be installed here: name a Python that has them in "
                "ICBIR_TORCH_PYTHON"
            )
    return python
