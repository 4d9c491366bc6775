"""The Annoy part of an index: a seeded build on disk, and the choice of trees and search_k by measured recall.

Annoy (Bernhardsson) keeps no metadata in its file, checks no bounds, and accepts a NaN: the caller, `index.Index`,
guards it.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Final

import numpy as np
from annoy import AnnoyIndex

from icbir_core.files import PathLike
from icbir_core.retrieval.exact import measure_distances
from icbir_core.retrieval.probes import RECALL_AT, RECALL_TARGET, SAMPLE, Probe, Recall, make_probes, score_recall
from icbir_core.types import Progress

METRIC: Final = "euclidean"
TREES = (24, 48, 96)
SEARCH_K = (1_000, 2_000, 4_000, 8_000, 16_000, 32_000, 64_000, 128_000, 256_000, 512_000)


@dataclass(frozen=True)
class TreeChoice:
    """What was chosen, and how good it is."""

    trees: int
    search_k: int
    recall: Recall


def build_trees(vectors: np.ndarray, path: PathLike, trees: int, seed: int) -> None:
    """Write an Annoy file of `vectors` (N, D) to `path`. One thread: only then is a seeded build the same byte for
    byte."""
    index = AnnoyIndex(vectors.shape[1], METRIC)
    index.on_disk_build(os.fspath(path))
    index.set_seed(seed)
    for start in range(0, len(vectors), 1024):
        for offset, vector in enumerate(np.asarray(vectors[start : start + 1024]).tolist()):
            index.add_item(start + offset, vector)
    index.build(trees, n_jobs=1)
    index.unload()


def load_trees(path: PathLike, dimension: int) -> AnnoyIndex:
    """The Annoy file, mapped into memory (pages are read when a search touches them)."""
    index = AnnoyIndex(dimension, METRIC)
    index.load(os.fspath(path))
    return index


def propose(index: AnnoyIndex, query: np.ndarray, number: int, search_k: int) -> np.ndarray:
    """Positions int64 of about the `number` nearest items, nearest first (never more than asked for)."""
    return np.array(index.get_nns_by_vector(query.tolist(), number, search_k=search_k), dtype=np.int64)


def measure_recall(index: AnnoyIndex, vectors: np.ndarray, probes: Sequence[Probe], search_k: int) -> np.ndarray:
    """Recall at 10 of each probe."""
    recalls = []
    for probe in probes:
        proposed = propose(index, probe.vector, RECALL_AT + (probe.position >= 0), search_k)
        proposed = proposed[proposed != probe.position][:RECALL_AT]
        recalls.append(score_recall(probe, measure_distances(vectors, proposed, probe.vector)))
    return np.array(recalls)


def choose_trees(
    vectors: np.ndarray,
    path: PathLike,
    seed: int,
    recall_target: float = RECALL_TARGET,
    sample: int = SAMPLE,
    progress: Progress | None = None,
) -> TreeChoice:
    """Build the file at `path` with the cheapest of the listed settings that reaches `recall_target`.

    Half of the probes chooses, the other half checks and is reported; cases and halfway points must both reach the
    target, or the next setting is tried. The last setting looks at every vector, so its recall is 1. More trees are
    built once search_k would have to exceed a quarter of the vectors.
    """
    number = len(vectors)
    probes = make_probes(vectors, 2 * sample, np.random.default_rng(seed))
    for trees in TREES:
        if progress is not None:
            progress(0, 0, f"building {trees} trees over {number} vectors")
        build_trees(vectors, path, trees, seed)
        index = load_trees(path, vectors.shape[1])
        everything = max(number * trees, SEARCH_K[0])  # a vector is counted once a tree
        ladder = [value for value in SEARCH_K if value < everything] + [everything]
        try:
            for search_k in ladder:
                if search_k > number // 4 and number > 4 * SEARCH_K[0] and trees != TREES[-1]:
                    break
                measure = partial(measure_recall, index, vectors, search_k=search_k)
                if (recall := probes.reach(measure, recall_target)) is not None:
                    return TreeChoice(trees, search_k, recall)
        finally:
            index.unload()
    raise AssertionError("the last setting searches every vector, so its recall is 1")  # pragma: no cover
