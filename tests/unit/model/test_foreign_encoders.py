"""Encoders of other makers, in ONNX and Keras: against a slow form, through the commands, and what is refused."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace

import numpy as np
import pytest

from icbir_core.catalogue import Workspace
from icbir_core.cli import main
from icbir_core.errors import ManifestMismatch, ModelError, SaliencyError, UnknownNameError
from icbir_core.model.encoders import load_encoder
from icbir_core.model.foreign import FilmForm, ForeignNetwork
from icbir_core.model.onnx_files import hash_external_files
from icbir_core.pipeline.install_encoder import install_encoder
from icbir_core.retrieval import model_choice, opened_target
from icbir_core.retrieval.model_choice import Models
from icbir_core.saliency.encoder_maps import explain_encoder
from tests.helpers import foreign_encoders as tiny
from tests.helpers.small_workspace import FINDINGS, ingest_films, make_classifier, write_films

ENDINGS = ("onnx", "keras")


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """A file of each kind, and a manifest each."""
    folder = tmp_path_factory.mktemp("foreign")
    tiny.write_onnx(folder / "tiny.onnx")
    tiny.write_keras(folder / "tiny.keras")
    tiny.write_manifest(folder / "onnx.json")
    form = tiny.make_manifest()["input"] | {"channels_first": False}
    tiny.write_manifest(folder / "keras.json", input=form)
    return folder


@pytest.fixture
def workspace(tmp_path) -> Workspace:
    return Workspace.create(tmp_path / "w")


@pytest.fixture(scope="module", params=ENDINGS)
def encoder(request, files, tmp_path_factory):
    other = Workspace.create(tmp_path_factory.mktemp("w") / "w")
    return install_encoder(request.param, files / f"tiny.{request.param}", files / f"{request.param}.json", other)


def draw_films(count: int, side: int = tiny.SIDE) -> np.ndarray:
    return np.random.default_rng(0).random((count, side, side)).astype(np.float32)


def test_features_and_scores_are_those_of_the_network(encoder):
    images = draw_films(19)
    expected = tiny.describe_slowly(images, -1, 1)
    np.testing.assert_allclose(encoder.features(images), expected, atol=1e-5)
    places = encoder.map_features(images[:2])
    assert places.shape == (2, 4, 4, tiny.WIDTH)
    np.testing.assert_allclose(places.mean(axis=(1, 2)), expected[:2], atol=1e-5)
    np.testing.assert_allclose(encoder.scores(images), expected @ tiny.draw_weights()["head"], atol=1e-4)
    assert encoder.features(images[:0]).shape == (0, tiny.WIDTH) and encoder.head is None


def run_tokens(films: np.ndarray, outputs: tuple[str, ...]) -> list[np.ndarray]:
    """Nine tokens of 6 values: the number of the token, of the value, and the film's mean."""
    means = films.mean(axis=(1, 2, 3))[:, None, None]
    return [means + 10 * np.arange(9)[None, :, None] + np.arange(6)[None, None, :] for _ in outputs]


def test_tokens_are_pooled_as_the_manifest_says():
    """As vision transformers give them: the first stands for the film, or all of them fill a square."""
    images = draw_films(3)
    means = images.mean(axis=(1, 2))[:, None]
    for pooling, token in (("first", 0), ("mean", 40)):
        entries = {"output": "", "width": 6, "pooling": pooling}
        form = {"size": tiny.SIDE, "channels": 1}
        network = ForeignNetwork("t", tiny.make_manifest(embedding=entries, input=form), run_tokens)
        np.testing.assert_allclose(network.features(images), means + token + np.arange(6), rtol=1e-5)
    assert network.map_features(images).shape == (3, 3, 3, 6)
    ten = ForeignNetwork("t", tiny.make_manifest(embedding=entries, input=form),
                         lambda films, _: [np.ones((len(films), 10, 6))])  # fmt: skip
    with pytest.raises(ModelError, match="10 tokens, which fill no square"):
        ten.features(images)
    blank = ForeignNetwork("t", tiny.make_manifest(embedding=entries, input=form),
                           lambda films, _: [np.full((len(films), 9, 6), np.nan)])  # fmt: skip
    with pytest.raises(ModelError, match="must give finite values"):
        blank.features(images)


