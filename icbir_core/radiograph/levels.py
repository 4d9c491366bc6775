"""Grey levels: the one integer scale that every file format is brought to, so that equal films have equal hashes."""

from __future__ import annotations

import hashlib

import numpy as np

MAX_LEVEL = 65535


def to_levels(values: np.ndarray, maximum: int) -> np.ndarray:
    """Integers 0 … maximum as uint16 levels 0 … 65535 (8 bit: value × 257). values: (H, W), unsigned."""
    if maximum == MAX_LEVEL:
        return np.ascontiguousarray(values, dtype=np.uint16)
    if MAX_LEVEL % maximum == 0:
        return np.asarray(np.asarray(values, dtype=np.uint16) * np.uint16(MAX_LEVEL // maximum))
    return np.asarray(np.rint(np.asarray(values, dtype=np.float64) * (MAX_LEVEL / maximum)), dtype=np.uint16)


def levels_to_pixels(levels: np.ndarray) -> np.ndarray:
    """uint16 levels (H, W) as float32 in [0, 1]; the division is correctly rounded, so it can be undone exactly."""
    return np.asarray(np.divide(levels, np.float32(MAX_LEVEL), dtype=np.float32))


def pixels_to_levels(pixels: np.ndarray) -> np.ndarray:
    """float32 (H, W) in [0, 1] as uint16 levels; inverse of `levels_to_pixels`, values outside are clipped."""
    return np.asarray(np.rint(np.clip(pixels, 0.0, 1.0) * np.float32(MAX_LEVEL)), dtype=np.uint16)


def hash_levels(levels: np.ndarray) -> str:
    """sha256 (hexadecimal) of shape and grey levels: the same film in another lossless container hashes the same."""
    return _hash_words(levels, "<u2")


def hash_stored(stored: np.ndarray) -> str:
    """sha256 (hexadecimal) of shape and stored values (H, W, of 16 bits at most, signed or not), before any window or
    table: the same film under another header hashes the same."""
    return _hash_words(stored, "<i2" if stored.min() < 0 else "<u2")


def _hash_words(values: np.ndarray, kind: str) -> str:
    digest = hashlib.sha256(f"{values.shape[0]}x{values.shape[1]}:".encode())
    digest.update(np.ascontiguousarray(values, dtype=kind).data)
    return digest.hexdigest()
