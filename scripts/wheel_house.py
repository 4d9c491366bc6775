"""A folder with all that a machine without a network needs to install the program, each file known by its hash.

    python -m scripts.wheel_house FOLDER

Run it on a machine with a network, on Linux x86-64 with Python 3.11 and a C++ compiler, in a checkout. FOLDER gets the
wheels of `deploy/requirements.lock`, a wheel of Annoy built from its checked source, one of this program, and a
`requirements.lock` that names them all. Then, without a network:

    pip install --no-index --find-links FOLDER --require-hashes -r FOLDER/requirements.lock
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
from pathlib import Path

from icbir_core.files import sha256_of_file

ROOT = Path(__file__).resolve().parents[1]
LOCK = ROOT / "deploy" / "requirements.lock"
BUILT = "annoy"
"""Comes as source alone. Built for any processor of its kind, not for the one that builds it."""
ANNOY_FLAGS = "-O3,-std=c++14,-ffast-math,-fno-associative-math,-DANNOYLIB_MULTITHREADED_BUILD"


def read_lock(text: str) -> dict[str, str]:
    """Package → its lines in a lock, the first of which is NAME==VERSION and the others are hashes."""
    blocks: dict[str, str] = {}
    for line in text.splitlines(keepends=True):
        if line.strip() and not line.startswith((" ", "#")):
            name = line.split("==")[0].strip()
            blocks[name] = ""
        if line.strip() and not line.startswith("#"):
            blocks[name] += line
    return blocks


def make_wheel_house(folder: Path, run_pip=None) -> list[Path]:
    """Fill `folder`; returns the wheels. run_pip : called with the words of each pip command; for tests."""
    pip = run_pip or _run_pip
    folder.mkdir(parents=True, exist_ok=True)
    blocks = read_lock(LOCK.read_text(encoding="utf-8"))
    with tempfile.TemporaryDirectory() as place:
        aside = Path(place)
        others, source = aside / "others.lock", aside / "source.lock"
        others.write_text("".join(text for name, text in blocks.items() if name != BUILT))
        source.write_text(blocks[BUILT])
        checked = ("--require-hashes", "--no-deps", "--dest")
        pip("download", "--only-binary", ":all:", *checked, str(folder), "-r", str(others))
        pip("download", "--no-binary", ":all:", *checked, str(aside), "-r", str(source))
        (archive,) = aside.glob(f"{BUILT}-*.tar.gz")
        pip("wheel", "--no-deps", "--wheel-dir", str(folder), str(archive))
        pip("wheel", "--no-deps", "--wheel-dir", str(folder), str(ROOT))
    wheels = sorted(folder.glob("*.whl"))
    made = [wheel for wheel in wheels if wheel.name.split("-")[0] in (BUILT, "icbir")]
    lines = [text for name, text in blocks.items() if name != BUILT]
    lines += [f"{'=='.join(one.name.split('-')[:2])} --hash=sha256:{sha256_of_file(one)}\n" for one in made]
    (folder / "requirements.lock").write_text("".join(lines), encoding="utf-8")
    return wheels


def _run_pip(*words: str) -> None:
    environment = os.environ | {"ANNOY_COMPILER_ARGS": ANNOY_FLAGS}
    command = [sys.executable, "-m", "pip", words[0], "--quiet", "--disable-pip-version-check", *words[1:]]
    subprocess.run(command, check=True, env=environment)


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(description="Gather the wheels for a machine without a network.")
    parser.add_argument("folder", type=Path)
    wheels = make_wheel_house(parser.parse_args().folder)
    print(f"{len(wheels)} wheels, {sum(one.stat().st_size for one in wheels) / 1e6:.0f} MB")


if __name__ == "__main__":
    main()
