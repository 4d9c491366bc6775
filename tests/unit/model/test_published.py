"""Published networks: the same numbers as theirs, layer by layer, and a manifest that says where they come from."""

from __future__ import annotations

import subprocess
from pathlib import Path

import cv2
import keras
import numpy as np
import pytest
import tensorflow as tf

from icbir_core.errors import ManifestMismatch, ModelError, UnknownNameError
from icbir_core.findings import KNOWN_FINDINGS
from icbir_core.model import xrayvision
from icbir_core.model.classifier import Classifier
from icbir_core.model.network import build_network
from icbir_core.model.published import convert_published, find_published, list_published
from icbir_core.model.xrayvision import build_from_weights, convert_weights, name_layer, share_grey
from icbir_core.radiograph.network_input import fit_to_network, standardise
from icbir_core.settings import InputSettings
from tests.helpers.torch_python import find_torch
from tests.helpers.torch_writer import BLOCKS, draw_xrayvision, write_torch_file

WRITER = Path(__file__).parents[2] / "reference" / "write_xrayvision.py"
ROWS = list(range(18))


@pytest.fixture(scope="module")
def weights() -> dict[str, np.ndarray]:
    return draw_xrayvision()


@pytest.fixture(scope="module")
def network(weights) -> keras.Model:
    return build_from_weights(weights, ROWS)


@pytest.fixture(scope="module")
def derived(weights) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    """A film and every layer of their network for it."""
    film = make_film()
    return film, derive(weights, film)


def derive(weights: dict[str, np.ndarray], film: np.ndarray) -> dict[str, np.ndarray]:
    """Every layer of their network for a film (1, S, S, 1) from −1024 to 1024, written down from the paper."""
    outputs: dict[str, np.ndarray] = {}

    def convolve(name: str, x, stride: int = 1):
        kernel = weights[f"{name}.weight"].transpose(2, 3, 1, 0)
        around = (kernel.shape[0] - 1) // 2
        x = tf.pad(x, [[0, 0], [around, around], [around, around], [0, 0]])
        outputs[name] = tf.nn.conv2d(x, kernel, stride, "VALID").numpy()
        return outputs[name]

    def normalise(name: str, x):
        scale, shift, mean, spread = (
            weights[f"{name}.{part}"] for part in ("weight", "bias", "running_mean", "running_var")
        )
        outputs[name] = (x - mean) / np.sqrt(spread + np.float32(1e-5)) * scale + shift
        return np.maximum(outputs[name], 0)

    x = normalise("features.norm0", convolve("features.conv0", film, 2))
    x = tf.nn.max_pool2d(np.pad(x, [(0, 0), (1, 1), (1, 1), (0, 0)]), 3, 2, "VALID").numpy()
    for block, steps in enumerate(BLOCKS, start=1):
        for step in range(1, steps + 1):
            layer = f"features.denseblock{block}.denselayer{step}"
            y = convolve(f"{layer}.conv1", normalise(f"{layer}.norm1", x))
            x = np.concatenate([x, convolve(f"{layer}.conv2", normalise(f"{layer}.norm2", y))], -1)
        if block < len(BLOCKS):
            layer = f"features.transition{block}"
            x = convolve(f"{layer}.conv", normalise(f"{layer}.norm", x))
            x = tf.nn.avg_pool2d(x, 2, 2, "VALID").numpy()
    outputs["features"] = normalise("features.norm5", x).mean((1, 2))
    outputs["classifier"] = outputs["features"] @ weights["classifier.weight"].T + weights["classifier.bias"]
    return outputs


def compare(network: keras.Model, film: np.ndarray, expected: dict[str, np.ndarray]) -> int:
    """Every layer's output here against theirs, within 1e-4 of the layer's size; returns how many were compared."""
    names = {name: "avg_pool" if name == "features" else name_layer(name) for name in expected}
    layers = keras.Model(network.input, {name: network.get_layer(own).output for name, own in names.items()})
    grey = (film[..., 0] / 1024 + 1) / 2
    found = layers(standardise(grey), training=False)
    for name, values in expected.items():
        here = np.asarray(found[name])
        assert here.shape == values.shape, name
        assert np.linalg.norm(here - values) < 1e-4 * np.linalg.norm(values), name
        # No single number is wrong either; 120 layers of float32 add up to some 1e-4 of the largest.
        assert (np.abs(here - values) < 5e-4 * (values.std() + np.abs(values))).all(), name
    return len(expected)


def make_film(seed: int = 1) -> np.ndarray:
    rough = np.random.default_rng(seed).uniform(-1024, 1024, (1, 28, 28, 1)).astype(np.float32)
    return np.kron(rough, np.ones((1, 8, 8, 1), np.float32))


def test_every_layer_gives_the_same_numbers(network, derived):
    assert compare(network, *derived) == 120 + 121 + 2


def test_the_shares_of_grey_leave_no_constant():
    from icbir_core.radiograph.network_input import IMAGENET_MEAN

    assert share_grey().sum() == pytest.approx(1) and share_grey() @ IMAGENET_MEAN == pytest.approx(0.5)


