"""From a film to the network's input, and back from the network's square to the film."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from icbir_core.settings import InputSettings

Box = tuple[float, float, float, float]
"""(left, top, width, height), origin in the upper left corner, in pixels of the frame that the text names."""

IMAGENET_MEAN = np.array([0.485, 0.456, 0.406], dtype=np.float32)
IMAGENET_DEVIATION = np.array([0.229, 0.224, 0.225], dtype=np.float32)

CLIP_LIMIT = 2.0
TILES = (8, 8)


@dataclass(frozen=True)
class Letterbox:
    """Where a film of `shape` (H, W) lies in a square of side `size`: aspect kept, centred, the rest is padding.

    top, left, height, width : the film's area in the square, in whole pixels of the square.
    """

    shape: tuple[int, int]
    size: int
    top: int
    left: int
    height: int
    width: int

    @classmethod
    def of(cls, shape: tuple[int, int], size: int) -> Letterbox:
        """The letterbox of a film of `shape` (H, W) in a square of side `size`; `ValueError` on an empty film."""
        rows, columns = (int(side) for side in shape)
        if rows < 1 or columns < 1 or size < 1:
            raise ValueError(f"A film and its square need at least one pixel; they have {shape} and {size}.")
        scale = size / max(rows, columns)
        height, width = (min(size, max(1, round(side * scale))) for side in (rows, columns))
        return cls((rows, columns), size, (size - height) // 2, (size - width) // 2, height, width)

    @property
    def scale(self) -> float:
        """Pixels of the square per pixel of the film, before rounding to whole pixels."""
        return self.size / max(self.shape)

    def crop(self, values: np.ndarray) -> np.ndarray:
        """The film's area (..., height, width) of an array (..., S, S): a view without the padding."""
        return values[..., self.top : self.top + self.height, self.left : self.left + self.width]

    def mask(self) -> np.ndarray:
        """bool (S, S): True on the film, False on the padding."""
        inside = np.zeros((self.size, self.size), dtype=bool)
        self.crop(inside)[...] = True
        return inside

    def to_film(self, values: np.ndarray) -> np.ndarray:
        """Values of the square (S, S), such as a saliency map, on the film (H, W): float32, interpolated linearly."""
        if values.shape != (self.size, self.size):
            raise ValueError(f"The values must have the shape {(self.size, self.size)}, not {values.shape}.")
        rows, columns = self.shape
        area = np.ascontiguousarray(self.crop(values), dtype=np.float32)
        return cv2.resize(area, (columns, rows), interpolation=cv2.INTER_LINEAR)

    def box_to_network(self, box: Box) -> Box:
        """A box in pixels of the film as a box in pixels of the square."""
        across, down = self.width / self.shape[1], self.height / self.shape[0]
        left, top, width, height = box
        return (self.left + left * across, self.top + top * down, width * across, height * down)


def resize_film(pixels: np.ndarray, height: int, width: int) -> np.ndarray:
    """A film (H, W) as float32 (height, width): mean over the area when it shrinks, linear when it grows."""
    pixels = np.ascontiguousarray(pixels, dtype=np.float32)
    if pixels.shape == (height, width):
        return pixels
    shrinks = height <= pixels.shape[0] and width <= pixels.shape[1]
    return cv2.resize(pixels, (width, height), interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR)


def equalise_contrast(film: np.ndarray) -> np.ndarray:
    """Contrast-limited adaptive histogram equalisation (Zuiderveld 1994) of a film (H, W): float32 in [0, 1].

    The film is first stretched from its smallest to its largest value, so that window and exposure matter little. 256
    levels, because OpenCV's 16-bit form spreads a small tile over 65,536 bins and then limits nothing.
    A film of one value is returned unchanged: there is no contrast to equalise.
    """
    low, high = float(film.min()), float(film.max())
    if not high > low:
        return film
    levels = np.rint((film - low) * (255.0 / (high - low))).astype(np.uint8)
    equalised = cv2.createCLAHE(clipLimit=CLIP_LIMIT, tileGridSize=TILES).apply(levels)
    return equalised.astype(np.float32) / 255.0


