"""The functional graph of a network as a plain list of nodes, each of a kind that rules can be written for."""

from __future__ import annotations

from dataclasses import dataclass

import keras

from icbir_core.errors import UnsupportedLayer

_IDENTITY = (keras.layers.Dropout, keras.layers.SpatialDropout2D, keras.layers.GaussianNoise)


@dataclass(frozen=True, eq=False)
class Node:
    """One call of one layer. inputs: positions of the producing nodes; nonnegative: the output can never be below 0."""

    name: str
    kind: str
    layer: keras.layers.Layer
    inputs: tuple[int, ...]
    nonnegative: bool


def _is_plain_kernel(layer: keras.layers.Layer) -> bool:
    return bool(keras.activations.serialize(layer.activation) == "linear")


def find_kind(layer: keras.layers.Layer, method: str) -> str:
    """The kind of a layer: "conv", "depthwise", "dense", "batch_norm", "relu", "relu6", "sigmoid", "identity",
    "max_pool", "average_pool", "global_average_pool", "concatenate", "add", "rescale", "pad" or "input".

    Raises UnsupportedLayer for every other layer, and for variants (dilated or grouped convolution, a kernel with its
    own activation, a leaky ReLU) that the rules here do not cover.
    """
    layers = keras.layers
    kind = None
    if isinstance(layer, layers.InputLayer):
        kind = "input"
    elif type(layer) is layers.Conv2D:
        plain = _is_plain_kernel(layer) and layer.groups == 1 and tuple(layer.dilation_rate) == (1, 1)
        kind = "conv" if plain and layer.padding in ("same", "valid") else None
    elif type(layer) is layers.DepthwiseConv2D:
        plain = _is_plain_kernel(layer) and layer.depth_multiplier == 1 and tuple(layer.dilation_rate) == (1, 1)
        even = len(set(layer.strides)) == 1 and layer.padding in ("same", "valid")
        kind = "depthwise" if plain and even else None
    elif type(layer) is layers.Dense:
        kind = "dense" if _is_plain_kernel(layer) else None
    elif type(layer) is layers.BatchNormalization:
        kind = "batch_norm" if layer.axis in (-1, 3) else None
    elif type(layer) is layers.ReLU:
        plain = not layer.negative_slope and not layer.threshold
        kind = {None: "relu", 6.0: "relu6"}.get(layer.max_value) if plain else None
    elif type(layer) is layers.Activation:
        name = keras.activations.serialize(layer.activation)
        kind = {"relu": "relu", "sigmoid": "sigmoid", "linear": "identity"}.get(name if isinstance(name, str) else "")
    elif type(layer) in _IDENTITY:
        kind = "identity"
    elif type(layer) is layers.MaxPooling2D:
        kind = "max_pool"
    elif type(layer) is layers.AveragePooling2D:
        kind = "average_pool"
    elif type(layer) is layers.GlobalAveragePooling2D:
        kind = "global_average_pool" if not layer.keepdims else None
    elif type(layer) is layers.Concatenate:
        kind = "concatenate" if layer.axis in (-1, 3) else None
    elif type(layer) is layers.Add:
        kind = "add"
    elif type(layer) is layers.Rescaling:
        kind = "rescale"
    elif type(layer) is layers.ZeroPadding2D:
        kind = "pad"
    if kind is None or getattr(layer, "data_format", "channels_last") != "channels_last":
        raise UnsupportedLayer(layer.name, type(layer).__name__, method)
    return kind


def list_nodes(model: keras.Model, method: str) -> list[Node]:
    """The nodes of a functional model in topological order: the input first, the output last. Raises UnsupportedLayer
    where `find_kind` does, and for a nested model, which is refused by name."""
    nodes: list[Node] = []
    positions: dict[tuple[int, int], int] = {}
    stack = [(model.output, False)]
    while stack:
        tensor, ready = stack.pop()
        layer, node_index, _ = tensor._keras_history
        key = (id(layer), node_index)
        if key in positions:
            continue
        inputs = layer._inbound_nodes[node_index].input_tensors
        if not ready:
            stack.append((tensor, True))
            stack.extend((one, False) for one in inputs)
            continue
        kind = find_kind(layer, method)
        if kind == "sigmoid" and tensor is not model.output:
            raise UnsupportedLayer(layer.name, "sigmoid before the output", method)
        sources = tuple(positions[(id(one._keras_history.operation), one._keras_history.node_index)] for one in inputs)
        passes = kind in ("identity", "max_pool", "average_pool", "global_average_pool", "concatenate", "add", "pad")
        nonnegative = kind in ("relu", "relu6", "sigmoid") or (
            passes and all(nodes[one].nonnegative for one in sources)
        )
        positions[key] = len(nodes)
        nodes.append(Node(layer.name, kind, layer, sources, nonnegative))
    return nodes


def find_consumers(node: Node, nodes: list[Node]) -> list[Node]:
    """The nodes that read this node's output."""
    position = nodes.index(node)
    return [other for other in nodes if position in other.inputs]


def find_following_norm(node: Node, nodes: list[Node]) -> Node | None:
    """The batch normalisation that alone reads a convolution's output, or None."""
    consumers = find_consumers(node, nodes)
    return consumers[0] if len(consumers) == 1 and consumers[0].kind == "batch_norm" else None


def is_merged_norm(node: Node, nodes: list[Node]) -> bool:
    """Whether a batch normalisation is the only reader of a convolution, so that one step can do both."""
    source = nodes[node.inputs[0]]
    return source.kind in ("conv", "depthwise") and find_following_norm(source, nodes) is node
