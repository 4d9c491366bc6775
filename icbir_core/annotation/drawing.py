"""What was drawn on a film, as lines and words in the pixels of a picture of it, because a picture is copied alone."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cache

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from icbir_core.annotation.measuring import Point, Spacing, describe, describe_spacing, describe_values, measure
from icbir_core.annotation.records import TITLES, Annotation
from icbir_core.annotation.turning import MIRRORED, Turn
from icbir_core.files import find_program_folder
from icbir_core.types import Radiograph

COLOUR = (0x8E, 0xF0, 0xB0)  # that of the viewer
WARNING = (0xFF, 0xD4, 0x79)
_DARK = (0, 0, 0)
_HEAD = 0.35
"""Half of the angle of an arrow's head, in radians."""


@dataclass(frozen=True, eq=False)
class Marks:
    """What is drawn on a film, and what its numbers need. pixels : (H, W) in [0, 1]; spacing : mm (row, column), and
    origin : where the header has it from."""

    items: tuple[Annotation, ...]
    pixels: np.ndarray
    spacing: Spacing | None = None
    origin: str = ""

    @classmethod
    def of(cls, items: tuple[Annotation, ...], radiograph: Radiograph) -> Marks:
        """Those on a film that was read."""
        return cls(items, radiograph.pixels, radiograph.spacing, radiograph.facts.get("spacing", ""))

    def list_lines(self) -> tuple[str, ...]:
        """ "Length: 84.3 mm" for each, as a list beside the picture says it; the worth of millimetres last."""
        told = [": ".join(part for part in self._name(one) if part) for one in self.items]
        measured = any(one.kind in ("length", "ellipse", "rectangle") for one in self.items)
        return (*told, *([describe_spacing(self.spacing, self.origin)] if measured else []))

    def _name(self, one: Annotation) -> tuple[str, str]:
        title = " · ".join(part for part in (TITLES[one.kind], one.text) if part)
        return title, describe_values(measure(one, self.spacing, self.pixels))

    def list_words(self) -> tuple[str, ...]:
        """What stands beside each: its words and its numbers."""
        return tuple(describe(one, measure(one, self.spacing, self.pixels)) for one in self.items)


def draw_marks(picture: np.ndarray, marks: Marks, turn: Turn | None = None) -> np.ndarray:
    """A uint8 RGB picture (h, w, 3) of a film, turned by `turn`, with what was drawn on the film; the picture may be
    smaller than the film. A mirrored film says so at its upper edge."""
    turn = turn or Turn()
    canvas = Image.fromarray(np.ascontiguousarray(picture))
    pen = ImageDraw.Draw(canvas)
    wide = max(1, round(max(canvas.size) / 500))
    rows, columns = marks.pixels.shape[:2]
    seen = (columns, rows) if turn.quarters % 2 else (rows, columns)

    def place(point: Point) -> Point:
        x, y = turn.turn_point(point, (rows, columns))
        return x * canvas.size[0] / seen[1], y * canvas.size[1] / seen[0]

    for one, words in zip(marks.items, marks.list_words(), strict=True):
        lines = list_lines(one, marks.spacing)
        for colour, width in ((_DARK, wide + 2), (COLOUR, wide)):
            for line in lines:
                pen.line([place(point) for point in line], fill=colour, width=width, joint="curve")
            if one.kind == "arrow":
                pen.line(draw_head(place(one.points[0]), place(one.points[1]), 9.0 * wide), fill=colour, width=width)
        _write(pen, words, place(one.points[-1]), canvas.size)
    if turn.mirrored:
        size = max(10, min(28, canvas.size[0] // 18))
        pen.text(
            (canvas.size[0] / 2, canvas.size[1] * 0.12), MIRRORED, fill=WARNING, font=_font(size), anchor="ma",
            stroke_width=2, stroke_fill=_DARK,
        )  # fmt: skip
    return np.asarray(canvas)


def list_lines(one: Annotation, spacing: Spacing | None = None) -> list[tuple[Point, ...]]:
    """The lines of an annotation in film pixels, each through two points or more; none of words."""
    points = one.points
    if one.kind == "text":
        return []
    if one.kind == "ratio":
        feet = [_find_foot(points[0], points[1], border, spacing) for border in points[2:]]
        return [points[:2], *((border, foot) for border, foot in zip(points[2:], feet, strict=True))]
    if one.kind == "rectangle":
        (x0, y0), (x1, y1) = points
        return [((x0, y0), (x1, y0), (x1, y1), (x0, y1), (x0, y0))]
    if one.kind == "ellipse":
        (x0, y0), (x1, y1) = points
        turns = [2 * math.pi * step / 72 for step in range(73)]
        return [
            tuple(
                ((x0 + x1) / 2 + (x1 - x0) / 2 * math.cos(at), (y0 + y1) / 2 + (y1 - y0) / 2 * math.sin(at))
                for at in turns
            )
        ]
    return [points]


def _find_foot(first: Point, last: Point, point: Point, spacing: Spacing | None) -> Point:
    """The nearest point of the midline, at right angles in millimetres where these are known."""
    down, across = spacing or (1.0, 1.0)
    dx, dy = (last[0] - first[0]) * across, (last[1] - first[1]) * down
    length = dx * dx + dy * dy
    if length == 0.0:
        return first
    share = ((point[0] - first[0]) * across * dx + (point[1] - first[1]) * down * dy) / length
    return first[0] + share * (last[0] - first[0]), first[1] + share * (last[1] - first[1])


def draw_head(start: Point, end: Point, long: float) -> list[Point]:
    """The head of an arrow from `start` to `end` as a line through three points, the tip in the middle."""
    angle = math.atan2(end[1] - start[1], end[0] - start[0])
    arms = [(end[0] - long * math.cos(angle + by), end[1] - long * math.sin(angle + by)) for by in (_HEAD, -_HEAD)]
    return [arms[0], end, arms[1]]


def _write(pen: ImageDraw.ImageDraw, words: str, at: Point, size: tuple[int, int]) -> None:
    """Words beside a point, moved so that they lie within the picture, cut off where they are wider."""
    font = _font(max(10, round(max(size) / 55)))
    shown = words
    while shown and pen.textlength(shown, font=font) > size[0] - 8:
        shown = f"{shown.rstrip('…')[:-1]}…" if len(shown) > 2 else ""
    if not shown:
        return
    left, top, right, bottom = pen.textbbox((0, 0), shown, font=font, stroke_width=2)
    x = min(max(2.0, at[0] + 8), size[0] - 4 - (right - left))
    y = min(max(2.0, at[1] + 4), size[1] - 4 - (bottom - top))
    pen.text((x - left, y - top), shown, fill=COLOUR, font=font, stroke_width=2, stroke_fill=_DARK)


@cache
def _font(size: int) -> ImageFont.FreeTypeFont:
    return ImageFont.truetype(str(find_program_folder() / "assets" / "fonts" / "DejaVuSans.ttf"), size)
