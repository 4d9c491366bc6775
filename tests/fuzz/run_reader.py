"""Damaged films without end: each must become a grey film or one sentence. Counts what came of them, and goes on where
an earlier run of the same folder stopped.

    python -m tests.fuzz.run_reader FOLDER [--inputs 1000000] [--seconds S] [--seed 1]

FOLDER gets `reader.json` (the counts) and every failing input. Input number N of a seed is always the same bytes. Ends
with 1 if anything but a film or a `RadiographError` of one line came out.
"""

from __future__ import annotations

import random
import sys
from collections import Counter
from pathlib import Path

import numpy as np

from icbir_core.errors import RadiographError, RadiographTooLarge
from icbir_core.radiograph import read_radiograph
from tests.fuzz.long_run import go_on, run_command
from tests.fuzz.mutations import mutate
from tests.fuzz.seeds import list_seeds

_KEPT = 200


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


def run(folder: Path, inputs: int, seconds: float, seed: int) -> dict:
    """Work until `inputs` inputs are done in all, or for `seconds`; returns the state, which is in the folder too."""
    seeds = list_seeds()

    def attempt(draw: random.Random, name: str, counts: Counter) -> str:
        data = mutate(draw, seeds)
        came = judge(data)
        if came.startswith("FOREIGN") or (came == "decoder ended" and counts[came] < _KEPT):
            (folder / f"{came.replace(' ', '_')}_{name}.bin").write_bytes(data)
        return came

    return go_on(folder / "reader.json", attempt, inputs, seconds, seed)


if __name__ == "__main__":
    sys.exit(run_command(str(__doc__), run, inputs=1_000_000))
