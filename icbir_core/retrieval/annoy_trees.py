"""The Annoy part of an index: a seeded build on disk, and the choice of trees and search_k by measured recall.

Annoy (Bernhardsson) keeps no metadata in its file, checks no bounds, and accepts a NaN: the caller, `index.Index`,
guards it.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import numpy as np
from annoy import AnnoyIndex

from icbir_core.files import PathLike
from icbir_core.retrieval.exact import find_nearest, measure_distances
from icbir_core.rounding import SINGLE

METRIC: Final = "euclidean"
RECALL_AT = 10
RECALL_TARGET = 0.99
TREES = (24, 48, 96)
SEARCH_K = (1_000, 2_000, 4_000, 8_000, 16_000, 32_000, 64_000, 128_000, 256_000, 512_000)
SAMPLE = 200


@dataclass(frozen=True)
class TreeChoice:
    """What was chosen, and how good it is on queries that took no part in the choice.

    recall, lower : mean recall at 10 on `checked` cases of the catalogue, each left out of its own answer, and the
    lower end of its 95 % interval (normal approximation over the cases). recall_between : the same for points
    halfway between a case and one of its neighbours, which, as a new film, lie in no leaf of their own: the harder
    question.
    """

    trees: int
    search_k: int
    recall: float
    lower: float
    recall_between: float
    checked: int


@dataclass(frozen=True, eq=False)
class Probe:
    """A query with its true answer: vector (D,), position of the case that it is (−1: none), true distances, sorted."""

    vector: np.ndarray
    position: int
    distances: np.ndarray


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


def make_probes(
    vectors: np.ndarray, squared_norms: np.ndarray, number: int, generator: np.random.Generator
) -> tuple[list[Probe], list[Probe]]:
    """Up to `number` cases as queries, and as many points halfway between such a case and one of its ten nearest."""
    own, between = [], []
    for position in generator.choice(len(vectors), size=min(len(vectors), number), replace=False):
        vector = np.asarray(vectors[position])
        others, distances = find_nearest(vectors, squared_norms, vector, RECALL_AT + 1)
        others, distances = others[others != position][:RECALL_AT], distances[others != position][:RECALL_AT]
        own.append(Probe(vector, int(position), distances))
        if len(others):
            middle = 0.5 * (vector + np.asarray(vectors[generator.choice(others)]))
            between.append(Probe(middle, -1, find_nearest(vectors, squared_norms, middle, RECALL_AT)[1]))
    return own, between


def measure_recall(index: AnnoyIndex, vectors: np.ndarray, probes: list[Probe], search_k: int) -> np.ndarray:
    """Recall at 10 of each probe: the share of proposals that are no farther than the true tenth. Ties count, also
    those of single precision, in which Annoy measures: it may take either of two cases that are equally far but for
    rounding."""
    recalls = np.ones(len(probes))
    for number, probe in enumerate(probes):
        if len(probe.distances):
            proposed = propose(index, probe.vector, RECALL_AT + (probe.position >= 0), search_k)
            proposed = proposed[proposed != probe.position][:RECALL_AT]
            measured = measure_distances(vectors, proposed, probe.vector)
            tenth = probe.distances[-1] * (1 + SINGLE)
            recalls[number] = (measured <= tenth).sum() / len(probe.distances)
    return recalls


def choose_trees(
    vectors: np.ndarray,
    squared_norms: np.ndarray,
    path: PathLike,
    seed: int,
    recall_target: float = RECALL_TARGET,
    sample: int = SAMPLE,
    progress: Callable[[str], None] | None = None,
) -> TreeChoice:
    """Build the file at `path` with the cheapest of the listed settings that reaches `recall_target`.

    Half of the probes chooses, the other half checks and is reported; cases and halfway points must both reach the
    target, or the next setting is tried. The last setting looks at every vector, so its recall is 1. More trees are
    built once search_k would have to exceed a quarter of the vectors.
    """
    number = len(vectors)
    probes = make_probes(vectors, squared_norms, 2 * sample, np.random.default_rng(seed))
    choosing = [half for half in (probes[0][::2], probes[1][::2]) if half]
    checking = [part[1::2] or part for part in probes]
    for trees in TREES:
        if progress is not None:
            progress(f"building {trees} trees over {number} vectors")
        build_trees(vectors, path, trees, seed)
        index = load_trees(path, vectors.shape[1])
        everything = max(number * trees, SEARCH_K[0])  # a vector is counted once a tree
        ladder = [value for value in SEARCH_K if value < everything] + [everything]
        try:
            for search_k in ladder:
                if search_k > number // 4 and number > 4 * SEARCH_K[0] and trees != TREES[-1]:
                    break
                if any(measure_recall(index, vectors, part, search_k).mean() < recall_target for part in choosing):
                    continue
                own, between = (measure_recall(index, vectors, part, search_k) for part in checking)
                recall, recall_between = float(own.mean()), float(between.mean()) if len(between) else 1.0
                if min(recall, recall_between) >= recall_target:
                    error = 1.96 * float(own.std(ddof=1)) / np.sqrt(len(own)) if len(own) > 1 else 0.0
                    return TreeChoice(trees, search_k, recall, max(recall - error, 0.0), recall_between, len(own))
        finally:
            index.unload()
    raise AssertionError("the last setting searches every vector, so its recall is 1")  # pragma: no cover
