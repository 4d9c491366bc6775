"""An indexing that ends at any of its steps: the same call mends it, and `verify` finds nothing afterwards."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from icbir_core.catalogue import Workspace
from icbir_core.catalogue.verifying import verify_workspace
from icbir_core.retrieval.index_workspace import index_workspace
from icbir_core.retrieval.target_files import verify_stores
from tests.helpers.small_workspace import ingest_films, write_films

pytestmark = pytest.mark.slow
EVERY = 6


class Killed(BaseException):
    """What no program catches."""


def list_wrong(path: Path) -> list[str]:
    workspace = Workspace.open(path)
    return [each.text for each in [*verify_workspace(workspace), *verify_stores(workspace)] if not each.passed]


@pytest.mark.parametrize("grown", [True, False])
def test_every_step_may_be_the_last(tmp_path, indexed, models, monkeypatch, grown):
    shutil.copytree(indexed.path, tmp_path / "start")
    if grown:
        ingest_films(Workspace.open(tmp_path / "start"), write_films(tmp_path / "more", range(700, 702)))
    else:
        shutil.rmtree(tmp_path / "start" / "targets")
    replace, last, ended = os.replace, 1, False
    while not ended:
        place, steps = tmp_path / f"w{last}", iter(range(1, last))
        shutil.copytree(tmp_path / "start", place)

        def step(source, target, steps=steps, **more):
            if next(steps, None) is None:
                raise Killed
            return replace(source, target, **more)

        with monkeypatch.context() as patch:
            patch.setattr(os, "replace", step)
            try:
                index_workspace(Workspace.open(place), models=models)
                ended = True
            except Killed:
                pass
        index_workspace(Workspace.open(place), models=models)
        assert list_wrong(place) == [], f"ended at step {last}"
        shutil.rmtree(place)
        last += EVERY
    assert last > 5 * EVERY