def test_the_input_is_theirs_range_crop_and_size(weights, network):
    """A wide film through this project's preparation, and through theirs: centre crop, area average, −1024 to 1024."""
    pixels = cv2.resize(np.random.default_rng(2).random((30, 41), dtype=np.float32), (1031, 700))
    side = 700
    left = 1031 // 2 - side // 2
    theirs = (2 * pixels[:, left : left + side] - 1) * 1024
    theirs = cv2.resize(theirs, (224, 224), interpolation=cv2.INTER_AREA)[None, ..., None]
    here = fit_to_network(pixels, InputSettings(224, equalise=False, crop=True))
    np.testing.assert_allclose((2 * here - 1) * 1024, theirs[0, ..., 0], atol=0.01)
    logits = keras.Model(network.input, network.get_layer("logits").output)(standardise(here[None]))
    np.testing.assert_allclose(np.asarray(logits), derive(weights, theirs)["classifier"], atol=1e-3)


def test_names_of_the_vocabulary_and_operating_points():
    for network in list_published().values():
        assert set(network.outputs) <= set(KNOWN_FINDINGS) and len(network.outputs) in (11, 14, 15, 18)
        assert set(network.operating_points) == set(network.outputs)
        assert all(0 < point < 1 for point in network.operating_points.values())
    assert find_published("densenet121-res224-chex") is find_published("chex")
    assert find_published("chex").outputs["Lung Lesion"] == 14
    with pytest.raises(UnknownNameError, match="mimic_ch"):
        find_published("resnet50-res512-all")


def test_only_named_outputs_are_kept_and_the_manifest_says_what_it_is(tmp_path, weights, derived):
    file = write_torch_file(tmp_path / "chex.pt", weights)
    made = convert_published(find_published("chex"), file, tmp_path / "m" / "chex.keras")
    loaded = Classifier.load(tmp_path / "m" / "chex.keras")
    film, expected = derived
    logits, features = loaded.compute((film[..., 0] / 1024 + 1) / 2)
    rows = [0, 1, 3, 4, 7, 8, 10, 14, 15, 16, 17]
    np.testing.assert_allclose(logits, expected["classifier"][:, rows], atol=1e-3)
    np.testing.assert_allclose(features, expected["features"], atol=1e-3)
    assert loaded.findings[4] == "Effusion" and loaded.operating_points["Effusion"] == pytest.approx(0.27212676)
    assert loaded.input_settings == InputSettings(224, equalise=False, crop=True)
    np.testing.assert_allclose(loaded.calibrate(logits), 1 / (1 + np.exp(-logits)), atol=1e-6)
    card = (tmp_path / "m" / "chex.md").read_text()
    for part in ("CheXpert", "Apache-2.0", "2111.00595", made.manifest["published"]["sha256"], "Lung Lesion"):
        assert part in card
    # The same file again changes nothing; another one is refused.
    assert convert_published(find_published("chex"), file, tmp_path / "m" / "chex.keras").sha256 == made.sha256
    other = write_torch_file(tmp_path / "other.pt", weights | {"classifier.bias": weights["classifier.bias"] + 1})
    with pytest.raises(ManifestMismatch, match="SHA-256"):
        convert_published(find_published("chex"), other, tmp_path / "m" / "chex.keras")


@pytest.fixture(scope="module")
def spare() -> keras.Model:
    """A network that arrays are put into until one does not fit."""
    return build_network("densenet121", len(ROWS), 224)


@pytest.mark.parametrize("change", ["missing", "shape", "other", "colour"])
def test_a_file_of_another_network_is_refused(weights, change, spare, monkeypatch):
    monkeypatch.setattr(xrayvision, "build_network", lambda *_: spare)
    changed = dict(weights)
    if change == "missing":
        del changed["features.denseblock3.denselayer5.conv2.weight"]
    if change == "shape":
        changed["features.norm5.bias"] = np.zeros(7, np.float32)
    if change == "other":
        changed["layer4.0.conv1.weight"] = np.zeros((1, 1, 1, 1), np.float32)
    if change == "colour":
        changed["features.conv0.weight"] = np.zeros((64, 3, 7, 7), np.float32)
    with pytest.raises(ModelError):
        build_from_weights(changed, ROWS)
    with pytest.raises(ModelError, match="last layer"):
        build_from_weights({}, ROWS)


def test_files_of_parallel_training_and_older_names(weights):
    renamed = {
        f"module.{name}".replace("norm1.", "norm.1.").replace("conv2.", "conv.2."): v for name, v in weights.items()
    }
    assert set(convert_weights(renamed, ROWS)) == set(convert_weights(weights, ROWS))


@pytest.mark.slow
@pytest.mark.timeout(1500)
def test_torchxrayvision_itself_gives_the_same_numbers(tmp_path):
    """Files that PyTorch wrote of TorchXRayVision's own network, in all three ways, and its own outputs."""
    from icbir_core.model.torch_files import read_torch_weights

    # torchvision is not needed
    python = find_torch(
        tmp_path, "pandas", "scikit-image", "imageio", "requests", "tqdm", alone=("torchxrayvision==1.5.7",)
    )
    subprocess.run([python, str(WRITER), str(tmp_path)], check=True)
    read = {name: read_torch_weights(tmp_path / f"{name}.pt") for name in ("zip", "legacy", "state")}
    for other in ("legacy", "state"):
        assert set(read[other]) == set(read["zip"])
        assert all(np.array_equal(read[other][name], values) for name, values in read["zip"].items())
    with np.load(tmp_path / "outputs.npz") as stored:
        outputs = {name: stored[name] for name in stored.files}
    film = outputs.pop("film")
    assert compare(build_from_weights(read["zip"], ROWS), film, outputs) == 120 + 121 + 2