def test_occlusion_shows_what_the_score_rests_on(encoder):
    """Only the patch at the top left is not grey: nothing else can change the score."""
    image = np.full((tiny.SIDE, tiny.SIDE), 0.449, np.float32)
    image[:8, :8] = draw_films(1)[0, :8, :8]
    found = explain_encoder(encoder, image, "Effusion")
    assert (found.method, found.finding, found.network, found.signed) == ("occlusion", "Effusion", "Tiny", True)
    assert np.abs(found.values[:8, :8]).max() > 1e-3 and np.abs(found.values[12:, 12:]).max() < 1e-4
    described = explain_encoder(replace(encoder, scores=None), image, None)
    assert described.finding == "" and not described.signed and described.values[:8, :8].max() > 0
    assert described.values.min() >= 0 and described.values[12:, 12:].max() < 1e-4


def test_what_cannot_be_explained_is_named(encoder):
    film = draw_films(1)[0]
    with pytest.raises(SaliencyError, match="Tiny has no rules for lrp_composite; use --method occlusion"):
        explain_encoder(encoder, film, "Effusion", "lrp_composite")
    with pytest.raises(UnknownNameError, match="Nodule"):
        explain_encoder(encoder, film, "Nodule")
    with pytest.raises(SaliencyError, match="only describes films"):
        explain_encoder(replace(encoder, scores=None), film, "Effusion")


def test_a_film_goes_in_as_the_manifest_says():
    images = draw_films(2, 4)
    form = FilmForm.read({"channels": 3, "range": [0, 255], "mean": [100, 110, 120], "deviation": [50]})
    found = form.prepare(images)
    assert found.shape == (2, 3, 4, 4) and found.dtype == np.float32
    np.testing.assert_allclose(found[1, 2], (255 * images[1].astype(np.float64) - 120) / 50, atol=1e-4)
    last = FilmForm.read({"channels": 1, "channels_first": False, "range": [-1024, 1024]}).prepare(images)
    np.testing.assert_allclose(last[..., 0], -1024 + 2048 * images.astype(np.float64), atol=1e-2)


def test_contrast_is_not_equalised_unless_the_manifest_says_so(files, workspace, tmp_path):
    manifest = tiny.write_manifest(tmp_path / "m.json", input={"size": tiny.SIDE, "channels": 1, "range": [-1, 1]})
    assert not install_encoder("plain", files / "tiny.onnx", manifest, workspace).input_settings.equalise


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"input": {"size": 32, "channels": 2}}, "channels are 1 or 3"),
        ({"input": {"size": 32, "range": [1, 0]}}, "range is"),
        ({"input": {"channels": 1}}, "size"),
        ({"input": {"size": 32, "channels": 1, "deviation": [0]}}, "deviation is above 0"),
        ({"embedding": {"output": "places", "width": 6, "pooling": "max"}}, "pooling is one of"),
        ({"embedding": {"output": "places", "width": 7, "pooling": "mean"}}, "must give finite values"),
        ({"embedding": {"output": "nowhere", "width": 6}}, "no output 'nowhere', only places, features, logits"),
        ({"findings_output": ""}, "findings_output names"),
        ({"network": "densenet121"}, "of this program's own"),
    ],
)
def test_a_manifest_that_does_not_fit_is_refused(files, workspace, tmp_path, change, words):
    manifest = tiny.write_manifest(tmp_path / "m.json", **change)
    with pytest.raises(ModelError, match=words):
        install_encoder("tiny", files / "tiny.onnx", manifest, workspace)
    assert not list(workspace.models.glob("encoders/*"))


@pytest.mark.parametrize(
    ("graph", "words"),
    [
        ({"domain": "org.example"}, "wants operators of org.example"),
        ({"external": "../weights.bin"}, "from outside its folder"),
        ({"external": "/etc/hostname"}, "from outside its folder"),
    ],
)
def test_a_graph_that_wants_more_than_its_folder_and_standard_operators_is_refused(
    workspace, tmp_path, graph, words, files
):
    file = tiny.write_onnx(tmp_path / "evil.onnx", **graph)
    with pytest.raises(ModelError, match=words):
        install_encoder("evil", file, files / "onnx.json", workspace)


def give_node_sparse(model, tensor, part):
    node = model.graph.node.add(op_type="Constant", output=["sparse"])
    getattr(node.attribute.add(name="sparse_value", type=11).sparse_tensor, part).CopyFrom(tensor)


def give_node_sparse_list(model, tensor, part):
    function = model.functions.add(name="f", domain="own").node.add(op_type="f", domain="own")
    getattr(function.attribute.add(name="many", type=12).sparse_tensors.add(), part).CopyFrom(tensor)


def give_graph_sparse(model, tensor, part):
    getattr(model.graph.sparse_initializer.add(), part).CopyFrom(tensor)


def give_training(model, tensor, part):
    model.training_info.add().algorithm.initializer.add().CopyFrom(tensor)


