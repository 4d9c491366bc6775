"""A Keras network of somebody else as the start of a training: what it computes, the whole way, and what is refused."""

from __future__ import annotations

import json

import keras
import numpy as np
import pytest

from icbir_core.catalogue import Workspace, ingest
from icbir_core.cli import main
from icbir_core.errors import ModelError
from icbir_core.model.classifier import Classifier
from icbir_core.model.foreign import FilmForm
from icbir_core.model.foreign_start import make_form
from icbir_core.model.network import build_network
from icbir_core.radiograph.network_input import standardise
from icbir_core.retrieval.retriever import Retriever
from icbir_core.saliency.methods import choose_map
from tests.helpers import foreign_encoders as tiny
from tests.helpers.labelled_films import make_effusions, write_labelled

LAST = {"channels_first": False}


@pytest.fixture
def file(tmp_path):
    """The tiny network, and its manifest beside it."""
    path = tiny.write_keras(tmp_path / "tiny.keras")
    tiny.write_manifest(path.with_suffix(".json"), input=tiny.make_manifest()["input"] | LAST)
    return path


def change(file, **entries) -> None:
    facts = json.loads(file.with_suffix(".json").read_text())
    file.with_suffix(".json").write_text(json.dumps(facts | entries))


@pytest.mark.parametrize(
    "entries",
    [
        {"channels": 1, "range": [-1024, 1024]},
        {"channels": 3, "range": [0, 255], "mean": [100, 110, 120], "deviation": [50, 60, 70]},
    ],
    ids=["one channel", "three"],
)
def test_a_film_goes_in_as_the_manifest_says(entries):
    images, form = np.random.default_rng(0).random((2, 8, 8)).astype(np.float32), FilmForm.read(entries | LAST)
    found = np.asarray(make_form(form)(standardise(images)))
    np.testing.assert_allclose(found, form.prepare(images), atol=1e-3 * (form.high - form.low) / 255)


def test_it_computes_what_it_computed_and_all_but_its_input_learns(file):
    model = build_network("tiny patches", 3, tiny.SIDE, file)
    images = np.random.default_rng(1).random((4, tiny.SIDE, tiny.SIDE)).astype(np.float32)
    read = keras.Model(model.input, [model.get_layer(name).output for name in ("relu", "avg_pool")])
    places, features = (np.asarray(one) for one in read(standardise(images)))
    assert places.shape == (4, 4, 4, tiny.WIDTH) and model.output_shape == (None, 3)
    np.testing.assert_allclose(features, tiny.describe_slowly(images, -1, 1), atol=1e-4)
    assert [variable.path.split("/")[-2] for variable in model.trainable_variables] == ["places", "logits", "logits"]


@pytest.mark.parametrize(
    ("entries", "size", "words"),
    [
        ({}, 64, "takes films of 32 × 32; leave --size out"),
        ({"embedding": {"output": "features", "width": 6}}, 32, "pooled by the mean, not 'none'"),
        ({"embedding": {"output": "features", "width": 6, "pooling": "mean"}}, 32, "has the shape"),
        ({"embedding": {"output": "places", "width": 7, "pooling": "mean"}}, 32, "7 values a place"),
        ({"embedding": {"output": "nowhere", "width": 6, "pooling": "mean"}}, 32, "nowhere"),
        ({"input": {"size": 32, "channels": 3, "channels_first": False}}, 32, r"not \(32, 32, 3\)"),
    ],
)
def test_what_cannot_be_trained_is_said(file, entries, size, words):
    change(file, **entries)
    with pytest.raises(ModelError, match=words):
        build_network("tiny patches", 2, size, file)


def test_layers_of_one_name_are_refused(file):
    inner = [keras.Sequential([keras.Input((32, 32, 1)), keras.layers.Conv2D(1, 1, name="same")]) for _ in range(2)]
    films = keras.Input((32, 32, 1))
    keras.Model(films, keras.layers.Conv2D(6, 8, 8, name="places")(inner[1](inner[0](films)))).save(file)
    with pytest.raises(ModelError, match="several layers of one name"):
        build_network("tiny patches", 2, 32, file)


def test_grad_cam_where_no_rules_are_promised():
    assert choose_map("densenet121") == "lrp_composite" and choose_map("resnet50", "deep_taylor") == "deep_taylor"
    assert choose_map("tiny patches") == choose_map("tiny patches", "deep_taylor") == "grad_cam"
    assert choose_map("tiny patches", "occlusion") == "occlusion"


@pytest.mark.slow
def test_fetch_train_index_query_explain(file, tmp_path, capsys):
    workspace = Workspace.create(tmp_path / "w")
    ingest(workspace, write_labelled(tmp_path, make_effusions(20)))

    def run(*words: str) -> dict:
        assert main([*words, "--json"]) == 0, capsys.readouterr().err
        return json.loads(capsys.readouterr().out.splitlines()[-1])

    path = str(workspace.path)
    run("fetch", "model", "theirs", "--file", str(file), "--manifest", str(file.with_suffix(".json")),
        "--workspace", path)  # fmt: skip
    short = ("--target", "Effusion", "--epochs", "1", "--batch-size", "8")
    told = run("train", path, *short, "--weights", "theirs", "--stage", "classifier")
    told |= run("train", path, *short, "--stage", "saliency")
    assert told["classifier"]["network"] == told["saliency"]["network"] == "tiny patches"
    assert told["saliency"]["map_method"] == "grad_cam" and told["classifier"]["input"]["size"] == tiny.SIDE
    before = keras.saving.load_model(file).get_layer("places").get_weights()[0]
    trained = Classifier.load(workspace.models / "classifier.keras").model.get_layer("foreign_network")
    assert np.abs(trained.get_layer("places").get_weights()[0] - before).max() > 0
    run("index", path, "--methods", "cnn_centred,ig_cbir")
    film, out = str(tmp_path / "films" / "3.png"), tmp_path / "map.npy"
    found = run("query", path, film, "--top-k", "2", "--method", "ig_cbir")
    assert len(found["hits"]) == 2 and run("explain", path, film, "--out", str(out))["method"] == "grad_cam"
    retriever = Retriever.open(workspace)
    assert retriever.get_target().map_method == "grad_cam" == retriever.choose_map()
    case = retriever.workspace.catalogue.cases()[0]
    assert retriever.map_of(case).method == "grad_cam" and np.isfinite(retriever.map_of(case).values).all()
