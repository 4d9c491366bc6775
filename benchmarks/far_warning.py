"""How often "far from everything in the catalogue" is said: of real films, and of what is no chest film.

    python benchmarks/far_warning.py WORKSPACE NIH [--out benchmarks/far_warning.md]

WORKSPACE holds the `train` patients of NIH (a folder with images/ and split.csv) and is indexed. The warning rests on
the default search, so each picture is searched with; the warnings of the quality gate alone are printed too, and both
together, which is what a reader sees. Intervals: Wilson, 95 %.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

import numpy as np
from quality_gate import list_films
from quality_gate_stand_ins import iterate_photographs, make_noise
from statsmodels.stats.proportion import proportion_confint

from icbir_core.catalogue import Workspace
from icbir_core.files import write_text_atomically
from icbir_core.radiograph import read_radiograph
from icbir_core.radiograph.quality import assess_quality
from icbir_core.retrieval.retriever import Retriever
from icbir_core.settings import SearchSettings
from icbir_core.types import Query, Radiograph
from icbir_ui.words import is_far

CROPS, NOISES = 5, 100


def count_warnings(retriever: Retriever, name: str, films: Iterable[Radiograph]) -> np.ndarray:
    """bool (N, 2): far from everything, and warned by the quality gate. name : tells these pictures from all others."""
    found = []
    for number, film in enumerate(films):
        # The retriever remembers films by this name, and these pixels are not those of the film they were made from.
        made = replace(film, pixel_sha256=f"{name} {number}")
        ranking = retriever.search(Query(f"{name} {number}", made), SearchSettings(top_k=1))
        found.append((is_far(ranking), bool(assess_quality(film).kinds)))
    return np.array(found)


def make_row(name: str, found: np.ndarray) -> str:
    """A line of the table."""
    cells = []
    for warned in (found[:, 0], found[:, 1], found.any(axis=1)):
        low, high = proportion_confint(int(warned.sum()), len(warned), method="wilson")
        cells.append(f"{warned.mean():.3f} [{low:.3f}, {high:.3f}]")
    return f"| {name} | {len(found)} | {' | '.join(cells)} |"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("workspace", type=Path)
    parser.add_argument("nih", type=Path)
    parser.add_argument("--out", type=Path, help="write the table here too")
    given = parser.parse_args()
    retriever = Retriever.open(Workspace.open(given.workspace))
    films = [(part, read_radiograph(path)) for path, _, part in list_films(given.nih) if part != "train"]
    pattern, generator = films[0][1], np.random.default_rng(21)
    tune = [film for part, film in films if part == "tune"]
    pictures = {
        "films of `tune`": tune,
        "films of `test`": [film for part, film in films if part == "test"],
        "films of `tune`, inverted": [replace(film, pixels=1 - film.pixels) for film in tune],
        "films of `tune`, upside down": [replace(film, pixels=film.pixels[::-1, ::-1].copy()) for film in tune],
        "photographs, as grey": [replace(pattern, pixels=one) for _, one in iterate_photographs(CROPS, generator)],
        "noise": [replace(pattern, pixels=make_noise(generator)) for _ in range(NOISES)],
    }
    lines = ["| pictures | n | far from everything | quality gate | either |", "|---|---|---|---|---|"]
    print("\n".join(lines))
    for name, some in pictures.items():
        lines.append(make_row(name, count_warnings(retriever, name, some)))
        print(lines[-1], flush=True)
    if given.out:
        head = f"# The warning of far films\n\n    python benchmarks/far_warning.py WORKSPACE NIH --out {given.out}\n\n"
        write_text_atomically(given.out, head + "\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
