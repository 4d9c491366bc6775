"""The train command: the classifier from the catalogue's films, the saliency classifier from the classifier's maps."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from icbir_core.catalogue import Workspace
from icbir_core.errors import TrainingError
from icbir_core.files import PathLike, sha256_of_file
from icbir_core.findings import require_canonical_name
from icbir_core.model.checkpoint import forget_checkpoint
from icbir_core.model.classifier import Classifier, manifest_path, read_manifest, save_classifier
from icbir_core.model.device import Device, choose_device, make_deterministic
from icbir_core.model.evaluation_card import describe_performance
from icbir_core.model.recipes import Recipe
from icbir_core.model.training import NetworkStart, TrainingResult, train
from icbir_core.model.training_set import TrainingSet, find_held_back, list_held_back, split_by_patient
from icbir_core.retrieval.target_files import CLASSIFIER, TargetFiles, find_next_order, get_classifier_path
from icbir_core.settings import InputSettings
from icbir_core.training.film_cache import cache_films, cache_rows, identify_cases
from icbir_core.training.side_networks import HELD_BACK
from icbir_core.types import Progress

if TYPE_CHECKING:
    from icbir_core.types import Case

Log = Callable[[str, dict[str, Any]], None]
STAGES: tuple[str, ...] = ("classifier", "saliency", "both")


@dataclass(frozen=True)
class TrainingOptions:
    """What to train. findings : outputs besides the target; empty takes the target alone. weights : "imagenet", "none",
    "starter", a file, or None for the recipe's start."""

    target: str
    recipe: Recipe
    findings: tuple[str, ...] = ()
    weights: PathLike | None = None
    stage: str = "both"
    network: str = "densenet121"
    input: InputSettings = InputSettings()
    device: str = "auto"
    seed: int = 0

    def __post_init__(self) -> None:
        if self.stage not in STAGES:
            raise TrainingError(f"There is no stage '{self.stage}'; choose one of {', '.join(STAGES)}.")

    @property
    def outputs(self) -> tuple[str, ...]:
        """The target first, then the other findings in the order given."""
        names = [require_canonical_name(name) for name in (self.target, *self.findings)]
        return tuple(dict.fromkeys(names[:1] if self.recipe.targets_only else names))


@dataclass(frozen=True, eq=False)
class _Training:
    """What both stages share."""

    workspace: Workspace
    options: TrainingOptions
    cases: Sequence[Case]
    films: np.ndarray
    device: Device
    progress: Progress | None
    log: Log | None


def train_workspace(
    workspace: Workspace, options: TrainingOptions, progress: Progress | None = None, log: Log | None = None
) -> dict[str, dict[str, Any]]:
    """Trains what the stage asks for and returns the manifests by stage ("classifier", "saliency").

    A killed run goes on from its last finished epoch when called again alike. Films of a fifth of the patients only
    judge: they stop the training, calibrate, and give the AUROC in the manifest, which therefore is a little too good.
    The classifier's manifest lists them, and every saliency classifier made from it is judged by the same ones.
    Raises `TrainingError` if the films do not allow the training, `ModelError` if the weights do not fit.
    """
    device = choose_device(options.device)
    if device.kind == "cpu":
        make_deterministic()
    manifests: dict[str, dict[str, Any]] = {}
    with workspace.lock("training", seconds=1):
        cases = _choose_cases(workspace, options)
        if options.stage == "saliency":
            classifier = Classifier.load(get_classifier_path(workspace))
            if "published" not in classifier.manifest:
                _get_held_back(classifier)  # before maps are computed for hours
            # the same network goes on learning, whatever the options say
            options = replace(options, network=str(classifier.manifest["network"]), input=classifier.input_settings)
        films = cache_films(workspace, cases, options.input, progress)
        training = _Training(workspace, options, cases, films, device, progress, log)
        if options.stage in ("classifier", "both"):
            classifier = _train_classifier(training)
            manifests["classifier"] = classifier.manifest
        if options.stage in ("saliency", "both"):
            manifests["saliency"] = _train_saliency(training, classifier).manifest
        # Only now: a run killed in the second stage must not begin the first one again.
        forget_checkpoint(workspace.models / "training")
        forget_checkpoint(TargetFiles(workspace, options.outputs[0]).training)
    return manifests


def _choose_cases(workspace: Workspace, options: TrainingOptions) -> list[Case]:
    """The cases that may be learnt from: not removed, of the recipe's view, with a known state of some output."""
    view = options.recipe.view
    names = options.outputs
    chosen = [
        case
        for case in workspace.catalogue.cases()
        if (view is None or case.view == view)
        and any(name in case.findings and case.findings[name].known for name in names)
    ]
    if not chosen:
        seen = f" in {view} view" if view else ""
        raise TrainingError(f"No film{seen} has a known state of {names[0]}; ingest films first.")
    return chosen


def _collect(
    workspace: Workspace,
    findings: Sequence[str],
    cases: Sequence[Case],
    images: np.ndarray,
    seed: int,
    classifier: Classifier | None = None,
) -> TrainingSet:
    """The films with their labels; with a classifier, those are held back that it held back itself. Its network and its
    maps know the other patients: a new draw would judge by patients that were learnt from."""
    rows = [case.row for case in cases]
    labels = workspace.catalogue.labels(findings, rows)
    patients = [case.patient for case in cases]
    if classifier is None or "published" in classifier.manifest:
        # A published network learnt from none of these films, as far as is known: any part may judge its successor.
        held_back = split_by_patient(patients, labels, HELD_BACK, seed)
    else:
        held_back = find_held_back(_get_held_back(classifier), patients, [case.case_id for case in cases])
    return TrainingSet(images, labels, tuple(findings), patients, held_back)


