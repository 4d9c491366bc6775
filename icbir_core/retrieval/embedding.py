"""THE path from an image to its embeddings, used by query and catalogue alike.

    image ──classifier──▶ probabilities, cnn (penultimate features), last feature map
    image ──classifier + saliency method──▶ map ──encode──▶ saliency classifier ──▶ ig_cbir (penultimate features)

With Deep Taylor the first two lines are one forward pass: the decomposition begins with the pass that the prediction
needs. For a film that is searched with, the second line waits until something asks for the map. ONNX Runtime runs the
networks that it can, and TensorFlow is not loaded then (docs/adr/0036).
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property, partial

import numpy as np

from icbir_core.errors import RetrievalError
from icbir_core.model.classifier import Classifier
from icbir_core.model.layer_names import FEATURE_LAYER, LOGITS_LAYER, PENULTIMATE_LAYER
from icbir_core.plugins import load_reference
from icbir_core.radiograph.network_input import standardise
from icbir_core.retrieval.methods import (
    FEATURES,
    PROBABILITIES,
    REDUCED,
    SALIENCY_FEATURES,
    SPATIAL,
    SearchMethod,
    calling,
)
from icbir_core.retrieval.regions import CHANNELS, GRID, summarise_features
from icbir_core.retrieval.structural_similarity import SIDE, reduce_images
from icbir_core.saliency.encoding import encode_map
from icbir_core.saliency.onnx_relevance import RULES, run_propagation
from icbir_core.saliency.registry import attribute

DEFAULT_MAP_METHOD = "deep_taylor"
_WATCHED = (FEATURE_LAYER, PENULTIMATE_LAYER, LOGITS_LAYER)
Fields = dict[str, tuple[tuple[int, ...], str]]


@dataclass(frozen=True, eq=False)
class Embeddings:
    """What is computed of N images; D is 1024 for densenet121.

    probabilities float32 (N, F), calibrated; cnn float32 (N, D); maps float32 (N, S, S), the raw attribution of the
    target; spatial float16 (N, 7, 7, C), see `regions`; reduced float16 (N, 64, 64), see `structural_similarity`.
    make_maps : gives `maps`; embed_maps : gives `ig_cbir` of them, None without a saliency classifier. timings_ms :
    "predict_and_map", or "predict" where the maps wait until they are asked for.
    """

    probabilities: np.ndarray
    cnn: np.ndarray
    make_maps: Callable[[], np.ndarray]
    spatial: np.ndarray
    reduced: np.ndarray
    embed_maps: Callable[[np.ndarray], np.ndarray] | None = None
    timings_ms: dict[str, float] = field(default_factory=dict)

    @cached_property
    def maps(self) -> np.ndarray:
        """float32 (N, S, S), the raw attribution of the target; computed when it is first asked for."""
        return self.make_maps()

    @cached_property
    def ig_cbir(self) -> np.ndarray | None:
        """float32 (N, D), or None without a saliency classifier; computed when it is first asked for, since most
        methods do not compare it."""
        return None if self.embed_maps is None else self.embed_maps(self.maps)

    def to_fields(self) -> dict[str, np.ndarray]:
        """By the names of `Embedder.fields`, as they are stored: a map is divided by its largest absolute value, which
        is the field "scales"."""
        saliency = {} if self.ig_cbir is None else {SALIENCY_FEATURES: self.ig_cbir}
        return self._scale_maps() | self._list_computed() | saliency

    def read(self, name: str) -> np.ndarray:
        """One of `to_fields`; maps, and the embeddings of them, are computed only for those that need them. Raises
        `RetrievalError` for a field that is not there."""
        if name == SALIENCY_FEATURES:
            found = self.ig_cbir
        else:
            found = (self._scale_maps() if name in ("maps", "scales") else self._list_computed()).get(name)
        if found is None:
            raise RetrievalError(f"Nothing was computed of the film under the name '{name}'.")
        return found

    def _scale_maps(self) -> dict[str, np.ndarray]:
        scales = np.abs(self.maps).max(axis=(1, 2)).astype(np.float32)
        return {"maps": self.maps / np.where(scales > 0, scales, 1)[:, None, None], "scales": scales}

    def _list_computed(self) -> dict[str, np.ndarray]:
        return {PROBABILITIES: self.probabilities, FEATURES: self.cnn, SPATIAL: self.spatial, REDUCED: self.reduced}

    @classmethod
    def from_fields(cls, values: Mapping[str, np.ndarray]) -> Embeddings:
        """The embeddings that were stored; maps and region features have been rounded to half precision."""
        maps = np.asarray(values["maps"], np.float32) * values["scales"][:, None, None]
        stored = values.get(SALIENCY_FEATURES)
        embed_maps = None if stored is None else lambda _: np.asarray(stored)
        return cls(values[PROBABILITIES], values[FEATURES], lambda: maps, values[SPATIAL], values[REDUCED], embed_maps)


def describe_films(method: SearchMethod, images: np.ndarray, embeddings: Embeddings) -> np.ndarray:
    """What a method compares of N films, float32 (N, …), before any centring: one of their embeddings, or what the
    method computes by itself. images : float32 (N, S, S) in [0, 1]. Raises `RetrievalError` where it fails.
    """
    if not method.describe:
        return embeddings.read(method.fields[0])
    with calling(method):
        found = np.asarray(load_reference(method.describe)(images, embeddings), dtype=np.float32)
    if found.shape != (len(images), *method.shape) or not np.isfinite(found).all():
        raise RetrievalError(
            f"The search method '{method.name}' must describe {len(images)} films by finite values of shape "
            f"{(len(images), *method.shape)}; it returned shape {found.shape}."
        )
    return found


Compute = Callable[[np.ndarray], Sequence[np.ndarray]]


def _choose_passes(classifier: Classifier, target: str, method: str) -> Compute:
    """What computes map, last feature maps (N, h, w, D), penultimate features (N, D) and logits (N, F) of images
    (N, S, S). With the maps that are propagated all comes of one pass."""
    index, network = classifier.output_index(target), classifier.network
    if network is None:
        from icbir_core.retrieval.tensorflow_passes import make_passes

        return make_passes(classifier, target, method)
    if method in RULES:
        return lambda images: run_propagation(network, method, standardise(images), index)
    return lambda images: (attribute(classifier, images, target, method), *network.run(standardise(images), _WATCHED))


class Embedder:
    """Computes `Embeddings` for one target finding. Thread-safe: one computation at a time.

    map_method : name of a saliency method of the registry; Deep Taylor is the published one. Raises
    `UnknownNameError` if the classifier does not know the target.
    """

    def __init__(
        self,
        classifier: Classifier,
        saliency_classifier: Classifier | None,
        target: str,
        map_method: str = DEFAULT_MAP_METHOD,
    ):
        self.classifier, self.saliency_classifier = classifier, saliency_classifier
        self.target, self.map_method = target, map_method
        self._lock = threading.Lock()
        self._compute = _choose_passes(classifier, target, map_method)

    @property
    def size(self) -> int:
        """Side of the images in pixels."""
        return self.classifier.input_settings.size

    @property
    def dimension(self) -> int:
        """Length of a `cnn` embedding."""
        return self.classifier.width

    @property
    def fields(self) -> Fields:
        """What is stored of a case: name → (shape, dtype). Maps are kept in half precision beside a scale, because
        attributions are often smaller than the smallest half-precision number."""
        size, dimension = self.size, self.dimension
        fields: Fields = {
            "maps": ((size, size), "float16"),
            "scales": ((), "float32"),
            PROBABILITIES: ((len(self.classifier.findings),), "float32"),
            FEATURES: ((dimension,), "float32"),
            SPATIAL: ((GRID, GRID, min(dimension, CHANNELS)), "float16"),
            REDUCED: ((SIDE, SIDE), "float16"),
        }
        return fields | ({SALIENCY_FEATURES: ((dimension,), "float32")} if self.saliency_classifier else {})

    def embed(self, images: np.ndarray, maps_later: bool = False) -> Embeddings:
        """Embed images float32 (N, S, S) in [0, 1]. Raises `RetrievalError` on another shape or values not finite.

        maps_later : the maps are computed when they are first asked for, by a pass of their own, where that is cheaper
        for a film whose search needs none.
        """
        images = np.asarray(images, dtype=np.float32)
        if images.ndim != 3 or images.shape[1:] != (self.size, self.size) or not np.isfinite(images).all():
            raise RetrievalError(
                f"Expected finite images (N, {self.size}, {self.size}), got {images.shape}; "
                "fit the film to the network first."
            )
        with self._lock:
            start = time.perf_counter()
            network = self.classifier.network if maps_later else None
            maps = None
            if network is None:
                maps, last, cnn, logits = self._compute(images)
            else:
                last, cnn, logits = network.run(standardise(images), _WATCHED)
            spatial = summarise_features(last, partial(np.einsum, optimize=True))
            end = time.perf_counter()
        return Embeddings(
            probabilities=np.asarray(self.classifier.calibrate(logits), dtype=np.float32),
            cnn=cnn,
            make_maps=partial(self.explain, images, self.map_method) if maps is None else lambda: maps,
            spatial=np.asarray(spatial, dtype=np.float16),
            reduced=reduce_images(images),
            embed_maps=self._embed_maps if self.saliency_classifier else None,
            timings_ms={"predict" if maps is None else "predict_and_map": 1000 * (end - start)},
        )

    def _embed_maps(self, maps: np.ndarray) -> np.ndarray:
        assert self.saliency_classifier is not None
        with self._lock:
            return np.asarray(self.saliency_classifier.features(encode_map(maps)), dtype=np.float32)

    def explain(self, images: np.ndarray, method: str, finding: str | None = None) -> np.ndarray:
        """Raw attributions float32 (N, S, S) of any saliency method, under the same lock."""
        with self._lock:
            return attribute(self.classifier, np.asarray(images, np.float32), finding or self.target, method)

    def map_features(self, images: np.ndarray, field: str) -> np.ndarray:
        """The last feature maps float32 (N, h, w, C), under the same lock: their means over the positions are the
        embeddings `field`, those of the classifier or of the saliency classifier. Raises `RetrievalError` for a field
        that is no such mean, and where the target has no saliency classifier."""
        if field not in (FEATURES, SALIENCY_FEATURES):
            raise RetrievalError(f"The values '{field}' of a film are no features of a network.")
        with self._lock:
            if field == FEATURES:
                return self.classifier.map_features(images)
            if self.saliency_classifier is None:
                raise RetrievalError(f"There is no saliency classifier for {self.target}; train both stages first.")
            maps = attribute(self.classifier, np.asarray(images, np.float32), self.target, self.map_method)
            return self.saliency_classifier.map_features(encode_map(maps))
