"""Networks by ONNX Runtime: each list of layers against Keras, each output and map against TensorFlow."""

from __future__ import annotations

import json
import os

import cv2
import keras
import numpy as np
import pytest

from icbir_core.errors import ManifestMismatch, ModelError
from icbir_core.model import device, onnx_network
from icbir_core.model.classifier import Classifier
from icbir_core.model.layer_tables import KERNELS, read_layers
from icbir_core.model.network import build_network, load_matching_weights, named_weights
from icbir_core.model.onnx_files import open_session
from icbir_core.model.onnx_graph import GraphWriter, take_films
from icbir_core.model.onnx_network import open_network
from icbir_core.model.starter import save_starter, starter_path
from icbir_core.phantom import simulate_film
from icbir_core.radiograph.network_input import fit_to_network, standardise
from icbir_core.retrieval.embedding import Embedder
from icbir_core.saliency.onnx_relevance import run_propagation
from icbir_core.saliency.registry import attribute, attribute_output
from scripts.record_layers import describe_layers
from tests.helpers.tiny_network import tiny_networks

# Sides at which a stride of two meets odd and even ones, and pooling leaves a rest.
NETWORKS = (("densenet_small", 72), ("efficientnet_lite0", 75), ("resnet50", 72))
METHODS = ("deep_taylor", "lrp_composite")
MANIFEST = {"findings": ["Effusion", "Edema", "Mass"], "network": "densenet_small", "input": {"size": 64}}


def draw_weights(model: keras.Model, seed: int) -> keras.Model:
    """Every weight drawn, so that a layer that is left out or has another's weights changes what comes out."""
    generator = np.random.default_rng(seed)
    ranges = {"gamma": (0.7, 1.2), "beta": (-0.1, 0.3), "moving_mean": (-0.2, 0.2), "moving_variance": (0.5, 1.5)}
    for variable in model.variables:
        low, high = ranges.get(variable.name, (-0.1, 0.1))
        if variable.name != "kernel":
            variable.assign(generator.uniform(low, high, variable.shape))
        else:
            spread = np.sqrt(2 / np.prod(variable.shape[:-1]))
            variable.assign(generator.normal(0, spread if len(variable.shape) == 4 else 0.3, variable.shape))
    return model


