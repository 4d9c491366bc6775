"""Films of given pixels in a folder, with the table of their labels."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np

from icbir_core.catalogue import IngestOptions


class LabelledFilm(NamedTuple):
    """pixels : (H, W), uint8 or uint16. effusion : 0 or 1."""

    name: str
    pixels: np.ndarray
    patient: str
    effusion: int


def make_effusions(count: int) -> Iterator[LabelledFilm]:
    """Small films of two a patient, every other one bright at its foot, which is its effusion."""
    random = np.random.default_rng(0)
    for number in range(count):
        pixels = random.integers(0, 120, (40, 40), dtype=np.uint8)
        pixels[28:] += np.uint8(100 * (number % 2))
        yield LabelledFilm(f"{number}.png", pixels, str(number // 2), number % 2)


def write_labelled(folder: Path, films: Iterable[LabelledFilm]) -> IngestOptions:
    """Writes films/ and labels.csv into `folder`; returns how they are ingested."""
    images = folder / "films"
    images.mkdir()
    rows = ["image,patient,view,Effusion"]
    for film in films:
        assert cv2.imwrite(str(images / film.name), film.pixels)
        rows.append(f"{film.name},{film.patient},PA,{film.effusion}")
    table = folder / "labels.csv"
    table.write_text("\n".join(rows) + "\n")
    return IngestOptions("folder", images, table)
