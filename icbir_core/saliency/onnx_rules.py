"""The rules of relevance propagation as steps of an ONNX graph: what `rules` says with TensorFlow, written once more
from a table of layers. Tests hold each map to TensorFlow's.

A rule gives the output of its layer, and a function that makes the relevance of the inputs from that of the output.
Values stand channels first. Written as in `rules`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from icbir_core.errors import UnsupportedLayer
from icbir_core.model.layer_tables import Layer, find_readers
from icbir_core.model.onnx_graph import TINY, GraphWriter, Linear, Value, Weights, read_linear_map, write_layer
from icbir_core.radiograph.network_input import standardise

SMALL, EPSILON = 1e-7, 1e-6
Backward = Callable[[Value], list[Value]]
Step = tuple[Value, Backward]


@dataclass(frozen=True)
class Network:
    """What a rule looks at: the graph that is written, all layers, their weights, and their outputs so far."""

    graph: GraphWriter
    layers: tuple[Layer, ...]
    weights: Weights
    values: list[Value]

    def get_input(self, layer: Layer) -> Layer:
        """The only layer that this one reads."""
        return self.layers[layer.inputs[0]]

    def write(self, layer: Layer, inputs: Sequence[Value]) -> Value:
        """The layer's output."""
        return write_layer(self.graph, layer, self.layers, self.weights, inputs)


Rule = Callable[[Network, Layer, list[Value]], Step]


def pass_through(network: Network, layer: Layer, inputs: list[Value]) -> Step:
    """Relevance passes unchanged."""
    return network.write(layer, inputs), lambda relevance: [relevance]


def _gate(network: Network, layer: Layer, inputs: list[Value]) -> Step:
    """ReLU by its gradient; a kernel behind it gives an input of 0 nothing, and needs no gate."""
    graph, y = network.graph, network.write(layer, inputs)
    if all(one.kind in ("conv", "depthwise", "dense") for one in find_readers(layer, network.layers)):
        return y, lambda relevance: [relevance]

    def backward(relevance: Value) -> list[Value]:
        opened = graph.call("Greater", y.name, graph.number(0))[0]
        return [graph.choose(opened, relevance, graph.number(0))]

    return y, backward


def divide(graph: GraphWriter, relevance: Value, z: Value, small: float) -> Value:
    """relevance / z, where an exact 0 below is replaced by `small`."""
    empty = graph.call("Equal", z.name, graph.number(0))[0]
    name = graph.call("Where", empty, graph.number(small), z.name)[0]
    return graph.apply("Div", relevance, name)


def _stabilise(graph: GraphWriter, relevance: Value, z: Value) -> Value:
    """relevance / (z + ε sign(z)), sign(0) = 1."""
    below = graph.call("Less", z.name, graph.number(0))[0]
    shift = graph.call("Where", below, graph.number(-EPSILON), graph.number(EPSILON))[0]
    return graph.apply("Div", relevance, graph.apply("Add", z, shift))


@dataclass(frozen=True)
class _Positive:
    """α1β0 through a linear map: what is handed back from shares of the output, for one input.

    offset : of the denominator. Where it is never negative, a denominator of 0 has nothing to share out, and a
    convolution with the negative parts is left out for an input that is never negative.
    """

    linear: Linear
    kernel: np.ndarray
    offset: np.ndarray | None
    nonnegative: bool

    def share(self, graph: GraphWriter, x: Value, relevance: Value) -> Value:
        """The relevance of x."""
        upper, lower = np.maximum(self.kernel, 0), np.minimum(self.kernel, 0)
        above = x if self.nonnegative else graph.above(x)
        z = self.linear.apply(graph, above, upper, self.offset)
        if not self.nonnegative:
            z = graph.apply("Add", z, self.linear.apply(graph, graph.below(x), lower))
        if self.offset is None or (self.offset >= 0).all():
            shares = graph.apply("Div", relevance, graph.apply("Max", z, graph.number(TINY)))
        else:
            shares = divide(graph, relevance, z, SMALL)
        found = graph.apply("Mul", above, self.linear.transpose(graph, shares, upper))
        if self.nonnegative:
            return found
        other = graph.apply("Mul", graph.below(x), self.linear.transpose(graph, shares, lower))
        return graph.apply("Add", found, other)


def _own_kernel(network: Network, layer: Layer, inputs: list[Value]) -> Step:
    """α1β0 by the layer's own weights, the whole bias below; a normalisation behind it is computed along."""
    x, nonnegative = inputs[0], network.get_input(layer).nonnegative
    rule = _Positive(read_linear_map(layer, x), *network.weights.read_linear(layer), nonnegative)
    return network.write(layer, inputs), lambda relevance: [rule.share(network.graph, x, relevance)]


