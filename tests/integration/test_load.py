"""Several readers by web sockets at once: every answer is that of the core, and the server ends gently."""

from __future__ import annotations

import asyncio
import sys

import pytest

from benchmarks.load import Plan, run
from icbir_ui.search import gate
from tests.helpers import fakes


@pytest.mark.slow
def test_readers_at_once_get_the_answers_of_the_core_and_are_told_of_the_end(tmp_path, monkeypatch):
    monkeypatch.setattr(gate, "WITHHELD", frozenset())  # the drawn films are no chest films
    workspace = fakes.make_workspace(tmp_path / "w", 8)
    words = [sys.executable, "-m", "tests.browser.serve", str(workspace.path), "PORT", "--fake", "--pause", "0.6"]
    plan = Plan(readers=3, searches=6, wait=120.0)
    figures = asyncio.run(run(workspace, lambda: fakes.FakeRetriever(workspace), words, plan))
    assert figures["computed"] == 6
    assert figures["outcomes"] == {"answered": 6} and figures["answers"] == {"right": 6}
    assert figures["wait"]["refused"] == 0 and figures["memory"]["most"] > 50
    assert figures["errors"] == figures["audit failures"] == 0
    ended = figures["told to end"]
    assert ended["right"] >= 1 and ended.get("stopped", 0) >= 1 and figures["exit code"] == -15, ended
    assert {"started", "ready", "question", "stopping", "stopped"} <= set(figures["events"])
    assert "error" not in figures["events"]
