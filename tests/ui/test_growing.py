"""Films added from the page: one reload for all sessions."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import fakes
import pytest

from icbir_core.radiograph.writing import write_lossless
from icbir_ui import growing, resources


@pytest.fixture
def grown(workspace, tmp_path, monkeypatch):
    """An ingest of one film that has ended, and which no session has seen yet."""
    monkeypatch.setattr(growing, "index_targets", lambda *_: None)
    (tmp_path / "new").mkdir()
    write_lossless(fakes.make_radiograph(50), tmp_path / "new" / "new.png")
    options = growing.guess_options("folder", str(tmp_path / "new"), "")
    growth = growing.start_growth(workspace, options, ())
    assert growth.finished.wait(60) and growth.error is None
    return growth


def test_one_session_reloads_the_engine_and_those_that_come_later_keep_it(grown, open_page):
    before = resources.open_engine()
    assert "15 cases" in open_page("catalogue").text()
    reloaded = resources.open_engine()
    assert reloaded is not before, "the films that were added are searched"
    for _ in range(2):
        assert "1 added" in open_page("catalogue").text()
        assert resources.open_engine() is reloaded


def test_sessions_that_see_the_end_at_once_reload_once(grown, monkeypatch):
    calls = []
    monkeypatch.setattr(resources, "reload_engine", lambda: calls.append(1))
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda _: grown.reload_once(), range(8)))
    assert len(calls) == 1
