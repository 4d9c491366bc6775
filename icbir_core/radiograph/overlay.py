"""Saliency maps over films, for display only: one scale for query and hits, one formula for every picture.

The formula, which an interactive viewer repeats: strength s = |value| / scale, at most 1 (negative values count only in
signed maps); a pixel with s > 0 and s ≥ threshold takes the map's colour with weight opacity × min(1, s / FADE).
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import cv2
import numpy as np

from icbir_core.radiograph.colour_maps import DIVERGING_MAPS, SEQUENTIAL_MAPS, colour_table
from icbir_core.radiograph.network_input import Letterbox

FADE = 0.2
CONTOUR_LEVELS = (0.25, 0.5, 0.75)
SCALE_PERCENTILE = 99.5
OUTLIER = 3.0
"""With a lead, the one scale is at most so many times what the lead or the middle map needs: the lead keeps a third of
the colours, which is above `FADE`."""
_GREY = 96

__all__ = [
    "DIVERGING_MAPS",
    "SEQUENTIAL_MAPS",
    "Legend",
    "OverlayStyle",
    "attach_legend",
    "colour_table",
    "legend",
    "render_overlay",
    "shared_scale",
]


@dataclass(frozen=True)
class OverlayStyle:
    """How a map is laid over a film.

    colour_map : a name of `SEQUENTIAL_MAPS`, of `DIVERGING_MAPS` if `signed`; None takes the first that fits.
    opacity : 0 (film alone) … 1. threshold : strengths below it are not shown, 0 … 1.
    contour : lines at the threshold (or at a quarter, half and three quarters of the scale) instead of a fill.
    signed : negative values are shown too, on their own side of a diverging map.
    """

    colour_map: str | None = None
    opacity: float = 0.5
    threshold: float = 0.0
    contour: bool = False
    signed: bool = False

    def __post_init__(self) -> None:
        fitting = DIVERGING_MAPS if self.signed else SEQUENTIAL_MAPS
        colour_table(self.table_name)
        if self.table_name not in fitting:
            kind = "diverging map for signed values" if self.signed else "sequential map for unsigned values"
            raise ValueError(f"'{self.colour_map}' is no {kind}; choose one of {', '.join(fitting)}.")
        if not (0.0 <= self.opacity <= 1.0 and 0.0 <= self.threshold <= 1.0):
            raise ValueError(f"The opacity and threshold must lie in 0 … 1, not be {self.opacity}, {self.threshold}.")

    @property
    def table_name(self) -> str:
        """The colour map that is used."""
        return self.colour_map or (DIVERGING_MAPS if self.signed else SEQUENTIAL_MAPS)[0]

    @property
    def levels(self) -> tuple[float, ...]:
        """Strengths at which contours are drawn."""
        return (self.threshold,) if self.threshold > 0.0 else CONTOUR_LEVELS


@dataclass(frozen=True, eq=False)
class Legend:
    """A colour bar: uint8 RGB (256, width, 3), highest value on top; ticks (place from bottom 0 to top 1, text)."""

    bar: np.ndarray
    ticks: tuple[tuple[float, str], ...]
    note: str


def shared_scale(
    values: Iterable[np.ndarray], percentile: float = SCALE_PERCENTILE, lead: np.ndarray | None = None
) -> float:
    """The one scale for several maps: the largest of their percentiles of |value|, so that no map saturates on more
    than (100 − percentile) % of its pixels; 0.0 where every map is zero. Raises `ValueError` on NaN or infinity.

    lead : the map that must stay visible beside the others (the query's). The scale is then at most `OUTLIER` times the
    larger of the lead's percentile and the median of all; what lies beyond takes the last colour.
    """
    own = [_measure(single, percentile) for single in values]
    scale = max(own, default=0.0)
    if lead is not None:
        middle = sorted(own)[(len(own) - 1) // 2] if own else 0.0  # of two maps the lower, or an outlier would set it
        bound = OUTLIER * max(_measure(lead, percentile), middle)
        scale = min(scale, bound) if bound > 0.0 else scale
    return scale


def _measure(values: np.ndarray, percentile: float) -> float:
    size = np.abs(_check_finite(values))
    # A map of a few hot pixels has a percentile of zero: its largest value is then its scale.
    return float(np.percentile(size, percentile)) or float(size.max())


def render_overlay(
    pixels: np.ndarray, values: np.ndarray, style: OverlayStyle | None = None, scale: float | None = None
) -> np.ndarray:
    """A film with a map over it: uint8 RGB (H, W, 3).

    pixels : float32 (H, W) in [0, 1]. values : (H, W), or (S, S) at the network's size, which is laid back on the film.
    scale : the value that gets the last colour, from `shared_scale`; None means this map's own. With scale 0 the film
    is returned without a map.
    """
    style = style or OverlayStyle()
    scale = shared_scale([values]) if scale is None else float(scale)
    if not (np.isfinite(scale) and scale >= 0.0):
        raise ValueError(f"The scale must be a finite number of 0 or more, not {scale}.")
    film = np.repeat(np.rint(np.clip(pixels, 0.0, 1.0) * 255.0).astype(np.uint8)[..., None], 3, axis=2)
    if scale == 0.0 or style.opacity == 0.0:
        return film
    relative = np.clip(_fit_to_film(values, pixels.shape) / np.float32(scale), -1.0, 1.0)
    if not style.signed:
        relative = np.maximum(relative, 0.0)
    if style.contour:
        return _draw_contours(film, relative, style)
    strength = np.abs(relative)
    weight = style.opacity * np.minimum(1.0, strength / FADE)
    weight[strength < style.threshold] = 0.0
    colour = colour_table(style.table_name)[_to_index(relative, style)]
    return _blend(film, colour, weight[..., None])


def legend(style: OverlayStyle, scale: float, width: int = 24) -> Legend:
    """The colour bar of a rendering, with its range; strengths below the threshold are left grey, as on the film."""
    low = -1.0 if style.signed else 0.0
    relative = np.linspace(1.0, low, 256, dtype=np.float32)
    bar = colour_table(style.table_name)[_to_index(relative, style)].copy()
    places: tuple[float, ...] = (low, 0.0, 1.0) if style.signed else (0.0, 0.5, 1.0)
    if style.contour:
        bar[:] = _GREY
        places = tuple(sign * level for sign in ((-1.0, 1.0) if style.signed else (1.0,)) for level in style.levels)
        for place in places:
            bar[np.abs(relative - place) < 0.02] = _line_colour(place, style)
    bar[np.abs(relative) < style.threshold] = _GREY
    ticks = tuple(((place - low) / (1.0 - low), f"{place * scale:.3g}") for place in places)
    note = "attribution" + ("; lines of equal value" if style.contour else "; values beyond the ends as at the ends")
    if not style.signed:
        note += "; negative values not shown"
    return Legend(np.repeat(bar[:, None, :], width, axis=1), ticks, note)


def attach_legend(picture: np.ndarray, style: OverlayStyle, scale: float, title: str = "") -> np.ndarray:
    """A rendered overlay with its legend on a strip to the right: uint8 RGB (H, W + strip, 3), for files.

    title : what the map shows, in ASCII; it stands on a strip of its own above, which makes the picture higher.
    """
    parts = legend(style, scale)
    rows = picture.shape[0]
    size = max(0.35, rows / 1000.0)
    margin = max(4, rows // 40)
    height = min(rows, max(2, rows - 4 * margin))  # a very flat picture has no room for the margins
    bar = cv2.resize(parts.bar, (max(8, rows // 24), height), interpolation=cv2.INTER_NEAREST)
    widest = max(cv2.getTextSize(text, cv2.FONT_HERSHEY_SIMPLEX, size, 1)[0][0] for _, text in parts.ticks)
    strip = np.zeros((rows, bar.shape[1] + 3 * margin + widest, 3), dtype=np.uint8)
    top = min(2 * margin, (rows - height) // 2)
    strip[top : top + bar.shape[0], margin : margin + bar.shape[1]] = bar
    for place, text in parts.ticks:
        line = round(top + (1.0 - place) * bar.shape[0] + 5.0 * size)
        left = 2 * margin + bar.shape[1]
        cv2.putText(strip, text, (left, line), cv2.FONT_HERSHEY_SIMPLEX, size, (230, 230, 230), 1, cv2.LINE_AA)
    whole = np.concatenate([picture, strip], axis=1)
    return np.concatenate([_write_title(title, whole.shape[1], size), whole]) if title else whole


def _write_title(text: str, width: int, size: float) -> np.ndarray:
    """A strip uint8 (h, width, 3) with the text, smaller where it would not fit."""
    across = cv2.getTextSize(text, cv2.FONT_HERSHEY_SIMPLEX, size, 1)[0][0]
    size = min(size, size * (width - 8) / max(across, 1))
    strip = np.zeros((round(30 * size) + 4, width, 3), dtype=np.uint8)
    place = (4, strip.shape[0] - round(9 * size) - 1)
    return cv2.putText(strip, text, place, cv2.FONT_HERSHEY_SIMPLEX, size, (230, 230, 230), 1, cv2.LINE_AA)


def _check_finite(values: np.ndarray) -> np.ndarray:
    values = np.asarray(values, dtype=np.float32)
    if not np.isfinite(values).all():
        raise ValueError("The attributions hold NaN or infinity; they must be finite.")
    return values


def _fit_to_film(values: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
    values = _check_finite(values)
    if values.shape == tuple(shape):
        return values
    if values.ndim != 2 or values.shape[0] != values.shape[1]:
        raise ValueError(f"The values must have the shape {tuple(shape)} or be a square (S, S), not {values.shape}.")
    return Letterbox.of(shape, values.shape[0]).to_film(values)


def _to_index(relative: np.ndarray, style: OverlayStyle) -> np.ndarray:
    place = (relative + 1.0) / 2.0 if style.signed else relative
    return np.rint(place * 255.0).astype(np.uint8)


def _draw_contours(film: np.ndarray, relative: np.ndarray, style: OverlayStyle) -> np.ndarray:
    drawn = film.copy()
    thickness = max(1, round(max(film.shape[:2]) / 400))
    for sign in (1.0, -1.0) if style.signed else (1.0,):
        for level in style.levels:
            mask = (sign * relative >= level).astype(np.uint8)
            lines, _ = cv2.findContours(mask, cv2.RETR_LIST, cv2.CHAIN_APPROX_NONE)
            cv2.drawContours(drawn, lines, -1, _line_colour(sign * level, style), thickness)
    return _blend(film, drawn, style.opacity)


def _line_colour(level: float, style: OverlayStyle) -> tuple[int, int, int]:
    """The colour of a contour: from the brighter part of the map, because the lower part does not show on a film."""
    brighter = np.sign(level) * (0.4 + 0.6 * abs(level))
    row = int(_to_index(np.array([brighter], np.float32), style)[0])
    red, green, blue = (int(part) for part in colour_table(style.table_name)[row])
    return red, green, blue


def _blend(film: np.ndarray, colour: np.ndarray, weight: np.ndarray | float) -> np.ndarray:
    return np.asarray(np.rint(film + weight * (colour.astype(np.float32) - film)), dtype=np.uint8)