def _folded_kernel(network: Network, layer: Layer, inputs: list[Value]) -> Step:
    """z+ with the normalisation behind it folded in and the positive part of the bias; z-box where the film enters."""
    x, graph = inputs[0], network.graph
    kernel, bias = network.weights.read_folded(layer, network.layers)
    linear = read_linear_map(layer, x)
    path = _find_path_from_film(network, layer)
    if path is not None and layer.kind == "conv":
        y = linear.apply(graph, x, kernel, bias)
        box = _Box(linear, kernel, *_find_bounds(path, network.values[0].shape))
        return y, lambda relevance: [box.share(graph, x, y, relevance, bias)]
    offset = None if bias is None else np.maximum(bias, 0)
    pool = _find_pool(network, layer)
    nonnegative = network.get_input(layer).nonnegative
    if pool is None:
        rule = _Positive(linear, kernel, offset, nonnegative)
        return network.write(layer, inputs), lambda relevance: [rule.share(graph, x, relevance)]
    pooled = network.write(pool, inputs)
    inner = _Positive(Linear("conv", pooled.shape), kernel, offset, True)

    def backward(relevance: Value) -> list[Value]:
        ones = graph.apply("Max", inner.linear.apply(graph, pooled, np.maximum(kernel, 0), offset), graph.number(TINY))
        shares = inner.linear.transpose(graph, graph.apply("Div", relevance, ones), np.maximum(kernel, 0))
        return [graph.apply("Mul", x, spread_evenly(graph, pool, shares, x))]

    return inner.linear.apply(graph, pooled, kernel, bias), backward


def _find_path_from_film(network: Network, layer: Layer) -> list[Layer] | None:
    """The layers between the film and a convolution that reads it, the last first; None where it reads more."""
    path, source = [], network.get_input(layer)
    while source.kind in ("pad", "identity", "rescale"):
        path.append(source)
        source = network.get_input(source)
    return path if source.kind == "input" else None


def _find_bounds(path: Sequence[Layer], shape: tuple[int, ...]) -> tuple[np.ndarray, np.ndarray]:
    """The smallest and largest input of the first convolution, float32 (1, C, H, W), 0 on zero padding."""
    channels, *sides = shape
    bounds = []
    for level in (0.0, 1.0):
        values = np.broadcast_to(standardise(np.full((1, 1, 1), level))[..., :channels], (1, *sides, channels))
        for one in reversed(path):
            if one.kind == "pad":
                values = np.pad(values, [(0, 0), *one.options["padding"], (0, 0)])
            elif one.kind == "rescale":
                scale, offset = (np.asarray(one.options[name], np.float32) for name in ("scale", "offset"))
                values = values * scale + offset
        bounds.append(np.asarray(values, np.float32).transpose(0, 3, 1, 2))
    return bounds[0], bounds[1]


@dataclass(frozen=True, eq=False)
class _Box:
    """z^B for an input bounded by low and high (1, C, H, W)."""

    linear: Linear
    kernel: np.ndarray
    low: np.ndarray
    high: np.ndarray

    def share(self, graph: GraphWriter, x: Value, y: Value, relevance: Value, bias: np.ndarray | None) -> Value:
        """The relevance of x, whose output is y."""
        upper, lower = np.maximum(self.kernel, 0), np.minimum(self.kernel, 0)
        edges = [Value(graph.hold(one), x.shape) for one in (self.low, self.high)]
        floor = [self.linear.apply(graph, edge, part) for edge, part in zip(edges, (upper, lower), strict=True)]
        floor += [] if bias is None else [Value(graph.hold_each(bias, y), y.shape)]
        shares = divide(graph, relevance, graph.apply("Sub", y, graph.add(floor)), SMALL)
        parts = [(x, self.kernel), (edges[0], upper), (edges[1], lower)]
        plain, low, high = (
            graph.apply("Mul", self.linear.transpose(graph, shares, part), factor) for factor, part in parts
        )
        return graph.apply("Sub", graph.apply("Sub", plain, low), high)


def _find_pool(network: Network, layer: Layer) -> Layer | None:
    """The average pooling behind a 1 × 1 convolution that reads values never below 0, or None: the two are one linear
    map, and pooling first is quicker."""
    readers = find_readers(layer, network.layers)
    plain = layer.kind == "conv" and network.weights.read_linear(layer)[0].shape[:2] == (1, 1)
    plain = plain and list(layer.options["strides"]) == [1, 1] and len(readers) == 1
    fits = plain and readers[0].kind == "average_pool" and network.get_input(layer).nonnegative
    return readers[0] if fits else None


