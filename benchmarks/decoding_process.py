"""What decoding in a process of its own costs, beside decoding in this one: by film, of a warm query and of indexing.

    python benchmarks/decoding_process.py [--films DIR] [--rounds 15] [--forward]

Each film is read in both ways by turns, so that both meet the same machine. With --forward the network is loaded and
the difference is told as a share of a warm query (five forward passes and the decoding) and of indexing a film (four
forward passes and the decoding); those multiples are what `query.md` and `indexing.md` measure.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

import cv2
import numpy as np
from processor import describe_processor

from icbir_core.files import sha256_of_bytes
from icbir_core.radiograph import read_radiograph
from icbir_core.radiograph.decoding import decode_film
from icbir_core.radiograph.levels import hash_levels, levels_to_pixels
from icbir_core.settings import ReadLimits

SIDES = (384, 1024, 2500)


def read_here(data: bytes) -> None:
    """All that `read_radiograph` does, in this process."""
    film = decode_film(data, ReadLimits())
    levels_to_pixels(film.levels)
    sha256_of_bytes(data)
    hash_levels(film.levels)


def make_films() -> dict[str, bytes]:
    """Simulated films, name → PNG."""
    generator, films = np.random.default_rng(0), {}
    for side in SIDES:
        coarse = generator.random((side // 8, side // 8))
        film = np.clip(cv2.resize(coarse, (side, side), interpolation=cv2.INTER_CUBIC), 0, 1)
        for bits in (8, 16):
            stored = (film * (2**bits - 1)).astype(np.uint8 if bits == 8 else np.uint16)
            films[f"{side} × {side}, {bits} bit"] = cv2.imencode(".png", stored)[1].tobytes()
    return films


def time_by_turns(data: bytes, rounds: int) -> np.ndarray:
    """Seconds (rounds, 2): in this process, in the child; the order changes from round to round."""
    spent = np.empty((rounds, 2))
    ways = (read_here, read_radiograph)
    for way in ways:
        way(data)
    for number in range(rounds):
        for place in (0, 1) if number % 2 else (1, 0):
            start = time.perf_counter()
            ways[place](data)
            spent[number, place] = time.perf_counter() - start
    return spent


def describe(values: np.ndarray) -> str:
    """Median and the middle half."""
    low, middle, high = np.percentile(values, (25, 50, 75))
    return f"{middle:.3f} [{low:.3f}, {high:.3f}]"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--films", type=Path, help="folder of films (default: simulated ones of three sizes)")
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--forward", action="store_true", help="also as a share of a query and of indexing")
    options = parser.parse_args()
    if options.films:
        films = {path.name: path.read_bytes() for path in sorted(options.films.iterdir())[:6] if path.is_file()}
    else:
        films = make_films()
    forward = None
    print(describe_processor())
    if options.forward:
        import tempfile

        from retrieval_setting import make_forward_pass, make_models, time_call

        with tempfile.TemporaryDirectory() as folder:
            run = make_forward_pass(make_models(Path(folder)).classifier)
        one = np.random.default_rng(0).normal(size=(1, 224, 224, 3)).astype("f4")
        run(one)
    for name, data in films.items():
        if options.forward:
            forward = float(np.median([time_call(lambda: run(one))[0] for _ in range(9)]))
        spent = time_by_turns(data, options.rounds)
        extra = spent[:, 1] - spent[:, 0]
        line = f"{name}: here {1000 * np.median(spent[:, 0]):.1f} ms, ratio {describe(spent[:, 1] / spent[:, 0])}"
        if forward is not None:
            line += f", of a query {describe(1 + extra / (5 * forward + spent[:, 0]))}"
            line += f", of indexing {describe(1 + extra / (4 * forward + spent[:, 0]))}"
        print(line, flush=True)


if __name__ == "__main__":
    main()