def fit_to_network(pixels: np.ndarray, settings: InputSettings) -> np.ndarray:
    """A film (H, W) in [0, 1] as the network's image: float32 (S, S) in [0, 1], S = settings.size.

    The film is cut to its middle square if the settings say so, shrunk with its aspect kept, equalised if the settings
    say so, and only then padded with 0: padding is never part of a histogram. Deterministic. Raises `ValueError` on
    another number of dimensions or an empty film.
    """
    if pixels.ndim != 2:
        raise ValueError(f"A film has two dimensions (H, W), not the shape {pixels.shape}.")
    if settings.crop:
        pixels = cut_middle_square(pixels)
    box = Letterbox.of(pixels.shape, settings.size)
    film = resize_film(pixels, box.height, box.width)
    if settings.equalise:
        film = equalise_contrast(film)
    image = np.zeros((settings.size, settings.size), dtype=np.float32)
    box.crop(image)[...] = np.clip(film, 0.0, 1.0)
    return image


def cut_middle_square(pixels: np.ndarray) -> np.ndarray:
    """The middle square (side, side) of a film (H, W), side = min(H, W): a view. Of an odd rest the larger part goes
    after the square, as TorchXRayVision cuts."""
    rows, columns = pixels.shape
    side = min(rows, columns)
    top, left = rows // 2 - side // 2, columns // 2 - side // 2
    return pixels[top : top + side, left : left + side]


def measure_whole_square(shape: tuple[int, int], settings: InputSettings) -> int:
    """The side of the square that holds the whole film (H, W) at the scale at which the network sees it: `size`, or
    more where the settings cut the middle out of a film that is not square. The network's image lies in its middle."""
    return round(settings.size * max(shape) / min(shape)) if settings.crop else settings.size


def show_whole_film(values: np.ndarray, shape: tuple[int, int], settings: InputSettings) -> np.ndarray:
    """Values of the network's image (S, S), such as a saliency map, in the square that holds the whole film (H, W):
    as they are where the network sees it all, else with 0 around them, where it saw nothing."""
    side = measure_whole_square(shape, settings)
    before = (side - settings.size) // 2
    return np.pad(values, (before, side - settings.size - before)) if side > settings.size else values


def box_to_input(box: Box, shape: tuple[int, int], settings: InputSettings) -> Box:
    """A box in pixels of a film (H, W) as a box in pixels of the network's image; it may reach beyond it."""
    side = measure_whole_square(shape, settings)
    before = (side - settings.size) // 2
    left, top, width, height = Letterbox.of(shape, side).box_to_network(box)
    return (left - before, top - before, width, height)


def box_from_input(box: Box, shape: tuple[int, int], settings: InputSettings) -> Box | None:
    """A box in pixels of the network's image as a box in pixels of a film (H, W), cut to the film; None where nothing
    of it lies on the film. The inverse of `box_to_input`."""
    side = measure_whole_square(shape, settings)
    before = (side - settings.size) // 2
    left, top, width, height = box
    letterbox = Letterbox.of(shape, side)
    across, down = letterbox.width / shape[1], letterbox.height / shape[0]
    ends = (left + before - letterbox.left, top + before - letterbox.top)
    first = max(0.0, ends[0] / across), max(0.0, ends[1] / down)
    last = min(float(shape[1]), (ends[0] + width) / across), min(float(shape[0]), (ends[1] + height) / down)
    if last[0] <= first[0] or last[1] <= first[1]:
        return None
    return (*first, last[0] - first[0], last[1] - first[1])


def standardise(images: np.ndarray) -> np.ndarray:
    """Images (..., S, S) in [0, 1] as network input (..., S, S, 3): float32, three equal channels, each minus the mean
    and divided by the standard deviation that ImageNet networks were trained with."""
    images = np.asarray(images, dtype=np.float32)
    return (images[..., None] - IMAGENET_MEAN) / IMAGENET_DEVIATION
