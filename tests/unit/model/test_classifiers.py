"""A classifier on disk: manifest, hash, calibration; and starter files in float16."""

from __future__ import annotations

import json

import keras
import numpy as np
import pytest

from icbir_core.errors import ManifestMismatch, ModelError, UnknownNameError
from icbir_core.model.classifier import Classifier, manifest_path, save_classifier
from icbir_core.model.device import compile_network
from icbir_core.model.network import build_network
from icbir_core.model.starter import CLASSIFIER_FILE, SALIENCY_FILE, load_starter, save_starter
from icbir_core.radiograph.network_input import standardise
from tests.helpers.tiny_network import tiny_networks

MANIFEST = {
    "network": "densenet_small",
    "findings": ["Effusion", "Mass"],
    "input": {"size": 32, "equalise": True},
    "calibration": {"Effusion": {"temperature": 2.0, "offset": 0.5, "fitted": True}},
    "operating_points": {"Effusion": 0.4, "Mass": 0.5},
}


@pytest.fixture(scope="module", autouse=True)
def small_networks():
    """What is asked is how a network is kept, not what it is made of."""
    with tiny_networks():
        yield


@pytest.fixture(scope="module")
def network():
    keras.utils.set_random_seed(4)
    return build_network("densenet_small", 2, 32)


@pytest.fixture(scope="module")
def images():
    return np.random.default_rng(0).random((5, 32, 32)).astype(np.float32)


def test_saved_and_loaded_alike(network, images, tmp_path):
    saved = save_classifier(network, tmp_path / "classifier.keras", MANIFEST)
    loaded = Classifier.load(tmp_path / "classifier.keras")
    assert loaded.sha256 == saved.sha256 and loaded.findings == ("Effusion", "Mass")
    np.testing.assert_allclose(loaded.predict(images), saved.predict(images), atol=1e-6)
    assert loaded.features(images).shape == (5, network.get_layer("avg_pool").output.shape[-1])
    assert loaded.features(images).min() >= 0
    assert loaded.predict(images[:0]).shape == (0, 2)


def test_calibration_is_applied_by_finding(network, images, tmp_path):
    classifier = save_classifier(network, tmp_path / "classifier.keras", MANIFEST)
    logits, _ = classifier.compute(images)
    expected = 1 / (1 + np.exp(-np.stack([logits[:, 0] / 2 + 0.5, logits[:, 1]], axis=1)))
    np.testing.assert_allclose(classifier.predict(images), expected, rtol=1e-5)
    assert classifier.operating_points["Effusion"] == 0.4


def test_one_film_and_many_agree(network, images, tmp_path):
    classifier = save_classifier(network, tmp_path / "classifier.keras", MANIFEST)
    alone = np.concatenate([classifier.predict(image[None]) for image in images])
    np.testing.assert_allclose(alone, classifier.predict(images), atol=1e-5)


def test_a_compiled_network_is_traced_once_for_all_batches_and_follows_its_weights(images):
    network = build_network("densenet_small", 2, 32)
    run = compile_network(network)
    for count in (1, 3, 5):
        films = standardise(images[:count])
        np.testing.assert_allclose(run(films), network(films, training=False), rtol=1e-4, atol=1e-6)
    assert run.experimental_get_tracing_count() == 1
    network.get_layer("logits").bias.assign([50.0, -50.0])
    np.testing.assert_allclose(run(films), [[1.0, 0.0]] * 5, atol=1e-3)


def test_what_does_not_fit_is_named(network, images, tmp_path):
    path = tmp_path / "classifier.keras"
    classifier = save_classifier(network, path, MANIFEST)
    with pytest.raises(UnknownNameError, match="Effusion, Mass"):
        classifier.output_index("Hernia")
    with pytest.raises(ModelError, match=r"\(N, 32, 32\)"):
        classifier.predict(np.zeros((1, 64, 64), np.float32))
    with pytest.raises(ModelError, match="run `train`"):
        Classifier.load(tmp_path / "other.keras")
    stored = json.loads(manifest_path(path).read_text())
    manifest_path(path).write_text(json.dumps({**stored, "sha256": "0" * 64}))
    with pytest.raises(ManifestMismatch, match="SHA-256"):
        Classifier.load(path)
    manifest_path(path).write_text(json.dumps({**stored, "format": 99}))
    with pytest.raises(ModelError, match="newer version of this program"):
        Classifier.load(path)
    stored.pop("findings")
    manifest_path(path).write_text(json.dumps(stored))
    with pytest.raises(ModelError, match="lacks findings"):
        Classifier.load(path)


def test_starter_pair(network, images, tmp_path):
    classifier = save_starter(network, tmp_path / CLASSIFIER_FILE, MANIFEST)
    pair = {**MANIFEST, "classifier": classifier.sha256, "target": "Effusion"}
    save_starter(network, tmp_path / SALIENCY_FILE, pair)
    first, second = load_starter(tmp_path)
    exact = save_classifier(network, tmp_path / "exact.keras", MANIFEST)
    np.testing.assert_allclose(first.predict(images), exact.predict(images), atol=0.01)
    assert second.manifest["target"] == "Effusion"
    assert (tmp_path / CLASSIFIER_FILE).stat().st_size < 2.5 * network.count_params() + 60_000

    save_starter(network, tmp_path / SALIENCY_FILE, {**pair, "classifier": "1" * 64})
    with pytest.raises(ModelError, match="do not belong together"):
        load_starter(tmp_path)
    with (tmp_path / CLASSIFIER_FILE).open("r+b") as stream:
        stream.seek(5000)
        stream.write(b"x")
    with pytest.raises(ManifestMismatch):
        load_starter(tmp_path)
    with pytest.raises(ModelError, match="is missing in"):
        load_starter(tmp_path / "empty")


def test_too_large_for_float16_is_refused(tmp_path):
    network = build_network("densenet_small", 2, 32)
    layer = network.get_layer("logits")
    layer.set_weights([layer.get_weights()[0] + 1e6, layer.get_weights()[1]])
    with pytest.raises(ModelError, match="logits/kernel"):
        save_starter(network, tmp_path / CLASSIFIER_FILE, MANIFEST)
