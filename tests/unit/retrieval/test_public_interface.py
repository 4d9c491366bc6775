"""The public names of `icbir_core`: each has an example that runs, and so has README.md."""

from __future__ import annotations

import doctest
import inspect
import re
from pathlib import Path

import pytest

import icbir_core
from icbir_core.retrieval import opened_target

ROOT = Path(__file__).resolve().parents[3]


@pytest.fixture
def demonstration(indexed, films, models, tmp_path, monkeypatch) -> Path:
    """The current folder holds `workspaces/demo`, a small indexed workspace, and `film.png`, one of its films."""
    (tmp_path / "workspaces").mkdir()
    (tmp_path / "workspaces" / "demo").symlink_to(indexed.path)
    (tmp_path / "film.png").symlink_to(sorted((films / "images").glob("*.png"))[0])
    monkeypatch.setattr(opened_target, "load_models", lambda *_: models)
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize("name", icbir_core.__all__)
def test_every_public_name_has_an_example_that_runs(name, demonstration):
    one = getattr(icbir_core, name)
    examples = doctest.DocTestParser().get_doctest(inspect.getdoc(one), {}, name, None, None)
    assert examples.examples, f"{name} shows no example"
    report: list[str] = []
    failed = doctest.DocTestRunner().run(examples, out=report.append).failed
    assert not failed, "".join(report)


@pytest.mark.parametrize("name", ["open_retriever", "read_film", "save_overlay"])
def test_every_parameter_of_a_public_function_is_described(name):
    function = getattr(icbir_core, name)
    described = re.findall(r"^(\w+) : ", inspect.getdoc(function).split("Returns\n")[0], re.M)
    assert described == list(inspect.signature(function).parameters)


def test_the_program_of_the_readme_runs(demonstration, capsys):
    (program,) = re.findall(r"```python\n(.*?)```", (ROOT / "README.md").read_text(encoding="utf-8"), re.S)
    assert program.count("\n") < 15
    exec(program, {})
    ranks = [line.split()[0] for line in capsys.readouterr().out.splitlines()]
    assert ranks == ["1", "2", "3", "4", "5"]
    pictures = sorted(path.name for path in demonstration.glob("*.png") if not path.is_symlink())
    assert pictures == ["film-map.png", "nearest-map.png"]
