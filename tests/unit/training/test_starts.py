"""What `train --weights` may name, and which network and input come with it."""

from __future__ import annotations

import json

import pytest

from icbir_core.catalogue import Workspace
from icbir_core.cli import main
from icbir_core.errors import ManifestMismatch, ModelError
from icbir_core.files import sha256_of_file
from icbir_core.settings import InputSettings
from icbir_core.training.starts import Start, find_start
from tests.helpers import foreign_encoders as tiny


@pytest.fixture
def workspace(tmp_path) -> Workspace:
    return Workspace.create(tmp_path / "w")


def install(workspace: Workspace, name: str, ending: str) -> None:
    """An encoder's two files, as `fetch model --manifest` leaves them."""
    folder = workspace.models / "encoders"
    folder.mkdir(parents=True)
    file = folder / f"{name}{ending}"
    file.write_bytes(b"weights")
    facts = {"format": 1, "file": file.name, "sha256": sha256_of_file(file)}
    file.with_suffix(".json").write_text(json.dumps(tiny.make_manifest(**facts)))


def test_words_and_files(workspace, tmp_path):
    assert find_start(workspace, None) == Start(None, "densenet121", InputSettings())
    assert find_start(workspace, "imagenet").weights == "imagenet" and find_start(workspace, "none").weights == "none"
    starter = find_start(workspace, "starter")
    assert starter.weights.endswith("starter_classifier.npz") and starter.network == "densenet121"
    alone = tmp_path / "alone.npz"
    alone.write_bytes(b"weights")
    assert find_start(workspace, str(alone)) == Start(str(alone))
    facts = {"network": "resnet50", "input": {"size": 320, "equalise": False, "crop": True, "channels": 3}}
    alone.with_suffix(".json").write_text(json.dumps(facts))
    assert find_start(workspace, str(alone)) == Start(str(alone), "resnet50", InputSettings(320, False, True))
    alone.with_suffix(".json").write_text('{"network": "resnet50"')
    with pytest.raises(ModelError, match=r"alone\.json"):
        find_start(workspace, str(alone))


def test_encoders_by_their_names(workspace):
    shipped = find_start(workspace, "lite0")
    assert shipped.weights.endswith("lite0.npz") and shipped.network == "efficientnet_lite0"
    assert shipped.input.size == 224
    install(workspace, "theirs", ".keras")
    start = find_start(workspace, "theirs")
    assert start.network == "tiny patches" and start.input == InputSettings(tiny.SIDE, False)
    manifest = workspace.models / "encoders" / "theirs.json"
    manifest.write_text(manifest.read_text().replace('"equalise": false, ', ""))
    assert not find_start(workspace, "theirs").input.equalise, "as docs/how-to/foreign-encoder.md says"
    (workspace.models / "encoders" / "theirs.keras").write_bytes(b"others")
    with pytest.raises(ManifestMismatch, match="theirs"):
        find_start(workspace, "theirs")


def test_a_network_in_onnx_is_refused_in_one_sentence(workspace, tmp_path, capsys):
    install(workspace, "graph", ".onnx")
    for given in ("graph", str(tmp_path / "any.onnx")):
        assert main(["train", str(workspace.path), "--target", "Effusion", "--weights", given]) == 1
        said = capsys.readouterr().err.strip().splitlines()[-1]
        assert "in ONNX, which cannot be trained; give it as a Keras model" in said
