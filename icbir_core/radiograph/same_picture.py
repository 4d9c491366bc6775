"""Whether two films are one picture: compressed, scaled, windowed or inverted in another way, under whatever header."""

from __future__ import annotations

import cv2
import numpy as np

from icbir_core.radiograph.network_input import resize_film

# `benchmarks/same_picture.py` prints what copies and other films reach.
SAME_PICTURE = 0.45
_SIDE, _TILE, _FINE = 256, 16, 3.0
# A tile that is so much fainter than the film's tiles on the average shows nothing but noise.
_FAINT = 0.1


def is_same_picture(first: np.ndarray, second: np.ndarray) -> bool:
    """Whether two films (H, W) are one; a copy that was cropped or turned is not found."""
    return compare_pictures(first, second) >= SAME_PICTURE


def compare_pictures(first: np.ndarray, second: np.ndarray) -> float:
    """How much of the fine detail two films (H, W) share: 0 … 1.

    Both are brought to 256 × 256 and cut into 256 tiles; the middle one of the tiles' correlations, without their sign,
    of what is finer than three pixels. A window, a gamma or an inversion changes a tile nearly linearly, whereas fine
    detail of two films lies at the same places by chance only. 0.0 where less than a quarter of the tiles show detail
    in both.
    """
    (one, one_level), (other, other_level) = _cut(first), _cut(second)
    shown = (one_level > _FAINT * one_level.mean()) & (other_level > _FAINT * other_level.mean())
    if shown.sum() < len(shown) / 4:
        return 0.0
    return float(np.median(np.abs(np.einsum("tp,tp->t", one[shown], other[shown]))))


def _cut(pixels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(float32 (tiles, pixels of a tile), each tile of length 1; float32 (tiles,), how strong its fine detail is)."""
    small = resize_film(pixels, _SIDE, _SIDE)
    fine = small - cv2.GaussianBlur(small, (0, 0), _FINE)
    count = _SIDE // _TILE
    tiles = fine.reshape(count, _TILE, count, _TILE).swapaxes(1, 2).reshape(count**2, _TILE**2)
    tiles = tiles - tiles.mean(axis=1, keepdims=True)
    levels = np.linalg.norm(tiles, axis=1)
    return tiles / np.maximum(levels, 1e-9)[:, None], levels
