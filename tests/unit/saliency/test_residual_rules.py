"""Depthwise convolution, addition, ReLU6 and the input's own form: against loops, by hand, and what is conserved."""

from __future__ import annotations

import keras
import numpy as np
import pytest
import tensorflow as tf

from icbir_core.errors import UnsupportedLayer
from icbir_core.model.network import build_network
from icbir_core.radiograph.network_input import standardise
from icbir_core.saliency import linear_maps, rules
from icbir_core.saliency.composite import CompositeRelevance
from icbir_core.saliency.deep_taylor import DeepTaylor
from icbir_core.saliency.graph import list_nodes
from icbir_core.saliency.randomisation import list_stages


def pad_same(x: np.ndarray, side: int, stride: int) -> tuple[np.ndarray, int, int]:
    """x (H, H, C) as TensorFlow pads it, what went before, and the number of places."""
    count = -(-x.shape[0] // stride)
    needed = max((count - 1) * stride + side - x.shape[0], 0)
    before = needed // 2
    return np.pad(x, [(before, needed - before)] * 2 + [(0, 0)]), before, count


@pytest.mark.parametrize("nonnegative", [True, False])
@pytest.mark.parametrize("stride", [1, 2])
def test_depthwise_rule_equals_loops(nonnegative, stride):
    """α1β0 with bias, each channel by itself."""
    generator = np.random.default_rng(4)
    x = generator.normal(0, 1, (1, 6, 6, 3))
    x = np.abs(x) if nonnegative else x
    layer = keras.layers.DepthwiseConv2D(3, stride, padding="same")
    layer.build((None, 6, 6, 3))
    kernel, bias = generator.normal(0, 1, (3, 3, 3, 1)), generator.uniform(0.1, 0.5, 3)
    layer.set_weights([kernel, bias])
    padded, before, count = pad_same(x[0], 3, stride)
    relevance = generator.normal(0, 1, (1, count, count, 3))
    expected, output = np.zeros_like(padded), np.zeros((count, count, 3))
    for row, column, channel in np.ndindex(count, count, 3):
        where = slice(stride * row, stride * row + 3), slice(stride * column, stride * column + 3), channel
        window, weights = padded[where], kernel[:, :, channel, 0]
        output[row, column, channel] = (window * weights).sum() + bias[channel]
        shares = np.maximum(window, 0) * np.maximum(weights, 0) + np.minimum(window, 0) * np.minimum(weights, 0)
        expected[where] += shares / (shares.sum() + bias[channel]) * relevance[0, row, column, channel]
    rule = rules.AlphaOneBetaZero(*linear_maps.read_linear(layer), nonnegative=nonnegative)
    found, kept = rule.forward(tf.constant(x, tf.float32))
    np.testing.assert_allclose(found[0], output, atol=1e-5)
    (given,) = rule.backward(tf.constant(relevance, tf.float32), kept)
    np.testing.assert_allclose(given[0], expected[before : before + 6, before : before + 6], atol=1e-5)


def test_a_normalisation_behind_a_depthwise_convolution_is_merged():
    generator = np.random.default_rng(5)
    layer = keras.layers.DepthwiseConv2D(3, padding="same", use_bias=False)
    layer.build((None, 5, 5, 4))
    x, scale, shift = generator.random((1, 5, 5, 4)), generator.normal(0, 1, 4), generator.normal(0, 1, 4)
    plain = layer(x.astype("f4")).numpy() * scale + shift
    rule = rules.AlphaOneBetaZero(
        *linear_maps.read_linear(layer), nonnegative=True, following=(scale.astype("f4"), shift.astype("f4"))
    )
    np.testing.assert_allclose(rule.forward(tf.constant(x, tf.float32))[0], plain, atol=1e-5)


@pytest.mark.parametrize(
    ("inputs", "expected"),
    [
        ((3.0, 1.0), (0.75, 0.25)),
        ((3.0, -1.0), (1.0, 0.0)),  # what holds the sum back gets nothing
        ((-3.0, 1.0), (1.0, 0.0)),
        ((-3.0, -1.0), (0.75, 0.25)),
        ((2.0, -2.0), (0.0, 0.0)),
        ((0.0, 0.0), (0.0, 0.0)),
    ],
)
def test_addition_by_hand(inputs, expected):
    tensors = [tf.constant(one) for one in inputs]
    output, kept = rules.SharedSum().forward(*tensors)
    assert float(output) == sum(inputs)
    assert [float(part) for part in rules.SharedSum().backward(tf.constant(1.0), kept)] == pytest.approx(expected)


def test_addition_keeps_the_whole_and_no_share_is_larger():
    generator = np.random.default_rng(6)
    x = [tf.constant(generator.normal(0, 1, (2, 4, 4, 3)), tf.float32) for _ in range(3)]
    relevance = generator.normal(0, 1, (2, 4, 4, 3)).astype(np.float32)
    given = np.stack(rules.SharedSum().backward(tf.constant(relevance), rules.SharedSum().forward(*x)[1]))
    np.testing.assert_allclose(given.sum(axis=0), relevance, atol=1e-5)
    assert (np.abs(given) <= np.abs(relevance) + 1e-6).all()


def test_relu6_cuts_and_hands_on_what_is_above_zero():
    x = tf.constant([[-1.0, 0.0, 3.0, 9.0]])
    rule = rules.Gate(tf.nn.relu6)
    y, kept = rule.forward(x)
    assert y.numpy().tolist() == [[0, 0, 3, 6]]
    assert rule.backward(tf.ones((1, 4)), kept)[0].numpy().tolist() == [[0, 0, 1, 1]]


def build_block(bias: bool = True, classes: int = 2) -> keras.Model:
    """The input's own form, a convolution, one inverted residual with its addition, pooling, a head."""
    generator = np.random.default_rng(7)
    inputs = keras.Input((6, 6, 3))
    x = keras.layers.Rescaling([0.5, 0.4, 0.3], [0.1, 0.0, -0.1])(inputs) if bias else inputs
    x = first = keras.layers.Conv2D(4, 3, padding="same", use_bias=bias)(x)
    y = keras.layers.ReLU(max_value=6.0)(keras.layers.Conv2D(8, 1, use_bias=bias)(x))
    y = keras.layers.ReLU(max_value=6.0)(keras.layers.DepthwiseConv2D(3, padding="same", use_bias=bias)(y))
    y = keras.layers.Conv2D(4, 1, use_bias=bias)(y)
    x = keras.layers.ReLU(max_value=6.0, name="relu")(keras.layers.Add()([first, y]))
    x = keras.layers.GlobalAveragePooling2D(name="avg_pool")(x)
    model = keras.Model(inputs, keras.layers.Dense(classes, use_bias=bias, name="logits")(x))
    model.set_weights([generator.normal(0, 0.7, one.shape) for one in model.get_weights()])
    return model


def derive_deep_taylor(model: keras.Model, film: np.ndarray, index: int) -> np.ndarray:
    """The map (6, 6) of one film (6, 6, 3), layer by layer in loops and double precision."""
    by_type = {type(layer).__name__: [] for layer in model.layers}
    for layer in model.layers:
        by_type[type(layer).__name__].append([np.asarray(one, np.float64) for one in layer.get_weights()])
    (k1, b1), (k2, b2), (k3, b3) = by_type["Conv2D"]
    ((kd, bd),), ((w, b),) = by_type["DepthwiseConv2D"], by_type["Dense"]

    def convolve(x, kernel, bias):
        side = kernel.shape[0]
        padded = np.pad(x, [(side // 2, side // 2)] * 2 + [(0, 0)])
        return np.array([[np.einsum("abc,abcd->d", padded[r : r + side, c : c + side], kernel) + bias
                          for c in range(6)] for r in range(6)])  # fmt: skip

    def hand_back(x, kernel, bias, relevance):
        side = kernel.shape[0]
        padded = np.pad(x, [(side // 2, side // 2)] * 2 + [(0, 0)])
        found = np.zeros_like(padded)
        for r, c in np.ndindex(6, 6):
            window = padded[r : r + side, c : c + side][..., None]
            shares = np.maximum(window, 0) * np.maximum(kernel, 0) + np.minimum(window, 0) * np.minimum(kernel, 0)
            total = shares.sum(axis=(0, 1, 2)) + bias
            found[r : r + side, c : c + side] += (shares * (relevance[r, c] / total)).sum(axis=-1)
        inner = slice(side // 2, side // 2 + 6)
        return found[inner, inner]

    wide = np.zeros((3, 3, 8, 8))
    wide[:, :, range(8), range(8)] = kd[..., 0]
    entry = film * [0.5, 0.4, 0.3] + [0.1, 0.0, -0.1]
    first = convolve(entry, k1, b1)
    grown = np.clip(convolve(first, k2, b2), 0, 6)
    mixed = np.clip(convolve(grown, wide, bd), 0, 6)
    back = convolve(mixed, k3, b3)
    total = first + back
    pooled = np.clip(total, 0, 6).mean(axis=(0, 1))
    output = max(float(pooled @ w[:, index] + b[index]), 0.0)
    shares = pooled * np.maximum(w[:, index], 0)
    relevance = np.where(total > 0, (shares / (shares.sum() + b[index]) * output) / 36, 0)
    with np.errstate(invalid="ignore", divide="ignore"):
        parts = [np.maximum(np.sign(total) * one, 0) for one in (first, back)]
        to_first, to_back = (np.nan_to_num(one / (parts[0] + parts[1])) * relevance for one in parts)
    to_mixed = hand_back(mixed, k3, b3, to_back)
    to_grown = hand_back(grown, wide, bd, to_mixed)
    to_first = to_first + hand_back(first, k2, b2, to_grown)
    return hand_back(entry, k1, b1, to_first).sum(axis=-1)


def test_deep_taylor_of_an_inverted_residual_equals_loops():
    model = build_block()
    films = np.random.default_rng(8).normal(0, 1, (2, 6, 6, 3)).astype(np.float32)
    found = False
    for index in range(2):
        for film, here in zip(films, DeepTaylor(model, index)(films), strict=True):
            expected = derive_deep_taylor(model, film.astype(np.float64), index)
            found = found or np.abs(expected).max() > 1e-3
            np.testing.assert_allclose(here, expected, atol=1e-4 * max(1, np.abs(expected).max()))
    assert found


def test_composite_sums_to_the_logit_where_no_bias_absorbs():
    model = build_block(bias=False)
    films = np.random.default_rng(9).normal(0, 1, (3, 6, 6, 3)).astype(np.float32)
    kinds = {node.kind for node in list_nodes(model, "lrp_composite")}
    assert {"depthwise", "add", "relu6"} <= kinds
    for index in range(2):
        maps, logits = CompositeRelevance(model, index).propagation.propagate(films, index)
        np.testing.assert_allclose(maps.numpy().sum(axis=(1, 2)), logits.numpy(), rtol=1e-3, atol=1e-4)


def test_efficientnet_has_maps_and_stages_of_its_own():
    keras.utils.set_random_seed(3)
    model = build_network("efficientnet_lite0", 2, 64)
    films = standardise(np.random.default_rng(0).random((2, 64, 64)).astype(np.float32))
    maps = DeepTaylor(model, 1)(films)
    assert maps.shape == (2, 64, 64) and np.isfinite(maps).all() and maps.max() > 0
    signed = CompositeRelevance(model, 1)(films)
    assert np.isfinite(signed).all() and np.abs(signed).max() > 0
    stages = list_stages(model)
    assert [stage for stage, _ in stages] == ["head", "block 4", "block 3", "block 2", "whole network"]
    assert sum(len(layers) for _, layers in stages) == sum(bool(layer.get_weights()) for layer in model.layers)
    assert "stem_conv" in [layer.name for layer in stages[-1][1]]


@pytest.mark.parametrize(
    "layer",
    [
        keras.layers.ReLU(max_value=4.0, name="odd"),
        keras.layers.DepthwiseConv2D(3, depth_multiplier=2, name="odd"),
        keras.layers.Multiply(name="odd"),
    ],
)
def test_what_has_no_rule_is_refused_by_name(layer):
    entry = keras.Input((8, 8, 3))
    x = layer([entry, entry]) if isinstance(layer, keras.layers.Multiply) else layer(entry)
    with pytest.raises(UnsupportedLayer, match="odd"):
        DeepTaylor(keras.Model(entry, keras.layers.GlobalAveragePooling2D()(x)), 0)
