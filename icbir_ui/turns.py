"""Who is served next: one question at a time, each reader in turn, and nobody waits longer than the operator said."""

from __future__ import annotations

import threading
import time
from collections import OrderedDict, deque
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, field
from typing import Any, TypeVar

from icbir_core.errors import ServerBusy
from icbir_core.server_settings import QueueLimits
from icbir_ui.language import count_of, mark, say

Answer = TypeVar("Answer")
PATIENCE = 0.25
"""Seconds between two updates of what a waiting reader sees."""
_WEIGHT = 0.2
"""Of the newest question in the mean time that one takes."""
STOPPING = mark("The server is being stopped, and this was not computed; come back in a few minutes.")


@dataclass(eq=False)
class _Question:
    reader: str
    compute: Callable[[], Any]
    asked: float = field(default_factory=time.monotonic)
    begun: float | None = None
    answer: Future[Any] = field(default_factory=Future)


class Turns:
    """One thread that computes; the readers who wait are served in turn, whatever number of questions each has asked.

    A question that would wait longer than `limits.wait_seconds`, by the mean time of those before, is refused at once;
    one that has in fact waited so long is refused then. Each reader may ask `limits.questions_a_minute`.
    """

    def __init__(self, limits: QueueLimits | None = None):
        self.limits = limits or QueueLimits()
        self.seconds: float | None = None  # that a question takes, in the mean; None before the first
        self._worker = ThreadPoolExecutor(1, "icbir-service")
        self._lock = threading.Lock()
        self._waiting: OrderedDict[str, deque[_Question]] = OrderedDict()  # the reader who is next comes first
        self._running: _Question | None = None
        self._stopping = False
        self._finishing = ""
        self._asked: dict[str, deque[float]] = {}

    def prepare(self, job: Callable[[], object]) -> None:
        """Do `job` in the thread that computes, after what it was given before."""
        self._worker.submit(job)

    @property
    def length(self) -> int:
        """Questions that wait."""
        with self._lock:
            return sum(map(len, self._waiting.values()))

    @property
    def stopping(self) -> bool:
        return self._stopping

    def ask(
        self, reader: str, compute: Callable[[], Answer], tell: Callable[[str], None] = lambda word: None
    ) -> tuple[Answer, float]:
        """What `compute` returns, and the seconds it waited; tell(word) is called while it waits. Raises `ServerBusy`,
        with nothing computed, and whatever `compute` raises."""
        question = _Question(reader, compute)
        with self._lock:
            self._check(question)
            self._waiting.setdefault(reader, deque()).append(question)
        self._worker.submit(self._serve_next)
        try:
            while not wait([question.answer], PATIENCE).done:
                if question.begun is None:
                    self._keep_waiting(question, tell)
            found = question.answer.result()
            return found, (question.begun or question.asked) - question.asked
        finally:
            self._leave(question)  # the reader has left: what has not begun is not computed

    def stop(self, patience: float) -> bool:
        """Refuse all that has not begun and all that comes; whether what runs has ended within `patience` seconds. The
        reader whose question runs may ask for what else her page needs, such as the map of the film."""
        with self._lock:
            self._stopping = True
            self._finishing = self._running.reader if self._running else ""
            left = [one for held in self._waiting.values() for one in held]
            self._waiting.clear()
            running = self._running
        for one in left:
            one.answer.set_exception(ServerBusy(STOPPING))
        return running is None or not wait([running.answer], patience).not_done

    def _check(self, question: _Question) -> None:
        if self._stopping and question.reader != self._finishing:
            raise ServerBusy(STOPPING)
        times = self._asked.setdefault(question.reader, deque())
        while times and times[0] < question.asked - 60:
            times.popleft()
        if len(times) >= self.limits.questions_a_minute:
            raise ServerBusy(
                f"You have asked {len(times)} times within a minute, which is as often as this server allows; go on in "
                "a minute."
            )
        before = self._count_before(question, new=True)
        if before and self.seconds and before * self.seconds > self.limits.wait_seconds:
            raise self._explain_wait(before * self.seconds)
        times.append(question.asked)
        for name in [name for name, held in self._asked.items() if not held or held[-1] < question.asked - 60]:
            del self._asked[name]

    def _keep_waiting(self, question: _Question, tell: Callable[[str], None]) -> None:
        with self._lock:
            before = self._count_before(question)
        if time.monotonic() - question.asked > self.limits.wait_seconds and self._leave(question):
            raise self._explain_wait(None)
        if before:
            tell(describe_queue(before))

    def _explain_wait(self, seconds: float | None) -> ServerBusy:
        most = f"{self.limits.wait_seconds:.0f} s"
        if seconds is None:
            return ServerBusy(f"The server is busy: your turn did not come within {most}. Try again in a minute.")
        return ServerBusy(
            f"The server is busy: your turn would come in about {seconds:.0f} s, and nobody waits longer than {most}. "
            "Try again in a minute."
        )

    def _leave(self, question: _Question) -> bool:
        """Take a question out of the queue; False if it has begun."""
        with self._lock:
            held = self._waiting.get(question.reader)
            if held is None or question not in held:
                return False
            held.remove(question)
            if not held:
                del self._waiting[question.reader]
            return True

    def _count_before(self, question: _Question, new: bool = False) -> int:
        """Questions that come before one, in the order of turns; it is in the queue, or would come to its end."""
        own = self._waiting.get(question.reader, ())
        place = len(own) if new else list(own).index(question) if question in own else 0
        running, before, passed = int(self._running is not None), place, question.reader not in self._waiting
        names = list(self._waiting)
        turn = len(names) if passed else names.index(question.reader)
        for number, name in enumerate(names):
            if name != question.reader:
                before += min(len(self._waiting[name]), place + (number < turn))
        return running + before

    def _serve_next(self) -> None:
        with self._lock:
            if not self._waiting:
                return
            reader, held = self._waiting.popitem(last=False)
            question = self._running = held.popleft()
            if held:
                self._waiting[reader] = held  # at the end: the others come first
            question.begun = time.monotonic()
        try:
            found = question.compute()
        except BaseException as error:
            self._end(question)
            question.answer.set_exception(error)
        else:
            self._end(question)
            question.answer.set_result(found)

    def _end(self, question: _Question) -> None:
        with self._lock:
            took = time.monotonic() - (question.begun or question.asked)
            self.seconds = took if self.seconds is None else (1 - _WEIGHT) * self.seconds + _WEIGHT * took
            self._running = None


def describe_queue(before: int) -> str:
    """The sentence for a reader who waits."""
    readers = count_of(before, "reader is before you", "readers are before you")
    return say("You are in a queue: {readers}. Your turn comes by itself.", readers=readers)
