"""The train command on a small catalogue: both stages, what the manifests say, and what is refused in one line."""

from __future__ import annotations

import json

import cv2
import numpy as np
import pytest

from icbir_core.catalogue import IngestOptions, Workspace, ingest
from icbir_core.cli import main
from icbir_core.model.classifier import Classifier, read_manifest
from icbir_core.model.network import build_network
from icbir_core.model.training import TrainingResult
from icbir_core.retrieval.model_choice import load_models
from icbir_core.retrieval.target_files import list_trained_targets
from icbir_core.training import both_stages
from tests.helpers.labelled_films import make_effusions, write_labelled

pytestmark = pytest.mark.usefixtures("small_networks")
SMALL = ["--network", "densenet_small", "--size", "32", "--weights", "none", "--epochs", "2", "--batch-size", "8"]


@pytest.fixture(scope="module")
def workspace(tmp_path_factory):
    """Forty films of twenty patients; Mass is known of half of them."""
    folder = tmp_path_factory.mktemp("catalogue")
    options = write_labelled(folder, make_effusions(40))
    head, *rows = (folder / "labels.csv").read_text().splitlines()
    rows = [f"{row},{number // 2 % 2 if number < 20 else ''}" for number, row in enumerate(rows)]
    (folder / "labels.csv").write_text("\n".join([f"{head},Mass", *rows]) + "\n")
    opened = Workspace.create(folder / "workspace")
    ingest(opened, options)
    return opened


def leave_as_drawn(training_set, recipe, directory, start, progress=None, log=None) -> TrainingResult:
    """In the place of `train`, where a test asks for everything but what the network learns."""
    weights = start.weights or recipe.start
    model = build_network(start.network, len(training_set.findings), start.size, weights)
    return TrainingResult(model, [{"epoch": 0, "loss": 0.0}], 0, recipe, "as drawn")


def run(capsys, *words: str) -> tuple[int, str, str]:
    status = main([*words])
    captured = capsys.readouterr()
    return status, captured.out, captured.err


def test_both_stages(workspace, capsys, monkeypatch):
    words = ["train", str(workspace.path), "--target", "Pleural Effusion", "--findings", "Mass", "--json", *SMALL]
    status, out, err = run(capsys, *words)
    assert status == 0, err
    told = json.loads(out)
    classifier = Classifier.load(workspace.models / "classifier.keras")
    saliency = Classifier.load(workspace.target_directory("Effusion") / "saliency_classifier.keras")
    assert classifier.findings == saliency.findings == ("Effusion", "Mass")
    assert told["classifier"]["sha256"] == classifier.sha256 and told["saliency"]["sha256"] == saliency.sha256
    assert saliency.manifest["classifier"] == classifier.sha256 and saliency.manifest["target"] == "Effusion"
    assert saliency.manifest["map_method"] == "deep_taylor"
    manifest = classifier.manifest
    assert manifest["films"]["trained"] + manifest["films"]["held_back"] == 40
    assert manifest["auroc"]["Effusion"]["present"] > 0 and set(manifest["operating_points"]) == {"Effusion", "Mass"}
    assert manifest["device"]["kind"] in ("cpu", "gpu") and "computing on" in err
    assert "classifier: epoch 1" in err and "saliency: epoch 1" in err
    assert workspace.check_artefact("classifier")["findings"] == ["Effusion", "Mass"]
    assert workspace.check_artefact("saliency_classifier/Effusion")["made_from"] == {"classifier": classifier.sha256}
    assert not list(workspace.path.glob("**/checkpoint.npz"))

    # What follows is about the targets: two real trainings are enough.
    monkeypatch.setattr(both_stages, "train", leave_as_drawn)
    words = ["--stage", "saliency", "--epochs", "2", "--batch-size", "8"]  # network and input are the classifier's
    status, _, err = run(capsys, "train", str(workspace.path), "--target", "Mass", *words)
    assert status == 0, err
    second = Classifier.load(workspace.target_directory("Mass") / "saliency_classifier.keras")
    assert second.manifest["target"] == "Mass" and second.manifest["classifier"] == classifier.sha256
    assert list_trained_targets(workspace) == ["Effusion", "Mass"]
    status, _, err = run(capsys, "train", str(workspace.path), "--target", "Effusion", "--stage", "saliency", *SMALL)
    assert status == 0 and list_trained_targets(workspace) == ["Effusion", "Mass"], err
    assert load_models(workspace).target == "Effusion"


