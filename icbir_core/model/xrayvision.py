"""TorchXRayVision's DenseNet-121 as this project's own: the same numbers out of the same film, layer by layer.

Two things differ between the networks, and both are put into the weights, so that nothing else need know of them:

- They read one grey channel v from −1024 (black) to 1024 (white); the networks here read three equal channels
  z = (g − mean) / deviation of the grey g in [0, 1]. With shares a that sum to 1 and whose mean of `IMAGENET_MEAN` is
  a half, v = 2048 Σ a·deviation·z exactly, without a constant: so zero padding, which is 0 in both, stays right too.
- Their batch normalisation adds 1e-5 to the variance, that of keras.applications 1.001e-5: the stored variance makes up
  for the difference.

Source: Cohen et al., "TorchXRayVision: A library of chest X-ray datasets and models", MIDL 2022.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

import keras
import numpy as np

from icbir_core.errors import ModelError
from icbir_core.model.network import build_network, load_matching_weights
from icbir_core.model.torch_layers import translate_weights
from icbir_core.radiograph.network_input import IMAGENET_DEVIATION, IMAGENET_MEAN

SIZE = 224
GREY_SPAN = 2048.0
_EPSILON, _EPSILON_HERE = 1e-5, 1.001e-5
# Of each layer within a dense step; older files of the same network write "norm.1" and "conv.1".
_STEP = {"norm1": "0_bn", "conv1": "1_conv", "norm2": "1_bn", "conv2": "2_conv"}


def share_grey() -> np.ndarray:
    """The smallest shares a of the three channels, float64 (3,), that sum to 1 while Σ a·IMAGENET_MEAN is 0.5."""
    conditions = np.stack([np.ones(3), IMAGENET_MEAN.astype(np.float64)])
    shares: np.ndarray = np.linalg.pinv(conditions) @ np.array([1.0, 0.5])
    return shares


def name_layer(name: str) -> str | None:
    """The layer here that holds a layer of theirs ("features.conv0" → "conv1_conv"); None for an unknown one."""
    if name in ("classifier", "features.norm5", "features.norm0", "features.conv0"):
        return {"classifier": "logits", "norm5": "bn", "norm0": "conv1_bn", "conv0": "conv1_conv"}[name.split(".")[-1]]
    step = re.fullmatch(r"features\.denseblock(\d)\.denselayer(\d+)\.(norm|conv)\.?([12])", name)
    if step:
        return f"conv{int(step[1]) + 1}_block{step[2]}_{_STEP[step[3] + step[4]]}"
    between = re.fullmatch(r"features\.transition(\d)\.(norm|conv)", name)
    if between:
        return f"pool{int(between[1]) + 1}_{'bn' if between[2] == 'norm' else 'conv'}"
    return None


def convert_weights(weights: Mapping[str, np.ndarray], outputs: Sequence[int]) -> dict[str, np.ndarray]:
    """Their arrays by the names and in the layout of this project's DenseNet-121, float32, with the outputs of the rows
    that are named. Raises `ModelError` on a layer that a DenseNet-121 of one grey channel does not have."""
    found = translate_weights(weights, name_layer, "TorchXRayVision's DenseNet-121")
    for name in found:
        if name.startswith("logits/"):
            found[name] = found[name][..., list(outputs)]
        elif name.endswith("/moving_variance"):
            found[name] = found[name] + (_EPSILON - _EPSILON_HERE)
    first = found.get("conv1_conv/kernel")
    if first is None or first.shape[2] != 1:
        raise ModelError("The file is not of TorchXRayVision's DenseNet-121: its first layer reads other channels.")
    found["conv1_conv/kernel"] = first * (GREY_SPAN * share_grey() * IMAGENET_DEVIATION)[:, None]
    return {name: values.astype(np.float32) for name, values in found.items()}


def build_from_weights(weights: Mapping[str, np.ndarray], outputs: Sequence[int]) -> keras.Model:
    """The network with those weights: (N, 224, 224, 3) standardised → probabilities (N, len(outputs)), not calibrated.

    weights : by their names, as `read_torch_weights` gives them. outputs : rows of their last layer that are kept, in
    this order. Raises `ModelError` where a layer is missing or of another shape.
    """
    rows = weights.get("classifier.bias", weights.get("module.classifier.bias"))
    if rows is None or max(outputs) >= len(rows):
        raise ModelError("The file is not of TorchXRayVision's DenseNet-121: its last layer is missing or too small.")
    converted = convert_weights(weights, outputs)  # first: it takes no time to see that a file is of another network
    model = build_network("densenet121", len(outputs), SIZE)
    load_matching_weights(model, converted, strict=True)
    return model
