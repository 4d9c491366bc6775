"""Why two films are near or far in a search: the distance itself, shared out over the places of both films.

This is no class map and says nothing about a finding. Positive values set the two films apart, negative values make up
for it; all values of both films together are the squared distance.

Feature methods. The penultimate features are means over the P positions of the last feature map A, so that with
f = mean of A, d = f1 - f2 and the middle m = (f1 + f2)/2 the squared distance falls apart exactly, without a residual:

    |f1 - f2|^2 = Σ_p d·(A1(p) - m)/P  +  Σ_p (-d)·(A2(p) - m)/P

(the analogue for distances of what Stylianou, Souvenir and Pless do to a dot product, "Visualizing deep
similarity networks", WACV 2019). Each film holds half of it: measured from zero instead of the middle, one film would
hold a large positive constant and the other as large a negative one, which no picture survives. Structural similarity
is a mean over windows; each film gets half of a window's loss.

Centred features: with u = (f - c)/|f - c| for a centre c, the squared distance |u1 - u2|^2 is (u1 - u2)·u1 - (u1 -
u2)·u2, and each u is itself a mean over positions, so that it falls apart as exactly, half on each film.

Two films that are the same to the network, but for rounding, have distance 0 and maps of zeros, state "zero": shared
out, the rounding would fill a picture. What counts as rounding is measured by what was subtracted, |f1|^2 + |f2|^2;
where a centre was subtracted before, by |f|^2 + |c|^2 for each film, at the scale |f - c| to which it was brought.
"""

from __future__ import annotations

import weakref
from dataclasses import dataclass

import cv2
import keras
import numpy as np
from skimage.metrics import structural_similarity

from icbir_core.errors import SaliencyError, UnknownNameError
from icbir_core.radiograph.network_input import standardise
from icbir_core.rounding import choose_share, clear_rounding, invert_lengths
from icbir_core.saliency.encoding import encode_map, name_state
from icbir_core.saliency.gradients import LAYER
from icbir_core.saliency.registry import SaliencyMethod, attribute
from icbir_core.types import SaliencyMap

METHODS = ("cnn_centred", "ig_cbir", "cnn", "ssim")
NAME = "similarity"
SIMILARITY = SaliencyMethod(
    NAME,
    "Similarity of two films (no map of a finding)",
    signed=True,
    needs=LAYER,
    starts="distance",
    description="Which places of two films set them apart in a search (positive), and which make up for it.",
)
_REDUCED = 64
_readers: weakref.WeakKeyDictionary[keras.Model, keras.Model] = weakref.WeakKeyDictionary()


@dataclass(frozen=True, eq=False)
class PairExplanation:
    """Where the distance between two films comes from.

    first, second : signed maps (S, S), method "similarity", finding "" (no class is explained). total : what is shared
    out: the squared Euclidean distance, or 1 - SSIM. quantity : its name. explained : the sum of both maps; residual :
    total - explained.
    """

    first: SaliencyMap
    second: SaliencyMap
    total: float
    quantity: str

    @property
    def explained(self) -> float:
        return float(self.first.values.sum(dtype=np.float64) + self.second.values.sum(dtype=np.float64))

    @property
    def residual(self) -> float:
        return self.total - self.explained


def _spread(coarse: np.ndarray, size: int) -> np.ndarray:
    """Values on a coarse grid (h, w) laid smoothly on (size, size) so that each keeps its sum: float32."""

    def weights(count: int) -> np.ndarray:
        unit = np.eye(count, dtype=np.float32)
        fine = cv2.resize(unit, (count, size), interpolation=cv2.INTER_LINEAR)
        return fine / fine.sum(axis=0)

    return (weights(coarse.shape[0]) @ coarse.astype(np.float64) @ weights(coarse.shape[1]).T).astype(np.float32)


def centre_features(features: np.ndarray, centre: np.ndarray) -> np.ndarray:
    """Feature maps float64 (N, h, w, C) whose means over the positions are the unit vectors about a centre (C,); zeros
    for a film whose mean is the centre, but for rounding."""
    features = np.asarray(features, np.float64)
    means = features.mean(axis=(1, 2))
    return (features - centre) * invert_lengths(means - centre, _measure_sizes(means, centre))[:, None, None, None]


def _measure_sizes(means: np.ndarray, centre: np.ndarray) -> np.ndarray:
    """What is subtracted where a centre (C,) is: (|f|² + |c|²)^½ of each film's features (N, C), float64 (N,)."""
    return np.hypot(np.linalg.norm(means, axis=1), np.linalg.norm(centre))


