"""The Annoy part of an index: a seeded build on disk, once, and the choice of trees and search_k by measured recall.

Trees over long vectors cost what the length costs, in building and in asking. So they stand over the vectors'
principal directions, at most 128 of them: Annoy only proposes, and the caller, `index.Index`, ranks the proposals by
the whole vectors. Annoy (Bernhardsson) keeps no metadata in its file, checks no bounds, and accepts a NaN: the caller
guards it.
"""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from concurrent.futures import TimeoutError as StillRunning
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Final

import numpy as np
from annoy import AnnoyIndex

from icbir_core.files import PathLike
from icbir_core.retrieval.exact import BLOCK, measure_distances
from icbir_core.retrieval.probes import (
    RECALL_AT,
    RECALL_TARGET,
    SAMPLE,
    Probe,
    Probes,
    Recall,
    make_probes,
    score_recall,
)
from icbir_core.types import Progress

METRIC: Final = "euclidean"
TREES = (24, 48, 96)
SEARCH_K = (1_000, 2_000, 4_000, 8_000, 16_000, 32_000, 64_000, 128_000, 256_000, 512_000)
DIRECTIONS = 128
"""Most principal directions that the trees stand over; shorter vectors are taken as they are."""
REACH = (10, 100)
"""How many proposals are ranked by their whole vectors for each case asked for, where the trees see directions only."""
TRIAL = 20_000
"""Vectors of the sample on which the number of trees is chosen."""


@dataclass(frozen=True)
class TreeChoice:
    """What was chosen, and how good it is. reach : proposals ranked for each case asked for."""

    trees: int
    search_k: int
    reach: int
    recall: Recall


@dataclass(frozen=True, eq=False)
class TreeSource:
    """What trees stand over. vectors (N, D); projection float32 (D, d), or None: the vectors as they are."""

    vectors: np.ndarray
    projection: np.ndarray | None

    @property
    def dimension(self) -> int:
        """Of what Annoy holds."""
        return int(self.vectors.shape[1] if self.projection is None else self.projection.shape[1])

    def project(self, vectors: np.ndarray) -> np.ndarray:
        """Vectors (…, D) as Annoy holds them, float32 (…, d)."""
        return vectors if self.projection is None else np.asarray(vectors @ self.projection, np.float32)


def find_directions(vectors: np.ndarray, seed: int) -> np.ndarray | None:
    """The principal directions of a sample of `vectors` (N, D), float32 (D, 128), the first the longest; None for short
    vectors. Four decimals, so that the order of a sum does not change what is built."""
    number, dimension = vectors.shape
    if dimension <= DIRECTIONS:
        return None
    chosen = np.sort(np.random.default_rng(seed).choice(number, size=min(number, TRIAL), replace=False))
    sample = np.asarray(vectors[chosen], np.float64)
    sample -= sample.mean(axis=0)
    _, directions = np.linalg.eigh(sample.T @ sample)
    found: np.ndarray = np.round(directions[:, ::-1][:, :DIRECTIONS], 4).astype(np.float32)
    found *= np.sign(found[np.abs(found).argmax(axis=0), np.arange(DIRECTIONS)])  # its opposite is the same direction
    return found


def build_trees(
    source: TreeSource, path: PathLike, trees: int, seed: int, tell: Progress, expected: float = 0.0
) -> None:
    """Write an Annoy file to `path`. One thread: only then is a seeded build the same byte for byte. expected : seconds
    that the trees will take, for `tell`, since Annoy says nothing while it builds."""
    vectors, number = source.vectors, len(source.vectors)
    index = AnnoyIndex(source.dimension, METRIC)
    index.on_disk_build(os.fspath(path))
    index.set_seed(seed)
    for start in range(0, number, BLOCK):
        for offset, vector in enumerate(source.project(np.asarray(vectors[start : start + BLOCK])).tolist()):
            index.add_item(start + offset, vector)
        tell(min(start + BLOCK, number), number, "preparing the trees")
    began = time.monotonic()
    with ThreadPoolExecutor(1) as worker:
        building = worker.submit(index.build, trees, 1)
        while True:
            try:
                building.result(timeout=1.0)
                break
            except StillRunning:
                done = min(0.99, (time.monotonic() - began) / expected) if expected else 0.0
                tell(int(trees * done), trees, f"building {trees} trees over {number} vectors")
    index.unload()


