"""Composite relevance propagation: hand-worked rules, folding invariance, and where the total goes."""

from __future__ import annotations

import keras
import numpy as np
import pytest

from icbir_core.errors import UnsupportedLayer
from icbir_core.radiograph.network_input import standardise
from icbir_core.saliency import linear_maps, rules
from icbir_core.saliency.composite import CompositeRelevance
from tests.reference.small_densenet import build, random_weights


def read_scale(layer) -> np.ndarray:
    return layer.gamma.numpy() / np.sqrt(layer.moving_variance.numpy() + layer.epsilon)


def fold(model: keras.Model) -> keras.Model:
    """The same function without normalisations behind convolutions: written here anew, not with the code under test."""
    folded = build(keras, folded=True)
    for layer in folded.layers:
        original = model.get_layer(layer.name) if layer.get_weights() else None
        if original is None:
            continue
        if layer.name != "conv1_conv" and "_1_conv" not in layer.name:
            layer.set_weights(original.get_weights())
            continue
        norm = model.get_layer(layer.name.replace("_conv", "_bn"))
        scale = read_scale(norm)
        shift = norm.beta.numpy() - norm.moving_mean.numpy() * scale
        layer.set_weights([original.kernel.numpy() * scale, shift])
    return folded


def test_same_map_for_the_folded_network(small_model, films):
    inputs = standardise(films)
    folded = fold(small_model)
    np.testing.assert_allclose(folded(inputs).numpy(), small_model(inputs).numpy(), atol=1e-5)
    for index in range(3):
        expected = CompositeRelevance(small_model, index)(inputs)
        np.testing.assert_allclose(CompositeRelevance(folded, index)(inputs), expected, rtol=1e-3, atol=1e-6)


def test_same_map_when_scale_moves_into_the_next_convolution(small_model, films):
    """BN → ReLU → conv with the normalisation times s > 0 and the kernel over s is the same function."""
    inputs = standardise(films)
    moved = keras.models.clone_model(small_model)
    moved.set_weights(small_model.get_weights())
    generator = np.random.default_rng(2)
    for norm_name, conv_name in (("conv2_block1_0_bn", "conv2_block1_1_conv"), ("pool2_bn", "pool2_conv")):
        norm, conv = moved.get_layer(norm_name), moved.get_layer(conv_name)
        factor = generator.uniform(0.2, 5.0, norm.gamma.shape)
        norm.gamma.assign(norm.gamma * factor)
        norm.beta.assign(norm.beta * factor)
        conv.kernel.assign(conv.kernel / factor[:, None])
    expected = CompositeRelevance(small_model, 1)(inputs)
    np.testing.assert_allclose(CompositeRelevance(moved, 1)(inputs), expected, rtol=1e-3, atol=1e-6)


def test_sums_to_the_logit_where_no_bias_absorbs(films):
    """Without shifts and biases every rule conserves, so that the map sums to the logit."""
    model = build(keras, bias=False)
    model.set_weights(random_weights(model, seed=9))
    for layer in model.layers:
        if type(layer).__name__ == "BatchNormalization":
            layer.beta.assign(np.zeros_like(layer.beta))
            layer.moving_mean.assign(np.zeros_like(layer.moving_mean))
    inputs = standardise(films)
    for index in range(3):
        maps, logits = CompositeRelevance(model, index).propagation.propagate(inputs, index)
        np.testing.assert_allclose(maps.numpy().sum(axis=(1, 2)), logits.numpy(), rtol=0.02, atol=1e-4)


def test_box_rule_by_hand():
    """x = (0.5, -1), w = (2, -1), box [-1, 1]: numerators 1 + 2 = 3 and 1 + 1 = 2, so that 10 is shared 6 to 4."""
    edge = np.ones((1, 1, 1, 2), np.float32)
    kernel = np.array([2.0, -1.0], np.float32).reshape(1, 1, 2, 1)
    rule = rules.ZBox(linear_maps.Convolution((1, 1), "valid"), kernel, np.array([7.0], np.float32), -edge, edge)
    output, kept = rule.forward(np.array([0.5, -1.0], np.float32).reshape(1, 1, 1, 2))
    assert output.numpy().item() == pytest.approx(9.0)
    given = rule.backward(np.full((1, 1, 1, 1), 10.0, np.float32), kept)[0].numpy().ravel()
    np.testing.assert_allclose(given, [6.0, 4.0], rtol=1e-6)


def test_epsilon_rule_by_hand():
    kernel, bias = np.array([[2.0], [-1.0]], np.float32), np.array([1.0], np.float32)
    rule = rules.Epsilon(linear_maps.Matrix(), kernel, bias, epsilon=0.5)
    output, kept = rule.forward(np.array([[1.0, 4.0]], np.float32))
    assert output.numpy().item() == pytest.approx(-1.0)
    given = rule.backward(np.array([[3.0]], np.float32), kept)[0].numpy()
    np.testing.assert_allclose(given, [[2 * 3 / -1.5, -4 * 3 / -1.5]], rtol=1e-6)
    _, kept = rule.forward(np.array([[0.0, 1.0]], np.float32))
    assert np.isfinite(rule.backward(np.array([[3.0]], np.float32), kept)[0].numpy()).all()


def test_positive_rule_takes_only_the_positive_bias():
    kernel, bias = np.array([[2.0, 1.0]], np.float32), np.array([1.0, -1.0], np.float32)
    rule = rules.AlphaOneBetaZero(linear_maps.Matrix(), kernel, bias, nonnegative=True, bias_part="positive")
    _, kept = rule.forward(np.array([[1.0]], np.float32))
    given = rule.backward(np.array([[3.0, 5.0]], np.float32), kept)[0].numpy()
    np.testing.assert_allclose(given, [[2 * 3 / 3 + 5]], rtol=1e-6)


def test_convolution_and_pooling_as_one_map():
    """The output is that of convolution, then pooling; the relevance that of loops over the joint map."""
    import tensorflow as tf

    generator = np.random.default_rng(6)
    x = np.maximum(generator.normal(0, 1, (1, 4, 4, 3)), 0).astype(np.float32)
    kernel = generator.normal(0, 1, (1, 1, 3, 2)).astype(np.float32)
    pool = keras.layers.AveragePooling2D(2, strides=2)
    rule = rules.PooledConvolution(linear_maps.Convolution((1, 1), "valid"), kernel, None, pool)
    output, kept = rule.forward(tf.constant(x))
    np.testing.assert_allclose(output.numpy(), pool(tf.nn.conv2d(x, kernel, 1, "VALID")).numpy(), atol=1e-5)
    relevance = generator.normal(0, 1, (1, 2, 2, 2)).astype(np.float32)
    expected = np.zeros_like(x)
    for row, column, channel in np.ndindex(2, 2, 2):
        window = x[0, 2 * row : 2 * row + 2, 2 * column : 2 * column + 2]
        shares = window * np.maximum(kernel[0, 0, :, channel], 0)
        shares *= relevance[0, row, column, channel] / shares.sum()
        expected[0, 2 * row : 2 * row + 2, 2 * column : 2 * column + 2] += shares
    np.testing.assert_allclose(rule.backward(tf.constant(relevance), kept)[0].numpy(), expected, atol=1e-5)


def test_a_layer_without_a_rule_is_refused_by_name():
    entry = keras.layers.Input((8, 8, 3))
    x = keras.layers.GlobalMaxPooling2D(name="odd_one")(keras.layers.Conv2D(2, 3)(entry))
    with pytest.raises(UnsupportedLayer, match="odd_one.*GlobalMaxPooling2D"):
        CompositeRelevance(keras.Model(entry, x), 0)
