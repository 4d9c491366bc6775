"""The two lists of all packages with their hashes, and the folder of wheels that is made from one of them."""

from __future__ import annotations

import hashlib
import re
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from scripts import wheel_house
from scripts.wheel_house import make_wheel_house, read_lock
from tests.unit.test_package import PROJECT, ROOT, read_pins

LOCKS = ("requirements.lock", "deploy/requirements.lock")
AGAIN = "run scripts/lock-requirements"


def read(name: str) -> str:
    return (ROOT / name).read_text(encoding="utf-8")


def list_versions(name: str) -> dict[str, str]:
    firsts = [text.split("\n")[0].rstrip(" \\") for text in read_lock(read(name)).values()]
    return {canonicalize_name(one.split("==")[0]): one.split("==")[1].split(" ")[0] for one in firsts}


def test_every_pin_stands_in_the_lock_at_its_version():
    locked = list_versions("requirements.lock")
    assert {name: locked.get(name) for name in read_pins()} == read_pins(), AGAIN


def test_what_the_program_needs_to_run_is_locked_at_the_versions_that_are_tested():
    every, running = list_versions("requirements.lock"), list_versions("deploy/requirements.lock")
    assert {canonicalize_name(Requirement(one).name) for one in PROJECT["dependencies"]} <= set(running), AGAIN
    assert running == {name: every.get(name) for name in running}, AGAIN
    assert not {"pytest", "playwright", "mypy"} & set(running)


@pytest.mark.parametrize("name", LOCKS)
def test_every_package_has_hashes_and_no_host_is_named(name):
    text = read(name)
    for package, block in read_lock(text).items():
        assert re.fullmatch(rf"{package}==\S+ \\\n(    --hash=sha256:[0-9a-f]{{64}}( \\)?\n)+", block), package
    assert not re.search(r"://|index-url|find-links|@", text)


def test_a_folder_of_wheels_names_each_by_its_hash(tmp_path, monkeypatch):
    lock = tmp_path / "lock"
    lock.write_text(
        "annoy==1.17.3 \\\n    --hash=sha256:aa\nnumpy==2.4.6 \\\n    --hash=sha256:bb \\\n    --hash=sha256:cc\n"
    )
    monkeypatch.setattr(wheel_house, "LOCK", lock)
    asked = []

    def run_pip(*words: str) -> None:
        asked.append(words)
        if "-r" in words:
            listed = Path(words[-1]).read_text()
            assert "--require-hashes" in words and ("annoy" in listed) is ("--no-binary" in words)
        to = Path(words[words.index("--dest") + 1] if "--dest" in words else words[words.index("--wheel-dir") + 1])
        made = {"--only-binary": "numpy-2.4.6-x.whl", "--no-binary": "annoy-1.17.3.tar.gz"}.get(words[1])
        made = made or ("annoy-1.17.3-x.whl" if "annoy" in words[-1] else "icbir-0.1.0-py3-none-any.whl")
        (to / made).write_bytes(made.encode())

    assert len(make_wheel_house(tmp_path / "house", run_pip)) == 3 and len(asked) == 4
    text = (tmp_path / "house" / "requirements.lock").read_text()
    built = hashlib.sha256(b"annoy-1.17.3-x.whl").hexdigest()
    assert "--hash=sha256:aa" not in text and f"annoy==1.17.3 --hash=sha256:{built}\n" in text
    assert "numpy==2.4.6 \\\n    --hash=sha256:bb \\\n    --hash=sha256:cc\n" in text and "icbir==0.1.0 --hash" in text
