"""Writes a network as an ONNX graph in memory, layer by layer from a table and its weights. Loads no TensorFlow.

Values are (N, C, H, W) or (N, C) here; of each its shape without N is known while the graph is written.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from icbir_core.errors import UnsupportedLayer
from icbir_core.model.layer_tables import Layer, find_following_norm
from icbir_core.model.onnx_files import require_package

OPSET, FORMAT = 18, 9
TINY = 1e-30
"""In place of a denominator of 0 that nothing is shared out by."""


@dataclass(frozen=True)
class Value:
    """A tensor of the graph: its name, and its shape without N."""

    name: str
    shape: tuple[int, ...]


class GraphWriter:
    """Collects nodes and constants. Each method adds one step and returns its result."""

    def __init__(self) -> None:
        onnx = require_package("onnx")
        self._model = onnx.ModelProto(ir_version=FORMAT, opset_import=[onnx.helper.make_opsetid("", OPSET)])
        self._graph, self._helper, self._proto = self._model.graph, onnx.helper, onnx.TensorProto
        self._graph.name = "network"

    def take(self, name: str, shape: Sequence[int | str]) -> str:
        """A float32 input of the graph of this shape, N included."""
        self._graph.input.append(self._helper.make_tensor_value_info(name, self._proto.FLOAT, list(shape)))
        return name

    def hold(self, array: np.ndarray) -> str:
        """A constant: whole numbers as int64, all else as float32."""
        name, whole = f"c{len(self._graph.initializer)}", array.dtype == np.int64
        given = array if whole else np.asarray(array, np.float32)
        kind = self._proto.INT64 if whole else self._proto.FLOAT
        self._graph.initializer.add(name=name, dims=array.shape, data_type=kind, raw_data=given.tobytes())
        return name

    def hold_each(self, values: np.ndarray, of: Value) -> str:
        """A constant (C,) that meets every place of a value."""
        return self.hold(np.asarray(values, np.float32).reshape(-1, *[1] * (len(of.shape) - 1)))

    def call(self, operator: str, *inputs: str, outputs: int = 1, **options: Any) -> list[str]:
        """The names of what one operator gives."""
        names = [f"v{len(self._graph.node)}_{position}" for position in range(outputs)]
        self._graph.node.append(self._helper.make_node(operator, list(inputs), names, **options))
        return names

    def apply(self, operator: str, x: Value, *others: Value | str, **options: Any) -> Value:
        """An operator whose result has the shape of `x`. A text among the others names a constant."""
        names = [one if isinstance(one, str) else one.name for one in others]
        return Value(self.call(operator, x.name, *names, **options)[0], x.shape)

    def add(self, parts: Sequence[Value]) -> Value:
        """The sum of equal shapes."""
        return parts[0] if len(parts) == 1 else self.apply("Sum", parts[0], *parts[1:])

    def above(self, x: Value) -> Value:
        """max(x, 0)."""
        return self.apply("Relu", x)

    def below(self, x: Value) -> Value:
        """min(x, 0)."""
        return self.apply("Min", x, self.number(0))

    def choose(self, condition: str, x: Value, otherwise: Value | str) -> Value:
        """x where the condition holds."""
        other = otherwise if isinstance(otherwise, str) else otherwise.name
        return Value(self.call("Where", condition, x.name, other)[0], x.shape)

    def number(self, value: float) -> str:
        """A constant of one number."""
        return self.hold(np.array(value, np.float32))

    def reshape(self, x: Value, *shape: int) -> Value:
        """The same numbers of each film in another shape."""
        return Value(self.call("Reshape", x.name, self.hold(np.array([-1, *shape], np.int64)))[0], shape)

    def spread(self, x: Value, *shape: int) -> Value:
        """Repeated along the sides of length 1."""
        return Value(self.call("Expand", x.name, self.hold(np.array([1, *shape], np.int64)))[0], shape)

    def pad(self, x: Value, padding: Sequence[Sequence[int]]) -> Value:
        """Zeros around each channel: ((top, bottom), (left, right))."""
        (top, bottom), (left, right) = padding
        (channels, height, width) = x.shape
        sides = self.hold(np.array([0, 0, top, left, 0, 0, bottom, right], np.int64))
        return Value(self.call("Pad", x.name, sides)[0], (channels, height + top + bottom, width + left + right))

    def crop(self, x: Value, padding: Sequence[Sequence[int]]) -> Value:
        """Without what `pad` put around."""
        (top, bottom), (left, right) = padding
        (channels, height, width) = x.shape
        parts = [np.array(one, np.int64) for one in ([top, left], [height - bottom, width - right], [2, 3])]
        name = self.call("Slice", x.name, *map(self.hold, parts))[0]
        return Value(name, (channels, height - top - bottom, width - left - right))

    def split(self, x: Value, sizes: Sequence[int]) -> list[Value]:
        """Along the channels."""
        names = self.call("Split", x.name, self.hold(np.array(sizes, np.int64)), outputs=len(sizes), axis=1)
        return [Value(name, (size, *x.shape[1:])) for name, size in zip(names, sizes, strict=True)]

    def join(self, parts: Sequence[Value]) -> Value:
        """Along the channels."""
        name = self.call("Concat", *(one.name for one in parts), axis=1)[0]
        return Value(name, (sum(one.shape[0] for one in parts), *parts[0].shape[1:]))

    def scale(self, x: Value, scale: np.ndarray, shift: np.ndarray) -> Value:
        """scale · x + shift, each (C,)."""
        zero, one = np.zeros(len(scale), np.float32), np.ones(len(scale), np.float32)
        return self.apply("BatchNormalization", x, *map(self.hold, (scale, shift, zero, one)), epsilon=0.0)

    def pool(self, operator: str, layer: Layer, x: Value, outputs: int = 1) -> list[Value]:
        """The layer by MaxPool or AveragePool; with two outputs of the first also where in x the largest were."""
        size, strides, padding = (layer.options[name] for name in ("size", "strides", "padding"))
        lows, highs, sides = measure_windows(x.shape[1:], size, strides, padding)
        names = self.call(operator, x.name, outputs=outputs, kernel_shape=size, strides=strides, pads=[*lows, *highs])
        return [Value(name, (x.shape[0], *sides)) for name in names]

    def build(self, outputs: Mapping[str, str]) -> bytes:
        """The whole as an ONNX file. outputs : the name that a reader asks for → the value that it gets."""
        for asked, name in outputs.items():
            self._graph.node.append(self._helper.make_node("Identity", [name], [asked]))
            self._graph.output.append(self._helper.make_tensor_value_info(asked, self._proto.FLOAT, None))
        return bytes(self._model.SerializeToString())


@dataclass(frozen=True)
class Linear:
    """The linear map of a convolution or a dense layer without bias, and its exact transpose, at one input shape.

    Kernels are given as Keras keeps them: (k, l, C, D); (k, l, C, 1) of a convolution of each channel by itself; (C, D)
    of a dense layer.
    """

    kind: str
    shape: tuple[int, ...]
    strides: tuple[int, int] = (1, 1)
    padding: str = "valid"

    def apply(self, graph: GraphWriter, x: Value, kernel: np.ndarray, bias: np.ndarray | None = None) -> Value:
        """The layer's output for x, with the bias (D,) if one is given."""
        offset = [] if bias is None else [graph.hold(np.asarray(bias, np.float32))]
        if self.kind == "dense":
            return Value(graph.call("Gemm", x.name, graph.hold(kernel), *offset)[0], (kernel.shape[1],))
        arranged = _arrange(kernel, self.kind)
        lows, highs, sides = self._measure(kernel.shape[:2])
        name = graph.call("Conv", x.name, graph.hold(arranged), *offset, strides=self.strides, pads=[*lows, *highs],
                          group=self._count_groups(kernel))[0]  # fmt: skip
        return Value(name, (len(arranged), *sides))

    def transpose(self, graph: GraphWriter, values: Value, kernel: np.ndarray) -> Value:
        """What the transposed map makes of values in the shape of the layer's output."""
        if self.kind == "dense":
            return Value(graph.call("Gemm", values.name, graph.hold(kernel.T))[0], self.shape)
        arranged, groups = _arrange(kernel, self.kind), self._count_groups(kernel)
        lows, highs, sides = self._measure(kernel.shape[:2])
        if self.strides == (1, 1):  # then it is a convolution too, with the kernel turned round: far quicker
            turned = arranged[:, :, ::-1, ::-1]
            turned = turned if groups > 1 else turned.swapaxes(0, 1)
            around = [side - 1 - one for pads in (lows, highs) for side, one in zip(kernel.shape, pads, strict=False)]
            name = graph.call("Conv", values.name, graph.hold(turned), pads=around, group=groups)[0]
            return Value(name, self.shape)
        left = [
            self.shape[1 + axis] + lows[axis] + highs[axis] - kernel.shape[axis] - self.strides[axis] * (side - 1)
            for axis, side in enumerate(sides)
        ]
        name = graph.call("ConvTranspose", values.name, graph.hold(arranged), strides=self.strides,
                          pads=[*lows, *highs], output_padding=left, group=groups)[0]  # fmt: skip
        return Value(name, self.shape)

    def _count_groups(self, kernel: np.ndarray) -> int:
        return int(kernel.shape[2]) if self.kind == "depthwise" else 1

    def _measure(self, sides: Sequence[int]) -> tuple[list[int], list[int], list[int]]:
        """Zeros before and behind, and the length of the output, of both axes."""
        return measure_windows(self.shape[1:], sides, self.strides, self.padding)


