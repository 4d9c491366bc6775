"""A search method: films are near each other that have the same share of dark, middle and bright pixels."""

import numpy as np

from icbir_core.retrieval.embedding import Embeddings
from icbir_core.retrieval.pair_explanation import FilmPair, SharedDistance

LEVELS = 16


def find_levels(images: np.ndarray) -> np.ndarray:
    """The level, 0 to 15, of each pixel of images (N, S, S) in [0, 1]."""
    return np.minimum((np.clip(images, 0, 1) * LEVELS).astype(int), LEVELS - 1)


def count_levels(images: np.ndarray, embeddings: Embeddings) -> np.ndarray:
    """float32 (N, 16): the share of the pixels in each level."""
    return np.stack([np.bincount(one.ravel(), minlength=LEVELS) / one.size for one in find_levels(images)])


def share_difference(pair: FilmPair) -> SharedDistance:
    """The squared distance is Σ d·h1 − Σ d·h2 with d = h1 − h2, and each h is a mean over pixels."""
    first, second = find_levels(pair.images)
    shares = [np.bincount(one.ravel(), minlength=LEVELS) / one.size for one in (first, second)]
    difference = shares[0] - shares[1]
    total = float((difference**2).sum())
    return SharedDistance((difference[first] / first.size, -difference[second] / second.size), total)
