"""Network images of a catalogue in one memory-mapped file, so that training reads each film once and memory does not
grow.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from icbir_core.catalogue import Workspace, read_case_radiograph
from icbir_core.files import PathLike, read_json, sha256_of_bytes, write_json_atomically
from icbir_core.radiograph.network_input import fit_to_network
from icbir_core.settings import InputSettings
from icbir_core.types import Case, Progress

_EVERY = 64


def cache_rows(
    folder: PathLike,
    name: str,
    identity: dict[str, Any],
    count: int,
    size: int,
    compute: Callable[[int, int], np.ndarray],
    progress: Progress | None = None,
    batch: int = _EVERY,
) -> np.ndarray:
    """A read-only memory map uint8 (count, size, size), filled by `compute(start, stop)` (float in [0, 1] or uint8) in
    batches.

    What an earlier run of the same `identity` wrote is kept, so a killed run goes on; another identity starts anew.
    """
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    pixels, journal = folder / f"{name}.uint8", folder / f"{name}.json"
    stored = read_json(journal) if journal.is_file() else {}
    done = stored.get("done", 0) if stored.get("identity") == identity and pixels.is_file() else 0
    if count == 0:
        return np.zeros((0, size, size), np.uint8)
    values = np.memmap(pixels, np.uint8, "r+" if done else "w+", shape=(count, size, size))
    while done < count:
        stop = min(done + batch, count)
        made = compute(done, stop)
        values[done:stop] = made if made.dtype == np.uint8 else np.rint(np.clip(made, 0, 1) * 255)
        values.flush()
        done = stop
        write_json_atomically(journal, {"identity": identity, "done": done})
        if progress is not None:
            progress(done, count, name)
    return np.memmap(pixels, np.uint8, "r", shape=(count, size, size))


def identify_cases(cases: Sequence[Case]) -> str:
    """A hash of which films these are, in order."""
    return sha256_of_bytes("\n".join(f"{case.row} {case.pixel_sha256}" for case in cases).encode())


def cache_films(
    workspace: Workspace, cases: Sequence[Case], settings: InputSettings, progress: Progress | None = None
) -> np.ndarray:
    """The network images of `cases` in order: a memory map uint8 (N, S, S), kept in the workspace's `cache` folder.

    256 grey levels, because the films and the equalisation have no more.
    """

    def compute(start: int, stop: int) -> np.ndarray:
        return np.stack(
            [fit_to_network(read_case_radiograph(workspace, case).pixels, settings) for case in cases[start:stop]]
        )

    identity = {"cases": identify_cases(cases), "input": asdict(settings)}
    folder = workspace.path / "cache"
    return cache_rows(folder, f"films_{settings.size}", identity, len(cases), settings.size, compute, progress)
