"""Simulated films as a data set on disk that the `folder` layout can ingest."""

from __future__ import annotations

import csv
import io
import os
from pathlib import Path

import cv2

from icbir_core.files import PathLike, write_bytes_atomically, write_text_atomically
from icbir_core.findings import NO_FINDING
from icbir_core.types import Progress

from .film import SIMULATED_FINDINGS, simulate_films
from .truth import SimulatedTruth, SimulationError

_JOURNAL = "truth.partial.jsonl"


def image_name(seed: int) -> str:
    """File name of the film of a seed."""
    return f"sim_{seed}.png"


def write_simulated(
    directory: PathLike, count: int, seed: int, size: int = 512, workers: int = 2, progress: Progress | None = None
) -> Path:
    """Writes the films of `count` seeds from `seed` on, and returns `directory`.

    images/sim_<seed>.png holds the films (8-bit grey), labels.csv one row a film (image, patient, view, age,
    sex, one column a finding with 1 or 0), truth.jsonl one line a film (`SimulatedTruth.to_json`). Every
    simulated film is a patient of its own. An interrupted run continues where it stopped; labels.csv and
    truth.jsonl appear when all films are there.

    Raises `SimulationError` for a count below 1, or when the directory holds films of another size.
    """
    if count < 1:
        raise SimulationError(f"The number of films must be at least 1, not {count}.")
    directory = Path(directory)
    images = directory / "images"
    images.mkdir(parents=True, exist_ok=True)
    journal = directory / _JOURNAL
    seeds = range(seed, seed + count)
    lines = _read_lines(directory / "truth.jsonl") | _read_lines(journal)
    done = {}
    for known, line in lines.items():
        if known in seeds and (images / image_name(known)).is_file():
            mask = SimulatedTruth.from_json(line).lung_mask
            shape = (0, 0) if mask is None else mask.shape
            if shape != (size, size):
                raise SimulationError(
                    f"{directory} holds films of {shape[0]} pixels, not {size}; choose another directory."
                )
            done[known] = line
    if progress:
        progress(len(done), count, "simulating films")
    missing = [value for value in seeds if value not in done]
    write_text_atomically(journal, "".join(line + "\n" for line in done.values()))
    with open(journal, "a", encoding="utf-8") as handle:
        for film in simulate_films(missing, size, workers):
            written, data = cv2.imencode(".png", film.pixels)
            if not written:
                raise SimulationError(f"The film of seed {film.truth.seed} could not be encoded as PNG.")
            write_bytes_atomically(images / image_name(film.truth.seed), data.tobytes())
            line = film.truth.to_json()
            handle.write(line + "\n")
            handle.flush()
            done[film.truth.seed] = line
            if progress:
                progress(len(done), count, "simulating films")
    ordered = [done[value] for value in seeds]
    write_text_atomically(directory / "labels.csv", _labels(ordered))
    write_text_atomically(directory / "truth.jsonl", "".join(line + "\n" for line in ordered))
    os.unlink(journal)
    return directory


def read_truth(directory: PathLike) -> list[SimulatedTruth]:
    """The truths of a directory of `write_simulated`, in order of seed."""
    path = Path(directory) / "truth.jsonl"
    if not path.is_file():
        raise SimulationError(f"{path} is missing; run `simulate` on this directory to the end.")
    return [SimulatedTruth.from_json(line) for line in path.read_text(encoding="utf-8").splitlines()]


def _read_lines(path: Path) -> dict[int, str]:
    """Whole lines of a truth file by seed; a line cut off by a kill is left out."""
    if not path.is_file():
        return {}
    lines = {}
    for line in path.read_text(encoding="utf-8").splitlines():
        try:
            lines[SimulatedTruth.from_json(line).seed] = line
        except SimulationError:
            continue
    return lines


def _labels(lines: list[str]) -> str:
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(["image", "patient", "view", "age", "sex", NO_FINDING, *SIMULATED_FINDINGS])
    for line in lines:
        truth = SimulatedTruth.from_json(line)
        present = [int(name in truth.names) for name in SIMULATED_FINDINGS]
        row = [image_name(truth.seed), f"sim{truth.seed}", truth.view, truth.age, truth.sex]
        writer.writerow([*row, int(not truth.findings), *present])
    return out.getvalue()
