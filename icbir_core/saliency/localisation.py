"""Does a map lie where the finding is? Against exact masks or readers' boxes, beside maps that know nothing.

Definitions and names as in Quantus (Hedström et al., JMLR 24, 2023), whose TensorFlow part does not install with
Keras 3: `PointingGame` (Zhang et al., IJCV 126, 2018), `RelevanceMassAccuracy` (Arras, Osman and Samek, Information
Fusion 81, 2022). Intersection over union at Otsu's threshold follows CheXlocalize (Saporta et al., Nature Machine
Intelligence 4, 2022). Only positive values count; a map without any scores 0, never a lucky hit.
"""

from __future__ import annotations

import numpy as np
from skimage.filters import sobel, threshold_otsu

from icbir_core.rounding import SINGLE
from icbir_core.saliency.encoding import OK, name_state

CONTROL_MAPS = ("random", "edges", "lung_bases")


def point_into(values: np.ndarray, mask: np.ndarray) -> float:
    """1.0 if the largest value (H, W) lies in the mask (H, W), else 0.0; of several largest, the share that does."""
    top = values.max()
    if top <= 0:
        return 0.0
    return float(mask[values >= top - SINGLE * top].mean())


def measure_mass(values: np.ndarray, mask: np.ndarray) -> float:
    """Share of the map's positive values that lies in the mask, 0 … 1."""
    positive = np.maximum(values, 0).astype(np.float64)
    total = positive.sum()
    return float(positive[mask].sum() / total) if total > 0 else 0.0


def measure_overlap(values: np.ndarray, mask: np.ndarray) -> float:
    """Intersection over union of the mask and the map's positive part above Otsu's threshold, 0 … 1."""
    positive = np.maximum(values, 0)
    if name_state(positive) != OK:
        return 0.0
    hot = positive > threshold_otsu(positive)
    union = (hot | mask).sum()
    return float((hot & mask).sum() / union) if union else 0.0


LOCALISATION = {"PointingGame": point_into, "RelevanceMassAccuracy": measure_mass, "IoU at Otsu": measure_overlap}


def make_control_maps(name: str, images: np.ndarray) -> np.ndarray:
    """Maps float32 (N, S, S) that asked no network, for films (N, S, S) in [0, 1].

    "random": noise, other for each film. "edges": Sobel. "lung_bases": two fixed blobs where the bases of the lungs lie
    on a centred frontal film, the same for every film: a prior that never saw one.
    """
    if name == "random":
        draws = [np.random.default_rng(row).random(image.shape) for row, image in enumerate(images)]
        return np.asarray(draws, np.float32).reshape(images.shape)
    if name == "edges":
        return np.asarray([sobel(image) for image in images], np.float32).reshape(images.shape)
    rows, columns = np.mgrid[0 : images.shape[1], 0 : images.shape[2]] / (images.shape[1] - 1)
    blobs = [np.exp(-(((rows - 0.68) / 0.12) ** 2 + ((columns - centre) / 0.11) ** 2) / 2) for centre in (0.27, 0.73)]
    return np.broadcast_to(sum(blobs).astype(np.float32), images.shape)
