"""The one function that computes any class map, by the name of its method, for a batch of films."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

from icbir_core.errors import SaliencyError
from icbir_core.plugins import load_reference
from icbir_core.radiograph.network_input import standardise
from icbir_core.saliency.encoding import name_state, require_maps
from icbir_core.saliency.methods import SALIENCY_METHODS
from icbir_core.types import SaliencyMap

if TYPE_CHECKING:
    import keras

    from icbir_core.model.classifier import Classifier

Compute = Callable[[Any, np.ndarray, int], np.ndarray]
BATCH = 8


def attribute_output(model: keras.Model, inputs: np.ndarray, index: int, method: str = "deep_taylor") -> np.ndarray:
    """As `attribute`, for a bare network, standardised inputs (N, S, S, 3) and the index of an output."""
    chosen = SALIENCY_METHODS[method]
    inputs = np.ascontiguousarray(inputs, dtype=np.float32)
    if inputs.ndim != 4 or inputs.shape[1:] != tuple(model.input.shape[1:]):
        expected = ", ".join(map(str, model.input.shape[1:]))
        raise SaliencyError(f"Expected network input (N, {expected}), got {inputs.shape}; fit the films first.")
    if not 0 <= index < model.output.shape[-1]:
        raise SaliencyError(
            f"The network has no output {index}, only 0 to {model.output.shape[-1] - 1}; choose a finding that it has."
        )
    return _compute_maps(chosen.compute, model, inputs, index, method)


def _compute_maps(reference: str, network: Any, inputs: np.ndarray, index: int, method: str) -> np.ndarray:
    """The maps of a method by what it refers to, a batch after the other."""
    compute: Compute = load_reference(reference)
    with SALIENCY_METHODS.calling(method, SaliencyError):
        maps = [compute(network, inputs[start : start + BATCH], index) for start in range(0, len(inputs), BATCH)]
        found = require_maps(np.concatenate(maps) if maps else np.zeros(inputs.shape[:3], np.float32))
    if found.shape != inputs.shape[:3]:
        raise SaliencyError(f"The saliency method '{method}' must return maps of shape {inputs.shape[:3]}.")
    return found


def attribute(classifier: Classifier, images: np.ndarray, finding: str, method: str = "deep_taylor") -> np.ndarray:
    """The raw attribution of a finding on films: float32 (N, S, S), signed where the method is, summed over channels.

    images : float32 (N, S, S) in [0, 1], as `fit_to_network` gives them (for a saliency classifier: encoded maps).
    Deterministic, and a film's map does not depend on the others in the batch. Raises UnknownNameError (method,
    finding), UnsupportedLayer, SaliencyError (shape, NaN).
    """
    images = np.asarray(images, dtype=np.float32)
    size = classifier.input_settings.size
    if images.ndim != 3 or images.shape[1:] != (size, size):
        raise SaliencyError(f"Expected images of shape (N, {size}, {size}), got {images.shape}; fit the films first.")
    inputs, index, network = standardise(images), classifier.output_index(finding), classifier.network
    if network is not None and (reference := SALIENCY_METHODS[method].compute_network):
        return _compute_maps(reference, network, inputs, index, method)
    return attribute_output(classifier.model, inputs, index, method)


def explain(classifier: Classifier, images: np.ndarray, finding: str, method: str = "deep_taylor") -> list[SaliencyMap]:
    """As `attribute`, as one SaliencyMap a film, with method, finding, network, layer, signedness and state written on
    it."""
    maps = attribute(classifier, images, finding, method)
    return [make_saliency_map(values, method, finding, classifier.title) for values in maps]


def make_saliency_map(values: np.ndarray, method: str, finding: str, network: str = "") -> SaliencyMap:
    """A raw attribution (S, S) as a SaliencyMap; raises UnknownNameError for a method that is not in the registry."""
    chosen, values = SALIENCY_METHODS[method], np.asarray(values, np.float32)
    return SaliencyMap(values, method, finding, chosen.signed, chosen.needs, name_state(values), network)
