"""Deep Taylor against a slow re-derivation of each rule, iNNvestigate's stored values, and its own promises."""

from __future__ import annotations

import keras
import numpy as np
import pytest

from icbir_core.errors import SaliencyError, UnsupportedLayer
from icbir_core.radiograph.network_input import standardise
from icbir_core.saliency.deep_taylor import DeepTaylor
from tests.reference.small_densenet import build


def share_out(x: np.ndarray, kernel: np.ndarray, bias: np.ndarray, relevance: np.ndarray) -> np.ndarray:
    """α1β0 written as loops: x (I,), kernel (I, J), bias (J,), relevance (J,) → (I,)."""
    given = np.zeros(len(x))
    for output in range(kernel.shape[1]):
        parts = []
        for value, weight in zip(x, kernel[:, output], strict=True):
            parts.append(value * weight if (value > 0) == (weight > 0) else 0.0)
        denominator = sum(parts) + bias[output]
        for one, part in enumerate(parts):
            given[one] += part * relevance[output] / (denominator if denominator else 1e-7)
    return given


def make_dense(kernel, bias=None) -> keras.Model:
    """Inputs (1, 1, C) through one Dense layer, so that a rule can be computed by hand."""
    entry = keras.layers.Input((1, 1, len(kernel)))
    x = keras.layers.GlobalAveragePooling2D()(entry)
    model = keras.Model(entry, keras.layers.Dense(len(kernel[0]), use_bias=bias is not None, name="logits")(x))
    model.set_weights([np.asarray(kernel, np.float32)] + ([] if bias is None else [np.asarray(bias, np.float32)]))
    return model


def attribute_total(model: keras.Model, x) -> float:
    """The attribution of a one-pixel input, summed over its channels."""
    return float(DeepTaylor(model, 0)(np.asarray(x, np.float32).reshape(1, 1, 1, -1))[0, 0, 0])


@pytest.mark.parametrize(
    ("x", "kernel", "bias", "expected"),
    [
        ([1.0, 2.0], [[1.0], [0.5]], None, 2.0),
        ([1.0, -2.0], [[1.0], [-0.5]], None, 2.0),
        ([1.0, 2.0], [[3.0], [-0.5]], None, 2.0),
        ([1.0, 2.0], [[1.0], [0.5]], [2.0], 2.0),
        ([1.0, 2.0], [[3.0], [-0.5]], [-1.0], 1.5),
        ([1.0, 1.0], [[-1.0], [-1.0]], None, 0.0),
        ([0.0, 0.0], [[1.0], [1.0]], None, 0.0),
        ([0.0, 0.0], [[1.0], [1.0]], [1.0], 0.0),
    ],
    ids=["plain", "negative input", "mixed", "bias", "negative bias", "all negative", "zero input", "zero denominator"],
)
def test_rule_for_kernels_by_hand(x, kernel, bias, expected):
    """Sum over inputs of x w (agreeing signs) · ReLU(output) / (that sum + bias), worked out on paper."""
    assert attribute_total(make_dense(kernel, bias), x) == pytest.approx(expected, abs=1e-6)


