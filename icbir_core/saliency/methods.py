"""Every saliency method as one record. Importing it loads nothing heavy.

A package of somebody else adds one without touching this file: see docs/plug-ins.md.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from icbir_core.model.backbones import BACKBONES, BY_RELEVANCE
from icbir_core.model.layer_names import FEATURE_LAYER
from icbir_core.plugins import SALIENCY_GROUP, Registry


@dataclass(frozen=True)
class SaliencyMethod:
    """One class map. signed : negative values mean evidence against; needs : the layer it names, "" for the whole
    network; starts : what of the output is explained, "probability" or "logit". coarse : made cell by cell or square by
    square, so that it is drawn as it is. compute : as "package.module:name", a function of a Keras model, its
    standardised inputs (N, S, S, 3) and the number of an output, which gives float32 maps (N, S, S), deterministic,
    each film by itself. compute_network : the same of an `OnnxClassifier`; "" where only TensorFlow computes it."""

    name: str
    title: str
    signed: bool
    starts: str
    description: str
    needs: str = ""
    coarse: bool = False
    compute: str = ""
    compute_network: str = ""

    def as_dict(self) -> dict[str, Any]:
        """What readers see of it, as plain values."""
        return {name: value for name, value in asdict(self).items() if not name.startswith(("compute", "coarse"))}


SALIENCY_METHODS: Registry[SaliencyMethod] = Registry(
    "saliency method",
    SALIENCY_GROUP,
    SaliencyMethod,
    (
        SaliencyMethod(
            "deep_taylor",
            "Deep Taylor decomposition",
            signed=False,
            starts="probability",
            description="The published method's map: hands the probability back, layer by layer, along positive parts.",
            compute="icbir_core.saliency.deep_taylor:compute_maps",
            compute_network="icbir_core.saliency.onnx_relevance:compute_deep_taylor",
        ),
        SaliencyMethod(
            "lrp_composite",
            "Composite relevance propagation",
            signed=True,
            starts="logit",
            description="Hands the score back with a rule for each kind of layer, on a network brought to one form.",
            compute="icbir_core.saliency.composite:compute_maps",
            compute_network="icbir_core.saliency.onnx_relevance:compute_composite",
        ),
        SaliencyMethod(
            "grad_cam",
            "Grad-CAM",
            signed=False,
            starts="logit",
            description="The last feature map, weighted by its mean gradient: coarse, and looks at nothing below it.",
            needs=FEATURE_LAYER,
            coarse=True,
            compute="icbir_core.saliency.gradients:compute_grad_cam",
        ),
        SaliencyMethod(
            "smooth_grad",
            "SmoothGrad",
            signed=True,
            starts="logit",
            description="The gradient averaged over noisy copies: where a small change would move the score.",
            compute="icbir_core.saliency.gradients:compute_smooth_grad",
        ),
        SaliencyMethod(
            "integrated_gradients",
            "Integrated gradients",
            signed=True,
            starts="logit",
            description="The score's rise on the way from a grey film to this one, shared out over the pixels.",
            compute="icbir_core.saliency.gradients:compute_integrated_gradients",
        ),
        SaliencyMethod(
            "gradients_inputs",
            "Gradient times input",
            signed=True,
            starts="logit",
            description="The gradient at the film itself times the film: the fastest of the kind, and noisy.",
            compute="icbir_core.saliency.gradients:compute_gradients_inputs",
        ),
        SaliencyMethod(
            "occlusion",
            "Occlusion",
            signed=True,
            starts="logit",
            description="How far the score falls when a square is covered: slow; asks the network for outputs only.",
            coarse=True,
            compute="icbir_core.saliency.gradients:compute_occlusion",
        ),
    ),
)
"""All class maps, those of installed packages included; the published method first."""

FIRST_MAP = "lrp_composite"
"""The map that is drawn unless another is asked for: the one that shows findings best (benchmarks/default_map.md)."""


def choose_map(network: str, wanted: str = FIRST_MAP) -> str:
    """The method that is wanted, or Grad-CAM where that one needs rules for each layer, which only the records of
    `BACKBONES` promise, and the network is none that has them."""
    has_rules = network in BACKBONES and wanted in BACKBONES[network].relevance
    return "grad_cam" if wanted in BY_RELEVANCE and not has_rules else wanted
