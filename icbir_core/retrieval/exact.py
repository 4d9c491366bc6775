"""Exact nearest neighbours by Euclidean distance over vectors that may lie in a mapped file."""

from __future__ import annotations

from typing import Any

import numpy as np

from icbir_core.rounding import SINGLE, clear_distances

BLOCK = 8192
"""Vectors taken at a time: 32 MB of 1024 float32, so that memory does not grow with the catalogue."""


def measure_distances(
    vectors: np.ndarray, positions: np.ndarray, query: np.ndarray, share: float = SINGLE
) -> np.ndarray:
    """Euclidean distances float64 (P,) of `query` (D,) to `vectors[positions]`.

    The difference is formed before it is squared, in double precision: an identical vector has distance exactly 0,
    which the faster form |a|² + |b|² − 2ab does not give, and so has one that only rounding parts from the query
    (`share` of its length, see `icbir_core.rounding`).
    """
    difference = np.asarray(vectors[positions], dtype=np.float64) - np.asarray(query, dtype=np.float64)
    return clear_distances(np.sqrt(np.einsum("pd,pd->p", difference, difference)), query, share)


def compute_squared_norms(vectors: np.ndarray) -> np.ndarray:
    """|v|² of each row, float32 (N,), read block by block."""
    norms = np.empty(len(vectors), dtype=np.float32)
    for start in range(0, len(vectors), BLOCK):
        block = np.asarray(vectors[start : start + BLOCK], dtype=np.float32)
        norms[start : start + BLOCK] = np.einsum("nd,nd->n", block, block)
    return norms


def order_nearest(distances: np.ndarray, ties: np.ndarray, k: int) -> np.ndarray:
    """Indices of the k smallest distances, nearest first; equal distances are ordered by `ties` (repeatable)."""
    if k < len(distances):
        kept = np.argpartition(distances, k - 1)[:k]
        # every entry that ties with the last one kept competes, or the choice among equals would be arbitrary
        kept = np.flatnonzero(distances <= distances[kept].max())
    else:
        kept = np.arange(len(distances))
    return kept[np.lexsort((ties[kept], distances[kept]))][:k]


def find_nearest(
    vectors: np.ndarray, squared_norms: np.ndarray, query: np.ndarray, k: int, positions: np.ndarray | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """The k nearest of `vectors` (N, D), or of `vectors[positions]` only.

    Returns (positions int64 (k',), distances float64 (k',)), nearest first, k' ≤ k. A matrix product in single
    precision selects k + 16 candidates from each block; their distances are then formed exactly.
    """
    query = np.ascontiguousarray(query, dtype=np.float32)
    number = len(vectors) if positions is None else len(positions)
    if number == 0 or k < 1:
        return np.empty(0, np.int64), np.empty(0)
    margin = k + 16
    best_positions: list[np.ndarray] = []
    best_values: list[np.ndarray] = []
    for start in range(0, number, BLOCK):
        if positions is None:
            chosen = np.arange(start, min(start + BLOCK, number))
            block = np.asarray(vectors[start : start + BLOCK])
        else:
            chosen = np.asarray(positions[start : start + BLOCK])
            block = np.asarray(vectors[chosen])
        values = squared_norms[chosen] - 2.0 * (block @ query)
        if len(values) > margin:
            nearest = np.argpartition(values, margin - 1)[:margin]
            chosen, values = chosen[nearest], values[nearest]
        best_positions.append(chosen)
        best_values.append(values)
    candidates, values = np.concatenate(best_positions), np.concatenate(best_values)
    if len(values) > margin:
        candidates = candidates[np.argpartition(values, margin - 1)[:margin]]
    distances = measure_distances(vectors, candidates, query)
    order = order_nearest(distances, candidates, k)
    return candidates[order].astype(np.int64), distances[order]


def find_nearest_of_many(vectors: Any, queries: np.ndarray, k: int) -> list[tuple[np.ndarray, np.ndarray]]:
    """`find_nearest` for many queries (Q, D) in one pass over `vectors` (N, D), any array that can be sliced. Each
    answer: (positions int64 (k',), distances float64 (k',)), nearest first, equal ones by position."""
    queries = np.ascontiguousarray(queries, dtype=np.float32)
    lengths = np.einsum("qd,qd->q", queries, queries)
    positions = [np.empty(0, np.int64) for _ in queries]
    distances = [np.empty(0) for _ in queries]
    for start in range(0, len(vectors), BLOCK):
        block = np.ascontiguousarray(vectors[start : start + BLOCK], dtype=np.float32)
        norms = np.einsum("nd,nd->n", block, block)
        squares = norms[:, None] - 2.0 * (block @ queries.T) + lengths
        margin = min(k + 16, len(block))
        nearest = np.argpartition(squares, margin - 1, axis=0)[:margin]
        for number, query in enumerate(queries):
            chosen = nearest[:, number]
            if len(distances[number]) == k:
                # what single precision puts clearly behind the k-th so far needs no exact distance
                slack = SINGLE * (norms[chosen] + lengths[number])
                chosen = chosen[squares[chosen, number] - slack <= distances[number][-1] ** 2]
            if not len(chosen):
                continue
            found = np.concatenate([distances[number], measure_distances(block, chosen, query)])
            places = np.concatenate([positions[number], chosen + start])
            order = order_nearest(found, places, k)
            positions[number], distances[number] = places[order], found[order]
    return list(zip(positions, distances, strict=True))
