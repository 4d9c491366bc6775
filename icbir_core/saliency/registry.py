"""Every class map by name: what it is, what it needs, and the one function that computes it for a batch of films."""

from __future__ import annotations

import weakref
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import keras
import numpy as np

from icbir_core.errors import SaliencyError, UnknownNameError
from icbir_core.radiograph.network_input import standardise
from icbir_core.saliency.composite import CompositeRelevance
from icbir_core.saliency.deep_taylor import DeepTaylor
from icbir_core.saliency.encoding import name_state, require_maps
from icbir_core.saliency.gradients import LAYER, GradientExplainer
from icbir_core.types import SaliencyMap

BATCH = 8


@dataclass(frozen=True)
class SaliencyMethod:
    """One class map. signed : negative values mean evidence against; needs : the layer it names, "" for the whole
    network; starts : what of the output is explained, "probability" or "logit"."""

    name: str
    title: str
    signed: bool
    needs: str
    starts: str
    description: str


_EXPLAINERS: weakref.WeakKeyDictionary[keras.Model, GradientExplainer] = weakref.WeakKeyDictionary()


def _deep_taylor(model: keras.Model, inputs: np.ndarray, index: int) -> np.ndarray:
    return DeepTaylor(model, index)(inputs)


def _lrp_composite(model: keras.Model, inputs: np.ndarray, index: int) -> np.ndarray:
    return CompositeRelevance(model, index)(inputs)


def _by_gradient(name: str) -> Callable:
    def compute(model: keras.Model, inputs: np.ndarray, index: int) -> np.ndarray:
        if model not in _EXPLAINERS:
            _EXPLAINERS[model] = GradientExplainer(model)
        return getattr(_EXPLAINERS[model], name)(inputs, index)

    return compute


_TABLE: tuple[tuple[SaliencyMethod, Callable], ...] = (
    (
        SaliencyMethod(
            "deep_taylor",
            "Deep Taylor decomposition",
            signed=False,
            needs="",
            starts="probability",
            description="The published method's map: hands the probability back, layer by layer, along positive parts.",
        ),
        _deep_taylor,
    ),
    (
        SaliencyMethod(
            "lrp_composite",
            "Composite relevance propagation",
            signed=True,
            needs="",
            starts="logit",
            description="Hands the score back with a rule for each kind of layer, on a network brought to one form.",
        ),
        _lrp_composite,
    ),
    (
        SaliencyMethod(
            "grad_cam",
            "Grad-CAM",
            signed=False,
            needs=LAYER,
            starts="logit",
            description="The last feature map, weighted by its mean gradient: coarse, and looks at nothing below it.",
        ),
        _by_gradient("grad_cam"),
    ),
    (
        SaliencyMethod(
            "smooth_grad",
            "SmoothGrad",
            signed=True,
            needs="",
            starts="logit",
            description="The gradient averaged over noisy copies: where a small change would move the score.",
        ),
        _by_gradient("smooth_grad"),
    ),
    (
        SaliencyMethod(
            "integrated_gradients",
            "Integrated gradients",
            signed=True,
            needs="",
            starts="logit",
            description="The score's rise on the way from a grey film to this one, shared out over the pixels.",
        ),
        _by_gradient("integrated_gradients"),
    ),
    (
        SaliencyMethod(
            "gradients_inputs",
            "Gradient times input",
            signed=True,
            needs="",
            starts="logit",
            description="The gradient at the film itself times the film: the fastest of the kind, and noisy.",
        ),
        _by_gradient("gradients_inputs"),
    ),
    (
        SaliencyMethod(
            "occlusion",
            "Occlusion",
            signed=True,
            needs="",
            starts="logit",
            description="How far the score falls when a square is covered: slow; asks the network for outputs only.",
        ),
        _by_gradient("occlusion"),
    ),
)

METHODS: Mapping[str, SaliencyMethod] = {method.name: method for method, _ in _TABLE}
_COMPUTE = {method.name: compute for method, compute in _TABLE}


def require_method(name: str) -> SaliencyMethod:
    """The method of that name; raises UnknownNameError, which lists the known ones."""
    if name not in METHODS:
        raise UnknownNameError("saliency method", name, METHODS)
    return METHODS[name]


def attribute_output(model: keras.Model, inputs: np.ndarray, index: int, method: str = "deep_taylor") -> np.ndarray:
    """As `attribute`, for a bare network, standardised inputs (N, S, S, 3) and the index of an output."""
    require_method(method)
    inputs = np.ascontiguousarray(inputs, dtype=np.float32)
    if inputs.ndim != 4 or inputs.shape[1:] != tuple(model.input.shape[1:]):
        expected = ", ".join(map(str, model.input.shape[1:]))
        raise SaliencyError(
            f"Expected network input of shape (N, {expected}), got {inputs.shape}; fit the films first."
        )
    if not 0 <= index < model.output.shape[-1]:
        raise SaliencyError(
            f"Expected an output from 0 to {model.output.shape[-1] - 1}, got {index}; choose a finding the network has."
        )
    maps = [_COMPUTE[method](model, inputs[start : start + BATCH], index) for start in range(0, len(inputs), BATCH)]
    return require_maps(np.concatenate(maps) if maps else np.zeros(inputs.shape[:3], np.float32))


def attribute(classifier, images: np.ndarray, finding: str, method: str = "deep_taylor") -> np.ndarray:
    """The raw attribution of a finding on films: float32 (N, S, S), signed where the method is, summed over channels.

    images : float32 (N, S, S) in [0, 1], as `fit_to_network` gives them (for a saliency classifier: encoded maps).
    Deterministic, and a film's map does not depend on the others in the batch. Raises UnknownNameError (method,
    finding), UnsupportedLayer, SaliencyError (shape, NaN).
    """
    images = np.asarray(images, dtype=np.float32)
    size = classifier.input_settings.size
    if images.ndim != 3 or images.shape[1:] != (size, size):
        raise SaliencyError(f"Expected images of shape (N, {size}, {size}), got {images.shape}; fit the films first.")
    return attribute_output(classifier.model, standardise(images), classifier.output_index(finding), method)


def explain(classifier, images: np.ndarray, finding: str, method: str = "deep_taylor") -> list[SaliencyMap]:
    """As `attribute`, as one SaliencyMap a film, with method, finding, layer, signedness and state written on it."""
    require_method(method)
    return [make_saliency_map(values, method, finding) for values in attribute(classifier, images, finding, method)]


def make_saliency_map(values: np.ndarray, method: str, finding: str) -> SaliencyMap:
    """A raw attribution (S, S) as a SaliencyMap; raises UnknownNameError for a method that is not in the registry."""
    chosen, values = require_method(method), np.asarray(values, np.float32)
    return SaliencyMap(values, method, finding, chosen.signed, chosen.needs, name_state(values))
