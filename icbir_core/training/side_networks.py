"""A network that is trained once for a check or a control, beside those that a workspace searches with."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from icbir_core.files import PathLike
from icbir_core.model.checkpoint import forget_checkpoint
from icbir_core.model.classifier import Classifier, manifest_path, save_classifier
from icbir_core.model.recipes import Recipe
from icbir_core.model.training import NetworkStart, train
from icbir_core.model.training_set import TrainingSet
from icbir_core.settings import InputSettings
from icbir_core.types import Progress

HELD_BACK = 0.2
"""Share of the patients whose films only judge a training."""


@dataclass(frozen=True)
class SideNetwork:
    """What to train. path : of the weights; folder : what the training keeps; kind : in the manifest. made_from :
    names the films and options, so that a killed run goes on only with the same ones. facts : more for the manifest."""

    path: PathLike
    folder: PathLike
    kind: str
    network: str
    input: InputSettings
    recipe: Recipe
    made_from: str
    weights: str = "none"
    seed: int = 0
    facts: Mapping[str, Any] = field(default_factory=dict)


def train_once(wanted: SideNetwork, collect: Callable[[], TrainingSet], progress: Progress | None = None) -> Classifier:
    """The network that was trained for this, else one trained now on what `collect` gives. A killed run goes on. Raises
    `TrainingError` if the films do not allow the training, `ModelError` if the weights do not fit."""
    if manifest_path(wanted.path).is_file():
        return Classifier.load(wanted.path)
    training_set = collect()
    start = NetworkStart(wanted.network, wanted.input.size, wanted.weights, wanted.seed, made_from=wanted.made_from)
    result = train(training_set, wanted.recipe, wanted.folder, start, progress)
    manifest = {
        "kind": wanted.kind,
        "network": wanted.network,
        "findings": list(training_set.findings),
        "input": asdict(wanted.input),
        "training": {"recipe": wanted.recipe.as_dict(), "history": result.history},
        **wanted.facts,
    }
    classifier = save_classifier(result.model, wanted.path, manifest)
    forget_checkpoint(wanted.folder)
    return classifier
