"""The state of the lungs that findings change, and what a finding did to them."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from .chest import Chest

VISIBLE_TISSUE = 1.0
"""A pixel belongs to a finding's mask where the finding changes at least this many mm of water."""


@dataclass
class Lungs:
    """The state of the lungs that findings change, float32 (N, N) maps unless noted.

    fluid: share of the aerated thickness that is replaced by water. free_air: share that is air without lung
    (pneumothorax). tissue: mm of water added. `vessels`, `upper_share`, `net` (mm) are handed to
    `lung_markings`; `clarity` in [0, 1] is how much of the markings is still seen.
    """

    fluid: np.ndarray
    free_air: np.ndarray
    tissue: np.ndarray
    clarity: np.ndarray
    vessels: float = 1.0
    upper_share: float = 0.0
    net: float = 0.0

    @classmethod
    def clear(cls, chest: Chest) -> Lungs:
        """Lungs without any finding."""
        shape = chest.lung.shape
        fluid, free_air, tissue = (np.zeros(shape, np.float32) for _ in range(3))
        return cls(fluid, free_air, tissue, np.ones(shape, np.float32))

    def flood(self, share: np.ndarray) -> None:
        """Replaces `share` of what air is left by water; markings vanish with it."""
        self.fluid += share * (1 - self.fluid)
        self.clarity *= 1 - share


@dataclass
class Extent:
    """What a finding did: its physical size and unit, side, and the map (mm of water, signed or not) of where."""

    side: str
    size: float
    unit: str
    change: np.ndarray = field(repr=False)
    limit: float = VISIBLE_TISSUE