def measure_windows(
    shape: Sequence[int], sides: Sequence[int], strides: Sequence[int], padding: str
) -> tuple[list[int], list[int], list[int]]:
    """Zeros before and behind, and the length of the output, of both axes; "same" as TensorFlow pads, the odd one
    last."""
    lows, highs, found = [], [], []
    for length, side, stride in zip(shape, sides, strides, strict=True):
        whole = -(-length // stride) if padding == "same" else (length - side) // stride + 1
        lacking = max((whole - 1) * stride + side - length, 0) if padding == "same" else 0
        lows.append(lacking // 2)
        highs.append(lacking - lacking // 2)
        found.append(whole)
    return lows, highs, found


def _arrange(kernel: np.ndarray, kind: str) -> np.ndarray:
    """(k, l, C, D) as (D, C, k, l); (k, l, C, 1) of each channel by itself as (C, 1, k, l)."""
    return kernel.transpose((2, 3, 0, 1) if kind == "depthwise" else (3, 2, 0, 1))


class Weights:
    """The weights of a network by "layer/variable", as rules read them, float32."""

    def __init__(self, arrays: Mapping[str, np.ndarray]):
        self.arrays = arrays

    def read_linear(self, layer: Layer) -> tuple[np.ndarray, np.ndarray | None]:
        """Kernel, and bias (None without one)."""
        bias = self.arrays.get(f"{layer.name}/bias")
        return np.asarray(self.arrays[f"{layer.name}/kernel"], np.float32), bias

    def read_affine(self, layer: Layer) -> tuple[np.ndarray, np.ndarray]:
        """A normalisation as y = scale · x + shift; both float32 (C,)."""
        mean, variance, gamma, beta = (
            np.asarray(self.arrays[f"{layer.name}/{name}"], np.float64)
            for name in ("moving_mean", "moving_variance", "gamma", "beta")
        )
        scale = gamma / np.sqrt(variance + layer.options["epsilon"])
        return scale.astype(np.float32), (beta - mean * scale).astype(np.float32)

    def read_folded(self, layer: Layer, layers: tuple[Layer, ...]) -> tuple[np.ndarray, np.ndarray | None]:
        """Kernel and bias of a convolution with the normalisation behind it folded into both."""
        kernel, bias = self.read_linear(layer)
        norm = find_following_norm(layer, layers)
        if norm is None:
            return kernel, bias
        scale, shift = self.read_affine(norm)
        scaled = kernel * (scale[:, None] if layer.kind == "depthwise" else scale)
        return scaled, shift if bias is None else bias * scale + shift


def read_linear_map(layer: Layer, x: Value) -> Linear:
    """The linear map of a kernel at the shape of its input."""
    if layer.kind == "dense":
        return Linear("dense", x.shape)
    return Linear(layer.kind, x.shape, tuple(layer.options["strides"]), layer.options["padding"])


def write_layer(
    graph: GraphWriter, layer: Layer, layers: tuple[Layer, ...], weights: Weights, inputs: Sequence[Value]
) -> Value:
    """A layer's output; a normalisation behind a convolution is computed with it. Raises `UnsupportedLayer`."""
    x = inputs[0]
    if layer.kind in ("conv", "depthwise", "dense"):
        return read_linear_map(layer, x).apply(graph, x, *weights.read_folded(layer, layers))
    if layer.kind == "batch_norm":
        source = layers[layer.inputs[0]]
        return x if find_following_norm(source, layers) is layer else graph.scale(x, *weights.read_affine(layer))
    if layer.kind in ("relu", "sigmoid"):
        return graph.apply(layer.kind.capitalize(), x)
    if layer.kind == "relu6":
        return graph.apply("Clip", x, graph.number(0), graph.number(6))
    if layer.kind == "identity":
        return x
    if layer.kind in ("max_pool", "average_pool"):
        return graph.pool("MaxPool" if layer.kind == "max_pool" else "AveragePool", layer, x)[0]
    if layer.kind == "global_average_pool":
        name = graph.call("ReduceMean", x.name, graph.hold(np.array([2, 3], np.int64)), keepdims=0)[0]
        return Value(name, x.shape[:1])
    if layer.kind == "concatenate":
        return graph.join(inputs)
    if layer.kind == "add":
        return graph.add(inputs)
    if layer.kind == "rescale":
        scale, offset = (np.asarray(layer.options[name], np.float32) for name in ("scale", "offset"))
        return graph.scale(x, scale, offset)
    if layer.kind == "pad":
        return graph.pad(x, layer.options["padding"])
    raise UnsupportedLayer(layer.name, layer.kind, "ONNX Runtime")


def take_films(graph: GraphWriter, size: int) -> Value:
    """The input "films": standardised films (N, S, S, 3)."""
    name = graph.take("films", ["N", size, size, 3])
    return Value(graph.call("Transpose", name, perm=[0, 3, 1, 2])[0], (3, size, size))
