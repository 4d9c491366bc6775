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

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import cv2
import numpy as np

from icbir_core.errors import RetrievalError, SaliencyError
from icbir_core.model.layer_names import FEATURE_LAYER
from icbir_core.plugins import load_reference
from icbir_core.retrieval.methods import SearchMethod, calling
from icbir_core.retrieval.structural_similarity import (
    INSIDE,
    METRIC,
    RADIUS,
    SIDE,
    compare_windows,
    describe_windows,
    measure_distances,
    reduce_images,
)
from icbir_core.rounding import clear_rounding, invert_lengths
from icbir_core.saliency.encoding import name_state
from icbir_core.saliency.methods import SaliencyMethod
from icbir_core.types import SaliencyMap

if TYPE_CHECKING:
    from icbir_core.model.encoders import Encoder
    from icbir_core.retrieval.centring import Centre
    from icbir_core.retrieval.embedding import Embedder

SIMILARITY = SaliencyMethod(
    "similarity",
    "Similarity of two films (no map of a finding)",
    signed=True,
    starts="distance",
    description="Which places of two films set them apart in a search (positive), and which make up for it.",
    needs=FEATURE_LAYER,
)


@dataclass(frozen=True, eq=False)
class FilmPair:
    """What an explanation is made from: images float32 (2, S, S) in [0, 1] of two films, the search method that ranked
    them, the networks, and the centre of the classifier's features where there is one. encoders : those beside the
    classifier, each with the films as it sees them and its centre."""

    images: np.ndarray
    method: SearchMethod
    embedder: Embedder
    centre: Centre | None = None
    encoders: tuple[tuple[Encoder, np.ndarray, Centre], ...] = ()

    def map_features(self) -> np.ndarray:
        """The last feature maps float32 (2, h, w, C) whose means over the positions the method compares."""
        return _map_once(self.images, lambda images: self.embedder.map_features(images, self.method.fields[0]))


def _map_once(images: np.ndarray, compute: Callable[[np.ndarray], np.ndarray]) -> np.ndarray:
    """Equal films are computed once: through two places of a batch, rounding can part their saliency maps."""
    equal = np.array_equal(images[0], images[1])
    maps = compute(images[:1] if equal else images)
    return maps[[0, 0]] if equal else maps


@dataclass(frozen=True, eq=False)
class SharedDistance:
    """A distance on the places of both films. shares : for each film float (h, w), on a grid of any size, signed; both
    together sum to `total`. quantity : what the total is; layer : where in the network the places are, "" for none."""

    shares: tuple[np.ndarray, np.ndarray]
    total: float
    quantity: str = "squared Euclidean distance"
    layer: str = ""


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


def explain_pair(pair: FilmPair) -> PairExplanation:
    """Where the distance between two films comes from, for the search method that ranked them.

    Swapping the films swaps the maps. Where only rounding parts the films, the total is 0.0 and both maps are zeros,
    state "zero". Raises `RetrievalError` where the method does not explain its distances, `SaliencyError` for another
    shape of the images.
    """
    images = np.asarray(pair.images, np.float32)
    if images.ndim != 3 or len(images) != 2 or images.shape[1] != images.shape[2]:
        raise SaliencyError(f"Expected two films of shape (2, S, S), got {images.shape}; fit both to the network.")
    if not pair.method.explain:
        raise RetrievalError(f"The search by {pair.method.title} does not show where its distances come from.")
    with calling(pair.method):
        found: SharedDistance = load_reference(pair.method.explain)(pair)
        maps = [_spread(share, images.shape[1]) for share in found.shares]
    first, second = (SaliencyMap(values, SIMILARITY.name, "", True, found.layer, name_state(values)) for values in maps)
    return PairExplanation(first, second, found.total, found.quantity)