@pytest.mark.parametrize("named", [True, False])
def test_every_stage_is_judged_by_patients_that_no_stage_learnt_from(tmp_path, capsys, monkeypatch, named):
    """Two fifths of the labels are unknown, so that each target has other films."""
    random = np.random.default_rng(4)
    rows = ["image,patient,view,Effusion,Mass"]
    for number in range(80):
        cv2.imwrite(str(tmp_path / f"{number}.png"), random.integers(0, 220, (40, 40), dtype=np.uint8))
        labels = [
            "" if random.random() < 0.4 else str(number // 2 % 2),
            "" if random.random() < 0.4 else str(number % 2),
        ]
        rows.append(f"{number}.png,{number // 2 if named else ''},PA,{','.join(labels)}")
    (tmp_path / "labels.csv").write_text("\n".join(rows) + "\n")
    workspace = Workspace.create(tmp_path / "workspace")
    ingest(workspace, IngestOptions("folder", tmp_path, tmp_path / "labels.csv"))
    sets = []

    def remember(*given, **options):
        sets.append(given[0])
        return leave_as_drawn(*given, **options)

    monkeypatch.setattr(both_stages, "train", remember)
    words = ["train", str(workspace.path), *SMALL, "--epochs", "1", "--json"]
    first = run(capsys, *words, "--target", "Effusion", "--findings", "Mass", "--stage", "classifier")
    second = run(capsys, *words, "--target", "Mass", "--stage", "saliency")
    assert (first[0], second[0]) == (0, 0), first[2] + second[2]

    def find_patients(training_set, rows) -> set:
        return {training_set.patients[row] for row in rows}

    listed = read_manifest(workspace.models / "classifier.keras")["training"]["held_back"]
    classifier, saliency = sets
    assert len(saliency.labels) < len(classifier.labels) and len(saliency.held_back_rows)
    assert bool(listed["patients"]) is named and bool(listed["cases"]) is not named
    if named:
        assert find_patients(classifier, classifier.held_back_rows) == set(listed["patients"])
        assert find_patients(saliency, saliency.held_back_rows) <= set(listed["patients"])
        assert not find_patients(saliency, saliency.training_rows) & set(listed["patients"])
    else:
        chosen = [case.case_id for case in workspace.catalogue.cases() if case.findings["Mass"].known]
        held = {chosen[row] for row in saliency.held_back_rows}
        assert held == set(listed["cases"]) & set(chosen)
    assert "held_back" not in json.loads(first[1])["classifier"]["training"]


def test_the_published_recipe_says_that_it_trains_the_target_alone(workspace, capsys):
    words = ["--target", "Effusion", "--findings", "Mass", "--recipe", "silva2020"]
    status, _, err = run(capsys, "train", str(workspace.path), *words, *SMALL)
    assert status == 1 and "--findings is not used" in err and "in AP view" in err


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["--target", "Effusion", "--recipe", "best"], "default, silva2020"),
        (["--target", "Broken leg"], "Unknown finding"),
        (["--target", "Effusion", "--recipe", "silva2020"], "in AP view"),
        (["--target", "Effusion", "--stage", "third"], "classifier, saliency, both"),
        (["--target", "Effusion", "--weights", "nowhere.npz"], "does not exist"),
        (["--target", "Hernia"], "ingest films first"),
    ],
)
def test_refused_in_one_line(workspace, capsys, words, told):
    extra = [word for word in SMALL if "--weights" not in words or word not in ("--weights", "none")]
    status, _, err = run(capsys, "train", str(workspace.path), *extra, *words)
    assert status == 1
    assert told in err.strip().splitlines()[-1]
    assert "Traceback" not in err
