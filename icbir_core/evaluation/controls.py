"""Maps that carry no interpretation: if retrieval by them is as good, the gain of IG-CBIR is not interpretability.

Each control is fed to the SAME saliency classifier as the real maps, which was not retrained on it, unless the report
says "retrained".
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np
from skimage.filters import sobel

from icbir_core.errors import UnknownNameError

if TYPE_CHECKING:
    from icbir_core.model.classifier import Classifier

RANDOM_SEED = 20


CONTROL_MAPS: Mapping[str, str] = {
    "random_maps": "Deep Taylor maps of an untrained network of the same structure",
    "edge_maps": "Sobel edges of the film",
    "lung_prior": "a fixed lung-shaped prior times the film, the same prior for every film",
    "grad_cam_maps": "Grad-CAM maps of the trained classifier",
}
"""What each control shows the saliency classifier, by its name."""


def make_control(name: str, classifier: Classifier, target: str) -> Callable[[np.ndarray], np.ndarray]:
    """A function from images float32 (N, S, S) in [0, 1] to raw maps float32 (N, S, S), not negative. Deterministic;
    the untrained network is drawn once, by `RANDOM_SEED`. Raises `UnknownNameError`."""
    if name == "random_maps":
        untrained = _draw_untrained(classifier)
        return lambda images: _attribute(untrained, images, target, "deep_taylor")
    if name == "ig_cbir":  # no control: the real maps, for retraining on them in the same way
        return lambda images: _attribute(classifier, images, target, "deep_taylor")
    if name == "grad_cam_maps":
        return lambda images: _attribute(classifier, images, target, "grad_cam")
    if name == "edge_maps":
        return lambda images: np.stack([sobel(image) for image in images]).astype(np.float32)
    if name == "lung_prior":
        return lambda images: (np.asarray(images) * shape_of_lungs(np.shape(images)[-1])).astype(np.float32)
    raise UnknownNameError("control", name, CONTROL_MAPS)


@lru_cache(maxsize=4)
def shape_of_lungs(size: int) -> np.ndarray:
    """float32 (S, S) in [0, 1]: two upright ellipses where the lungs of a centred frontal film lie, edges smooth."""
    rows, columns = np.mgrid[0:size, 0:size] / (size - 1)
    fields = [np.sqrt(((columns - centre) / 0.16) ** 2 + ((rows - 0.47) / 0.33) ** 2) for centre in (0.30, 0.70)]
    return np.asarray((1 / (1 + np.exp((np.minimum(*fields) - 1) / 0.06))).astype(np.float32))


def _draw_untrained(classifier: Classifier) -> Classifier:
    import keras

    from icbir_core.model.classifier import Classifier
    from icbir_core.model.network import build_network

    keras.utils.set_random_seed(RANDOM_SEED)
    manifest = dict(classifier.manifest)
    model = build_network(manifest["network"], len(classifier.findings), classifier.input_settings.size, "none")
    return Classifier(model, manifest | {"sha256": f"untrained, seed {RANDOM_SEED}"})


def _attribute(classifier: Classifier, images: np.ndarray, target: str, method: str) -> np.ndarray:
    from icbir_core.saliency.registry import attribute

    return attribute(classifier, images, target, method)