def _get_held_back(classifier: Classifier) -> dict[str, list[str]]:
    listed = classifier.manifest.get("training", {}).get("held_back")
    if listed is None:
        raise TrainingError("The classifier's manifest does not list the patients held back; train both stages.")
    found: dict[str, list[str]] = listed
    return found


def _train_classifier(training: _Training) -> Classifier:
    workspace, options, cases = training.workspace, training.options, training.cases
    training_set = _collect(workspace, options.outputs, cases, training.films, options.seed)
    made_from = f"{identify_start(_find_start(options))} {identify_cases(cases)}"
    directory = workspace.models / "training"
    start = _find_start(options)
    result = _run(training, "classifier", directory, training_set, start, made_from)
    path = get_classifier_path(workspace)
    if _is_of_run(path, result.run):
        return Classifier.load(path)
    manifest = _describe(training, training_set, result, "classifier")
    manifest["training"]["held_back"] = list_held_back(
        training_set.patients, [case.case_id for case in cases], training_set.held_back
    )
    classifier = save_classifier(result.model, path, manifest)
    workspace.record_artefact(CLASSIFIER, {"path": path, "findings": list(classifier.findings)})
    return classifier


def _train_saliency(training: _Training, classifier: Classifier) -> Classifier:
    """The classifier's network goes on learning on its own maps of the target (Silva et al., MICCAI 2020)."""
    from icbir_core.retrieval.embedding import DEFAULT_MAP_METHOD
    from icbir_core.saliency.encoding import encode_map
    from icbir_core.saliency.methods import choose_map
    from icbir_core.saliency.registry import attribute

    workspace, options, cases, films = training.workspace, training.options, training.cases, training.films
    target, progress = options.outputs[0], training.progress
    files = TargetFiles(workspace, target)
    method = choose_map(options.network, DEFAULT_MAP_METHOD)

    def compute(start: int, stop: int) -> np.ndarray:
        images = np.asarray(films[start:stop], np.float32) / 255
        return encode_map(attribute(classifier, images, target, method=method))

    identity = {"cases": identify_cases(cases), "classifier": classifier.sha256, "method": method, "target": target}
    size = options.input.size
    maps = cache_rows(files.training, "maps", identity, len(cases), size, compute, progress, batch=8)
    training_set = _collect(workspace, classifier.findings, cases, maps, options.seed, classifier)
    start = str(get_classifier_path(workspace))
    made_from = f"{classifier.sha256} {identify_cases(cases)}"
    result = _run(training, "saliency", files.training, training_set, start, made_from)
    manifest = _describe(training, training_set, result, "saliency_classifier")
    manifest |= {"target": target, "classifier": classifier.sha256, "map_method": method}
    saliency_classifier = save_classifier(result.model, files.saliency_classifier, manifest)
    # the first target stays the default when it is trained again
    order = find_next_order(workspace.read_manifest()["artefacts"], files.saliency_name)
    entry = {"path": files.saliency_classifier, "made_from": {CLASSIFIER: classifier.sha256}, "order": order}
    workspace.record_artefact(files.saliency_name, entry)
    return saliency_classifier


def _is_of_run(path: Path, run: str) -> bool:
    """Whether a finished model of this very run lies there: it keeps its hash, and what was made from it stays
    valid."""
    if not (path.is_file() and manifest_path(path).is_file()):
        return False
    manifest = read_manifest(path)
    # an older manifest lacks the held-back patients, which the second stage needs
    return manifest.get("run") == run and "held_back" in manifest["training"]


def _find_start(options: TrainingOptions) -> str:
    start = os.fspath(options.weights or options.recipe.start)
    if start == "starter":
        from icbir_core.model.starter import starter_path

        return str(starter_path())
    return start


def _run(
    training: _Training, stage: str, directory: Path, training_set: TrainingSet, weights: str, made_from: str
) -> TrainingResult:
    options, log = training.options, training.log
    return train(
        training_set,
        options.recipe,
        directory,
        NetworkStart(
            options.network, options.input.size, weights, options.seed, training.device.training_policy, made_from
        ),
        progress=training.progress,
        log=None if log is None else lambda row: log(stage, row),
    )


def identify_start(start: str) -> str:
    """The start by name, or the hash of the file it comes from."""
    return sha256_of_file(start) if Path(start).is_file() else start


def _describe(training: _Training, training_set: TrainingSet, result: TrainingResult, kind: str) -> dict[str, Any]:
    import keras

    options = training.options
    return {
        "kind": kind,
        "network": options.network,
        "run": result.run,
        "findings": list(training_set.findings),
        "input": asdict(options.input),
        "catalogue": training.workspace.catalogue.sha256(),
        "films": {"trained": int((~training_set.held_back).sum()), "held_back": int(training_set.held_back.sum())},
        "training": {
            "recipe": result.recipe.as_dict(),
            "start": Path(options.weights or result.recipe.start).name if kind == "classifier" else "classifier",
            "seed": options.seed,
            "epochs": len(result.history),
            "best_epoch": result.best_epoch,
            "history": result.history,
        },
        "device": training.device.as_dict(),
        "versions": {"keras": keras.__version__, "backend": keras.backend.backend(), "numpy": np.__version__},
        "made": datetime.now(UTC).isoformat(timespec="seconds"),
        **describe_performance(result.model, training_set, options.input.size),
    }
