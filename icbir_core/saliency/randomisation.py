"""Does a map depend on what the network learned? Layers shuffled from the top down, and heads that know nothing.

Cascading randomisation: Adebayo et al., "Sanity checks for saliency maps", NeurIPS 2018 (Quantus: `MPRT`); independent
heads: Sixt, Granz and Landgraf, "When explanations lie", ICML 2020, whose point is that chains of positive rules hardly
see the layers above. Low similarity is good in both. Neither can rank methods alone (Binder et al., CVPR 2023).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import pairwise

import keras
import numpy as np

from icbir_core.model.layer_names import LOGITS_LAYER, PENULTIMATE_LAYER

STAGES: tuple[tuple[str, tuple[str, ...]], ...] = (
    ("head", (LOGITS_LAYER,)),
    ("block 4", ("conv5_", "bn", "pool4_")),
    ("block 3", ("conv4_", "pool3_")),
    ("block 2", ("conv3_", "pool2_")),
    ("whole network", ("conv2_", "conv1_", "pool1")),
)


def measure_cosine(first: np.ndarray, second: np.ndarray) -> float:
    """Cosine of two maps of one shape, in [-1, 1]; 0 where one of them is all zero."""
    a, b = np.ravel(first).astype(np.float64), np.ravel(second).astype(np.float64)
    size = np.linalg.norm(a) * np.linalg.norm(b)
    return float(a @ b / size) if size > 0 else 0.0


def _shuffle(layer: keras.layers.Layer, generator: np.random.Generator) -> None:
    """Mix a layer's own weights: their distribution stays, the rest is lost. Normalisations keep channels whole."""
    weights = layer.get_weights()
    if isinstance(layer, keras.layers.BatchNormalization):
        order = generator.permutation(len(weights[0]))
        layer.set_weights([one[order] for one in weights])
    elif weights:
        layer.set_weights([generator.permutation(one.ravel()).reshape(one.shape) for one in weights])


def cascade(model: keras.Model, seed: int = 0) -> Iterator[tuple[str, keras.Model]]:
    """Stage name and a copy of the network with that stage and all above it shuffled, from the head to everything.
    Stages without a layer (in a shorter network) are left out."""
    copy = keras.models.clone_model(model)
    copy.set_weights(model.get_weights())
    generator = np.random.default_rng(seed)
    for stage, layers in list_stages(copy):
        for layer in layers:
            _shuffle(layer, generator)
        fresh = keras.models.clone_model(copy)
        fresh.set_weights(copy.get_weights())
        yield stage, fresh


def list_stages(model: keras.Model) -> list[tuple[str, list[keras.layers.Layer]]]:
    """The stages of a network from the head down, each with its layers that have weights: those of `STAGES` for a
    DenseNet, for another backbone the head and then quarters of the layers below it."""
    weighted = [layer for layer in model.layers if layer.get_weights()]
    named = [(stage, [one for one in weighted if one.name.startswith(prefixes)]) for stage, prefixes in STAGES]
    if sum(len(layers) for _, layers in named) != len(weighted):
        below = [layer for layer in weighted if layer.name != LOGITS_LAYER]
        cuts = [round(len(below) * part / 4) for part in range(5)]
        quarters = [below[low:high] for low, high in pairwise(cuts)][::-1]
        named = [named[0], *((stage, part) for (stage, _), part in zip(STAGES[1:], quarters, strict=True))]
    return [(stage, layers) for stage, layers in named if layers]


def make_random_heads(model: keras.Model, count: int = 4, seed: int = 0) -> keras.Model:
    """The network with `count` heads drawn independently in place of the trained ones; the layers below are shared."""
    features = model.get_layer(PENULTIMATE_LAYER).output
    head = keras.layers.Dense(count, name=LOGITS_LAYER)
    outputs = keras.layers.Activation("sigmoid", name="probabilities")(head(features))
    deviation = float(np.std(model.get_layer(LOGITS_LAYER).get_weights()[0]))
    generator = np.random.default_rng(seed)
    head.set_weights([generator.normal(0, deviation, (features.shape[-1], count)), np.zeros(count)])
    return keras.Model(model.input, outputs)


def compare_pairs(maps: Sequence[np.ndarray]) -> np.ndarray:
    """Cosine per film (N,), averaged over all pairs of heads; maps : one (N, S, S) a head."""
    pairs = [(i, j) for i in range(len(maps)) for j in range(i + 1, len(maps))]
    return np.array(
        [np.mean([measure_cosine(maps[i][row], maps[j][row]) for i, j in pairs]) for row in range(len(maps[0]))]
    )
