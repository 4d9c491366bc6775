"""The networks' contract of names and shapes, and weights that move between files and sizes."""

from __future__ import annotations

import keras
import numpy as np
import pytest

from icbir_core.errors import ModelError, UnknownNameError
from icbir_core.model.backbones import BACKBONES
from icbir_core.model.network import build_network, load_matching_weights, named_weights, precision
from icbir_core.radiograph.network_input import standardise
from icbir_core.saliency import composite, deep_taylor
from icbir_core.saliency.composite import cut_sigmoid
from icbir_core.saliency.graph import list_nodes


@pytest.fixture(scope="module")
def small():
    keras.utils.set_random_seed(1)
    return build_network("densenet_small", 2, 64)


def test_named_layers_and_shapes(small):
    assert small.input_shape == (None, 64, 64, 3) and small.output_shape == (None, 2)
    assert small.get_layer("avg_pool").output.shape[-1] == small.get_layer("relu").output.shape[-1]
    assert small.get_layer("logits").activation is keras.activations.linear
    assert small.get_layer("probabilities").activation is keras.activations.sigmoid
    assert small.count_params() < 300_000


def test_small_network_has_the_layer_kinds_of_densenet121(small):
    large = build_network("densenet121", 1, 32)
    assert {type(layer) for layer in small.layers} == {type(layer) for layer in large.layers}
    assert large.get_layer("avg_pool").output.shape == (None, 1024)
    assert large.get_layer("relu").output.shape[-1] == 1024


@pytest.mark.parametrize("name", BACKBONES.built_in)
def test_every_backbone_keeps_the_contract_and_has_the_rules_that_its_record_names(name):
    network = build_network(name, 2, 32)
    assert network.get_layer("avg_pool").output.shape == (None, BACKBONES[name].width)
    assert network.get_layer("relu").output.shape[-1] == BACKBONES[name].width
    for recipe, method in ((deep_taylor, "deep_taylor"), (composite, "lrp_composite")):
        assert method in BACKBONES[name].relevance
        nodes = list_nodes(cut_sigmoid(network) if recipe is composite else network, method)
        assert all(recipe.RULES[node.kind] for node in nodes if node.kind != "input")


def test_what_resnet_reads():
    """255 g less the channels' means, as its ImageNet weights were trained; equal channels, so their order is open."""
    network = build_network("resnet50", 1, 32)
    grey = np.random.default_rng(0).random((1, 32, 32)).astype(np.float32)
    reads = keras.Model(network.input, network.get_layer("input_form").output)
    means = np.array([123.68, 116.779, 103.939])
    np.testing.assert_allclose(np.asarray(reads(standardise(grey))), 255 * grey[..., None] - means, atol=1e-3)


def test_weights_file_at_another_size_and_head(small, tmp_path):
    path = tmp_path / "weights.npz"
    np.savez(path, **named_weights(small))
    other = build_network("densenet_small", 5, 96, path)
    np.testing.assert_array_equal(
        other.get_layer("conv1_conv").get_weights()[0], small.get_layer("conv1_conv").get_weights()[0]
    )
    assert load_matching_weights(other, named_weights(small)) == ["logits/kernel", "logits/bias"]
    saved = tmp_path / "model.keras"
    small.save(saved)
    same = build_network("densenet_small", 2, 64, saved)
    images = np.random.default_rng(0).normal(size=(2, 64, 64, 3)).astype(np.float32)
    np.testing.assert_allclose(same.predict_on_batch(images), small.predict_on_batch(images), atol=1e-6)


def test_wrong_weights_are_refused_by_name(small, tmp_path):
    with pytest.raises(UnknownNameError, match="densenet_small"):
        build_network("resnet", 1, 64)
    with pytest.raises(ModelError, match="does not exist"):
        build_network("densenet_small", 1, 64, tmp_path / "none.npz")
    with pytest.raises(ModelError, match="only for densenet121, densenet169"):
        build_network("densenet_small", 1, 64, "imagenet")
    weights = named_weights(small)
    weights.pop("conv1_conv/kernel")
    np.savez(tmp_path / "broken.npz", **weights)
    with pytest.raises(ModelError, match="conv1_conv/kernel"):
        build_network("densenet_small", 2, 64, tmp_path / "broken.npz")
    with pytest.raises(ModelError, match="same network"):
        load_matching_weights(small, {}, strict=True)


def test_precision_is_put_back():
    before = keras.config.dtype_policy().name
    with pytest.raises(ZeroDivisionError), precision("mixed_bfloat16"):
        assert build_network("densenet_small", 1, 32).get_layer("logits").compute_dtype == "float32"
        _ = 1 / 0
    assert keras.config.dtype_policy().name == before


def test_weights_without_a_top_from_h5(tmp_path):
    """The kind of file that keras.applications offers; the outputs stay new."""
    body = keras.Model((whole := build_network("densenet_small", 1, 32)).input, whole.get_layer("relu").output)
    path = tmp_path / "notop.weights.h5"
    body.save_weights(path)
    taken = named_weights(build_network("densenet_small", 2, 32, path))
    for name, values in named_weights(body).items():
        np.testing.assert_array_equal(taken[name], values)
    path.write_bytes(b"no weights")
    with pytest.raises(ModelError, match="without its top"):
        build_network("densenet_small", 2, 32, path)


def test_weights_that_cannot_be_downloaded_are_told(monkeypatch):
    def fail(**_):
        raise Exception("URL fetch failure")

    monkeypatch.setattr(keras.applications.densenet, "DenseNet121", fail)
    with pytest.raises(ModelError, match="The ImageNet weights .*use --weights none, starter or a file"):
        build_network("densenet121", 1, 32, "imagenet")
