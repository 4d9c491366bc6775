"""Deep Taylor decomposition as the method's authors used it (iNNvestigate 1.0.8), in one graph and in batches."""

from __future__ import annotations

import weakref

import keras
import numpy as np
import tensorflow as tf

from icbir_core.errors import UnsupportedLayer
from icbir_core.saliency import rules
from icbir_core.saliency.graph import Node, find_consumers, find_following_norm, is_merged_norm
from icbir_core.saliency.propagation import Propagation

METHOD = "deep_taylor"


def choose_rule(node: Node, nodes: list[Node]):
    """The rule of a layer: α1β0 with bias for kernels, unchanged through batch normalisation, the gradient of ReLU,
    winner takes all, uniform spread, split, crop. A sigmoid output hands back its own value unchanged.
    """
    layer, kind = node.layer, node.kind
    if kind in ("conv", "dense"):
        norm = find_following_norm(node, nodes) if kind == "conv" else None
        return rules.AlphaOneBetaZero(
            *rules.read_linear(layer),
            nonnegative=nodes[node.inputs[0]].nonnegative,
            following=None if norm is None else rules.read_affine(norm.layer),
        )
    if kind == "batch_norm":
        return rules.PassThrough() if is_merged_norm(node, nodes) else rules.Affine(*rules.read_affine(layer))
    if kind == "relu":
        # A kernel hands an input of 0 no relevance, so that the gate would only repeat what is so already.
        by_kernels = all(other.kind in ("conv", "dense") for other in find_consumers(node, nodes))
        return rules.PassThrough(tf.nn.relu) if by_kernels else rules.Gate()
    if kind == "max_pool":
        return rules.WinnerTakesAll(layer)
    if kind == "average_pool":
        return rules.UniformSpread(layer)
    if kind == "global_average_pool":
        return rules.UniformSpread()
    if kind == "concatenate":
        return rules.Split([tensor.shape[-1] for tensor in layer.input])
    if kind == "pad":
        return rules.Crop(layer)
    if kind in ("sigmoid", "identity"):
        return rules.PassThrough(tf.sigmoid if kind == "sigmoid" else tf.identity)
    raise UnsupportedLayer(node.name, kind, METHOD)


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

    def __call__(self, inputs) -> np.ndarray:
        """Attribution summed over channels, float32 (N, H, W), for standardised inputs float32 (N, H, W, 3)."""
        return self.propagation.propagate(inputs, self.output_index)[0].numpy()
