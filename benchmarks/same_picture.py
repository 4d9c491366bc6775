"""Whether two pictures are one film: pairs of films, and a film with a copy of itself.

    python benchmarks/same_picture.py NIH [--out benchmarks/same_picture.md]

NIH : a folder with images/ and split.csv. The limit `SAME_PICTURE` was chosen on `tune`; `test` is printed next to it.
"""

from __future__ import annotations

import argparse
import csv
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np

from icbir_core.files import write_text_atomically
from icbir_core.phantom import simulate_film
from icbir_core.radiograph import read_radiograph
from icbir_core.radiograph.network_input import resize_film
from icbir_core.radiograph.same_picture import SAME_PICTURE, compare_pictures
from icbir_core.types import Radiograph

SIDE = 256
COPIES: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "JPEG of quality 20": lambda film: compress(film),
    "half as wide, then JPEG of quality 20": lambda film: compress(halve(film)),
    "128 pixels wide": lambda film: cv2.resize(film, (128, 128), interpolation=cv2.INTER_AREA),
    "256 pixels wide": lambda film: cv2.resize(film, (256, 256), interpolation=cv2.INTER_AREA),
    "inverted": lambda film: 1.0 - film,
    "gamma 2.2": lambda film: film**2.2,
    "gamma 0.45": lambda film: film**0.45,
    "window 0.30 to 0.65": lambda film: np.clip((film - 0.30) / 0.35, 0.0, 1.0),
    "window 0.10 to 0.60": lambda film: np.clip((film - 0.10) / 0.50, 0.0, 1.0),
    "noise of 2 % of the range": lambda film: film + np.random.default_rng(0).normal(0, 0.02, film.shape),
    "turned by 1 degree": lambda film: cv2.warpAffine(
        film, cv2.getRotationMatrix2D((film.shape[1] / 2, film.shape[0] / 2), 1, 1), film.shape[::-1]
    ),
    "cropped by 20 pixels a side": lambda film: np.ascontiguousarray(film[20:-20, 20:-20]),
}


def halve(film: np.ndarray) -> np.ndarray:
    """The film (H, W) at half its size."""
    return cv2.resize(film, None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA)


def compress(film: np.ndarray) -> np.ndarray:
    """The film (H, W) in [0, 1] after a lossy compression."""
    done, data = cv2.imencode(".jpg", np.rint(film * 255).astype(np.uint8), [cv2.IMWRITE_JPEG_QUALITY, 20])
    assert done
    return (cv2.imdecode(data, cv2.IMREAD_GRAYSCALE) / 255).astype(np.float32)


def read_part(nih: Path, part: str, count: int) -> dict[int, list[Radiograph]]:
    """The first two films of at most `count` patients of a part."""
    with (nih / "split.csv").open(newline="") as handle:
        wanted = {int(row["Patient ID"]) for row in csv.DictReader(handle) if row["part"] == part}
    films: dict[int, list[Path]] = {}
    for path in sorted((nih / "images").glob("*.png")):
        patient = int(path.name.split("_")[0])
        if patient in wanted:
            films.setdefault(patient, []).append(path)
    return {patient: [read_radiograph(path) for path in films[patient][:2]] for patient in list(films)[:count]}


def read_simulated(count: int) -> list[np.ndarray]:
    """As many simulated films (256, 256), one a seed."""
    return [simulate_film(seed, SIDE).pixels / np.float32(255) for seed in range(count)]


def compare_all(films: list[np.ndarray]) -> np.ndarray:
    """What each pair of films reaches."""
    small = [resize_film(film, SIDE, SIDE) for film in films]  # as the comparison would, once a film
    pairs = [compare_pictures(first, second) for number, first in enumerate(small) for second in small[number + 1 :]]
    return np.array(pairs)


def make_rows(part: str, patients: dict[int, list[Radiograph]]) -> list[str]:
    """The lines of the table of one part."""
    films = [one[0].pixels for one in patients.values()]
    again = [compare_pictures(one[0].pixels, one[1].pixels) for one in patients.values() if len(one) > 1]
    rows = [make_row(part, "films of different patients", compare_all(films))]
    rows.append(make_row(part, "two films of one patient", np.array(again)))
    for name, change in COPIES.items():
        found = [compare_pictures(film, change(film).astype(np.float32)) for film in films]
        rows.append(make_row(part, name, np.array(found)))
    return rows


def make_row(part: str, name: str, found: np.ndarray) -> str:
    """Number of pairs, smallest, middle and largest value, and the share that is called one film."""
    spread = f"{found.min():.3f} | {np.median(found):.3f} | {found.max():.3f}"
    return f"| {part} | {name} | {len(found)} | {spread} | {(found >= SAME_PICTURE).mean():.4f} |"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("nih", type=Path)
    parser.add_argument("--films", type=int, default=150, help="patients of each part")
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    lines = [
        "# One picture or two",
        "",
        "    python benchmarks/same_picture.py NIH --out benchmarks/same_picture.md",
        "",
        f"What two films share of their fine detail (`radiograph/same_picture.py`), 0 to 1; one film from "
        f"{SAME_PICTURE} on. The limit was chosen on `tune`. Pairs of films share films, so no interval is given.",
        "",
        "| part | pair | pairs | smallest | median | largest | called one film |",
        "|---|---|---|---|---|---|---|",
    ]
    for part in ("tune", "test"):
        lines += make_rows(part, read_part(options.nih, part, options.films))
    lines.append(make_row("simulated", "films of different seeds", compare_all(read_simulated(options.films))))
    text = "\n".join(lines) + "\n"
    if options.out:
        write_text_atomically(options.out, text)
    print(text)


if __name__ == "__main__":
    main()