def share_distance(features: np.ndarray) -> np.ndarray:
    """The squared distance of two films on their positions, half on each film: float64 (2, h, w), for feature maps
    (2, h, w, C)."""
    features = np.asarray(features, np.float64)
    means = features.mean(axis=(1, 2))
    difference = means[0] - means[1]
    positions = features.shape[1] * features.shape[2]
    centred = features - means.mean(axis=0)
    return np.stack([centred[0] @ difference, -(centred[1] @ difference)]) / positions


def _read_features(classifier, pictures: np.ndarray) -> np.ndarray:
    model = classifier.model
    if model not in _readers:
        _readers[model] = keras.Model(model.input, model.get_layer(LAYER).output)
    return np.asarray(_readers[model](standardise(pictures), training=False))


def _share_structure(pictures: np.ndarray) -> tuple[np.ndarray, float]:
    """Half of each window's loss of similarity, float64 (64, 64), and 1 - SSIM, as the search method ssim has it."""
    reduced = [cv2.resize(one, (_REDUCED, _REDUCED), interpolation=cv2.INTER_AREA) for one in pictures]
    # Half precision, because that is what the search compares.
    first, second = (one.astype(np.float16).astype(np.float64) for one in reduced)
    options = {"gaussian_weights": True, "sigma": 1.5, "use_sample_covariance": False, "data_range": 1.0}
    similarity, local = structural_similarity(first, second, full=True, **options)
    margin = 5
    loss = np.zeros_like(local)
    inside = (slice(margin, -margin),) * 2
    loss[inside] = (1.0 - local[inside]) / local[inside].size / 2
    total = float(clear_rounding(1.0 - similarity, 1.0))
    return (loss if total else np.zeros_like(loss)), total


def _share_features(features: np.ndarray, rounding: float, centre: np.ndarray | None) -> tuple[np.ndarray, float]:
    """The shares (2, h, w) of the squared distance of two feature maps (2, h, w, C), about a centre where there is one,
    and that distance; zeros where `rounding` is all of it."""
    features = np.asarray(features, np.float64)
    means = features.mean(axis=(1, 2))
    sizes = np.linalg.norm(means, axis=1)
    if centre is not None:
        sizes = _measure_sizes(means, centre) * invert_lengths(means - centre)
        features = centre_features(features, centre)
        means = features.mean(axis=(1, 2))
    distance = float(clear_rounding(np.linalg.norm(means[0] - means[1]), np.hypot(*sizes), rounding))
    return share_distance(features) * (distance > 0), distance**2


def explain_pair(
    method: str,
    classifier,
    images: np.ndarray,
    saliency_classifier=None,
    target: str | None = None,
    map_method: str = "deep_taylor",
    centre: np.ndarray | None = None,
) -> PairExplanation:
    """Where the distance between two films comes from, for the search method that ranked them.

    method : "cnn" (the classifier's features), "ig_cbir" (the saliency classifier's features of the films' maps, which
    lie on the films: needs `saliency_classifier` and `target`), "cnn_centred" (needs its `centre` (C,)) or "ssim".
    images : float32 (2, S, S) in [0, 1]. Swapping the films swaps the maps. Where only rounding parts the films, the
    total is 0.0 and both maps are zeros, state "zero". Raises UnknownNameError, SaliencyError.
    """
    images = np.asarray(images, np.float32)
    if images.ndim != 3 or len(images) != 2 or images.shape[1] != images.shape[2]:
        raise SaliencyError(
            f"Expected two films of shape (2, S, S), got {images.shape}; fit both to the network first."
        )
    size = images.shape[1]
    # Equal films are computed once: through two places of a batch, rounding can part their saliency maps.
    films, both = (images[:1], [0, 0]) if np.array_equal(images[0], images[1]) else (images, [0, 1])
    if method == "ssim":
        loss, total = _share_structure(images)
        shares, quantity, layer = (loss, loss), "1 - ssim", ""
    elif method in METHODS:
        reader, pictures = classifier, films
        if method == "ig_cbir":
            if saliency_classifier is None or target is None:
                raise SaliencyError(
                    "Expected a saliency classifier and its target for ig_cbir; train both stages first."
                )
            reader, pictures = saliency_classifier, encode_map(attribute(classifier, films, target, map_method))
        if method == "cnn_centred" and centre is None:
            raise SaliencyError("Expected the centre of the ranking, got none; run the index command.")
        about = centre if method == "cnn_centred" else None
        shares, total = _share_features(_read_features(reader, pictures)[both], choose_share(method), about)
        quantity, layer = "squared Euclidean distance", LAYER
    else:
        raise UnknownNameError("search method", method, METHODS)
    maps = []
    for share in shares:
        values = _spread(share, size)
        maps.append(SaliencyMap(values, NAME, "", True, layer, name_state(values)))
    return PairExplanation(maps[0], maps[1], total, quantity)
