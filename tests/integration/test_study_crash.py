"""A rating that was acknowledged survives kill −9 of the process that stored it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

from icbir_core.study.rating import Rating
from icbir_core.study.store import RatingsStore

WRITER = """
import sys
from icbir_core.study.rating import Rating
from icbir_core.study.store import RatingsStore
store = RatingsStore.open(sys.argv[1])
number = 0
while True:
    rating = Rating(study="crash", session=sys.argv[2], reader="reader-a", query="q", case_id=str(number), score=3)
    store.add(rating)
    print(rating.rating_id, flush=True)
    number += 1
"""


def test_kill_nine_loses_nothing_acknowledged(tmp_path):
    path = tmp_path / "ratings.db"
    acknowledged: list[str] = []
    for attempt in range(3):
        process = subprocess.Popen(
            [sys.executable, "-c", WRITER, str(path), f"session-{attempt}"],
            stdout=subprocess.PIPE,
            text=True,
            cwd=Path(__file__).resolve().parents[2],
        )
        for _ in range(20 + 7 * attempt):
            acknowledged.append(process.stdout.readline().strip())
        os.kill(process.pid, signal.SIGKILL)
        acknowledged += [line.strip() for line in process.stdout if line.endswith("\n")]
        process.wait()
    store = RatingsStore.open(path)
    stored = [rating.rating_id for rating in store.history()]
    assert len(acknowledged) >= 81 and all(acknowledged)
    assert set(acknowledged) <= set(stored)
    assert len(stored) - len(acknowledged) <= 3  # at most the one that each killed process was about to acknowledge
    store.add(Rating(study="crash", session="after", reader="reader-a", query="q", case_id="after", score=1))
    assert store.latest(session="after")[0].score == 1
