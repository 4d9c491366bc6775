"""Pictures that the quality gate should doubt. No real lateral film was to be had: two kinds of stand-in replace it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
import skimage.data
import sklearn.datasets

PHOTOGRAPHS = (
    "astronaut.png",
    "brick.png",
    "camera.png",
    "cell.png",
    "chelsea.png",
    "clock_motion.png",
    "coffee.png",
    "coins.png",
    "color.png",
    "grass.png",
    "gravel.png",
    "hubble_deep_field.jpg",
    "ihc.png",
    "moon.png",
    "motorcycle_left.png",
    "page.png",
    "retina.jpg",
    "rocket.jpg",
    "text.png",
)


def simulate_lateral(generator: np.random.Generator, side: int = 96) -> np.ndarray:
    """A rough lateral film, float32 (side, side) in [0, 1]: torso, one dark lung field, spine at the back, heart at the
    front and below, sternum, dome of the diaphragm, shoulders; facing either way."""
    draw = generator.uniform
    down, across = np.mgrid[0:side, 0:side] / side
    centre = draw(0.45, 0.55)
    half = draw(0.62, 0.98) / 2 * (0.75 + 0.25 * np.sin(np.pi * np.clip(down * draw(0.8, 1.1) + 0.1, 0, 1)))
    body = np.clip((half - np.abs(across - centre)) / 0.03, 0, 1)
    film = body * draw(0.45, 0.6) * np.sqrt(np.clip(1 - ((across - centre) / np.maximum(half, 0.05)) ** 2, 0, 1))
    depth = (across - (centre - half)) / (2 * half)  # 0 at the sternum, 1 at the back
    dome = draw(0.66, 0.86) - draw(0.05, 0.12) * np.cos((depth - 0.35) * 3) + 0.12 * (depth - 0.5)
    apex = draw(0.08, 0.2)
    lung = np.clip((depth - draw(0.08, 0.14)) / 0.05, 0, 1) * np.clip((draw(0.9, 0.97) - depth) / 0.06, 0, 1)
    lung *= np.clip((dome - down) / 0.03, 0, 1) * np.clip((down - apex - 0.5 * (depth - 0.55) ** 2) / 0.06, 0, 1)
    film -= lung * body * draw(0.28, 0.42)
    bend = draw(0.74, 0.84) + 0.06 * np.sin(down * 3 + draw(-0.5, 0.5))
    spine = np.exp(-(((depth - bend) / draw(0.06, 0.09)) ** 2)) * (1 - 0.5 * np.minimum(down, dome))
    film += body * spine * draw(0.12, 0.28) * (1 + 0.25 * np.sin(down * draw(55, 80)))
    low = float(dome.mean()) - draw(0.1, 0.16)
    reach = np.hypot((depth - draw(0.32, 0.42)) / draw(0.2, 0.3), (down - low) / draw(0.16, 0.24))
    film += body * np.clip(1.2 - reach, 0, 0.3) / 0.3 * draw(0.12, 0.25)
    film += body * np.exp(-(((depth - 0.07) / 0.025) ** 2)) * draw(0.05, 0.15) * (down > apex)
    film += np.clip((apex + 0.1 - down) / 0.1, 0, 1) * body * draw(0.1, 0.3)
    film += body * lung * 0.02 * np.sin((down + depth * draw(0.2, 0.8)) * draw(50, 90))
    film += body * 0.12 * draw(0.5, 1.5) * cv2.GaussianBlur(generator.standard_normal((side, side)), (0, 0), 3)
    film += draw(0.002, 0.01) * generator.standard_normal((side, side))
    film = ((film - film.min()) / (film.max() - film.min())) ** draw(0.7, 1.4)
    return np.ascontiguousarray(film[:, :: generator.choice([-1, 1])], dtype=np.float32)


def take_half_film(pixels: np.ndarray, generator: np.random.Generator) -> np.ndarray:
    """One half of a frontal film with the spine at its edge, stretched to the full frame: a geometric stand-in."""
    columns = pixels.shape[1]
    pixels = pixels[:, :: generator.choice([-1, 1])]
    start, end = int(generator.uniform(0, 0.08) * columns), int(generator.uniform(0.53, 0.6) * columns)
    return cv2.resize(np.ascontiguousarray(pixels[:, start:end]), pixels.shape[::-1])


def iterate_photographs(crops: int, generator: np.random.Generator) -> Iterator[tuple[str, np.ndarray]]:
    """(name, random crop as grey, float32 in [0, 1]) of the photographs that scikit-image and scikit-learn bring."""
    folder = Path(skimage.data.__file__).parent
    pictures = {name: cv2.imread(str(folder / name), cv2.IMREAD_GRAYSCALE) for name in PHOTOGRAPHS}
    samples = sklearn.datasets.load_sample_images()
    for path, colour in zip(samples.filenames, samples.images, strict=True):
        pictures[Path(path).name] = cv2.cvtColor(colour, cv2.COLOR_RGB2GRAY)
    for name, picture in pictures.items():
        for _ in range(crops):
            sides = [max(8, int(generator.uniform(0.4, 1.0) * side)) for side in picture.shape]
            sides = [min(side, 2 * min(sides)) for side in sides]
            top, left = (
                int(generator.integers(0, have - take + 1)) for have, take in zip(picture.shape, sides, strict=True)
            )
            yield name, picture[top : top + sides[0], left : left + sides[1]].astype(np.float32) / 255.0


def make_noise(generator: np.random.Generator, side: int = 192) -> np.ndarray:
    """White noise blurred by nothing up to a third of the frame: float32 (side, side)."""
    noise = generator.random((side, side)).astype(np.float32)
    blur = float(np.exp(generator.uniform(np.log(0.3), np.log(side / 3))))
    return cv2.GaussianBlur(noise, (0, 0), blur)
