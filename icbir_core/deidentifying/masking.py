"""Rectangles of a film that are blacked out in its stored values."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from icbir_core.annotation.records import Annotation
from icbir_core.errors import DicomExportError

_WRITTEN = re.compile(r"\s*(\d{1,5})\s*,\s*(\d{1,5})\s*,\s*(\d{1,5})\s*,\s*(\d{1,5})\s*")


@dataclass(frozen=True)
class Mask:
    """A rectangle in pixels of the film, its upper left corner (x, y) counted from that of the film. Raises
    `DicomExportError` for one without an area."""

    x: int
    y: int
    width: int
    height: int

    def __post_init__(self) -> None:
        if min(self.x, self.y) < 0 or min(self.width, self.height) < 1:
            raise DicomExportError("A region to black out needs a width and a height of at least one pixel.")

    @classmethod
    def parse(cls, text: str) -> Mask:
        """Read "x,y,width,height". Raises `DicomExportError`."""
        found = _WRITTEN.fullmatch(text)
        if found is None:
            raise DicomExportError(
                f"A region to black out is written as x,y,width,height in pixels, such as 0,0,300,80; '{text}' is not."
            )
        return cls(*map(int, found.groups()))


def find_masks(drawn: Iterable[Annotation]) -> tuple[Mask, ...]:
    """The rectangles among what a reader drew on a film, each widened to whole pixels; those without an area are left
    out."""
    masks = []
    for one in drawn:
        if one.kind == "rectangle":
            corners = np.array(one.points)
            (x, y), (right, bottom) = np.floor(corners.min(axis=0)), np.ceil(corners.max(axis=0))
            if right > x and bottom > y:
                masks.append(Mask(int(x), int(y), int(right - x), int(bottom - y)))
    return tuple(masks)


def black_out(stored: np.ndarray, levels: np.ndarray, masks: Iterable[Mask]) -> np.ndarray:
    """Stored values (H, W) or (H, W, 3) with each mask at the value that is shown darkest. levels : (H, W), as shown.
    Raises `DicomExportError` for a mask that lies beside the film: it would hide nothing."""
    rows, columns = levels.shape
    place = np.unravel_index(int(levels.argmin()), levels.shape)
    masked = stored.copy()
    for mask in masks:
        if mask.x >= columns or mask.y >= rows:
            raise DicomExportError(
                f"The region {mask.x},{mask.y},{mask.width},{mask.height} lies beside the film, which is {columns} × "
                f"{rows} pixels."
            )
        masked[mask.y : mask.y + mask.height, mask.x : mask.x + mask.width] = stored[place]
    return masked
