"""The data randomisation test on a workspace of simulated films: two networks that differ in their labels alone."""

from __future__ import annotations

import json
import os
from dataclasses import replace

import cv2
import numpy as np
import pytest

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

from icbir_core.catalogue import IngestOptions, Workspace, ingest
from icbir_core.cli import main
from icbir_core.errors import TrainingError, UnknownNameError
from icbir_core.model.classifier import Classifier
from icbir_core.model.starter import starter_path
from icbir_core.phantom import simulate_film
from icbir_core.retrieval import model_choice
from icbir_core.retrieval.model_choice import Models
from icbir_core.saliency.checks import CheckRow, to_plain
from icbir_core.settings import InputSettings
from icbir_core.training import shuffled_labels, side_networks
from icbir_core.training.shuffled_labels import ShuffleOptions, check_shuffled_labels, shuffle_labels

pytestmark = pytest.mark.usefixtures("small_networks")


@pytest.fixture(scope="module")
def workspace(tmp_path_factory):
    """24 films, every other one with an effusion, of 24 patients."""
    folder = tmp_path_factory.mktemp("shuffled")
    (folder / "images").mkdir()
    lines = ["file,patient,Effusion"]
    for seed in range(24):
        film = simulate_film(seed, 64, ("Effusion",) if seed % 2 else ())
        cv2.imwrite(str(folder / "images" / f"{seed}.png"), film.pixels)
        lines.append(f"{seed}.png,p{seed},{seed % 2}")
    (folder / "labels.csv").write_text("\n".join(lines) + "\n")
    opened = Workspace.create(folder / "workspace")
    ingest(opened, IngestOptions(layout="folder", images=folder / "images", labels=folder / "labels.csv"))
    return opened


OPTIONS = ShuffleOptions("Effusion", input=InputSettings(size=32), epochs=2, methods=("deep_taylor",), device="cpu")


def test_labels_are_dealt_out_anew_among_the_films_trained_on():
    labels, held_back = np.arange(40, dtype=np.float32)[:, None], np.arange(40) % 5 == 0
    shuffled = shuffle_labels(labels, held_back, seed=3)
    np.testing.assert_array_equal(shuffled[held_back], labels[held_back])
    np.testing.assert_array_equal(np.sort(shuffled[:, 0]), labels[:, 0])
    assert (shuffled[~held_back] != labels[~held_back]).mean() > 0.8
    np.testing.assert_array_equal(shuffled, shuffle_labels(labels, held_back, seed=3))
    assert (shuffled != shuffle_labels(labels, held_back, seed=4)).any()


@pytest.fixture(scope="module")
def resumed(workspace):
    """Rows of a run that was killed in its second training and called again; what the second call told of itself."""

    def stop(done: int, total: int, text: str) -> None:
        if text.startswith("shuffled labels, epoch 2"):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        check_shuffled_labels(workspace, OPTIONS, stop)
    texts = []
    return check_shuffled_labels(workspace, OPTIONS, lambda done, total, text: texts.append(text)), texts


def test_both_networks_are_scored_and_their_maps_compared(resumed):
    rows, _ = resumed
    found = {(row.check, row.method, row.subject) for row in rows}
    for name in ("true labels", "shuffled labels"):
        assert ("AUROC", f"network of {name}", f"films trained on, {name}") in found
        assert ("AUROC", f"network of {name}", "films held back, true labels") in found
    for check in ("shuffled labels", "different films"):
        assert {(check, "deep_taylor", "cosine"), (check, "deep_taylor", "Spearman")} <= found
    same = next(row for row in rows if row.check == "shuffled labels")
    assert same.films == 4 and same.value < 1


def test_a_killed_run_goes_on_and_nothing_is_trained_twice(workspace, resumed, monkeypatch):
    rows, texts = resumed
    assert "shuffled labels, epoch 2 of 2" in texts and "maps: deep_taylor" in texts
    assert not any(text.startswith("true labels, epoch") or "epoch 1 " in text for text in texts)
    monkeypatch.setattr(side_networks, "train", None)
    assert to_plain(check_shuffled_labels(workspace, OPTIONS)) == to_plain(rows)


@pytest.mark.slow
def test_a_network_that_can_learn_by_heart_does_so(workspace):
    """Otherwise the comparison would be one of two untrained networks."""
    rows = check_shuffled_labels(workspace, replace(OPTIONS, epochs=150, methods=()))
    learnt = [row.value for row in rows if row.check == "AUROC" and row.subject.startswith("films trained on")]
    assert len(learnt) == 2 and min(learnt) > 0.9


@pytest.fixture
def unbuilt(monkeypatch) -> None:
    """The command reads the manifest of the starter classifier; its network, which it does not ask, is not built."""
    starter = Classifier.load(starter_path(), when_needed=True)
    monkeypatch.setattr(model_choice, "load_models", lambda *_: Models(starter, None, "Effusion", starter=True))


@pytest.mark.usefixtures("unbuilt")
def test_what_cannot_be_checked_is_said(workspace, capsys):
    with pytest.raises(TrainingError, match="8 films with and 8 without Edema are needed, and there are 0"):
        check_shuffled_labels(workspace, replace(OPTIONS, target="Edema"))
    with pytest.raises(UnknownNameError, match="densenet_small"):
        ShuffleOptions("Effusion", network="resnet")
    assert main(["checks", str(workspace.path), "--shuffled-labels", "--network", "resnet", "--json"]) == 1
    assert "densenet121" in json.loads(capsys.readouterr().out)["error"]


def test_the_films_asked_for_are_taken_evenly(workspace):
    cases = shuffled_labels.choose_cases(workspace, replace(OPTIONS, films=16))
    present = [case.findings["Effusion"].value for case in cases]
    assert (present.count("present"), present.count("absent")) == (8, 8)
    assert [case.row for case in cases] == sorted(case.row for case in cases)


@pytest.mark.usefixtures("unbuilt")
def test_the_command_prints_the_table(workspace, tmp_path, capsys, monkeypatch):
    """The command hands its options on; what they do is tested above."""
    asked = []

    def check(opened, options, progress):
        asked.append(options)
        return [CheckRow("shuffled labels", "grad_cam", "cosine", float("nan"), float("nan"), float("nan"), 0, "lower")]

    monkeypatch.setattr(shuffled_labels, "check_shuffled_labels", check)
    out = tmp_path / "shuffled.md"
    arguments = ["checks", str(workspace.path), "--target", "Effusion", "--shuffled-labels", "--epochs", "1", "--json"]
    assert main([*arguments, "--methods", "grad_cam", "--films", "16", "--out", str(out), "--device", "cpu"]) == 0
    result = json.loads(capsys.readouterr().out)
    assert (result["network"], result["epochs"], result["films"]) == ("densenet_small", 1, 16)
    assert asked == [ShuffleOptions("Effusion", epochs=1, films=16, methods=("grad_cam",), device="cpu")]
    assert result["rows"][0]["value"] is None
    assert "| shuffled labels | lower | cosine | grad_cam | none |  | 0 |" in out.read_text()
    assert main([*arguments, "--network", "own"]) == 0
    assert (asked[1].network, asked[1].input.size) == ("densenet121", 224)
