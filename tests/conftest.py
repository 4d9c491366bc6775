"""Fixtures that every room shares: where the real films are, and a word when they are not there."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

SHARED = Path(__file__).resolve().parents[2] / "shared"


def find_shared(variable: str, name: str) -> Path:
    """The folder that the environment variable names, else the one beside the checkout; skips where neither is."""
    folder = Path(os.environ.get(variable) or SHARED / name)
    if not folder.is_dir():
        pytest.skip(f"films not here: set {variable} to the folder '{name}'")
    return folder


@pytest.fixture(scope="session")
def nih_directory() -> Path:
    """The subset of NIH ChestX-ray14 (images/, Data_Entry_2017_v2020.csv, BBox_List_2017.csv, split.csv)."""
    return find_shared("ICBIR_NIH_DIR", "nih")


@pytest.fixture(scope="session")
def nih_effusion_directory() -> Path:
    """The unnamed Effusion / No Finding films (images/, labels.csv)."""
    return find_shared("ICBIR_NIH_EFFUSION_DIR", "nih_effusion")


@pytest.fixture(scope="session")
def cases_directory() -> Path:
    """Films that are read wrongly at times, with the pictures that are right (films/)."""
    return find_shared("ICBIR_CASES_DIR", "cases")


@pytest.fixture(scope="session")
def dicom_directory() -> Path:
    """Three real DICOM films."""
    return find_shared("ICBIR_DICOM_DIR", "dicom")


@pytest.fixture(scope="session")
def hostile_directory() -> Path:
    """Small damaged films that once raised foreign exceptions or ended the process."""
    return find_shared("ICBIR_HOSTILE_DIR", "cases/hostile")
