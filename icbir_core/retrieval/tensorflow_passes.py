"""What `embedding` computes of films, by TensorFlow: the networks that ONNX Runtime does not run, and all on a GPU."""

from __future__ import annotations

import threading
import weakref
from collections.abc import Callable, Sequence
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from icbir_core.model.classifier import Classifier
from icbir_core.model.layer_names import FEATURE_LAYER, LOGITS_LAYER, PENULTIMATE_LAYER
from icbir_core.radiograph.network_input import standardise
from icbir_core.saliency.deep_taylor import METHOD, choose_rule
from icbir_core.saliency.graph import Node
from icbir_core.saliency.propagation import Propagation
from icbir_core.saliency.registry import attribute
from icbir_core.saliency.rules import Forward, Rule

_WATCHED = (FEATURE_LAYER, PENULTIMATE_LAYER, LOGITS_LAYER)


class _Watched:
    """A rule that remembers its layer's output while the graph is traced."""

    def __init__(self, rule: Rule):
        self.rule = rule
        self.seen: tf.Tensor = None

    def forward(self, *inputs: tf.Tensor) -> Forward:
        self.seen, kept = self.rule.forward(*inputs)
        return self.seen, kept

    def backward(self, relevance: tf.Tensor, kept: Any) -> tuple[tf.Tensor, ...]:
        return self.rule.backward(relevance, kept)


class _SharedPass:
    """Deep Taylor map of one output, last feature map, penultimate features and logits from one forward pass, compiled
    once for all outputs of a network."""

    def __init__(self, model: keras.Model):
        watched: dict[str, _Watched] = {}

        def recipe(node: Node, nodes: list[Node]) -> Rule:
            rule = choose_rule(node, nodes)
            if node.name in _WATCHED:
                rule = watched[node.name] = _Watched(rule)
            return rule

        propagation = Propagation(model, recipe, tf.nn.relu, METHOD)
        signature = [tf.TensorSpec((None, *model.input.shape[1:]), tf.float32), tf.TensorSpec((), tf.int32)]

        def compute(inputs: tf.Tensor, output_index: tf.Tensor) -> tuple[tf.Tensor, ...]:
            maps, _ = propagation.trace(inputs, output_index)
            return maps, *(watched[name].seen for name in _WATCHED)

        self._compiled = tf.function(compute, input_signature=signature, autograph=False)

    def compute(self, inputs: tf.Tensor, output_index: int) -> tuple[tf.Tensor, ...]:
        found: tuple[tf.Tensor, ...] = self._compiled(inputs, tf.constant(output_index, tf.int32))
        return found


_shared_passes: weakref.WeakKeyDictionary[Classifier, _SharedPass] = weakref.WeakKeyDictionary()
_sharing = threading.Lock()


def find_shared_pass(classifier: Classifier) -> _SharedPass:
    """The compiled pass of a classifier, one for all targets, since tracing it takes longer than a query. It is freed
    with the classifier."""
    with _sharing:
        if classifier not in _shared_passes:
            _shared_passes[classifier] = _SharedPass(classifier.model)
        return _shared_passes[classifier]


class _SeparatePasses:
    """The same four for any other saliency method: its own passes, and one for the features."""

    def __init__(self, classifier: Classifier, target: str, method: str):
        layers = [classifier.model.get_layer(name).output for name in _WATCHED]
        reader = keras.Model(classifier.model.input, layers)
        self._classifier, self._target, self._method = classifier, target, method
        self._read = tf.function(
            lambda inputs: reader(inputs, training=False),
            input_signature=[tf.TensorSpec((None, *classifier.model.input.shape[1:]), tf.float32)],
            autograph=False,
        )

    def compute(self, images: np.ndarray) -> tuple[tf.Tensor, ...]:
        found = self._read(tf.constant(standardise(images)))
        return attribute(self._classifier, images, self._target, self._method), *found


def make_passes(classifier: Classifier, target: str, method: str) -> Callable[[np.ndarray], Sequence[np.ndarray]]:
    """As `embedding.choose_passes`."""
    if method == METHOD:
        shared, output = find_shared_pass(classifier), classifier.output_index(target)
        return lambda images: [np.asarray(one) for one in shared.compute(tf.constant(standardise(images)), output)]
    separate = _SeparatePasses(classifier, target, method)
    return lambda images: [np.asarray(one) for one in separate.compute(images)]