@pytest.mark.parametrize("part", ["values", "indices"])
@pytest.mark.parametrize("give", [give_node_sparse, give_node_sparse_list, give_graph_sparse, give_training])
def test_weights_outside_the_folder_are_found_wherever_a_tensor_may_stand(tmp_path, give, part):
    onnx = pytest.importorskip("onnx")
    file = tiny.write_onnx(tmp_path / "evil.onnx")
    assert hash_external_files(file) == {}
    model = onnx.load(str(file))
    tensor = onnx.TensorProto(data_type=1, dims=[1], data_location=onnx.TensorProto.EXTERNAL)
    tensor.external_data.add(key="location", value="../weights.bin")
    give(model, tensor, part)
    file.write_bytes(model.SerializeToString())
    with pytest.raises(ModelError, match="from outside its folder"):
        hash_external_files(file)


def test_a_link_out_of_the_folder_and_a_file_that_is_no_graph_are_refused(workspace, tmp_path, files):
    file = tiny.write_onnx(tmp_path / "evil.onnx", external="weights.bin")
    shutil.move(tmp_path / "weights.bin", tmp_path.parent / f"{tmp_path.name}.bin")
    (tmp_path / "weights.bin").symlink_to(tmp_path.parent / f"{tmp_path.name}.bin")
    with pytest.raises(ModelError, match="from outside its folder"):
        install_encoder("evil", file, files / "onnx.json", workspace)
    (tmp_path / "text.onnx").write_text("no graph")
    (tmp_path / "text.keras").write_text("no model")
    for ending in ENDINGS:
        with pytest.raises(ModelError, match="damaged|cannot be run"):
            install_encoder("text", tmp_path / f"text.{ending}", files / f"{ending}.json", workspace)


def test_weights_beside_the_graph_are_hashed_and_copied(workspace, tmp_path, files):
    file = tiny.write_onnx(tmp_path / "two.onnx", external="weights.bin")
    found = install_encoder("two", file, files / "onnx.json", workspace)
    assert set(found.manifest["files"]) == {"weights.bin"}
    beside = workspace.models / "encoders" / "weights.bin"
    data = bytearray(beside.read_bytes())
    data[0] ^= 1
    beside.write_bytes(data)
    with pytest.raises(ManifestMismatch, match=r"weights\.bin"):
        load_encoder(workspace.models / "encoders" / "two.json")


def test_another_range_is_another_encoder(files, workspace, tmp_path):
    first = install_encoder("tiny", files / "tiny.onnx", files / "onnx.json", workspace)
    form = tiny.make_manifest()["input"] | {"range": [0, 1]}
    second = install_encoder(
        "tiny", files / "tiny.onnx", tiny.write_manifest(tmp_path / "m.json", input=form), workspace
    )
    assert first.manifest["sha256"] == second.manifest["sha256"] and first.sha256 != second.sha256
    with pytest.raises(ModelError, match="another 'tiny.onnx'"):
        install_encoder(
            "tiny", tiny.write_onnx(tmp_path / "x.onnx", external="weights.bin"), files / "onnx.json", workspace
        )


@pytest.mark.parametrize("ending", ENDINGS)
def test_from_fetch_to_index_query_and_explain(files, workspace, tmp_path, ending, monkeypatch, capsys):
    films = write_films(tmp_path / "films", range(6))
    ingest_films(workspace, films)
    models = Models(make_classifier(FINDINGS, 1), None, "Effusion", starter=False)
    for module in (model_choice, opened_target):
        monkeypatch.setattr(module, "load_models", lambda *_: models)
    path, film = str(workspace.path), str(films / "images" / "sim_3.png")

    def run(*words: str) -> dict:
        assert main([*words, "--json"]) == 0
        return json.loads(capsys.readouterr().out.splitlines()[-1])

    file, manifest = str(files / f"tiny.{ending}"), str(files / f"{ending}.json")
    told = run("fetch", "model", "theirs", "--file", file, "--manifest", manifest, "--workspace", path)
    assert told["width"] == tiny.WIDTH and len(told["sha256"]) == 64
    assert (
        "encoders_centred" in run("index", path, "--encoders", "theirs", "--methods", "encoders_centred,cnn")["indexes"]
    )
    answer = run("query", path, film, "--top-k", "3")
    assert answer["method"] == "encoders_centred" and "encoder/theirs" in answer["versions"]
    out = tmp_path / "map.npy"
    said = run("explain", path, film, "--encoder", "theirs", "--target", "Effusion", "--out", str(out))
    assert said["method"] == "occlusion" and said["network"] == "Tiny" and np.abs(np.load(out)).max() > 0
    case = answer["hits"][0]["case_id"]
    run("explain", path, film, "--method", "similarity", "--hit", case, "--out", str(out))
