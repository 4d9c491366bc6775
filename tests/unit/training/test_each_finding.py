"""Which findings get a saliency classifier by one command, in which order, and what a second run leaves."""

from __future__ import annotations

import csv
import json
from dataclasses import replace

import cv2
import numpy as np
import pytest

from icbir_core.catalogue import IngestOptions, Workspace, ingest
from icbir_core.errors import TrainingError
from icbir_core.model.recipes import find_recipe
from icbir_core.retrieval.target_files import TargetFiles, get_classifier_path
from icbir_core.training import each_finding
from icbir_core.training.both_stages import TrainingOptions
from icbir_core.training.each_finding import find_frequent, train_each_finding

NAMES = ("Effusion", "Cardiomegaly", "Mass", "Edema", "No Finding")
CASES = {"Effusion": 1, "Cardiomegaly": 5, "Mass": 4, "Edema": 6, "No Finding": 6}


@pytest.fixture(scope="module")
def films(tmp_path_factory) -> Workspace:
    """Eight films; so many carry each finding, and of one the state is unknown."""
    folder = tmp_path_factory.mktemp("films")
    random = np.random.default_rng(3)
    with (folder / "labels.csv").open("w", newline="") as handle:
        writer = csv.writer(handle)
        writer.writerow(["image", *NAMES])
        for number in range(8):
            cv2.imwrite(str(folder / f"{number}.png"), random.integers(0, 220, (40, 40), dtype=np.uint8))
            states = [str(int(number < CASES[name])) for name in NAMES]
            writer.writerow([f"{number}.png", *(states if number < 7 else ["", *states[1:]])])
    workspace = Workspace.create(folder / "w")
    ingest(workspace, IngestOptions("folder", folder, folder / "labels.csv"))
    return workspace


@pytest.fixture
def trained(films, monkeypatch) -> list[tuple[str, str]]:
    """(stage, target) of each training, of which only the manifests are written; five cases are enough."""
    for path in (get_classifier_path(films), *(TargetFiles(films, name).saliency_classifier for name in NAMES)):
        path.unlink(missing_ok=True)
    asked: list[tuple[str, str]] = []

    def train(workspace, options, progress, log):
        asked.append((options.stage, options.target))
        path = get_classifier_path(workspace)
        facts = {"findings": list(NAMES), "input": {}, "sha256": "a" * 64, "network": "densenet_small", "format": 1}
        if options.stage == "saliency":
            path = TargetFiles(workspace, options.target).saliency_classifier
            training = {"recipe": options.recipe.as_dict(), "seed": options.seed}
            facts |= {"classifier": "a" * 64, "catalogue": workspace.catalogue.sha256(), "training": training}
            facts["network"] = options.network
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"weights")
        path.with_suffix(".json").write_text(json.dumps(facts))
        return {options.stage: facts}

    monkeypatch.setattr(each_finding, "train_workspace", train)
    monkeypatch.setattr(each_finding.find_frequent, "__defaults__", (5,))
    return asked


def make_options(**more) -> TrainingOptions:
    return TrainingOptions("Effusion", find_recipe("default"), findings=NAMES[1:], **more)


def test_a_finding_counts_the_cases_that_carry_it(films):
    assert find_frequent(films, NAMES, 5) == ("Cardiomegaly", "Edema", "No Finding")
    assert find_frequent(films, ["Nodule"], 1) == ()


def test_the_target_and_every_frequent_finding_are_trained_once(films, trained):
    manifests = train_each_finding(films, make_options())
    expected = [("classifier", "Effusion"), *(("saliency", name) for name in ("Effusion", "Cardiomegaly", "Edema"))]
    assert trained == expected, "Mass has four cases, and No Finding is none"
    assert list(manifests) == ["classifier", "Effusion", "Cardiomegaly", "Edema"]


def test_a_second_run_trains_what_is_missing_or_of_another_classifier(films, trained):
    train_each_finding(films, make_options())
    del trained[:]
    path = TargetFiles(films, "Edema").saliency_classifier.with_suffix(".json")
    path.write_text(path.read_text().replace('"classifier": "a', '"classifier": "b'))
    assert list(train_each_finding(films, make_options(stage="saliency"))) == ["Edema"] and trained == [
        ("saliency", "Edema")
    ]


@pytest.mark.parametrize(
    "changed",
    [{"recipe": replace(find_recipe("default"), epochs=3)}, {"seed": 1}],
    ids=lambda one: next(iter(one)),
)
def test_a_second_run_with_other_options_trains_every_finding_again(films, trained, changed):
    train_each_finding(films, make_options())
    del trained[:]
    other = replace(make_options(stage="saliency"), **changed)
    assert list(train_each_finding(films, other)) == ["Effusion", "Cardiomegaly", "Edema"]
    assert train_each_finding(films, other) == {} and len(trained) == 3
    assert train_each_finding(films, replace(other, weights="none")) == {}, "its start is the classifier"
    assert train_each_finding(films, replace(other, network="resnet50")) == {}, "and its network the classifier's"


def test_the_classifier_alone_has_no_search_for_a_finding(films, trained):
    with pytest.raises(TrainingError, match="--each-finding"):
        train_each_finding(films, make_options(stage="classifier"))
    assert not trained