def make_films(size: int, count: int = 3) -> np.ndarray:
    """float32 (N, size, size) in [0, 1], smooth, with a black corner."""
    noise = np.random.default_rng(0).random((count, size, size)).astype(np.float32)
    films = np.stack([cv2.GaussianBlur(one, (0, 0), 2.0 + number) for number, one in enumerate(noise)])
    low, high = films.min(axis=(1, 2), keepdims=True), films.max(axis=(1, 2), keepdims=True)
    films = (films - low) / (high - low)
    films[:, : size // 8, : size // 8] = 0
    return films


@pytest.fixture(scope="module", params=NETWORKS, ids=[name for name, _ in NETWORKS])
def pair(request):
    """The same drawn weights in Keras and for ONNX Runtime."""
    name, size = request.param
    keras.utils.set_random_seed(1)
    model, films = draw_weights(build_network(name, 3, size), 5), standardise(make_films(size))
    head = model.get_layer("logits")
    logits = np.asarray(keras.Model(model.input, head.output)(films, training=False))
    head.kernel.assign(head.kernel / np.abs(logits).max())  # else a probability is 0, and its map empty
    network = open_network(name, named_weights(model), 3, size)
    assert network is not None
    return model, network, films


def check_close(found: np.ndarray, expected: np.ndarray, share: float) -> None:
    assert found.dtype == np.float32 and found.shape == expected.shape
    size = np.abs(expected).max()
    assert size > 0 and np.ptp(expected) > 1e-3 * size
    np.testing.assert_allclose(found, expected, atol=share * size, rtol=0)


def check_maps(found: np.ndarray, expected: np.ndarray) -> None:
    """Equal but for a spot or two: of two pixels under one window of the max pooling that are equal but for rounding,
    either may be the largest, and takes all."""
    assert found.dtype == np.float32 and found.shape == expected.shape
    for one, other in zip(found, expected, strict=True):
        largest = np.abs(other).max()
        assert largest > 0 and (np.abs(one - other) > 1e-4 * largest).mean() < 0.03
        assert np.linalg.norm(one - other) < 0.01 * np.linalg.norm(other)


def test_the_outputs_are_those_of_tensorflow(pair):
    model, network, films = pair
    names = ("relu", "avg_pool", "logits")
    expected = keras.Model(model.input, [model.get_layer(name).output for name in names])(films, training=False)
    for one, other in zip(network.run(films, names), expected, strict=True):
        check_close(one, np.asarray(other), 1e-5)
    alone = network.run(films[2:], names)  # another number of films, one graph
    for one, other in zip(alone, network.run(films, names), strict=True):
        check_close(one, other[2:], 1e-5)


@pytest.mark.parametrize("method", METHODS)
def test_the_maps_are_those_of_tensorflow(pair, method):
    model, network, films = pair
    found, last, features, logits = run_propagation(network, method, films, 1)
    check_maps(found, attribute_output(model, films, 1, method))
    for one, other in zip((last, features, logits), network.run(films, ("relu", "avg_pool", "logits")), strict=True):
        check_close(one, other, 1e-5)
    check_maps(run_propagation(network, method, films[1:2], 1)[0], found[1:2])
    others = run_propagation(network, method, films, 2)[0]
    assert np.abs(others - found).max() > 1e-2 * np.abs(found).max(), "each output has its own map"


# The starter model asks the same of densenet121.
SLOW = [pytest.param(name, marks=pytest.mark.slow) for name in ("densenet121", "densenet169")]


@pytest.mark.parametrize("name", [*SLOW, "densenet_small", "efficientnet_lite0", "resnet50"])
def test_a_table_holds_the_layers_that_keras_builds(name):
    layers, built = read_layers(name), describe_layers(name)
    assert layers is not None
    for layer, (title, kind, inputs, options) in zip(layers, built, strict=True):
        assert (layer.kind, list(layer.inputs), layer.options) == (kind, inputs, json.loads(json.dumps(options)))
        if kind in (*KERNELS, "batch_norm"):
            assert layer.name == title, "weights are found by it"


def test_a_starter_model_is_run_without_tensorflow_and_gives_the_same():
    path = starter_path()
    classifier = Classifier.load(path)
    pictures = [simulate_film(seed, 256).pixels / np.float32(255) for seed in (3, 4)]
    films = np.stack([fit_to_network(one, classifier.input_settings) for one in pictures])
    assert classifier.engine == device.ONNX_RUNTIME
    reference = Classifier(classifier.model, classifier.manifest)
    assert reference.engine == device.TENSORFLOW
    for one, other in zip(classifier.compute(films), reference.compute(films), strict=True):
        check_close(one, other, 1e-5)
    check_close(classifier.map_features(films), reference.map_features(films), 1e-5)
    for one, other in zip(classifier.head, reference.head, strict=True):
        np.testing.assert_array_equal(one, other)
    maps = attribute(classifier, films, "Effusion", "deep_taylor")
    check_maps(maps, attribute(reference, films, "Effusion", "deep_taylor"))
    embedder = Embedder(classifier, None, "Effusion")
    later, whole = embedder.embed(films, maps_later=True), embedder.embed(films)
    for name in ("probabilities", "cnn"):
        check_close(later.read(name), whole.read(name), 1e-5)
    assert "maps" not in vars(later) and set(later.timings_ms) == {"predict"}, "nobody has asked for the map"
    check_maps(later.maps, whole.maps)
    empty = [one.shape for one in classifier.compute(films[:0])]
    assert empty == [(0, len(classifier.findings)), (0, 1024)]


def test_what_is_no_known_network_is_left_to_tensorflow(tmp_path, monkeypatch):
    """Layers of another structure, a backbone without a table, weights that lack one, packages that are missing."""
    with tiny_networks():
        model = draw_weights(build_network("densenet_small", 3, 64), 2)
        classifier = save_starter(model, tmp_path / "other.npz", MANIFEST)
        films = make_films(64)
        assert classifier.engine == device.TENSORFLOW
        check_close(classifier.features(films), reference_features(classifier.model, films), 1e-5)
    known = build_network("densenet_small", 3, 64)
    weights = named_weights(known)
    assert open_network("densenet_small", weights, 3, 64) is not None
    assert open_network("a_network_of_somebody_else", weights, 3, 64) is None
    assert open_network("../layers/densenet_small", weights, 3, 64) is None
    assert open_network("densenet_small", weights, 2, 64) is None
    assert open_network("densenet_small", {**weights, "extra/kernel": weights["logits/kernel"]}, 3, 64) is None
    assert open_network("densenet_small", {k: v for k, v in weights.items() if k != "bn/beta"}, 3, 64) is None
    for wrong in (weights["bn/beta"][:-1], weights["bn/beta"].astype("U"), weights["bn/beta"][None]):
        assert open_network("densenet_small", {**weights, "bn/beta": wrong}, 3, 64) is None
    larger = np.pad(weights["conv1_conv/kernel"], ((1, 1), (1, 1), (0, 0), (0, 0)))
    assert open_network("densenet_small", {**weights, "conv1_conv/kernel": larger}, 3, 64) is None
    monkeypatch.setattr(onnx_network, "find_spec", lambda name: None if name == "onnxruntime" else True)
    assert open_network("densenet_small", weights, 3, 64) is None


def reference_features(model: keras.Model, films: np.ndarray) -> np.ndarray:
    layer = keras.Model(model.input, model.get_layer("avg_pool").output)
    return np.asarray(layer(standardise(films), training=False))


def test_weights_that_do_not_fit_are_refused_by_name(tmp_path):
    with tiny_networks():
        save_starter(build_network("densenet_small", 3, 64), tmp_path / "other.npz", MANIFEST)
    with pytest.raises(ModelError, match="not weights of densenet_small"):
        Classifier.load(tmp_path / "other.npz")


@pytest.mark.parametrize(("asked", "expected"), [("", 3), ("2", 2), ("all", 3), ("0", 3)])
def test_a_graph_uses_the_cores_that_this_process_may_use(asked, expected, monkeypatch):
    """By itself the runtime takes all of the machine, also cores that the operator kept from this process."""
    monkeypatch.setattr(os, "sched_getaffinity", lambda process: {1, 4, 5}, raising=False)
    monkeypatch.setenv("OMP_NUM_THREADS", asked)
    graph = GraphWriter()
    graph_file = graph.build({"out": graph.apply("Relu", take_films(graph, 4)).name})
    options = open_session(graph_file, "a graph").get_session_options()
    assert options.intra_op_num_threads == expected
    assert not options.enable_cpu_mem_arena and not options.enable_mem_pattern, "no memory stays with a graph"


def test_weights_that_are_replaced_after_one_library_read_them_are_refused_for_the_other(tmp_path):
    path = tmp_path / "one.npz"
    classifier = save_starter(build_network("densenet_small", 3, 64), path, MANIFEST)
    waiting = Classifier.load(path, when_needed=True)
    arrays = dict(np.load(path))
    np.savez(path, **arrays | {"bn/beta": arrays["bn/beta"] + 1})
    assert classifier.engine == device.ONNX_RUNTIME and classifier.features(make_films(64)).shape[0] == 3
    for read in (lambda: classifier.model, lambda: waiting.network, lambda: waiting.model):
        with pytest.raises(ManifestMismatch, match="weights in one.npz have changed"):
            read()


def test_on_a_gpu_tensorflow_runs_all(tmp_path, monkeypatch):
    model = draw_weights(build_network("densenet_small", 3, 64), 3)
    here = save_starter(model, tmp_path / "one.npz", MANIFEST)
    assert here.engine == device.ONNX_RUNTIME and load_matching_weights(model, named_weights(here.model)) == []
    monkeypatch.setattr(device, "_taken", ["gpu"])
    there, films = Classifier.load(tmp_path / "one.npz"), make_films(64)
    assert there.engine == here.engine == device.TENSORFLOW
    expected = there.features(films)
    monkeypatch.setattr(device, "_taken", [])
    check_close(here.features(films), expected, 1e-5)


def test_a_network_is_built_when_it_is_first_needed_and_its_file_checked_before(tmp_path, monkeypatch):
    path, built, opened, films = tmp_path / "classifier.npz", [], [], make_films(64)
    save_starter(build_network("densenet_small", 3, 64), path, MANIFEST)

    def build(*words):
        built.append(words)
        return build_network(*words)

    def open_it(*words):
        opened.append(words)
        return open_network(*words)

    monkeypatch.setattr("icbir_core.model.network.build_network", build)
    monkeypatch.setattr("icbir_core.model.classifier.open_network", open_it)
    loaded = Classifier.load(path, when_needed=True)
    assert not opened and loaded.findings == ("Effusion", "Edema", "Mass")
    np.testing.assert_allclose(loaded.predict(films), Classifier.load(path).predict(films), atol=1e-6)
    assert len(opened) == 2 and not built, "ONNX Runtime runs it, and nothing needs Keras"
    assert loaded.model is loaded.model and len(built) == 1
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(ManifestMismatch):
        Classifier.load(path, when_needed=True)
