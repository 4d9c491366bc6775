"""A network of a known structure that ONNX Runtime runs, from its weights alone; TensorFlow is not loaded.

The graph is written in memory from the table of the backbone's layers and the weights whose hash was checked, so that
none can be left over from other weights. What has no table, and what a GPU computes, is run by TensorFlow.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from importlib.util import find_spec
from typing import Any

import numpy as np

from icbir_core.model.layer_names import FEATURE_LAYER, LOGITS_LAYER, PENULTIMATE_LAYER
from icbir_core.model.layer_tables import Layer, list_shapes, read_layers
from icbir_core.model.onnx_files import open_session, require_package
from icbir_core.model.onnx_graph import GraphWriter, Value, Weights, take_films, write_layer

_PACKAGES = ("onnx", "onnxruntime")


class OnnxClassifier:
    """The layers of a classifier and what ONNX Runtime makes of films. Thread-safe.

    arrays : weights by "layer/variable", of every layer of the table. size : side of the films in pixels. `programs` :
    what other rooms had compiled of it, by a name.
    """

    def __init__(self, layers: tuple[Layer, ...], arrays: Mapping[str, np.ndarray], size: int):
        self.layers, self.weights, self.size = layers, Weights(arrays), size
        self.programs: dict[str, Any] = {}
        self.lock = threading.RLock()

    @property
    def head(self) -> tuple[np.ndarray, np.ndarray]:
        """Weights (D, F) and offsets (F,) that make the logits of the penultimate features."""
        return self.weights.arrays[f"{LOGITS_LAYER}/kernel"], self.weights.arrays[f"{LOGITS_LAYER}/bias"]

    @property
    def outputs(self) -> int:
        """How many findings it has."""
        return len(self.head[1])

    def write_forward(self, graph: GraphWriter, films: Value) -> list[Value]:
        """Every layer's output."""
        values: list[Value] = []
        for layer in self.layers:
            inputs = [values[one] for one in layer.inputs]
            values.append(write_layer(graph, layer, self.layers, self.weights, inputs) if inputs else films)
        return values

    def find(self, name: str) -> int:
        """The position of a layer."""
        return next(position for position, layer in enumerate(self.layers) if layer.name == name)

    def run(self, films: np.ndarray, layers: Sequence[str]) -> list[np.ndarray]:
        """The outputs float32 of layers among "relu" (N, h, w, D), "avg_pool" (N, D) and "logits" (N, F) for
        standardised films float32 (N, S, S, 3)."""
        with self.lock:
            if "forward" not in self.programs:
                graph = GraphWriter()
                values = self.write_forward(graph, take_films(graph, self.size))
                self.programs["forward"] = open_session(graph.build(self.name_watched(graph, values)), "the network")
            return run_session(self.programs["forward"], layers, {"films": films})

    def name_watched(self, graph: GraphWriter, values: Sequence[Value]) -> dict[str, str]:
        """The outputs of the layers that every room relies on, the feature maps as (N, h, w, D)."""
        found = {name: values[self.find(name)].name for name in (FEATURE_LAYER, PENULTIMATE_LAYER, LOGITS_LAYER)}
        found[FEATURE_LAYER] = graph.call("Transpose", found[FEATURE_LAYER], perm=[0, 2, 3, 1])[0]
        return found


def run_session(session: Any, outputs: Sequence[str], inputs: Mapping[str, np.ndarray]) -> list[np.ndarray]:
    """What a graph gives, computing no more than these outputs need."""
    options = require_package("onnxruntime").RunOptions()
    options.only_execute_path_to_fetches = True
    given = {name: np.ascontiguousarray(values, np.float32) for name, values in inputs.items()}
    return [np.asarray(one) for one in session.run(list(outputs), given, options)]


def open_network(backbone: str, arrays: Mapping[str, np.ndarray], outputs: int, size: int) -> OnnxClassifier | None:
    """The network of these weights; None where the packages are missing, the backbone has no table, or the weights are
    not exactly those of its layers, which TensorFlow then says."""
    layers = read_layers(backbone)
    if layers is None or not all(find_spec(name) for name in _PACKAGES):
        return None
    wanted = list_shapes(layers, outputs)
    optional = {f"{layer.name}/bias" for layer in layers if layer.kind in ("conv", "depthwise")}
    fitting = {name for name, one in arrays.items() if one.shape == wanted.get(name) and one.dtype.kind == "f"}
    if fitting != set(arrays) or set(wanted) - fitting - optional:
        return None
    return OnnxClassifier(layers, {name: np.asarray(one, np.float32) for name, one in arrays.items()}, size)
