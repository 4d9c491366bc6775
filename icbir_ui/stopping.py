"""How the server ends: what is being computed is finished and shown, readers who wait or ask are told, then it goes."""

from __future__ import annotations

import asyncio
import signal
import threading
import time
from collections.abc import Callable
from types import FrameType
from typing import Any

from icbir_ui.logs import log_event

SHOWING = 1.0
"""Seconds for the last page to reach its reader."""
SIGNALS = (signal.SIGTERM, signal.SIGINT)


def end_gently(stop: Callable[[], bool], is_drawing: Callable[[], bool], seconds: float) -> None:
    """From here on, the first signal to end calls `stop` in a thread of its own, and the server goes on answering until
    that returns and no page is being drawn, or for `seconds`; a second signal ends the server at once. For the main
    thread, once the server listens to signals.
    """
    loop = asyncio.get_running_loop()
    before: dict[int, Any] = {number: signal.getsignal(number) for number in SIGNALS}
    begun = threading.Event()

    def end(number: int) -> None:
        log_event("stopping")
        deadline = time.monotonic() + seconds
        finished = stop()
        while is_drawing() and time.monotonic() < deadline:
            time.sleep(0.05)
        log_event("stopped", finished=int(finished))
        time.sleep(SHOWING)
        loop.call_soon_threadsafe(before[number], number, None)

    def receive(number: int, frame: FrameType | None) -> None:
        if begun.is_set():
            before[number](number, frame)
            return
        begun.set()
        threading.Thread(target=end, args=(number,), name="icbir-stopping", daemon=True).start()

    for number in SIGNALS:
        signal.signal(number, receive)
