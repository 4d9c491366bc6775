"""How a film is turned on the screen: mirrored or not, then by quarters of a turn. The same in turning.js."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

Point = tuple[float, float]
MIRRORED = "MIRRORED"


@dataclass(frozen=True)
class Turn:
    """quarters : 0 … 3, clockwise. mirrored : left and right exchanged, before it is turned."""

    quarters: int = 0
    mirrored: bool = False

    @classmethod
    def from_view(cls, view: Mapping[str, object] | None) -> Turn:
        """The turn that the viewer reports of a pane; none where it reports none that there is."""
        told = view or {}
        quarters = told.get("quarters", 0)
        return cls(quarters if quarters in (1, 2, 3) and isinstance(quarters, int) else 0, told.get("mirrored") is True)

    @property
    def words(self) -> str:
        """ "mirrored, turned by 90° clockwise"; "" for a film as it was read."""
        turned = f"turned by {90 * self.quarters}°" + (" clockwise" if self.quarters % 2 else "")
        return ", ".join([*(["mirrored"] if self.mirrored else []), *([turned] if self.quarters else [])])

    def turn_picture(self, picture: np.ndarray) -> np.ndarray:
        """The picture (H, W) or (H, W, 3) as it is seen."""
        seen = picture[:, ::-1] if self.mirrored else picture
        return np.ascontiguousarray(np.rot90(seen, -self.quarters))

    def turn_point(self, point: Point, shape: Sequence[int]) -> Point:
        """Where a point (column, row) of a film of `shape` (H, W) is seen, in pixels of the seen picture."""
        x, y = point
        height, width = shape[0], shape[1]
        x = width - x if self.mirrored else x
        for _ in range(self.quarters):
            x, y = height - y, x
            height, width = width, height
        return x, y

    def turn_sides(self, sides: Sequence[str]) -> tuple[str, ...]:
        """What stands in the lower corners of the seen film, from what does on the film ("R" and "L", or one word)."""
        if len(sides) != 2:
            return tuple(sides)
        first, last = reversed(sides) if self.mirrored else sides
        return (
            (first, last), (f"{first} above", f"{last} below"), (last, first), (f"{last} above", f"{first} below")
        )[self.quarters]  # fmt: skip
