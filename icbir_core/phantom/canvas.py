"""The drawing surface: a grid in millimetres, antialiased shapes and fractal noise.

Coordinates are millimetres in the plane of the detector. x grows towards the patient's left (the viewer's
right), with 0 on the midline; y grows downwards, with 0 at the lung apices.
"""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
from numpy.typing import ArrayLike

_FRACTION_BITS = 4


class Canvas:
    """A square pixel grid laid over the body.

    `x` is float32 (1, N) and `y` float32 (N, 1), both in mm at pixel centres; `spacing` is mm per pixel. The
    two broadcast against each other, so that what depends on one axis alone is computed once a row or once a
    column.
    """

    def __init__(self, pixels: int, spacing: float, centre: tuple[float, float]):
        self.pixels = pixels
        self.spacing = spacing
        offset = (np.arange(pixels, dtype=np.float32) - (pixels - 1) / 2) * np.float32(spacing)
        self.left = centre[0] - (pixels - 1) / 2 * spacing
        self.top = centre[1] - (pixels - 1) / 2 * spacing
        self._corner = np.array([self.left, self.top])
        self.x = (offset + np.float32(centre[0]))[None, :]
        self.y = (offset + np.float32(centre[1]))[:, None]

    def blank(self) -> np.ndarray:
        """An empty uint8 (N, N) layer for `fill` and `stroke`."""
        return np.zeros((self.pixels, self.pixels), np.uint8)

    def to_pixels(self, points: np.ndarray) -> np.ndarray:
        """Points (..., 2) in mm as int32 fixed-point pixels, as OpenCV's `shift` wants them."""
        scaled = (np.asarray(points) - self._corner) * (2**_FRACTION_BITS / self.spacing)
        return np.asarray(np.rint(scaled), dtype=np.int32)

    def fill(self, layer: np.ndarray, points: np.ndarray, value: float = 255) -> None:
        """Fills one closed polygon (n, 2) in mm on a uint8 layer, antialiased."""
        cv2.fillPoly(layer, [self.to_pixels(points)], float(value), cv2.LINE_AA, _FRACTION_BITS)

    def stroke(
        self, layer: np.ndarray, lines: Sequence[np.ndarray] | np.ndarray, width: float, value: float = 255
    ) -> None:
        """Draws open lines, each (n, 2) in mm, `width` mm wide, on a uint8 layer, antialiased. A line thinner than a
        pixel is drawn one pixel wide and fainter in proportion, so that its sum stays right."""
        wanted = width / self.spacing
        thickness = max(1, round(wanted))
        value = value * min(wanted / thickness, 1.0)
        points = (
            list(self.to_pixels(lines)) if isinstance(lines, np.ndarray) else [self.to_pixels(line) for line in lines]
        )
        cv2.polylines(layer, points, False, float(value), thickness, cv2.LINE_AA, _FRACTION_BITS)

    def window(self, left: float, top: float, right: float, bottom: float) -> tuple[slice, slice]:
        """The (rows, columns) slices that cover a box in mm; empty slices where the box lies outside."""

        def cut(low: float, high: float, start: float) -> slice:
            first = int(np.clip(np.floor((low - start) / self.spacing), 0, self.pixels))
            last = int(np.clip(np.ceil((high - start) / self.spacing) + 1, first, self.pixels))
            return slice(first, last)

        return cut(top, bottom, self.top), cut(left, right, self.left)

    def ellipsoid(
        self, out: np.ndarray, centre: tuple[float, float], axes: tuple[float, float], angle: float, depth: float
    ) -> None:
        """Raises `out` (float32 (N, N), mm) to the thickness of an ellipsoid seen along the beam.

        `axes` are the semi-axes in the plane, `angle` (radians, clockwise on the film) turns the first one,
        `depth` is the whole thickness in its middle. Overlaps take the greater thickness, not the sum: the
        parts of one organ touch.
        """
        reach = max(axes)
        rows, columns = self.window(centre[0] - reach, centre[1] - reach, centre[0] + reach, centre[1] + reach)
        if rows.start == rows.stop or columns.start == columns.stop:
            return
        dx, dy = self.x[:, columns] - np.float32(centre[0]), self.y[rows] - np.float32(centre[1])
        cosine, sine = np.float32(np.cos(angle)), np.float32(np.sin(angle))
        first = (dx * (cosine / np.float32(axes[0]))) + (dy * (sine / np.float32(axes[0])))
        second = (dy * (cosine / np.float32(axes[1]))) - (dx * (sine / np.float32(axes[1])))
        inside = np.maximum(1 - first * first - second * second, 0)
        part = out[rows, columns]
        np.maximum(part, np.float32(depth) * np.sqrt(inside), out=part)

    def blur(self, image: np.ndarray, millimetres: float) -> np.ndarray:
        """Gaussian blur with standard deviation in mm; wide blurs are done on a reduced copy, which costs little."""
        sigma = millimetres / self.spacing
        if sigma < 0.3:
            return image
        if sigma > 6:
            factor = int(sigma // 3)
            small = max(self.pixels // factor, 8)
            reduced = cv2.resize(image, (small, small), interpolation=cv2.INTER_AREA)
            reduced = cv2.GaussianBlur(reduced, (0, 0), sigma * small / self.pixels, borderType=cv2.BORDER_REPLICATE)
            return cv2.resize(reduced, (self.pixels, self.pixels), interpolation=cv2.INTER_LINEAR)
        return cv2.GaussianBlur(image, (0, 0), sigma, borderType=cv2.BORDER_REPLICATE)

    def noise(
        self, random: np.random.Generator, largest: float, smallest: float, persistence: float = 0.6
    ) -> np.ndarray:
        """Fractal noise, float32 (N, N), mean 0 and standard deviation about 1, with structures from `largest`
        to `smallest` mm.

        Octaves of smooth noise, each half the size of the one before and weighted by `persistence` (value
        noise, as in Perlin, SIGGRAPH 1985). The field does not depend on the pixel count beyond its sampling.
        """
        extent = self.pixels * self.spacing
        cell, weight, total = largest, 1.0, 0.0
        field = np.zeros((self.pixels, self.pixels), np.float32)
        while cell >= smallest:
            scale = cell / self.spacing
            count = int(np.ceil(extent / cell)) + 4
            values = random.standard_normal((count, count), dtype=np.float32)
            grown = int(count * scale)
            first, second = (int(part) for part in random.random(2) * min(scale, grown - self.pixels) + 1)
            octave = cv2.resize(values, (grown, grown), interpolation=cv2.INTER_CUBIC)
            octave = octave[first : first + self.pixels, second : second + self.pixels]
            field += np.float32(weight) * octave
            total += weight * weight * 0.6
            weight *= persistence
            cell /= 2
        return field / np.float32(np.sqrt(max(total, 1e-6)))


def curve(points: ArrayLike, count: int = 24) -> np.ndarray:
    """A smooth line (count, 2) through control points (Catmull–Rom spline)."""
    control = np.asarray(points, np.float64)
    padded = np.concatenate([2 * control[:1] - control[1:2], control, 2 * control[-1:] - control[-2:-1]])
    position = np.linspace(0, len(control) - 1, count)
    index = np.minimum(position.astype(int), len(control) - 2)
    t = (position - index)[:, None]
    a, b, c, d = (padded[index + k] for k in range(4))
    line = 0.5 * (2 * b + (c - a) * t + (2 * a - 5 * b + 4 * c - d) * t**2 + (3 * b - a - 3 * c + d) * t**3)
    return np.asarray(line)


def band(line: np.ndarray, width: np.ndarray | float) -> np.ndarray:
    """The polygon (2n, 2) around a line (n, 2) whose full width at each point is `width` mm."""
    tangent = np.empty_like(line)
    tangent[1:-1] = line[2:] - line[:-2]
    tangent[0], tangent[-1] = line[1] - line[0], line[-1] - line[-2]
    length = np.sqrt(tangent[:, 0] ** 2 + tangent[:, 1] ** 2) + 1e-9
    normal = np.stack([-tangent[:, 1], tangent[:, 0]], axis=1) * (width / (2 * length))[:, None]
    return np.concatenate([line + normal, (line - normal)[::-1]])


def smooth_step(value: np.ndarray) -> np.ndarray:
    """0 below 0, 1 above 1, and a smooth cubic between; float32 like its input."""
    value = np.clip(value, 0, 1)
    return np.asarray(value * value * (3 - 2 * value))