def spread_evenly(graph: GraphWriter, layer: Layer, values: Value, x: Value) -> Value:
    """Average pooling by its gradient: every input of a window gets the same share. Raises `UnsupportedLayer` for
    windows that overlap or leave a gap."""
    channels, height, width = x.shape
    if layer.kind == "global_average_pool":
        parted = graph.apply("Div", values, graph.number(height * width))
        return graph.spread(graph.reshape(parted, channels, 1, 1), channels, height, width)
    (down, across), (high, wide) = layer.options["size"], values.shape[1:]
    if list(layer.options["strides"]) != [down, across] or layer.options["padding"] != "valid":
        raise UnsupportedLayer(layer.name, "average_pool with windows that overlap", "ONNX Runtime")
    parted = graph.apply("Div", values, graph.number(down * across))
    repeated = graph.spread(graph.reshape(parted, channels, high, 1, wide, 1), channels, high, down, wide, across)
    found = graph.reshape(repeated, channels, high * down, wide * across)
    rest = ((0, height - high * down), (0, width - wide * across))
    return graph.pad(found, rest) if any(map(any, rest)) else found


def _spread_uniform(network: Network, layer: Layer, inputs: list[Value]) -> Step:
    graph, x = network.graph, inputs[0]
    return network.write(layer, inputs), lambda relevance: [spread_evenly(graph, layer, relevance, x)]


def _spread_by_share(network: Network, layer: Layer, inputs: list[Value]) -> Step:
    """Average pooling by contribution, LRP-ε of the mean; a pooling that was computed with a convolution passes on."""
    graph, x = network.graph, inputs[0]
    source = network.get_input(layer)
    if source.kind == "conv" and _find_pool(network, source) is layer:
        return x, lambda relevance: [relevance]
    y = network.write(layer, inputs)

    def backward(relevance: Value) -> list[Value]:
        return [graph.apply("Mul", x, spread_evenly(graph, layer, _stabilise(graph, relevance, y), x))]

    return y, backward


def take_winner(network: Network, layer: Layer, inputs: list[Value]) -> Step:
    """Max pooling: all relevance goes to the largest input of the window, the first of equal ones."""
    graph, x = network.graph, inputs[0]
    y, places = graph.pool("MaxPool", layer, x, outputs=2)

    def backward(relevance: Value) -> list[Value]:
        flat = graph.hold(np.array([-1], np.int64))
        empty = graph.call("Mul", graph.call("Reshape", x.name, flat)[0], graph.number(0))[0]
        given = [graph.call("Reshape", name, flat)[0] for name in (places.name, relevance.name)]
        name = graph.call("ScatterElements", empty, *given, axis=0, reduction="add")[0]
        return [graph.reshape(Value(name, x.shape), *x.shape)]

    return y, backward


def split_channels(network: Network, layer: Layer, inputs: list[Value]) -> Step:
    """Concatenation: each input gets back its own channels."""
    sizes = [one.shape[0] for one in inputs]
    return network.write(layer, inputs), lambda relevance: network.graph.split(relevance, sizes)


def _share_sum(network: Network, layer: Layer, inputs: list[Value]) -> Step:
    """Addition: shares of those inputs that have the sign of the sum."""
    graph, y = network.graph, network.write(layer, inputs)

    def backward(relevance: Value) -> list[Value]:
        signs = graph.apply("Sign", y)
        parts = [graph.above(graph.apply("Mul", signs, one)) for one in inputs]
        share = graph.apply("Div", relevance, graph.apply("Max", graph.add(parts), graph.number(TINY)))
        return [graph.apply("Mul", one, share) for one in parts]

    return y, backward


def crop_padding(network: Network, layer: Layer, inputs: list[Value]) -> Step:
    """Zero padding: relevance on it is lost."""
    return network.write(layer, inputs), lambda relevance: [network.graph.crop(relevance, layer.options["padding"])]


def _dense_by_epsilon(network: Network, layer: Layer, inputs: list[Value]) -> Step:
    graph, x = network.graph, inputs[0]
    linear, kernel = read_linear_map(layer, x), network.weights.read_linear(layer)[0]
    y = network.write(layer, inputs)

    def backward(relevance: Value) -> list[Value]:
        return [graph.apply("Mul", x, linear.transpose(graph, _stabilise(graph, relevance, y), kernel))]

    return y, backward


SHARED: dict[str, Rule] = {
    "batch_norm": pass_through,
    "max_pool": take_winner,
    "concatenate": split_channels,
    "add": _share_sum,
    "rescale": pass_through,
    "pad": crop_padding,
    "identity": pass_through,
}
DEEP_TAYLOR: dict[str, Rule] = SHARED | {
    "conv": _own_kernel,
    "depthwise": _own_kernel,
    "dense": _own_kernel,
    "relu": _gate,
    "relu6": _gate,
    "average_pool": _spread_uniform,
    "global_average_pool": _spread_uniform,
    "sigmoid": pass_through,
}
"""As `deep_taylor.RULES`."""
COMPOSITE: dict[str, Rule] = SHARED | {
    "conv": _folded_kernel,
    "depthwise": _folded_kernel,
    "dense": _dense_by_epsilon,
    "relu": pass_through,
    "relu6": pass_through,
    "average_pool": _spread_by_share,
    "global_average_pool": _spread_by_share,
}
"""As `composite.RULES`."""
