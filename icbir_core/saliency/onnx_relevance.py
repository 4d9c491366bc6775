"""Relevance propagation by ONNX Runtime, for networks of known structure: forward once, then back layer by layer."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from icbir_core.model.layer_names import FEATURE_LAYER, LOGITS_LAYER, PENULTIMATE_LAYER
from icbir_core.model.onnx_files import open_session
from icbir_core.model.onnx_graph import GraphWriter, Value, take_films
from icbir_core.model.onnx_network import OnnxClassifier, run_session
from icbir_core.saliency.onnx_rules import COMPOSITE, DEEP_TAYLOR, Backward, Network, Rule

MAP = "map"
RULES: Mapping[str, Mapping[str, Rule]] = {"deep_taylor": DEEP_TAYLOR, "lrp_composite": COMPOSITE}
"""The saliency methods that are computed so."""


def write_propagation(network: OnnxClassifier, method: str) -> bytes:
    """The graph of a method: "films" (N, S, S, 3) and "chosen" (1, F), 1 at the output that is explained and else 0, to
    "map" (N, S, S), and the features and logits of the same pass. Raises `UnsupportedLayer`."""
    rules, graph = RULES[method], GraphWriter()
    layers = network.layers if "sigmoid" in rules else network.layers[:-1]
    values = [take_films(graph, network.size)]
    seen = Network(graph, network.layers, network.weights, values)
    handing: list[Backward | None] = [None]
    for layer in layers[1:]:
        value, backward = rules[layer.kind](seen, layer, [values[one] for one in layer.inputs])
        values.append(value)
        handing.append(backward)
    start = graph.apply("Mul", graph.above(values[-1]) if "sigmoid" in rules else values[-1],
                        graph.take("chosen", [1, network.outputs]))  # fmt: skip
    arriving: list[list[Value]] = [[] for _ in layers]
    arriving[-1].append(start)
    for position in range(len(layers) - 1, 0, -1):
        hand = handing[position]
        assert hand is not None
        for source, part in zip(layers[position].inputs, hand(graph.add(arriving[position])), strict=True):
            arriving[source].append(part)
    axes = graph.hold(np.array([1], np.int64))
    summed = graph.call("ReduceSum", graph.add(arriving[0]).name, axes, keepdims=0)[0]
    return graph.build({MAP: summed, **network.name_watched(graph, values)})


def run_propagation(network: OnnxClassifier, method: str, films: np.ndarray, index: int) -> list[np.ndarray]:
    """Map float32 (N, S, S) of one output, and of the same pass the last feature maps (N, h, w, D), the penultimate
    features (N, D) and the logits (N, F).

    films : standardised, float32 (N, S, S, 3). Raises `UnsupportedLayer` where a layer has no rule.
    """
    return _run(network, method, films, index, (MAP, FEATURE_LAYER, PENULTIMATE_LAYER, LOGITS_LAYER))


def compute_deep_taylor(network: OnnxClassifier, inputs: np.ndarray, index: int) -> np.ndarray:
    """float32 (N, H, W) of one output; see `deep_taylor.DeepTaylor`."""
    return _run(network, "deep_taylor", inputs, index, (MAP,))[0]


def compute_composite(network: OnnxClassifier, inputs: np.ndarray, index: int) -> np.ndarray:
    """float32 (N, H, W), signed, of one output; see `composite.CompositeRelevance`."""
    return _run(network, "lrp_composite", inputs, index, (MAP,))[0]


def _run(
    network: OnnxClassifier, method: str, films: np.ndarray, index: int, outputs: tuple[str, ...]
) -> list[np.ndarray]:
    chosen = np.eye(network.outputs, dtype=np.float32)[[index]]
    with network.lock:
        if method not in network.programs:
            network.programs[method] = open_session(write_propagation(network, method), f"The method {method}")
        return run_session(network.programs[method], outputs, {"films": films, "chosen": chosen})
