"""Layer-wise relevance propagation with a rule for each kind of layer, on a canonised DenseNet."""

from __future__ import annotations

import weakref
from collections.abc import Mapping

import keras
import numpy as np
import tensorflow as tf

from icbir_core.errors import UnsupportedLayer
from icbir_core.radiograph.network_input import standardise
from icbir_core.saliency import linear_maps, rules
from icbir_core.saliency.deep_taylor import SHARED_RULES, read_rescaling
from icbir_core.saliency.graph import Node, find_consumers, find_following_norm, list_nodes
from icbir_core.saliency.linear_maps import Weights
from icbir_core.saliency.propagation import Propagation, Recipe
from icbir_core.saliency.rules import Rule

METHOD = "lrp_composite"


def find_input_bounds(node: Node, nodes: list[Node]) -> tuple[np.ndarray, np.ndarray] | None:
    """The smallest and largest input of a convolution that reads the film, float32 (1, H, W, C), 0 on zero padding.
    None for a convolution that reads anything but the (padded) input."""
    path = []
    source = nodes[node.inputs[0]]
    while source.kind in ("pad", "identity", "rescale"):
        path.append(source)
        source = nodes[source.inputs[0]]
    if source.kind != "input":
        return None
    shape = source.layer.output.shape[1:]
    bounds = []
    for level in (0.0, 1.0):
        values = np.broadcast_to(standardise(np.full((1, 1, 1), level))[..., : shape[-1]], (1, *shape))
        for one in reversed(path):
            if one.kind == "pad":
                values = np.pad(values, [(0, 0), *one.layer.padding, (0, 0)])
            elif one.kind == "rescale":
                scale, offset = read_rescaling(one)
                values = values * scale + offset
        bounds.append(np.ascontiguousarray(values, np.float32))
    return bounds[0], bounds[1]


def read_folded(node: Node, nodes: list[Node]) -> Weights:
    """The linear map, kernel and bias of a convolution with the normalisation behind it folded into both."""
    linear, kernel, bias = linear_maps.read_linear(node.layer)
    norm = find_following_norm(node, nodes)
    if norm is None:
        return linear, kernel, bias
    scale, shift = linear_maps.read_affine(norm.layer)
    return linear, linear_maps.scale_outputs(linear, kernel, scale), shift if bias is None else bias * scale + shift


def _is_swappable(node: Node, nodes: list[Node]) -> Node | None:
    """The average pooling behind a 1 × 1 convolution that reads values never below 0, or None."""
    consumers = find_consumers(node, nodes)
    plain = tuple(node.layer.kernel_size) == (1, 1) and tuple(node.layer.strides) == (1, 1)
    alone = len(consumers) == 1 and consumers[0].kind == "average_pool"
    return consumers[0] if plain and alone and nodes[node.inputs[0]].nonnegative else None


def _read_convolution(node: Node, nodes: list[Node]) -> Rule:
    bounds = find_input_bounds(node, nodes) if node.kind == "conv" else None
    if bounds is not None:
        return rules.ZBox(*read_folded(node, nodes), *bounds)
    pool = _is_swappable(node, nodes)
    if pool is not None:
        return rules.PooledConvolution(*linear_maps.read_linear(node.layer), pool.layer)
    nonnegative = nodes[node.inputs[0]].nonnegative
    return rules.AlphaOneBetaZero(*read_folded(node, nodes), nonnegative=nonnegative, bias_part="positive")


def _read_average(node: Node, nodes: list[Node]) -> Rule:
    source = nodes[node.inputs[0]]
    swapped = source.kind == "conv" and _is_swappable(source, nodes) is node
    return rules.PassThrough() if swapped else rules.ProportionalSpread(node.layer)


RULES: Mapping[str, Recipe] = {
    **SHARED_RULES,
    "conv": _read_convolution,
    "depthwise": _read_convolution,
    "dense": lambda node, nodes: rules.Epsilon(*linear_maps.read_linear(node.layer)),
    "relu": lambda node, nodes: rules.PassThrough(tf.nn.relu),
    "relu6": lambda node, nodes: rules.PassThrough(tf.nn.relu6),
    "average_pool": _read_average,
    "global_average_pool": lambda node, nodes: rules.ProportionalSpread(),
}
"""z-box where the film enters, z+ (with b+) in the other convolutions, ε in the head and where values are averaged,
unchanged through ReLU."""


def choose_rule(node: Node, nodes: list[Node]) -> Rule:
    """The rule of a layer by `RULES`. Raises UnsupportedLayer, by name, for a kind that has none."""
    if node.kind not in RULES:
        raise UnsupportedLayer(node.name, node.kind, METHOD)
    return RULES[node.kind](node, nodes)


def cut_sigmoid(model: keras.Model) -> keras.Model:
    """The network up to its logits: the model itself if no sigmoid stands at the end."""
    last = list_nodes(model, METHOD)[-1]
    return keras.Model(model.input, last.layer.input) if last.kind == "sigmoid" else model


_compiled: weakref.WeakKeyDictionary[keras.Model, Propagation] = weakref.WeakKeyDictionary()


class CompositeRelevance:
    """Composite LRP of one logit (Kohlbrenner et al., IJCNN 2020), on a canonised network.

    Relevance starts at the logit, whose sign it keeps. Canonisation (Pahde et al. 2022): a normalisation right behind a
    convolution is folded into it, and so is an average pooling behind a 1 × 1 convolution. A normalisation between a
    concatenation and ReLU cannot be folded into the convolution behind the ReLU; with one number
    in and one out, it hands its relevance on unchanged. So the map is the same for a network and its folded form, and
    when scale is moved between a normalisation and the convolution behind it. Otherwise as `DeepTaylor`.
    """

    def __init__(self, model: keras.Model, output_index: int):
        if model not in _compiled:
            _compiled[model] = Propagation(cut_sigmoid(model), choose_rule, tf.identity, METHOD)
        self.propagation = _compiled[model]
        self.output_index = int(output_index)

    def __call__(self, inputs: np.ndarray) -> np.ndarray:
        """Attribution summed over channels, signed float32 (N, H, W), for standardised inputs float32 (N, H, W, 3). Its
        sum is the logit, less what biases absorb."""
        return np.asarray(self.propagation.propagate(inputs, self.output_index)[0])


def compute_maps(model: keras.Model, inputs: np.ndarray, index: int) -> np.ndarray:
    """float32 (N, H, W) of one output; see `CompositeRelevance`."""
    return CompositeRelevance(model, index)(inputs)
