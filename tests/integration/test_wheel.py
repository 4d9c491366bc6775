"""A wheel built from this tree, installed in an empty environment far from it, runs the demonstration and its pages.

The dependencies are those of the environment that runs the tests: the new one sees them, but not the checkout.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow
ROOT = Path(__file__).resolve().parents[2]
PAGES = """
import sys
import icbir_core
from icbir_core.files import find_program_folder
from streamlit.testing.v1 import AppTest
assert icbir_core.__file__.startswith(sys.prefix), icbir_core.__file__
from icbir_core.model.layer_tables import read_layers
from icbir_ui.language import list_languages
assert read_layers("densenet121") and read_layers("efficientnet_lite0"), "else TensorFlow would run them, unnoticed"
assert "de" in list_languages()
folder = find_program_folder()
for page in sorted((folder / "pages").glob("*.py")):
    app = AppTest.from_file(str(page), default_timeout=120).run()
    assert not app.exception and not app.error, (page.name, app.exception, app.error)
    print(page.stem, len(app.main))
"""


def run(*command: str | Path, folder: Path, **environment: str) -> str:
    """What a command prints, run in `folder` without any variable that would lead Python back to the checkout."""
    inherited = {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "ICBIR"))}
    done = subprocess.run(
        [str(word) for word in command], cwd=folder, env={**inherited, "TF_CPP_MIN_LOG_LEVEL": "3", **environment},
        capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"
    return done.stdout


def make_environment(folder: Path, *options: str | Path) -> Path:
    """The folder of programs of a new environment in which pip has installed what the options say, and nothing else."""
    run(sys.executable, "-m", "venv", "--without-pip", folder, folder=folder.parent)
    programs = folder / "bin"
    question = "import sysconfig; print(sysconfig.get_paths()['purelib'])"
    packages = Path(run(programs / "python", "-c", question, folder=folder).strip())
    (packages / "dependencies.pth").write_text(sysconfig.get_paths()["purelib"] + "\n")
    pip = (programs / "python", "-m", "pip", "--disable-pip-version-check")
    offline = ("--no-index", "--no-deps", "--no-build-isolation", "--ignore-installed")
    run(*pip, "install", *offline, *options, folder=folder)
    run(*pip, "check", folder=folder)  # every dependency that the metadata name is there, in a version they allow
    return programs


@pytest.fixture(scope="module")
def commands(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    run(sys.executable, "-m", "build", "--no-isolation", "--outdir", folder / "dist", ROOT, folder=folder)
    (wheel,) = (folder / "dist").glob("*.whl")
    return make_environment(folder / "empty", wheel)


def test_an_editable_installation_uses_the_checkout_itself(tmp_path):
    programs = make_environment(tmp_path / "empty", "-e", ROOT)
    question = "from icbir_core.files import find_program_folder as find; print(find())"
    assert Path(run(programs / "python", "-c", question, folder=tmp_path).strip()) == ROOT
    assert run(programs / "icbir", "--help", folder=tmp_path).startswith("Usage: icbir ")


def test_the_demonstration_runs_from_the_wheel(commands, tmp_path):
    made = json.loads(run(commands / "icbir", "demo", "demo", "--json", folder=tmp_path))
    assert made["cases"] == 300 and made["computed"] == 0, "what is shipped was not found"
    film = sorted((tmp_path / "demo" / made["query_folder"]).glob("*.png"))[0]
    ranking = json.loads(run(commands / "icbir", "query", "demo", film, "--top-k", "5", "--json", folder=tmp_path))
    assert len(ranking["hits"]) == 5
    pages = run(commands / "python", "-c", PAGES, folder=tmp_path, ICBIR_WORKSPACE=str(tmp_path / "demo"))
    assert {line.split()[0] for line in pages.splitlines()} == {path.stem for path in (ROOT / "pages").glob("*.py")}
