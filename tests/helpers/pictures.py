"""Pictures as files store them, for tests of PNG and JPEG."""

from __future__ import annotations

import numpy as np


def turn_back(film: np.ndarray, orientation: int) -> np.ndarray:
    """The film (H, W) as a file of that EXIF orientation, 1 to 8, stores it."""
    turned = {
        1: film,
        2: film[:, ::-1],
        3: film[::-1, ::-1],
        4: film[::-1],
        5: film.T,
        6: np.rot90(film),
        7: np.rot90(film.T, 2),
        8: np.rot90(film, -1),
    }
    return np.ascontiguousarray(turned[orientation])
