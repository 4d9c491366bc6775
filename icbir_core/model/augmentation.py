"""Random changes of a training image, in OpenCV and numpy on values in [0, 1].

Plain arrays, so that no layer's assumed value range can clip them unnoticed, and the same numbers come out under every
Keras backend.
"""

from __future__ import annotations

import math

import cv2
import numpy as np

from icbir_core.model.recipes import Augmentation


def resize_image(image: np.ndarray, size: int) -> np.ndarray:
    """A square image (S, S), uint8 or float32 in [0, 1], as float32 (size, size) in [0, 1]; area average when it
    shrinks."""
    values = image.astype(np.float32) / 255 if image.dtype == np.uint8 else np.asarray(image, np.float32)
    if values.shape[0] == size:
        return values
    method = cv2.INTER_AREA if values.shape[0] > size else cv2.INTER_LINEAR
    return cv2.resize(values, (size, size), interpolation=method)


def augment(image: np.ndarray, settings: Augmentation, random: np.random.Generator) -> np.ndarray:
    """One random variant of a float32 (S, S) image in [0, 1]: float32 (S, S) in [0, 1].

    Rotation, scale, shift and mirror are one affine resampling; what comes from outside the film is air (0). Then
    gamma, contrast about the mean, brightness, noise and a blank rectangle, clipped to [0, 1] at the end only.
    """
    size = image.shape[0]
    angle = random.uniform(-1, 1) * settings.rotation
    scale = math.exp(random.uniform(-1, 1) * settings.scale)
    aspect = math.exp(random.uniform(-1, 1) * settings.scale / 3)
    shift = random.uniform(-1, 1, 2) * settings.shift * size
    centre = (size - 1) / 2
    turn = math.radians(angle)
    matrix = np.array(
        [
            [math.cos(turn) * scale * aspect, -math.sin(turn) * scale],
            [math.sin(turn) * scale, math.cos(turn) * scale / aspect],
        ]
    )
    if settings.flip and random.random() < settings.flip:
        matrix[:, 0] *= -1
    offset = np.array([centre, centre]) - matrix @ (centre, centre) + shift
    values = cv2.warpAffine(image, np.column_stack([matrix, offset]), (size, size), flags=cv2.INTER_LINEAR)
    values = np.clip(values, 0, 1)
    if settings.gamma:
        values = cv2.pow(values, math.exp(random.uniform(-1, 1) * settings.gamma))
    if settings.contrast:
        mean = float(values.mean())
        values = (values - mean) * (1 + random.uniform(-1, 1) * settings.contrast) + mean
    if settings.brightness:
        values = values + random.uniform(-1, 1) * settings.brightness
    if settings.noise:
        values = values + random.standard_normal(values.shape, np.float32) * np.float32(
            random.uniform(0, settings.noise)
        )
    if settings.erase and random.random() < settings.erase:
        height, width = (random.uniform(0.08, 0.3, 2) * size).astype(int)
        top, left = random.integers(0, size - height), random.integers(0, size - width)
        values[top : top + height, left : left + width] = random.uniform(0, 1)
    return np.clip(values, 0, 1).astype(np.float32)
