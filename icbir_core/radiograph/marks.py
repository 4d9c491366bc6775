"""What is drawn on the picture of a film before it leaves: its sides, and the region that was searched with.

Both are part of the pixels, because a picture is copied out of a report without the words around it.
"""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np

from icbir_core.types import Radiograph

REGION_COLOUR = (0xFF, 0xD4, 0x79)  # that of the viewer
_LIGHT, _DARK = (232, 237, 242), (0, 0, 0)
_FONT = cv2.FONT_HERSHEY_SIMPLEX


def list_sides(radiograph: Radiograph) -> tuple[str, ...]:
    """What stands in the lower corners of a film: its sides only where its header vouches for them."""
    return ("R", "L") if radiograph.orientation_verified else ("orientation unverified",)


def write_sides(picture: np.ndarray, sides: Sequence[str]) -> np.ndarray:
    """A uint8 RGB picture (H, W, 3) with the first of `sides` in its lower left corner, a second in the lower right.
    The text is light with a dark rim, so that it shows on any film, and smaller where it would not fit."""
    rows, columns = picture.shape[:2]
    margin = max(3, max(rows, columns) // 70)
    size = max(0.4, max(rows, columns) / 600)
    size *= min(1.0, max(1, columns - 2 * margin) / _measure(" ".join(sides), size))
    letters = np.zeros((rows, columns), np.uint8)
    for text, left in zip(sides, (margin, columns - margin - _measure(sides[-1], size)), strict=False):
        cv2.putText(letters, text, (left, rows - margin), _FONT, size, 255, max(1, round(1.5 * size)), cv2.LINE_AA)
    # The rim is grown from the letters: written again with a thicker pen, they would stand elsewhere.
    rim = cv2.dilate(letters, np.ones((3, 3), np.uint8), iterations=max(1, round(2 * size)))
    drawn = picture.astype(np.float32)
    for mask, colour in ((rim, _DARK), (letters, _LIGHT)):
        drawn += mask[..., None] / 255 * (np.array(colour, np.float32) - drawn)
    return np.rint(drawn).astype(np.uint8)


def _measure(text: str, size: float) -> int:
    return cv2.getTextSize(text, _FONT, size, max(1, round(1.5 * size)))[0][0]


def draw_region(picture: np.ndarray, box: tuple[float, float, float, float], film: tuple[int, ...]) -> np.ndarray:
    """A uint8 RGB picture (H, W, 3) of a film with a box on it, its line with a dark rim.

    box : left, top, width and height in pixels of the film. film : its rows and columns, which the picture may have
    fewer of.
    """
    drawn = np.ascontiguousarray(picture).copy()
    rows, columns = drawn.shape[:2]
    down, across = rows / film[0], columns / film[1]
    left, top, width, height = box
    first = round(left * across), round(top * down)
    last = min(columns - 1, round((left + width) * across)), min(rows - 1, round((top + height) * down))
    line = max(1, round(max(rows, columns) / 250))
    for colour, thick in ((_DARK, line + 2), (REGION_COLOUR, line)):
        cv2.rectangle(drawn, first, last, colour, thick)
    return drawn
