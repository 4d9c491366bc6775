"""A run of damaged inputs that goes on where an earlier one stopped: its counts, and its command."""

from __future__ import annotations

import argparse
import json
import random
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

from icbir_core.files import write_json_atomically

_SAVE_EVERY = 500

Attempt = Callable[[random.Random, str, Counter], str]
"""Damages one input by the draws of a generator and says what came of it, "FOREIGN …" for what must not be. The text is
the input's name, the counter what has come so far."""


def measure_memory() -> float:
    """Resident memory of this process in MB; 0 where the system does not tell."""
    try:
        return int(Path("/proc/self/statm").read_text().split()[1]) * 4096 / 1e6
    except OSError:
        return 0.0


def go_on(file: Path, attempt: Attempt, inputs: int, seconds: float, seed: int) -> dict:
    """Work until `inputs` inputs are done in all, or for `seconds`; returns the state, which is in `file` too."""
    file.parent.mkdir(parents=True, exist_ok=True)
    state = json.loads(file.read_text()) if file.is_file() else {"seed": seed, "next": 0, "counts": {}, "slowest": 0.0}
    counts, start = Counter(state["counts"]), time.monotonic()
    state.setdefault("memory_start", measure_memory())
    while state["next"] < inputs and time.monotonic() - start < seconds:
        before = time.monotonic()
        name = f"{state['seed']}-{state['next']}"
        counts[attempt(random.Random(name), name, counts)] += 1
        state["slowest"] = max(state["slowest"], round(time.monotonic() - before, 2))
        state["next"] += 1
        if state["next"] % _SAVE_EVERY == 0:
            _save(file, state, counts)
    _save(file, state, counts)
    return state


def _save(file: Path, state: dict, counts: Counter) -> None:
    state["counts"] = dict(counts)
    state["memory_most"] = max(state.get("memory_most", 0.0), measure_memory())
    write_json_atomically(file, state)


def run_command(description: str, run: Callable[[Path, int, float, int], dict], inputs: int) -> int:
    """The command: reads its options, runs, prints the state; 1 if anything foreign came."""
    parser = argparse.ArgumentParser(description=description.splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--inputs", type=int, default=inputs)
    parser.add_argument("--seconds", type=float, default=float("inf"))
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    state = run(options.folder, options.inputs, options.seconds, options.seed)
    print(json.dumps(state, indent=2))
    return 1 if any(name.startswith("FOREIGN") for name in state["counts"]) else 0
