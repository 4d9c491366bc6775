"""Damaged films without end: each must become a grey film or one sentence. Counts what came of them, and goes on where
an earlier run of the same folder stopped.

    python -m tests.fuzz.run_reader FOLDER [--inputs 1000000] [--seconds S] [--seed 1]

FOLDER gets `reader.json` (the counts) and every failing input. Input number N of a seed is always the same bytes. Ends
with 1 if anything but a film or a `RadiographError` of one line came out.
"""

from __future__ import annotations

import argparse
import json
import random
import sys
import time
from collections import Counter
from pathlib import Path

import numpy as np

from icbir_core.errors import RadiographError, RadiographTooLarge
from icbir_core.files import write_json_atomically
from icbir_core.radiograph import read_radiograph
from tests.fuzz.mutations import mutate
from tests.fuzz.seeds import list_seeds

_SAVE_EVERY, _KEPT = 1000, 200


def judge(data: bytes) -> str:
    """ "film", "sentence", "decoder ended", "too much" (time, memory, size), or "FOREIGN …" for what must not be."""
    try:
        pixels = read_radiograph(data).pixels
    except RadiographTooLarge as error:
        return "too much" if _is_one_line(error) else "FOREIGN sentence of several lines"
    except RadiographError as error:
        if not _is_one_line(error):
            return "FOREIGN sentence of several lines"
        return "decoder ended" if "its decoder stops" in str(error) else "sentence"
    except BaseException as error:
        if isinstance(error, KeyboardInterrupt):
            raise
        return f"FOREIGN {type(error).__name__}"
    right = pixels.ndim == 2 and pixels.dtype == np.float32 and pixels.size > 0
    return "film" if right and 0 <= pixels.min() <= pixels.max() <= 1 else "FOREIGN pixels"


def _is_one_line(error: Exception) -> bool:
    text = str(error)
    return bool(text) and text.isprintable() and len(text) <= 300


def measure_memory() -> float:
    """Resident memory of this process in MB; 0 where the system does not tell."""
    try:
        return int(Path("/proc/self/statm").read_text().split()[1]) * 4096 / 1e6
    except OSError:
        return 0.0


def run(folder: Path, inputs: int, seconds: float, seed: int) -> dict:
    """Work until `inputs` inputs are done in all, or for `seconds`; returns the state, which is in the folder too."""
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / "reader.json"
    state = json.loads(file.read_text()) if file.is_file() else {"seed": seed, "next": 0, "counts": {}, "slowest": 0.0}
    counts, start = Counter(state["counts"]), time.monotonic()
    state.setdefault("memory_start", measure_memory())
    seeds = list_seeds()
    while state["next"] < inputs and time.monotonic() - start < seconds:
        data = mutate(random.Random(f"{state['seed']}-{state['next']}"), seeds)
        before = time.monotonic()
        came = judge(data)
        state["slowest"] = max(state["slowest"], round(time.monotonic() - before, 2))
        counts[came] += 1
        if came.startswith("FOREIGN") or (came == "decoder ended" and counts[came] <= _KEPT):
            (folder / f"{came.replace(' ', '_')}_{state['seed']}_{state['next']}.bin").write_bytes(data)
        state["next"] += 1
        if state["next"] % _SAVE_EVERY == 0:
            _save(file, state, counts)
    _save(file, state, counts)
    return state


def _save(file: Path, state: dict, counts: Counter) -> None:
    state["counts"] = dict(counts)
    state["memory_most"] = max(state.get("memory_most", 0.0), measure_memory())
    write_json_atomically(file, state)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--inputs", type=int, default=1_000_000)
    parser.add_argument("--seconds", type=float, default=float("inf"))
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    state = run(options.folder, options.inputs, options.seconds, options.seed)
    print(json.dumps(state, indent=2))
    return 1 if any(name.startswith("FOREIGN") for name in state["counts"]) else 0


if __name__ == "__main__":
    sys.exit(main())
