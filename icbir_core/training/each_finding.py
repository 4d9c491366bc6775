"""A saliency classifier for every finding that has enough cases, by one command."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from icbir_core.catalogue import Workspace
from icbir_core.errors import TrainingError
from icbir_core.findings import NO_FINDING
from icbir_core.model.classifier import manifest_path, read_manifest
from icbir_core.retrieval.target_files import TargetFiles, get_classifier_path
from icbir_core.training.both_stages import Log, TrainingOptions, train_workspace
from icbir_core.types import Progress

FEWEST = 50
"""Cases that a finding must have."""


def find_frequent(workspace: Workspace, findings: Sequence[str], fewest: int = FEWEST) -> tuple[str, ...]:
    """The findings, in their order, that at least so many cases of the catalogue carry."""
    catalogue = workspace.catalogue
    known = [name for name in findings if name in catalogue.findings]
    rows = [case.row for case in catalogue.cases()]
    labels = catalogue.labels(known, rows) if known and rows else None
    if labels is None:
        return ()
    return tuple(name for column, name in enumerate(known) if int((labels[:, column] == 1).sum()) >= fewest)


def train_each_finding(
    workspace: Workspace, options: TrainingOptions, progress: Progress | None = None, log: Log | None = None
) -> dict[str, dict[str, Any]]:
    """The classifier, unless the stage is "saliency", then a saliency classifier for the target and for each other
    finding of the classifier with at least `FEWEST` cases; the manifests, "classifier" and by finding.

    A killed run goes on when called again alike: a saliency classifier of this classifier and catalogue, made with the
    same recipe, network and seed, is not trained again. Raises `TrainingError` for the stage "classifier", and as
    `train_workspace`.
    """
    if options.stage == "classifier":
        raise TrainingError("The stage classifier trains no search for a finding; leave --each-finding or --stage out.")
    manifests: dict[str, dict[str, Any]] = {}
    if options.stage == "both":
        manifests |= train_workspace(workspace, replace(options, stage="classifier"), progress, log)
    classifier = read_manifest(get_classifier_path(workspace))
    target = options.outputs[0]
    others = [name for name in classifier["findings"] if name not in (target, NO_FINDING)]
    for finding in (target, *find_frequent(workspace, others)):
        chosen = replace(options, target=finding, findings=(), stage="saliency")
        if _is_current(workspace, chosen, classifier["sha256"]):
            continue
        manifests[finding] = train_workspace(workspace, chosen, progress, log)["saliency"]
    return manifests


def _is_current(workspace: Workspace, options: TrainingOptions, classifier: str) -> bool:
    """Whether the target has a saliency classifier, made from this classifier and catalogue with these options. Its
    network and input are the classifier's, and its start the classifier, whatever the options say."""
    path = TargetFiles(workspace, options.target).saliency_classifier
    if not (path.is_file() and manifest_path(path).is_file()):
        return False
    manifest = read_manifest(path)
    training = manifest.get("training", {})
    if (training.get("recipe"), training.get("seed")) != (options.recipe.as_dict(), options.seed):
        return False
    return manifest.get("classifier") == classifier and manifest.get("catalogue") == workspace.catalogue.sha256()
