"""Turns: every reader in turn, nobody waits longer than was said, a gentle end."""

from __future__ import annotations

import random
import threading
from collections.abc import Callable

import pytest

from icbir_core.errors import ServerBusy
from icbir_core.server_settings import QueueLimits
from icbir_ui import turns
from icbir_ui.turns import Turns, describe_queue
from tests.helpers.waiting import wait_until


class Crowd:
    """Readers who ask at the same time of one who computes only when he is told."""

    def __init__(self, limits: QueueLimits | None = None):
        self.turns, self.order, self.errors, self.go_on = Turns(limits), [], {}, threading.Event()
        self.threads: list[threading.Thread] = []

    def ask(self, reader: str, name: str, tell: Callable[[str], None] = lambda word: None) -> None:
        """Ask in a thread, and return once the question is in the queue, is computed or was refused."""
        before = self.turns.length

        def compute():
            self.order.append(name)
            assert self.go_on.wait(20)
            return name

        def run():
            try:
                assert self.turns.ask(reader, compute, tell)[0] == name
            except ServerBusy as error:
                self.errors[name] = str(error)

        thread = threading.Thread(target=run)
        thread.start()
        self.threads.append(thread)
        wait_until(lambda: (self.order and self.turns.length > before) or name in [*self.order, *self.errors], 20)

    def finish(self) -> list[str]:
        self.go_on.set()
        for thread in self.threads:
            thread.join(20)
            assert not thread.is_alive()
        return self.order


def test_each_reader_comes_in_turn_however_much_another_asked():
    crowd = Crowd()
    for number in range(4):
        crowd.ask("greedy", f"g{number}")
    crowd.ask("ada", "a0")
    crowd.ask("ben", "b0")
    crowd.ask("ada", "a1")
    assert crowd.finish() == ["g0", "g1", "a0", "b0", "g2", "a1", "g3"]


@pytest.mark.parametrize("seed", range(20))
def test_the_count_before_is_what_comes_before(seed, monkeypatch):
    """Each who waits is told her place in the order in which the questions are computed in the end."""
    monkeypatch.setattr(turns, "PATIENCE", 0.002)
    draw, crowd, told = random.Random(seed), Crowd(), {}
    for number in range(draw.randint(2, 12)):
        name = f"q{number}"
        told[name] = []
        crowd.ask(draw.choice("abc"), name, told[name].append)
    try:
        for words in list(told.values())[1:]:  # the first is being computed, and is told nothing
            words.clear()
            # two words, since the first may be of before the last question came
            wait_until(lambda words=words: len(words) > 1, 5)
        places = {name: words[-1] for name, words in told.items() if words}
    finally:
        first, *others = crowd.finish()
    assert first == "q0" and places == {name: describe_queue(place) for place, name in enumerate(others, start=1)}


def test_a_question_that_would_wait_too_long_is_refused_at_once():
    crowd = Crowd(QueueLimits(wait_seconds=10))
    crowd.turns.seconds = 4.0
    for number in range(3):
        crowd.ask("a", f"q{number}")
    crowd.ask("a", "q3")
    assert "about 12 s, and nobody waits longer than 10 s" in crowd.errors["q3"]
    crowd.ask("b", "one who waits behind fewer is let in")
    assert len(crowd.finish()) == 4 and list(crowd.errors) == ["q3"]


def test_one_who_has_waited_too_long_is_told(monkeypatch):
    monkeypatch.setattr(turns, "PATIENCE", 0.01)
    crowd = Crowd(QueueLimits(wait_seconds=0.05))
    crowd.ask("a", "long")
    crowd.ask("b", "late")
    crowd.threads[1].join(20)
    assert "did not come within" in crowd.errors["late"] and crowd.turns.length == 0
    assert crowd.finish() == ["long"]


def test_one_who_asks_too_often_is_told_and_the_others_are_not():
    turns_ = Turns(QueueLimits(questions_a_minute=3))
    for _ in range(3):
        turns_.ask("script", lambda: 1)
    with pytest.raises(ServerBusy, match="3 times within a minute"):
        turns_.ask("script", lambda: 1)
    assert turns_.ask("ada", lambda: 2)[0] == 2


def test_what_runs_is_finished_when_the_server_stops_and_the_others_are_told():
    crowd, ended = Crowd(), []
    crowd.ask("a", "running")
    crowd.ask("b", "waiting")
    stopping = threading.Thread(target=lambda: ended.append(crowd.turns.stop(20)))
    stopping.start()
    crowd.threads[1].join(20)
    crowd.ask("c", "new")
    assert crowd.errors == {"waiting": turns.STOPPING, "new": turns.STOPPING}
    crowd.ask("a", "its map")
    assert crowd.finish() == ["running", "its map"]
    stopping.join(20)
    assert ended == [True]


def test_a_stop_does_not_wait_for_ever():
    crowd = Crowd()
    crowd.ask("a", "endless")
    assert crowd.turns.stop(0.01) is False
    crowd.finish()


def test_an_error_is_the_askers_and_the_next_is_served():
    served = Turns()
    with pytest.raises(ZeroDivisionError):
        served.ask("a", lambda: 1 / 0)
    assert served.ask("a", lambda: 3)[0] == 3
