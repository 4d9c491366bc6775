"""One service for all sessions: loaded once, one at a time, a queue with a word, answers remembered."""

from __future__ import annotations

import threading
import time

import pytest

from icbir_core.errors import RetrievalError
from icbir_ui.shared import SearchService
from tests.helpers import fakes


@pytest.fixture
def service(workspace):
    return SearchService(workspace)


def test_never_two_at_once_and_one_who_waits_is_told(service):
    inside, most, words = [], [], []

    def compute(_):
        inside.append(1)
        most.append(len(inside))
        time.sleep(0.6)
        inside.pop()
        return "done"

    threads = [threading.Thread(target=service.ask, args=(name, compute, words.append)) for name in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(10)
    assert max(most) == 1
    assert any("before you" in word for word in words)


def test_the_same_question_is_computed_once(service):
    calls = []
    for _ in range(3):
        assert service.ask("key", lambda _: calls.append(1) or "answer") == "answer"
    assert len(calls) == 1


def test_errors_are_passed_on_and_not_remembered(service):
    def fail(_):
        raise RetrievalError("Expected more, got less; try again.")

    with pytest.raises(RetrievalError):
        service.ask("key", fail)
    assert service.ask("key", lambda _: "answer") == "answer"


def test_memory_is_bounded(workspace):
    service = SearchService(workspace, limit=5)
    for number in range(20):
        service.ask(number, lambda _: "answer")
    assert [number for number in range(20) if service.knows(number)] == [15, 16, 17, 18, 19]


def test_ready_means_warm(service, monkeypatch):
    inside, go_on = threading.Event(), threading.Event()

    def embed(*_):
        inside.set()
        assert go_on.wait(20)

    monkeypatch.setattr(fakes.FakeRetriever, "embed_query", embed)
    service.begin()
    assert inside.wait(20)
    assert service.loading and not service.ready and "loading" in service.describe_state()
    go_on.set()
    assert service.retriever is not None and service.ready


def test_the_networks_have_made_a_map_before_the_first_question(service):
    assert service.ask("key", lambda retriever: list(retriever.calls)) == ["first map"]


def test_a_film_that_cannot_warm_the_networks_does_not_stop_them(service, monkeypatch):
    def fail(*_):
        raise ValueError("no such film")

    monkeypatch.setattr(fakes.FakeRetriever, "embed_query", fail)
    assert service.ask("key", lambda _: "answer") == "answer"
    assert service.ready and service.error is None
