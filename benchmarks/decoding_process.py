"""What decoding in a process of its own costs, beside decoding in this one: by film, of a warm query and of indexing.

    icbir demo WORKSPACE
    python benchmarks/decoding_process.py WORKSPACE [--films DIR] [--rounds 15]

In each round a film is read here and in the child and answered as a warm query (probabilities, cases and the first heat
map, by the networks and the index of the workspace), so that all meet the same machine; in the first and the last a
batch of eight is described as an indexing does it. The order of the two ways of reading changes from round to round.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
from processor import describe_processor

import icbir_core as icbir
from icbir_core.files import sha256_of_bytes
from icbir_core.radiograph import read_radiograph
from icbir_core.radiograph.decoding import decode_film
from icbir_core.radiograph.levels import hash_levels, levels_to_pixels
from icbir_core.retrieval.retriever import Retriever
from icbir_core.settings import FIRST_COUNT, ReadLimits, SearchSettings
from icbir_core.types import Query, Radiograph

SIDES = (384, 1024, 2500)
BATCH = 8


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


def answer(retriever: Retriever, film: Radiograph) -> None:
    """All that the page Search asks about a film at first; one with a new hash is computed anew."""
    query = Query("query", film)
    retriever.predict(query)
    ranking = retriever.search(query, SearchSettings(FIRST_COUNT))
    retriever.map_of(query, target=ranking.target)


def describe_batch(retriever: Retriever, film: Radiograph) -> None:
    """What an indexing computes of eight films: the classifier with its maps, and the encoders beside it."""
    opened = retriever.get_target()
    images = opened.prepare_images(film.pixels)
    opened.embedder.embed(np.repeat(images[opened.models.classifier.input_settings][None], BATCH, axis=0))
    for encoder in opened.models.encoders:
        encoder.features(np.repeat(images[encoder.input_settings][None], BATCH, axis=0))


def time_call(call: Callable[[], object]) -> float:
    """Seconds on the clock."""
    start = time.perf_counter()
    call()
    return time.perf_counter() - start


def time_rounds(retriever: Retriever, data: bytes, rounds: int) -> np.ndarray:
    """Seconds (4, rounds): reading here, reading in the child, a warm query without reading, indexing likewise. The
    last, which takes as long as eight queries, is measured in the first and the last round."""
    spent, film = np.empty((4, rounds)), read_radiograph(data)
    read_here(data)
    ways = (lambda: read_here(data), lambda: read_radiograph(data))
    for number in range(rounds):
        for place in (0, 1) if number % 2 else (1, 0):
            spent[place, number] = time_call(ways[place])
        fresh = replace(film, pixel_sha256=f"round {number} of {film.pixel_sha256}")
        spent[2, number] = time_call(lambda asked=fresh: answer(retriever, asked))
        if number in (0, rounds - 1):
            spent[3, number] = time_call(lambda: describe_batch(retriever, film)) / BATCH
    spent[3] = spent[3, [0, -1]].mean()
    return spent


def describe(values: np.ndarray) -> str:
    """Median and the middle half."""
    low, middle, high = np.percentile(values, (25, 50, 75))
    return f"{middle:.3f} [{low:.3f}, {high:.3f}]"


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(description=str(__doc__).splitlines()[0])
    parser.add_argument("workspace", type=Path)
    parser.add_argument("--films", type=Path, help="folder of films (default: simulated ones of three sizes)")
    parser.add_argument("--rounds", type=int, default=15)
    options = parser.parse_args()
    if options.films:
        films = {path.name: path.read_bytes() for path in sorted(options.films.iterdir())[:6] if path.is_file()}
    else:
        films = make_films()
    retriever = icbir.open_retriever(options.workspace, device="cpu")
    answer(retriever, read_radiograph(next(iter(films.values()))))
    print(describe_processor())
    for name, data in films.items():
        here, child, query, indexing = time_rounds(retriever, data, options.rounds)
        extra = child - here
        shares = {
            "child / here": child / here, "decoding / query": child / (query + child),
            "query with the child / without": 1 + extra / (query + here),
            "indexing with the child / without": 1 + extra / (indexing + here),
        }  # fmt: skip
        told = ", ".join(f"{title} {describe(values)}" for title, values in shares.items())
        middle = dict(
            zip(("decoding here", "query", "indexing"), 1000 * np.median([here, query, indexing], axis=1), strict=True)
        )
        print(f"{name}: {told}; ms: {', '.join(f'{title} {value:.1f}' for title, value in middle.items())}", flush=True)


if __name__ == "__main__":
    main()
