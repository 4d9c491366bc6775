"""Propagation: forward once and keep what the rules need, then hand relevance back layer by layer, in one graph."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from icbir_core.errors import SaliencyError
from icbir_core.saliency.graph import Node, list_nodes
from icbir_core.saliency.rules import Rule

Recipe = Callable[[Node, list[Node]], Rule]


class Propagation:
    """Relevance of one output on the input, for a whole batch, compiled once a network.

    model : functional keras model with one input (H, W, C) and one output (F,); its weights are read now, so a network
    that is trained on needs a new object. recipe : gives each node its rule. start : maps the output (N, F) to the
    relevance that is handed back (all but the chosen column is then set to 0).

    Raises UnsupportedLayer, naming the layer, where the recipe has no rule.
    """

    def __init__(
        self,
        model: keras.Model,
        recipe: Recipe,
        start: Callable[[tf.Tensor], tf.Tensor],
        method: str,
        nodes: list[Node] | None = None,
    ):
        self.method = method
        self.input_shape = tuple(model.input.shape[1:])
        self.outputs = int(model.output.shape[-1])
        self.nodes = list_nodes(model, method) if nodes is None else nodes
        self._rules = [None if node.kind == "input" else recipe(node, self.nodes) for node in self.nodes]
        self._start = start
        signature = [tf.TensorSpec((None, *self.input_shape), tf.float32), tf.TensorSpec((), tf.int32)]
        self._compiled = tf.function(self.trace, input_signature=signature, autograph=False)

    def trace(self, inputs: tf.Tensor, output_index: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """As `propagate`, of tensors inside a graph that is being traced, without checks; output_index is a tensor."""
        values: list[tf.Tensor] = [None] * len(self.nodes)
        kept: list[Any] = [None] * len(self.nodes)
        for position, (node, rule) in enumerate(zip(self.nodes, self._rules, strict=True)):
            if rule is None:
                values[position] = inputs
            else:
                values[position], kept[position] = rule.forward(*(values[source] for source in node.inputs))
        output = values[-1]
        chosen = tf.one_hot(output_index, self.outputs, dtype=output.dtype)
        arriving: list[list[tf.Tensor]] = [[] for _ in self.nodes]
        arriving[-1].append(self._start(output) * chosen)
        for position in range(len(self.nodes) - 1, -1, -1):
            rule, parts = self._rules[position], arriving[position]
            if rule is None:
                relevance = tf.add_n(parts)
                continue
            given = rule.backward(parts[0] if len(parts) == 1 else tf.add_n(parts), kept[position])
            for source, part in zip(self.nodes[position].inputs, given, strict=True):
                arriving[source].append(part)
        return tf.reduce_sum(relevance, axis=-1), tf.reduce_sum(output * chosen, axis=-1)

    def propagate(self, inputs: np.ndarray, output_index: int) -> tuple[tf.Tensor, tf.Tensor]:
        """Relevance summed over channels, float32 (N, H, W), and the chosen output, float32 (N,), as tensors.

        inputs : float32 (N, H, W, C), standardised. Raises SaliencyError on another shape or an unknown output.
        """
        films = tf.convert_to_tensor(inputs, tf.float32)
        if films.shape.rank != 4 or tuple(films.shape[1:]) != self.input_shape:
            raise SaliencyError(
                f"Expected network input of shape (N, {', '.join(map(str, self.input_shape))}), got {films.shape}; "
                "fit the radiograph to the network first."
            )
        if not 0 <= output_index < self.outputs:
            raise SaliencyError(
                f"The network has no output {output_index}, only 0 to {self.outputs - 1}; choose a finding that it has."
            )
        found: tuple[tf.Tensor, tf.Tensor] = self._compiled(films, tf.constant(output_index, tf.int32))
        return found