def test_rule_for_convolution_equals_loops():
    """A strided 'same' convolution with bias on negative and positive inputs, position by position."""
    generator = np.random.default_rng(1)
    entry = keras.layers.Input((5, 5, 2))
    x = keras.layers.Conv2D(3, 3, strides=2, padding="same", name="kernel")(entry)
    x = keras.layers.Activation("relu")(x)
    x = keras.layers.GlobalAveragePooling2D()(x)
    model = keras.Model(entry, keras.layers.Dense(1, use_bias=False)(x))
    kernel, bias = generator.normal(0, 1, (3, 3, 2, 3)), generator.normal(0, 0.3, 3)
    head = np.array([[0.7], [-0.2], [1.1]])
    model.set_weights([one.astype(np.float32) for one in (kernel, bias, head)])
    film = generator.normal(0, 1, (1, 5, 5, 2)).astype(np.float32)

    padded = np.zeros((7, 7, 2))
    padded[1:6, 1:6] = film[0]
    values = np.zeros((3, 3, 3))
    for row in range(3):
        for column in range(3):
            window = padded[2 * row : 2 * row + 3, 2 * column : 2 * column + 3]
            values[row, column] = np.einsum("abc,abcd->d", window, kernel) + bias
    opened = np.maximum(values, 0)
    pooled = opened.mean(axis=(0, 1))
    output = max(float(pooled @ head[:, 0]), 0.0)
    at_pool = share_out(pooled, head, np.zeros(1), np.array([output]))
    expected = np.zeros((7, 7, 2))
    for row in range(3):
        for column in range(3):
            relevance = np.where(values[row, column] > 0, at_pool / 9, 0.0)
            window = padded[2 * row : 2 * row + 3, 2 * column : 2 * column + 3]
            given = share_out(window.ravel(), kernel.reshape(-1, 3), bias, relevance).reshape(window.shape)
            expected[2 * row : 2 * row + 3, 2 * column : 2 * column + 3] += given
    assert output > 0
    np.testing.assert_allclose(DeepTaylor(model, 0)(film)[0], expected[1:6, 1:6].sum(axis=-1), atol=1e-5)


@pytest.mark.parametrize(("case", "head", "bias"), [("plain", "linear", False), ("restored", "sigmoid", True)])
def test_agrees_with_stored_innvestigate(case, head, bias, reference_directory):
    """Values of iNNvestigate 2.1.2 on a small DenseNet (tests/reference/generate_innvestigate.py)."""
    with np.load(reference_directory / "innvestigate_deep_taylor.npz") as stored:
        model = build(keras, head=head, bias=bias)
        model.set_weights([stored[name] for name in sorted(stored.files) if name.startswith(f"{case}_weight")])
        np.testing.assert_allclose(model(stored["inputs"]).numpy(), stored[f"{case}_outputs"], atol=1e-5)
        maps = stored[f"{case}_maps"]
        assert np.abs(maps).max() > 1e-3
        for index, expected in enumerate(maps):
            np.testing.assert_allclose(DeepTaylor(model, index)(stored["inputs"]), expected, rtol=1e-3, atol=1e-7)


def test_a_layer_without_a_rule_is_refused_by_name():
    entry = keras.layers.Input((8, 8, 3))
    x = keras.layers.GlobalMaxPooling2D(name="odd_one")(keras.layers.Conv2D(2, 3)(entry))
    with pytest.raises(UnsupportedLayer, match="odd_one.*GlobalMaxPooling2D"):
        DeepTaylor(keras.Model(entry, x), 0)
    x = keras.layers.GlobalAveragePooling2D()(keras.layers.Conv2D(2, 3, activation="relu", name="with_own")(entry))
    with pytest.raises(UnsupportedLayer, match="with_own"):
        DeepTaylor(keras.Model(entry, x), 0)


def test_batch_equals_singles_and_repeats(small_model, films):
    inputs = standardise(films)
    explain = DeepTaylor(small_model, 1)
    together = explain(inputs)
    assert together.dtype == np.float32 and together.shape == films.shape
    near = {"rtol": 1e-3, "atol": 1e-3 * together.max()}
    np.testing.assert_allclose(explain(inputs), together, **near)
    singles = np.concatenate([explain(inputs[one : one + 1]) for one in range(len(inputs))])
    np.testing.assert_allclose(singles, together, **near)


def test_never_negative(small_model, films):
    """Every share is positive unless a bias of the head turns its denominator, and this network's are small."""
    inputs = standardise(films)
    for index in range(3):
        maps = DeepTaylor(small_model, index)(inputs)
        assert maps.min() >= 0.0
        assert (maps.sum(axis=(1, 2)) > 0).all()


def test_wrong_input_and_output_are_one_sentence(small_model):
    with pytest.raises(SaliencyError, match="shape"):
        DeepTaylor(small_model, 0)(np.zeros((1, 16, 16, 3), np.float32))
    with pytest.raises(SaliencyError, match="only 0 to 2"):
        DeepTaylor(small_model, 3)(np.zeros((1, 32, 32, 3), np.float32))
