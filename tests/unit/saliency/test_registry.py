"""The registry: every method through one function, with its axiom where it has one; encoding; named empty maps."""

from __future__ import annotations

import warnings

import keras
import numpy as np
import pytest

from icbir_core.errors import SaliencyError, UnknownNameError
from icbir_core.radiograph.network_input import standardise
from icbir_core.saliency import registry
from icbir_core.saliency.encoding import encode_map, name_state
from icbir_core.saliency.gradients import GradientExplainer
from icbir_core.saliency.methods import SALIENCY_METHODS
from tests.reference.small_densenet import build, random_weights


@pytest.mark.parametrize("method", sorted(SALIENCY_METHODS))
def test_every_method_batched_float32_deterministic_recorded(small_classifier, films, method):
    maps = registry.attribute(small_classifier, films, "Cardiomegaly", method)
    assert maps.shape == films.shape and maps.dtype == np.float32
    assert np.abs(maps).max() > 0
    assert SALIENCY_METHODS[method].signed or maps.min() >= 0
    near = {"rtol": 1e-3, "atol": 1e-3 * np.abs(maps).max()}
    np.testing.assert_allclose(registry.attribute(small_classifier, films, "Cardiomegaly", method), maps, **near)
    singles = [registry.attribute(small_classifier, films[one : one + 1], "Cardiomegaly", method)[0] for one in (0, 2)]
    np.testing.assert_allclose(singles, maps[[0, 2]], **near)
    shown = registry.explain(small_classifier, films[:1], "Cardiomegaly", method)[0]
    assert (shown.method, shown.finding, shown.state) == (method, "Cardiomegaly", "ok")
    assert shown.signed == SALIENCY_METHODS[method].signed
    assert shown.layer == ("relu" if method == "grad_cam" else "")
    other = registry.attribute(small_classifier, films, "Effusion", method)
    assert np.abs(other - maps).max() > 0


def test_integrated_gradients_are_complete(small_model, films):
    """The map sums to logit(film) - logit(grey), closer with more steps (Sundararajan et al. 2017, proposition 1)."""
    explainer, inputs = GradientExplainer(small_model), standardise(films)
    rise = explainer.score(inputs, 1) - explainer.score(np.zeros_like(inputs), 1)
    gaps = [
        np.abs(explainer.integrated_gradients(inputs, 1, steps).sum(axis=(1, 2)) - rise).max() for steps in (8, 256)
    ]
    assert gaps[1] < 0.02 * np.abs(rise).max() and gaps[1] < gaps[0]


def test_grad_cam_equals_the_papers_formula(small_model, films):
    """With a global average pool, the weights are the head's own column over the number of positions."""
    inputs = standardise(films)
    features = keras.Model(small_model.input, small_model.get_layer("relu").output)(inputs).numpy()
    column = small_model.get_layer("logits").kernel.numpy()[:, 2] / np.prod(features.shape[1:3])
    coarse = np.maximum(features @ column, 0)
    import tensorflow as tf

    expected = tf.image.resize(coarse[..., None], (32, 32)).numpy()[..., 0]
    np.testing.assert_allclose(GradientExplainer(small_model).grad_cam(inputs, 2), expected, rtol=1e-4, atol=1e-7)


def test_occlusion_sees_a_square_that_the_score_needs():
    """A network that adds up one corner: only squares on that corner matter."""
    entry = keras.layers.Input((16, 16, 3))
    x = keras.layers.Conv2D(1, 1, use_bias=False)(entry)
    x = keras.layers.Cropping2D(((0, 12), (0, 12)))(x)
    x = keras.layers.Activation("relu", name="relu")(x)
    x = keras.layers.GlobalAveragePooling2D(name="avg_pool")(x)
    x = keras.layers.Dense(1, name="logits")(x)
    model = keras.Model(entry, keras.layers.Activation("sigmoid")(x))
    model.set_weights([np.ones((1, 1, 3, 1)), np.ones((1, 1)), np.zeros(1)])
    values = GradientExplainer(model).occlusion(np.ones((1, 16, 16, 3), np.float32), 0)[0]
    assert values[:4, :4].min() > 0 and np.abs(values[5:, 5:]).max() == 0


def test_occlusion_asks_in_batches(small_model, films, monkeypatch):
    """A side of 32, a square of 4 moved by 2: 225 squares a film, in 15 batches of 16, and each whole film once."""
    explainer, sizes = GradientExplainer(small_model), []
    score = explainer.score
    monkeypatch.setattr(explainer, "score", lambda inputs, index: sizes.append(len(inputs)) or score(inputs, index))
    explainer.occlusion(standardise(films), 0)
    assert sizes[0] == 1 and len(sizes) == (1 + 15) * len(films)
    assert sum(sizes) == (1 + 225) * len(films) and max(sizes) == 16


def test_a_network_without_the_named_layers_is_refused():
    entry = keras.layers.Input((8, 8, 3))
    with pytest.raises(SaliencyError, match="no layer 'relu'"):
        GradientExplainer(keras.Model(entry, keras.layers.Conv2D(2, 3)(entry)))


def test_unknown_names_and_shapes_are_one_sentence(small_classifier, films):
    with pytest.raises(UnknownNameError, match="known: .*deep_taylor"):
        registry.attribute(small_classifier, films, "Effusion", "guesswork")
    with pytest.raises(UnknownNameError, match="Cardiomegaly"):
        registry.attribute(small_classifier, films, "Fracture")
    with pytest.raises(SaliencyError, match="shape"):
        registry.attribute(small_classifier, films[:, :16], "Effusion")
    assert registry.attribute(small_classifier, films[:0], "Effusion").shape == (0, 32, 32)


def test_a_dead_network_gives_a_named_zero_map(small_classifier, films):
    model = build(keras)
    weights = random_weights(model, seed=5)
    weights[-2] = -np.abs(weights[-2])
    model.set_weights(weights)
    dead = type(small_classifier)(model)
    shown = registry.explain(dead, films[:1], "Effusion", "grad_cam")[0]
    assert shown.state == "zero" and not shown.values.any()


def test_encoding_scales_each_map_by_its_own_peak():
    maps = np.array([[[0.0, 2.0], [4.0, 1.0]], [[0.0, 0.0], [0.0, 0.0]], [[-2.0, 1.0], [0.0, 0.5]]], np.float32)
    encoded = encode_map(maps)
    assert encoded.dtype == np.float32
    np.testing.assert_allclose(encoded[0], [[0.0, 0.5], [1.0, 0.25]])
    assert not encoded[1].any()
    np.testing.assert_allclose(encoded[2], [[0.0, 0.5], [0.0, 0.25]])
    np.testing.assert_allclose(encode_map(maps * 1e-6), encoded)
    with pytest.raises(SaliencyError, match="NaN"):
        encode_map(np.full((1, 2, 2), np.nan))
    assert [name_state(one) for one in (np.zeros((2, 2)), np.ones((2, 2)), np.eye(2))] == ["zero", "flat", "ok"]


def test_grad_cam_warns_of_nothing_and_hides_no_other_warning(small_model, films, recwarn):
    explainer = GradientExplainer(small_model)
    explainer.grad_cam(standardise(films), 0)
    assert not [warning for warning in recwarn if "structure of `inputs`" in str(warning.message)]
    warnings.warn("another", UserWarning, stacklevel=1)
    assert "another" in str(recwarn.pop(UserWarning).message)
