"""Ranking by a part of what the network saw, chosen at the time of asking: a region of the film, or one finding.

Such a part has no index of its own: every eligible case is compared, in pieces, so that memory does not grow with the
catalogue. Each case is described at one or several places, and its best place counts.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from icbir_core.retrieval.exact import order_nearest
from icbir_core.retrieval.methods import SearchMethod
from icbir_core.retrieval.search_index import Eligible, Found
from icbir_core.rounding import COARSE, clear_distances

Pieces = Callable[[np.ndarray], Iterator[np.ndarray]]


@dataclass(frozen=True, eq=False)
class PartIndex:
    """Cases by a part of the film: a `SearchIndex` that is always exact.

    rows : int64 (N,) of the cases that can be compared. describe : descriptions float32 (n, C) of cases, by their rows,
    in pieces; places : the same at every place that counts, (n, P, C).
    """

    method: SearchMethod
    rows: np.ndarray
    describe: Pieces
    places: Pieces

    @property
    def metric(self) -> str:
        return self.method.metric

    def get_vectors(self, rows: np.ndarray) -> np.ndarray:
        """Descriptions float32 (n, C) of few cases, each at the part's own place."""
        return np.concatenate(list(self.describe(rows)))

    def measure(self, query: np.ndarray, rows: np.ndarray) -> np.ndarray:
        """Euclidean distances float64 (n,) of a description (C,) to the best place of each case."""
        return self._ask(rows, np.float64, lambda placed: measure_places(query, placed))

    def find_places(self, query: np.ndarray, rows: np.ndarray) -> np.ndarray:
        """int64 (n,): which place of each case is nearest to a description (C,), the one that `measure` measures to."""
        return self._ask(rows, np.int64, lambda placed: _measure_all(query, placed).argmin(axis=1))

    def _ask(self, rows: np.ndarray, kind: type, answer: Callable[[np.ndarray], np.ndarray]) -> np.ndarray:
        """What `answer` says of each case's places (n, P, C), asked in the order in which they are stored."""
        order = np.argsort(rows)
        found: np.ndarray = np.empty(len(rows), kind)
        if len(rows):
            found[order] = np.concatenate([answer(piece) for piece in self.places(rows[order])])
        return found

    def search(self, query: np.ndarray, k: int, eligible: Eligible | None = None, route: str = "auto") -> Found:
        """The k nearest of the eligible cases; see `SearchIndex`. Whatever the route, each one is compared."""
        rows = np.sort(self.rows if eligible is None else eligible.rows)
        distances = self.measure(query, rows)
        order = order_nearest(distances, rows, k)
        return Found(rows[order], distances[order], "exact")


def measure_places(described: np.ndarray, placed: np.ndarray) -> np.ndarray:
    """Euclidean distances float64 (n,) of a description (C,) to the best place of each of n cases (n, P, C)."""
    # region features are kept in half precision
    return clear_distances(_measure_all(described, placed).min(axis=1), described, COARSE)


def _measure_all(described: np.ndarray, placed: np.ndarray) -> np.ndarray:
    """Euclidean distances float64 (n, P) of a description (C,) to every place of n cases (n, P, C)."""
    difference = placed - described
    distances: np.ndarray = np.sqrt(np.einsum("npc,npc->np", difference, difference, dtype=np.float64))
    return distances


def measure_nearest(
    described: np.ndarray, excluded: Sequence[np.ndarray], rows: np.ndarray, pieces: Iterable[np.ndarray]
) -> np.ndarray:
    """Distances float64 (Q,) of Q descriptions (Q, C) to the nearest of many cases, as `measure_places`'s.

    rows : of the cases, (N,); pieces : what describes them at their places (n, P, C), one piece after another, in that
    order. excluded : for each description the rows that do not count; infinity where none is left.
    """
    middle = described.mean(axis=0)  # distances from the middle lose less in the product below
    wanted = described - middle
    nearest, start = np.full(len(described), np.inf), 0
    for placed in pieces:
        number, places, channels = placed.shape
        part, start = rows[start : start + number], start + number
        there = placed.reshape(-1, channels) - middle
        squared = np.einsum("nd,nd->n", there, there) - 2 * wanted @ there.T  # but for the same number in every column
        barred = np.stack([np.isin(part, one) for one in excluded])
        squared[np.repeat(barred, places, axis=1)] = np.inf
        best = squared.argmin(axis=1)
        found = np.linalg.norm((wanted - there[best]).astype(np.float64), axis=1)
        found[barred.all(axis=1)] = np.inf
        nearest = np.minimum(nearest, found)
    return nearest
