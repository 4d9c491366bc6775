"""Whether two pictures under one DICOM instance are one film: pairs of films, and a film with a copy of itself.

    python benchmarks/same_picture.py NIH [--out benchmarks/same_picture.md]

NIH : a folder with images/ and split.csv. The limit `SAME_PICTURE` was chosen on `tune`; `test` is printed next to it.
"""

from __future__ import annotations

import argparse
import csv
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np

from icbir_core.catalogue.storing import SAME_PICTURE, compare_pictures
from icbir_core.files import write_text_atomically
from icbir_core.radiograph import read_radiograph
from icbir_core.types import Radiograph

COPIES: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "JPEG of quality 20": lambda film: compress(film),
    "256 pixels wide": lambda film: cv2.resize(film, (256, 256), interpolation=cv2.INTER_AREA),
    "inverted": lambda film: 1.0 - film,
    "gamma 2.2": lambda film: film**2.2,
    "gamma 0.45": lambda film: film**0.45,
    "window 0.30 to 0.65": lambda film: np.clip((film - 0.30) / 0.35, 0.0, 1.0),
    "window 0.10 to 0.60": lambda film: np.clip((film - 0.10) / 0.50, 0.0, 1.0),
    "cropped by 20 pixels a side": lambda film: np.ascontiguousarray(film[20:-20, 20:-20]),
}


def compress(film: np.ndarray) -> np.ndarray:
    """The film (H, W) in [0, 1] after a lossy compression."""
    done, data = cv2.imencode(".jpg", np.rint(film * 255).astype(np.uint8), [cv2.IMWRITE_JPEG_QUALITY, 20])
    assert done
    return (cv2.imdecode(data, cv2.IMREAD_GRAYSCALE) / 255).astype(np.float32)


def read_part(nih: Path, part: str, count: int) -> list[Radiograph]:
    """At most `count` films of a part, one a patient."""
    with (nih / "split.csv").open(newline="") as handle:
        wanted = {int(row["Patient ID"]) for row in csv.DictReader(handle) if row["part"] == part}
    films: dict[int, Path] = {}
    for path in sorted((nih / "images").glob("*.png")):
        patient = int(path.name.split("_")[0])
        if patient in wanted:
            films.setdefault(patient, path)
    return [read_radiograph(path) for path in list(films.values())[:count]]


def make_rows(part: str, films: list[Radiograph]) -> list[str]:
    """The lines of the table of one part."""
    pairs = [compare_pictures(first, second) for number, first in enumerate(films) for second in films[number + 1 :]]
    rows = [make_row(part, "films of different patients", np.array(pairs))]
    for name, change in COPIES.items():
        copies = [replace(film, pixels=change(film.pixels).astype(np.float32)) for film in films]
        found = [compare_pictures(film, copy) for film, copy in zip(films, copies, strict=True)]
        rows.append(make_row(part, name, np.array(found)))
    return rows


def make_row(part: str, name: str, found: np.ndarray) -> str:
    """Number of pairs, smallest, middle and largest value, and the share that is called one film."""
    spread = f"{found.min():.3f} | {np.median(found):.3f} | {found.max():.3f}"
    return f"| {part} | {name} | {len(found)} | {spread} | {(found >= SAME_PICTURE).mean():.4f} |"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("nih", type=Path)
    parser.add_argument("--films", type=int, default=150, help="films of each part, one a patient")
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    lines = [
        "# One picture or two",
        "",
        "    python benchmarks/same_picture.py NIH --out benchmarks/same_picture.md",
        "",
        f"Correlation, without its sign, of what is finer than a sixteenth of the film, at 64 × 64; one film from "
        f"{SAME_PICTURE} on. The limit was chosen on `tune`. Pairs of films share films, so no interval is given.",
        "",
        "| part | pair | pairs | smallest | median | largest | called one film |",
        "|---|---|---|---|---|---|---|",
    ]
    for part in ("tune", "test"):
        lines += make_rows(part, read_part(options.nih, part, options.films))
    text = "\n".join(lines) + "\n"
    if options.out:
        write_text_atomically(options.out, text)
    print(text)


if __name__ == "__main__":
    main()
