"""What films of readers cost the server: they are held in 2 bytes a pixel, within a budget of a session and of all."""

from __future__ import annotations

import threading
import weakref
from dataclasses import fields, replace

import numpy as np

from icbir_core.errors import RadiographError
from icbir_core.radiograph.levels import levels_to_pixels, pixels_to_levels
from icbir_core.settings import count_held_megapixels
from icbir_core.types import Query, Radiograph

SESSION_MEGAPIXELS = 160
"""What one session may hold: eight films of the largest detectors, or 24 of the common ones."""

_held: weakref.WeakSet[HeldRadiograph] = weakref.WeakSet()
_lock = threading.Lock()


class HeldRadiograph(Radiograph):
    """A film whose pixels lie in memory as the uint16 levels that they came from, half as large; `pixels` makes them
    anew, equal bit by bit for every film that was read from a file."""

    levels: np.ndarray
    file_bytes: int = 0
    """Of its file, where that is held with it."""

    @property
    def pixels(self) -> np.ndarray:
        """float32 (H, W) in [0, 1]."""
        return levels_to_pixels(self.levels)

    @pixels.setter
    def pixels(self, values: np.ndarray) -> None:
        # The dataclass is frozen and sets its fields in this way once.
        object.__setattr__(self, "levels", pixels_to_levels(values))

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns."""
        return self.levels.shape


def count_pixels(pixels: int, file_bytes: int) -> int:
    """What a film costs the budgets, in pixels: its own, and one for each two bytes of a file that is held with it."""
    return pixels + file_bytes // 2


def hold(query: Query, file_bytes: int = 0) -> Query:
    """The same query with a `HeldRadiograph`. file_bytes : of its file, where that is held too. Raises
    `RadiographError` where all sessions together hold too much."""
    radiograph = query.radiograph
    values = {one.name: getattr(radiograph, one.name) for one in fields(Radiograph)}
    with _lock:
        if count_held() + count_pixels(values["pixels"].size, file_bytes) > 1_000_000 * count_held_megapixels():
            raise RadiographError("The server holds as many films as it may; close what is not needed or try later.")
        held = HeldRadiograph(**values)
        object.__setattr__(held, "file_bytes", file_bytes)
        _held.add(held)
    return replace(query, radiograph=held)


def count_films() -> int:
    """Films that all sessions of this server hold."""
    return len(_held)


def count_held() -> int:
    """Pixels of the films that all sessions of this server hold, with their files, as `count_pixels` counts them."""
    return sum(count_pixels(one.levels.size, one.file_bytes) for one in list(_held))
