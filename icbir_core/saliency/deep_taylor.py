"""Deep Taylor decomposition as the method's authors used it (iNNvestigate 1.0.8), in one graph and in batches."""

from __future__ import annotations

import weakref
from collections.abc import Mapping

import keras
import numpy as np
import tensorflow as tf

from icbir_core.errors import UnsupportedLayer
from icbir_core.saliency import linear_maps, rules
from icbir_core.saliency.graph import Node, find_consumers, find_following_norm, is_merged_norm
from icbir_core.saliency.propagation import Propagation, Recipe
from icbir_core.saliency.rules import Rule

METHOD = "deep_taylor"


def _read_kernel(node: Node, nodes: list[Node]) -> Rule:
    norm = None if node.kind == "dense" else find_following_norm(node, nodes)
    return rules.AlphaOneBetaZero(
        *linear_maps.read_linear(node.layer),
        nonnegative=nodes[node.inputs[0]].nonnegative,
        following=None if norm is None else linear_maps.read_affine(norm.layer),
    )


def _read_relu(node: Node, nodes: list[Node]) -> Rule:
    # A kernel hands an input of 0 no relevance, so that the gate would only repeat what is so already.
    by_kernels = all(other.kind in ("conv", "depthwise", "dense") for other in find_consumers(node, nodes))
    function = tf.nn.relu6 if node.kind == "relu6" else tf.nn.relu
    return rules.PassThrough(function) if by_kernels else rules.Gate(function)


def read_rescaling(node: Node) -> tuple[np.ndarray, np.ndarray]:
    """Scale and offset, float32, of a layer that brings the film to a network's own form."""
    return np.asarray(node.layer.scale, np.float32), np.asarray(node.layer.offset, np.float32)


SHARED_RULES: Mapping[str, Recipe] = {
    "batch_norm": lambda node, nodes: (
        rules.PassThrough() if is_merged_norm(node, nodes) else rules.Affine(*linear_maps.read_affine(node.layer))
    ),
    "max_pool": lambda node, nodes: rules.WinnerTakesAll(node.layer),
    "concatenate": lambda node, nodes: rules.Split([tensor.shape[-1] for tensor in node.layer.input]),
    "add": lambda node, nodes: rules.SharedSum(),
    "rescale": lambda node, nodes: rules.Affine(*read_rescaling(node)),
    "pad": lambda node, nodes: rules.Crop(node.layer),
    "identity": lambda node, nodes: rules.PassThrough(),
}
"""What every recipe does alike: unchanged through normalisation, winner takes all, split, shares of a sum, crop."""
RULES: Mapping[str, Recipe] = {
    **SHARED_RULES,
    "conv": _read_kernel,
    "depthwise": _read_kernel,
    "dense": _read_kernel,
    "relu": _read_relu,
    "relu6": _read_relu,
    "average_pool": lambda node, nodes: rules.UniformSpread(node.layer),
    "global_average_pool": lambda node, nodes: rules.UniformSpread(),
    "sigmoid": lambda node, nodes: rules.PassThrough(tf.sigmoid),
}
"""α1β0 with bias for kernels, the gradient of ReLU, uniform spread; a sigmoid output hands back its own value."""


def choose_rule(node: Node, nodes: list[Node]) -> Rule:
    """The rule of a layer by `RULES`. Raises UnsupportedLayer, by name, for a kind that has none."""
    if node.kind not in RULES:
        raise UnsupportedLayer(node.name, node.kind, METHOD)
    return RULES[node.kind](node, nodes)


_compiled: weakref.WeakKeyDictionary[keras.Model, Propagation] = weakref.WeakKeyDictionary()


class DeepTaylor:
    """Deep Taylor maps of one output of a network.

    Relevance starts at ReLU(output) of the chosen output alone: for a sigmoid output at its probability, so that the
    map of a finding that is unlikely is faint and not empty. Montavon et al., Pattern Recognition 65, 2017; rule table
    of iNNvestigate 1.0.8. The graph is shared by all outputs of a network, and its weights are read when it is first
    built. Raises UnsupportedLayer, by name, where a layer has no rule.
    """

    def __init__(self, model: keras.Model, output_index: int):
        if model not in _compiled:
            _compiled[model] = Propagation(model, choose_rule, tf.nn.relu, METHOD)
        self.propagation = _compiled[model]
        self.output_index = int(output_index)

    def __call__(self, inputs: np.ndarray) -> np.ndarray:
        """Attribution summed over channels, float32 (N, H, W), for standardised inputs float32 (N, H, W, 3)."""
        return np.asarray(self.propagation.propagate(inputs, self.output_index)[0])


def compute_maps(model: keras.Model, inputs: np.ndarray, index: int) -> np.ndarray:
    """float32 (N, H, W) of one output; see `DeepTaylor`."""
    return DeepTaylor(model, index)(inputs)
