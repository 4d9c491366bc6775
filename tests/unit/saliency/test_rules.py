"""The rules without a kernel against loops, and denominators of exactly zero worked out by hand."""

from __future__ import annotations

import keras
import numpy as np
import pytest
import tensorflow as tf

from icbir_core.saliency import linear_maps, rules
from icbir_core.saliency.deep_taylor import DeepTaylor


def hand_back(rule, x: np.ndarray, relevance: np.ndarray) -> np.ndarray:
    """What a rule with one input gives it."""
    _, kept = rule.forward(tf.constant(x, tf.float32))
    (given,) = rule.backward(tf.constant(relevance, tf.float32), kept)
    return given.numpy()


def list_windows(side: int, size: int, stride: int, padding: str) -> list[list[int]]:
    """The positions inside the input that each window along one axis covers."""
    if padding == "valid":
        starts = [stride * place for place in range((side - size) // stride + 1)]
    else:
        count = -(-side // stride)
        before = max((count - 1) * stride + size - side, 0) // 2
        starts = [stride * place - before for place in range(count)]
    return [[one for one in range(start, start + size) if 0 <= one < side] for start in starts]


POOLS = [(2, 2, "valid"), (3, 2, "same"), (3, 1, "same"), (2, 2, "same")]


@pytest.mark.parametrize(("size", "stride", "padding"), POOLS)
@pytest.mark.parametrize("kind", ["max", "average"])
def test_pooling_equals_loops(kind, size, stride, padding):
    """Max: all to the largest of the window, the first of equals. Average: evenly over what the window covers."""
    generator = np.random.default_rng(size + stride)
    x = generator.integers(-3, 4, (2, 5, 5, 2)).astype(float)  # integers, so that windows hold equals
    windows = list_windows(5, size, stride, padding)
    relevance = generator.normal(0, 1, (2, len(windows), len(windows), 2))
    expected = np.zeros_like(x)
    for film in range(2):
        for channel in range(2):
            for row, rows in enumerate(windows):
                for column, columns in enumerate(windows):
                    share = relevance[film, row, column, channel]
                    places = [(one, other) for one in rows for other in columns]
                    if kind == "max":
                        places = [max(places, key=lambda place: x[film, *place, channel])]
                    for place in places:
                        expected[film, *place, channel] += share / len(places)
    if kind == "max":
        rule = rules.WinnerTakesAll(keras.layers.MaxPooling2D(size, stride, padding))
    else:
        rule = rules.UniformSpread(keras.layers.AveragePooling2D(size, stride, padding))
    np.testing.assert_allclose(hand_back(rule, x, relevance), expected, atol=1e-5)


def test_normalisation_computes_its_output_and_hands_relevance_on_unchanged():
    generator = np.random.default_rng(3)
    layer = keras.layers.BatchNormalization(epsilon=1e-3)
    layer.build((None, 2, 2, 2))
    gamma, beta, mean, variance = [2.0, -0.5], [0.1, 0.2], [0.3, -0.4], [0.5, 2.0]
    layer.set_weights([np.array(one, np.float32) for one in (gamma, beta, mean, variance)])
    x, relevance = generator.normal(0, 1, (1, 2, 2, 2)), generator.normal(0, 1, (1, 2, 2, 2))
    expected = np.zeros_like(x)
    for place in np.ndindex(x.shape):
        channel = place[-1]
        normal = (x[place] - mean[channel]) / (variance[channel] + 1e-3) ** 0.5
        expected[place] = gamma[channel] * normal + beta[channel]
    rule = rules.Affine(*linear_maps.read_affine(layer))
    np.testing.assert_allclose(rule.forward(tf.constant(x, tf.float32))[0], expected, atol=1e-5)
    np.testing.assert_array_equal(hand_back(rule, x, relevance), relevance.astype(np.float32))


def test_concatenation_and_padding_equal_loops():
    relevance = np.arange(2 * 4 * 5 * 6, dtype=np.float32).reshape(2, 4, 5, 6)
    sizes = [1, 3, 2]
    inputs = [np.zeros((2, 4, 5, size), np.float32) for size in sizes]
    rule = rules.Split(sizes)
    parts = rule.backward(tf.constant(relevance), rule.forward(*inputs)[1])
    channel = 0
    for size, part in zip(sizes, parts, strict=True):
        for own in range(size):
            np.testing.assert_array_equal(part[..., own], relevance[..., channel])
            channel += 1
    for padding in (((1, 0), (0, 2)), ((0, 0), (1, 1)), ((1, 1), (1, 2))):
        (top, bottom), (left, right) = padding
        height, width = 4 - top - bottom, 5 - left - right
        expected = np.zeros((2, height, width, 6), np.float32)
        for row in range(height):
            for column in range(width):
                expected[:, row, column] = relevance[:, row + top, column + left]
        rule = rules.Crop(keras.layers.ZeroPadding2D(padding))
        np.testing.assert_array_equal(hand_back(rule, np.zeros_like(expected), relevance), expected)


def make_rule(weights, bias, nonnegative=True, bias_part="whole"):
    kernel = np.array(weights, np.float32)[:, None]
    bias = None if bias is None else np.array([bias], np.float32)
    return rules.AlphaOneBetaZero(linear_maps.Matrix(), kernel, bias, nonnegative, bias_part)


@pytest.mark.parametrize("nonnegative", [True, False])
@pytest.mark.parametrize(
    ("x", "weights", "bias", "expected"),
    [
        ([1.0], [1.0], -1.0, [1e7]),  # 1 · 1 · R / (1 − 1): the library's 1e-7 stands in for the zero
        ([1.0, 2.0], [1.0, 0.5], -2.0, [1e7, 1e7]),
        ([1.0], [-1.0], 0.0, [0.0]),  # 0 · R / 1e-7
        ([1.0, 2.0], [-1.0, -2.0], None, [0.0, 0.0]),
        ([1.0, 2.0], [-1.0, -2.0], -3.0, [0.0, 0.0]),  # a denominator of the bias alone
    ],
)
def test_kernel_rule_by_hand_where_nothing_or_zero_is_below(x, weights, bias, expected, nonnegative):
    given = hand_back(make_rule(weights, bias, nonnegative), np.array([x]), np.ones((1, 1)))
    np.testing.assert_allclose(given[0], expected, rtol=1e-5)


def test_zplus_by_hand_where_all_contributions_or_the_bias_are_negative():
    for weights, bias, expected in (([-1.0, -2.0], -3.0, [0.0, 0.0]), ([1.0, -2.0], -1.0, [1.0, 0.0])):
        given = hand_back(make_rule(weights, bias, bias_part="positive"), np.array([[1.0, 2.0]]), np.ones((1, 1)))
        np.testing.assert_allclose(given[0], expected, rtol=1e-6)


@pytest.mark.parametrize(
    ("x", "expected"),
    [
        ([1.0, 1.0], [0.0, 0.0]),  # at the bound that the kernel dislikes most: zero below, and nothing to share out
        ([-1.0, 1.0], [1.0, 0.0]),
        ([0.0, 0.0], [1 / 3, 2 / 3]),
    ],
)
def test_zbox_by_hand_with_negative_weights_alone(x, expected):
    """x w − high w⁻ with w = (−1, −2) and bounds ±1: each part is |w| · (1 − x), whatever the sign of the output."""
    linear = linear_maps.Convolution((1, 1), "valid")
    low, high = np.full((1, 1, 1, 2), -1, np.float32), np.full((1, 1, 1, 2), 1, np.float32)
    rule = rules.ZBox(linear, np.array([-1.0, -2.0], np.float32).reshape(1, 1, 2, 1), None, low, high)
    given = hand_back(rule, np.array(x).reshape(1, 1, 1, 2), np.ones((1, 1, 1, 1)))
    np.testing.assert_allclose(given.ravel(), expected, atol=1e-6)


def test_a_zero_denominator_below_a_sigmoid_gives_what_the_library_gives():
    """x = w = 1, b = −1: the logit is 0, the relevance 0.5, the denominator 0 and so 1e-7: a map of 5 000 000."""
    entry = keras.layers.Input((1, 1, 1))
    logits = keras.layers.Dense(1, name="logits")(keras.layers.GlobalAveragePooling2D()(entry))
    model = keras.Model(entry, keras.layers.Activation("sigmoid")(logits))
    model.set_weights([np.ones((1, 1), np.float32), np.array([-1.0], np.float32)])
    assert float(DeepTaylor(model, 0)(np.ones((1, 1, 1, 1), np.float32))[0, 0, 0]) == pytest.approx(5e6, rel=1e-5)
    near = np.full((1, 1, 1, 1), 1.001, np.float32)  # no stabiliser: a denominator of 0.001 is divided by as it is
    assert float(DeepTaylor(model, 0)(near)[0, 0, 0]) == pytest.approx(501, rel=1e-2)
