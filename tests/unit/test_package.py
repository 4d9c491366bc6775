"""What the package says of itself. `tests/integration/test_wheel.py` builds it and runs it."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

import icbir_core
from icbir_core.files import find_program_folder

ROOT = Path(__file__).resolve().parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]


def read_pins() -> dict[str, str]:
    """name → version of every line of requirements.txt."""
    lines = (ROOT / "requirements.txt").read_text(encoding="utf-8").splitlines()
    pins = [line.split("==") for line in lines if line and not line.startswith("#")]
    return {canonicalize_name(name): version for name, version in pins}


def read_ranges() -> dict[str, Requirement]:
    """name → requirement of everything that pyproject.toml asks for to run and to develop."""
    extras = PROJECT["optional-dependencies"]
    tested = (text for name, texts in extras.items() if name != "gpu" for text in texts)
    found = [Requirement(text) for text in (*PROJECT["dependencies"], *tested)]
    return {canonicalize_name(one.name): one for one in found}


def test_every_pinned_package_is_a_dependency_and_every_dependency_is_pinned():
    assert set(read_pins()) == set(read_ranges()), "name the package in requirements.txt and in pyproject.toml"


def test_every_pin_lies_within_its_range():
    ranges = read_ranges()
    outside = [f"{name} {pin}" for name, pin in read_pins().items() if pin not in ranges[name].specifier]
    assert not outside, f"pinned outside the range of pyproject.toml: {outside}"


def test_every_dependency_is_explained():
    page = (ROOT / "docs" / "dependencies.md").read_text(encoding="utf-8").lower()
    missing = [name for name in read_pins() if not re.search(rf"\b{re.escape(name)}\b", page)]
    assert not missing, f"docs/dependencies.md does not say why these are needed: {missing}"


def test_the_licence_files_are_there_and_agree():
    assert PROJECT["license"] == "Apache-2.0"
    missing = [name for name in PROJECT["license-files"] if not (ROOT / name).is_file()]
    assert not missing
    assert "Apache License" in (ROOT / "LICENSE").read_text(encoding="utf-8")
    citation = (ROOT / "CITATION.cff").read_text(encoding="utf-8")
    assert "license: Apache-2.0" in citation and f"version: {icbir_core.__version__}" in citation


def test_in_a_checkout_the_program_folder_is_the_top_folder():
    assert find_program_folder() == ROOT
