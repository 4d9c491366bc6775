"""Waiting for what another thread or process does."""

from __future__ import annotations

import time
from collections.abc import Callable


def wait_until(there: Callable[[], object], seconds: float = 30.0) -> None:
    """Return once `there()` is true; fail after so many seconds."""
    end = time.monotonic() + seconds
    while not there():
        assert time.monotonic() < end, "it did not come"
        time.sleep(0.01)