def load_trees(path: PathLike, dimension: int) -> AnnoyIndex:
    """The Annoy file, mapped into memory (pages are read when a search touches them)."""
    index = AnnoyIndex(dimension, METRIC)
    index.load(os.fspath(path))
    return index


def propose(index: AnnoyIndex, query: np.ndarray, number: int, search_k: int) -> np.ndarray:
    """Positions int64 of about the `number` nearest items, nearest first (never more than asked for). query (d,) : as
    the trees hold it."""
    return np.array(index.get_nns_by_vector(query.tolist(), number, search_k=search_k), dtype=np.int64)


def measure_recall(
    index: AnnoyIndex, source: TreeSource, probes: Sequence[Probe], search_k: int, reach: int
) -> np.ndarray:
    """Recall at 10 of each probe, after the proposals were ranked by their whole vectors."""
    recalls = []
    for probe in probes:
        number = reach * (RECALL_AT + (probe.position >= 0))
        proposed = propose(index, source.project(probe.vector), number, max(search_k, number))
        proposed = proposed[proposed != probe.position]
        recalls.append(score_recall(probe, np.sort(measure_distances(source.vectors, proposed, probe.vector))))
    return np.array(recalls)


def choose_search(
    index: AnnoyIndex, source: TreeSource, probes: Probes, trees: int, target: float, most: int | None = None
) -> TreeChoice | None:
    """The cheapest of the listed settings that reaches `target`; None where search_k would exceed `most`. Without a
    `most` the last setting ranks every vector, so its recall is 1."""
    number = len(source.vectors)
    everything = max(number * trees, SEARCH_K[0])  # a vector is counted once a tree
    ladder = [value for value in SEARCH_K if value < everything] + [everything]
    for reach in REACH if source.projection is not None else (1,):
        for search_k in ladder:
            if most is not None and search_k > most:
                break
            measure = partial(measure_recall, index, source, search_k=search_k, reach=reach)
            if (recall := probes.reach(measure, target)) is not None:
                return TreeChoice(trees, search_k, reach, recall)
    if most is not None:
        return None
    measure = partial(measure_recall, index, source, search_k=everything, reach=number)
    return TreeChoice(trees, everything, number, probes.check(measure))


def choose_trees(
    source: TreeSource,
    path: PathLike,
    seed: int,
    recall_target: float = RECALL_TARGET,
    sample: int = SAMPLE,
    progress: Progress | None = None,
) -> TreeChoice:
    """Build the file at `path`, once, with the fewest trees that do on a sample, and choose how far to look in it.

    Half of the probes chooses, the other half checks and is reported; cases and halfway points must both reach the
    target, or the next setting is tried. On the sample more trees are tried once search_k would have to exceed a
    quarter of it. Only where the sample is all there is can a file be built twice.
    """
    path, tell = Path(path), progress or (lambda done, total, text: None)
    number, generator = len(source.vectors), np.random.default_rng(seed)
    chosen: Any = slice(0, number)
    if number > TRIAL:
        chosen = np.sort(generator.choice(number, size=TRIAL, replace=False))
    small = TreeSource(np.asarray(source.vectors[chosen]), source.projection)
    probes = make_probes(small.vectors, 2 * sample, generator)
    most = len(small.vectors) // 4 if len(small.vectors) > 4 * SEARCH_K[0] else None
    for trees in TREES:
        began = time.monotonic()
        build_trees(small, path, trees, seed, lambda done, total, text: None)
        seconds = time.monotonic() - began
        index = load_trees(path, small.dimension)
        try:
            choice = choose_search(index, small, probes, trees, recall_target, most if trees != TREES[-1] else None)
        finally:
            index.unload()
        if choice is not None:
            break
    assert choice is not None
    if number <= TRIAL:
        return choice
    expected = seconds * number * np.log2(number) / (TRIAL * np.log2(TRIAL))
    build_trees(source, path, choice.trees, seed, tell, expected)
    tell(0, 0, "measuring the recall")
    probes = make_probes(source.vectors, 2 * sample, generator)
    index = load_trees(path, source.dimension)
    try:
        found = choose_search(index, source, probes, choice.trees, recall_target)
    finally:
        index.unload()
    assert found is not None
    return found
