"""The numbers of what was drawn. The viewer computes the same in measuring.js, because they follow the pointer.

Lengths are in millimetres where the film's pixel spacing is known, else in pixels. Greys are in per cent of the range
that the film's file displays, as the viewer writes window and level.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from decimal import ROUND_HALF_UP, Decimal

import numpy as np

from icbir_core.annotation.records import Annotation

Point = tuple[float, float]
Spacing = tuple[float, float]
DECIMALS = {"mm": 1, "px": 1, "mm²": 1, "px²": 0, "°": 1, "%": 1, "": 2}
AT_DETECTOR = "at the detector"
"""How the header reader calls a spacing that no magnification was taken out of."""
NO_SPACING = "Lengths are in pixels: the film's header names no pixel size."


@dataclass(frozen=True)
class Value:
    """One number. name : "" for the first of a length, an angle or a ratio. unit : "mm", "px", "mm²", "px²", "°", "%"
    or "" for a ratio."""

    name: str
    number: float
    unit: str

    @property
    def words(self) -> str:
        """ "84.3 mm", "mean 41.0 %"."""
        return f"{self.name} {format_number(self.number, self.unit)}".strip()


def measure(one: Annotation, spacing: Spacing | None, pixels: np.ndarray) -> tuple[Value, ...]:
    """The numbers of an annotation, the first the one that it was drawn for; none of an arrow or of words.

    spacing : millimetres of a pixel down and across (row, column), or None. pixels : the film, (H, W) in [0, 1].
    A length that cannot be had (an angle of a line without length, a chest of no width) is nan.
    """
    down, across = spacing or (1.0, 1.0)
    unit = "mm" if spacing else "px"
    places = [(x * across, y * down) for x, y in one.points]
    if one.kind == "length":
        return (Value("", math.dist(*places), unit),)
    if one.kind == "angle":
        return (Value("", measure_angle(*places), "°"),)
    if one.kind == "ratio":
        heart, chest = (abs(width) for width in measure_widths(places))
        return (
            Value("", heart / chest if chest > 0 else math.nan, ""),
            Value("heart", heart, unit),
            Value("chest", chest, unit),
        )
    if one.kind in ("ellipse", "rectangle"):
        (left, top), (right, bottom) = places
        area = abs(right - left) * abs(bottom - top) * (math.pi / 4 if one.kind == "ellipse" else 1.0)
        inside = pixels[select_pixels(one, pixels.shape)].astype(np.float64)
        greys = (100 * float(inside.mean()), 100 * float(inside.std())) if inside.size else (math.nan, math.nan)
        return (Value("mean", greys[0], "%"), Value("SD", greys[1], "%"), Value("area", area, f"{unit}²"))
    return ()


def measure_angle(first: Point, corner: Point, last: Point) -> float:
    """The angle at the corner in degrees, 0 … 180; nan where an arm has no length."""
    (ax, ay), (bx, by) = ((x - corner[0], y - corner[1]) for x, y in (first, last))
    if math.hypot(ax, ay) == 0.0 or math.hypot(bx, by) == 0.0:
        return math.nan
    return math.degrees(math.atan2(abs(ax * by - ay * bx), ax * bx + ay * by))


def measure_widths(points: list[Point]) -> tuple[float, float]:
    """(heart, chest): how far the two borders of each lie apart, at right angles to the midline; nan without one.

    The heart's width is the sum of the largest distances of its two borders from the midline, as a cardiothoracic ratio
    is defined; the chest's the inner width at its widest.
    """
    (x0, y0), (x1, y1), *borders = points
    long = math.hypot(x1 - x0, y1 - y0)
    if long == 0.0:
        return math.nan, math.nan
    right, left, inner_right, inner_left = (((x - x0) * (y1 - y0) - (y - y0) * (x1 - x0)) / long for x, y in borders)
    return left - right, inner_left - inner_right


def find_width_lines(one: Annotation, spacing: Spacing | None) -> tuple[tuple[Point, Point], tuple[Point, Point]]:
    """The heart's and the chest's width of a ratio as lines on the film at right angles to the midline, each from its
    first border; their lengths are the widths. Without a midline both are points."""
    down, across = spacing or (1.0, 1.0)
    places = [(x * across, y * down) for x, y in one.points]
    (x0, y0), (x1, y1) = places[:2]
    long = math.hypot(x1 - x0, y1 - y0) or math.nan
    lines = []
    for start, width in zip((places[2], places[4]), measure_widths(places), strict=True):
        x = start[0] + (0.0 if math.isnan(width) else width * (y1 - y0) / long)
        y = start[1] - (0.0 if math.isnan(width) else width * (x1 - x0) / long)
        lines.append(((start[0] / across, start[1] / down), (x / across, y / down)))
    return lines[0], lines[1]


def select_pixels(one: Annotation, shape: tuple[int, ...]) -> np.ndarray:
    """Which pixels of a film (H, W) have their centre in an ellipse or a rectangle: bool (H, W)."""
    (x0, y0), (x1, y1) = one.points
    left, right, top, bottom = min(x0, x1), max(x0, x1), min(y0, y1), max(y0, y1)
    x, y = np.arange(shape[1])[None, :] + 0.5, np.arange(shape[0])[:, None] + 0.5
    if one.kind == "rectangle":
        return (x >= left) & (x < right) & (y >= top) & (y < bottom)
    if right == left or bottom == top:
        return np.zeros(shape, bool)
    across = (x - (left + right) / 2) / ((right - left) / 2)
    down = (y - (top + bottom) / 2) / ((bottom - top) / 2)
    return across * across + down * down <= 1.0


def format_number(number: float, unit: str) -> str:
    """A number as the viewer writes it: "84.3 mm", "0.52", "41.5°"; "–" for nan."""
    if math.isnan(number):
        return "–"
    step = Decimal(1).scaleb(-DECIMALS[unit])
    told = str(Decimal(number).quantize(step, ROUND_HALF_UP))
    return f"{told}{unit}" if unit in ("", "°") else f"{told} {unit}"


def describe(one: Annotation, values: tuple[Value, ...]) -> str:
    """What stands beside it: its words, then its numbers."""
    return ": ".join(part for part in (one.text, describe_values(values)) if part)


def describe_values(values: tuple[Value, ...]) -> str:
    """ "mean 41.0 %, SD 5.2 %, area 31.0 mm²"."""
    return ", ".join(value.words for value in values)


def describe_spacing(spacing: Spacing | None, origin: str = "") -> str:
    """What millimetres of a film are worth. origin : where its header has the spacing from, as `Radiograph.facts`."""
    if spacing is None:
        return NO_SPACING
    magnified = ": the beam magnifies, so what lies in the chest is smaller" if origin == AT_DETECTOR else ""
    return f"Millimetres {origin or 'as the file states them'}{magnified}."