def _spread(coarse: np.ndarray, size: int) -> np.ndarray:
    """Values on a coarse grid (h, w) laid smoothly on (size, size) so that each keeps its sum: float32."""

    def weights(count: int) -> np.ndarray:
        unit = np.eye(count, dtype=np.float32)
        fine = cv2.resize(unit, (count, size), interpolation=cv2.INTER_LINEAR)
        return np.asarray(fine / fine.sum(axis=0))

    both = weights(coarse.shape[0]) @ coarse.astype(np.float64) @ weights(coarse.shape[1]).T
    return np.asarray(both, np.float32)


def share_distance(features: np.ndarray) -> np.ndarray:
    """The squared distance of two films on their positions, half on each film: float64 (2, h, w), for feature maps
    (2, h, w, C)."""
    features = np.asarray(features, np.float64)
    means = features.mean(axis=(1, 2))
    difference = means[0] - means[1]
    positions = features.shape[1] * features.shape[2]
    centred = features - means.mean(axis=0)
    return np.asarray(np.stack([centred[0] @ difference, -(centred[1] @ difference)]) / positions)


def share_features(pair: FilmPair) -> SharedDistance:
    """The distance of penultimate features, about the centre for a centred method. Raises `SaliencyError` where there
    is no centre."""
    if pair.method.centred and pair.centre is None:
        raise SaliencyError("The centre of this search is missing; run the index command.")
    centre = pair.centre if pair.method.centred else None
    shares, total = share_feature_maps(pair.map_features(), pair.method.rounding, centre)
    return SharedDistance((shares[0], shares[1]), total, layer=FEATURE_LAYER)


def share_feature_maps(features: np.ndarray, rounding: float, centre: Centre | None) -> tuple[np.ndarray, float]:
    """The shares (2, h, w) of the squared distance of two feature maps (2, h, w, C), about a centre where there is one,
    and that distance; zeros where `rounding` is all of it."""
    features = np.asarray(features, np.float64)
    means = features.mean(axis=(1, 2))
    sizes = np.linalg.norm(means, axis=1)
    if centre is not None:
        sizes = centre.measure_sizes(means) * invert_lengths(means - centre.mean)
        features = centre.transform_maps(features)
        means = features.mean(axis=(1, 2))
    distance = float(clear_rounding(np.asarray(np.linalg.norm(means[0] - means[1])), np.hypot(*sizes), rounding))
    return share_distance(features) * (distance > 0), distance**2


def share_side_by_side(pair: FilmPair) -> SharedDistance:
    """The distance by several networks, which is the mean of theirs; each is shared out over its own places and laid on
    the classifier's square. Raises `RetrievalError` for an encoder whose features have no places, or which sees another
    part of the film than the classifier, `SaliencyError` where there is no centre."""
    if pair.centre is None or not pair.encoders:
        raise SaliencyError("The centres of this ranking are missing; run the index command.")
    size, crop = pair.images.shape[1], pair.embedder.classifier.input_settings.crop
    parts = [(pair.map_features(), pair.centre)]
    for encoder, images, centre in pair.encoders:
        if encoder.map_features is None or encoder.input_settings.crop != crop:
            raise RetrievalError(f"The encoder {encoder.title} cannot explain its distances; choose another method.")
        parts.append((_map_once(images, encoder.map_features), centre))
    found = [share_feature_maps(maps, pair.method.rounding, centre) for maps, centre in parts]
    first, second = (np.mean([_spread(each[side], size) for each, _ in found], axis=0) for side in (0, 1))
    return SharedDistance((first, second), sum(total for _, total in found) / len(found), layer=FEATURE_LAYER)


def share_structure(pair: FilmPair) -> SharedDistance:
    """Half of each window's loss of structural similarity on each film."""
    first, second = reduce_images(pair.images)
    stored = second[None], *describe_windows(second[None])
    total = float(measure_distances(first, *stored)[0])
    loss = np.zeros((SIDE, SIDE))
    if total:
        inside = slice(RADIUS, -RADIUS)
        loss[inside, inside] = (1.0 - compare_windows(first, *stored)[0]) / INSIDE**2 / 2
    return SharedDistance((loss, loss), total, METRIC)
