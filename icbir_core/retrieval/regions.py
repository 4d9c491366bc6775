"""What the network saw where: feature maps on a coarse grid, small enough to keep for every case.

The last feature map ("relu", h × w × D) is averaged onto a grid of 7 × 7 cells and projected to 128 numbers a cell
with a fixed Gaussian matrix, which keeps Euclidean distances within about a tenth (Johnson and Lindenstrauss 1984)
and, unlike principal components, needs no pass over the catalogue and does not change when cases are added: 12.5 kB
a case in half precision.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from typing import Any

import numpy as np

from icbir_core.errors import RetrievalError

GRID = 7
CHANNELS = 128
_SEED = 1984

Box = tuple[float, float, float, float]


def _average_onto(cells: int, grid: int) -> np.ndarray:
    """float32 (grid, cells): row g averages the source cells by their overlap with grid cell g; rows sum to 1."""
    edges = np.linspace(0, cells, grid + 1)
    low, high = np.arange(cells), np.arange(1, cells + 1)
    overlap = np.minimum(edges[1:, None], high) - np.maximum(edges[:-1, None], low)
    overlap = np.clip(overlap, 0, None)
    return np.asarray((overlap / overlap.sum(axis=1, keepdims=True)).astype(np.float32))


@lru_cache(maxsize=4)
def make_projection(channels: int) -> np.ndarray | None:
    """float32 (D, 128), the same for every run; None where D ≤ 128 and nothing needs to be projected."""
    if channels <= CHANNELS:
        return None
    generator = np.random.Generator(np.random.Philox(_SEED))
    return np.asarray(generator.standard_normal((channels, CHANNELS)) / np.sqrt(CHANNELS), np.float32)


def summarise_features(features: Any, einsum: Callable[..., Any] = np.einsum) -> Any:
    """float32 (N, 7, 7, min(D, 128)) from the last feature maps float32 (N, h, w, D); kept in half precision.

    einsum : of numpy, or of the library whose tensors the features are.
    """
    height, width, channels = (int(side) for side in features.shape[1:])
    if (height, width) != (GRID, GRID):
        features = einsum("gh,nhwd->ngwd", _average_onto(height, GRID), features)
        features = einsum("kw,ngwd->ngkd", _average_onto(width, GRID), features)
    projection = make_projection(channels)
    return features if projection is None else einsum("ngkd,dc->ngkc", features, projection)


def weigh_cells(box: Box, size: int) -> np.ndarray:
    """float32 (7, 7), summing to 1: how much of a box lies in each cell.

    box : (left, top, width, height) in pixels of the network's square of side `size`. Raises `RetrievalError` for a
    box without area on the square.
    """
    left, top, width, height = (float(value) for value in box)
    edges = np.linspace(0, size, GRID + 1)
    across = np.clip(np.minimum(edges[1:], left + width) - np.maximum(edges[:-1], left), 0, None)
    down = np.clip(np.minimum(edges[1:], top + height) - np.maximum(edges[:-1], top), 0, None)
    weights = np.outer(down, across)
    if not np.isfinite(weights).all() or weights.sum() <= 0:
        raise RetrievalError("The region is empty; draw a box on the film.")
    return np.asarray((weights / weights.sum()).astype(np.float32))


def describe_region(spatial: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """float32 (N, C): the weighted mean of the cells of (N, 7, 7, C)."""
    number, channels = len(spatial), spatial.shape[-1]
    cells = np.asarray(spatial, dtype=np.float32).reshape(number, GRID * GRID, channels)
    return weights.reshape(1, -1) @ cells if number == 0 else np.einsum("c,ncd->nd", weights.ravel(), cells)


def place_region(spatial: np.ndarray, weights: np.ndarray, anywhere: bool = False) -> np.ndarray:
    """float32 (N, P, C): what lies in a region of N cases (N, 7, 7, C), at its own place (P = 1) or, with `anywhere`,
    at every whole-cell shift of it that stays on the grid."""
    number, channels = len(spatial), spatial.shape[-1]
    cells = np.asarray(spatial, dtype=np.float32).reshape(number, GRID * GRID, channels)
    placed = [np.roll(weights, shift, axis=(0, 1)).ravel() for shift in list_shifts(weights, anywhere)]
    return np.stack(placed) @ cells


def list_shifts(weights: np.ndarray, anywhere: bool) -> list[tuple[int, int]]:
    """The places of `place_region` in their order, as whole cells (down, across) from the region's own: none; with
    `anywhere`, all that keep the weights on the grid."""
    if not anywhere:
        return [(0, 0)]
    rows, columns = np.flatnonzero(weights.sum(1) > 0), np.flatnonzero(weights.sum(0) > 0)
    return [
        (int(down), int(across))
        for down in range(-rows[0], GRID - rows[-1])
        for across in range(-columns[0], GRID - columns[-1])
    ]


def shift_box(box: Box, shift: tuple[int, int], size: int) -> Box:
    """A box (left, top, width, height) of the network's square of side `size`, moved by whole cells (down, across)."""
    left, top, width, height = box
    down, across = (cells * size / GRID for cells in shift)
    return (left + across, top + down, width, height)
