"""The fairer control: a saliency classifier that was trained on the control's own maps, as IG-CBIR's was on its maps.

IG-CBIR's maps are retrained in the same way beside it, so that both sides saw the same films for as long.
"""

from __future__ import annotations

import hashlib
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from icbir_core.errors import EvaluationError
from icbir_core.evaluation.controls import CONTROL_MAPS, make_control
from icbir_core.evaluation.films import FilmSet
from icbir_core.retrieval.target_files import get_classifier_path
from icbir_core.types import Progress

if TYPE_CHECKING:
    from icbir_core.catalogue import Workspace
    from icbir_core.model.classifier import Classifier
    from icbir_core.retrieval.opened_target import OpenedTarget

SUFFIX = "_retrained"
RETRAINABLE = ("ig_cbir", *CONTROL_MAPS)
_BATCH = 16


def retrain(
    workspace: Workspace, opened: OpenedTarget, catalogue: FilmSet, name: str, epochs: int, seed: int = 0,
    progress: Progress | None = None,
) -> Classifier:  # fmt: skip
    """The classifier's network trained on the maps `name` ("ig_cbir" or a control) of the catalogue's films.

    Starts from the classifier's weights, like the published second step; kept under `evaluation/retrained` and trained
    once for the same models, films, epochs and seed; a killed run goes on. Raises `EvaluationError`, `TrainingError`.
    """
    if name not in RETRAINABLE:
        raise EvaluationError(f"A network can be retrained on {', '.join(RETRAINABLE)}, not on '{name}'.")
    from icbir_core.model.recipes import find_recipe
    from icbir_core.model.training_set import TrainingSet, split_by_patient
    from icbir_core.training.side_networks import HELD_BACK, SideNetwork, train_once

    models = opened.models
    made_from = "|".join([models.classifier.sha256, opened.target, name, str(epochs), str(seed), *catalogue.films])
    digest = hashlib.sha256(made_from.encode()).hexdigest()[:16]
    folder = Path(workspace.path) / "evaluation" / "retrained" / f"{name}-{digest}"

    def collect() -> TrainingSet:
        findings = _find_trainable(models.classifier.findings, catalogue, opened.target)
        labels = catalogue.align_labels(findings).astype(np.float32)
        held_back = split_by_patient(catalogue.patients, labels, HELD_BACK, seed)
        return TrainingSet(
            _compute_maps(opened, catalogue, name, progress), labels, findings, catalogue.patients, held_back
        )

    wanted = SideNetwork(
        folder / "saliency_classifier.keras", folder / "training", "retrained control",
        models.classifier.manifest["network"], models.classifier.input_settings,
        replace(find_recipe("default"), epochs=epochs), digest, _find_weights(workspace), seed,
        {"maps": name, "classifier": models.classifier.sha256, "epochs": epochs},
    )  # fmt: skip
    return train_once(wanted, collect, progress)


def _find_trainable(findings: tuple[str, ...], catalogue: FilmSet, target: str) -> tuple[str, ...]:
    """The classifier's findings of which the catalogue knows at least 8 films with and 8 without, the target first."""
    kept = []
    for name in sorted(findings, key=lambda name: name != target):
        states = catalogue.states(name)
        if (states == 1).sum() >= 8 and (states == 0).sum() >= 8:
            kept.append(name)
    if target not in kept:
        raise EvaluationError(f"Retraining needs 8 films with and 8 without {target}; add films.")
    return tuple(kept)


def _compute_maps(opened: OpenedTarget, catalogue: FilmSet, name: str, progress: Progress | None) -> np.ndarray:
    """Encoded maps uint8 (N, S, S) of the catalogue."""
    from icbir_core.saliency.encoding import encode_map

    settings = opened.models.classifier.input_settings
    make_maps = make_control(name, opened.models.classifier, opened.target)
    maps = np.empty((len(catalogue), settings.size, settings.size), np.uint8)
    for start in range(0, len(catalogue), _BATCH):
        part = range(start, min(start + _BATCH, len(catalogue)))
        if progress:
            progress(start, len(catalogue), f"maps of {name} for retraining")
        maps[start : part.stop] = np.rint(255 * encode_map(make_maps(catalogue.load_images(part, settings))))
    return maps


def _find_weights(workspace: Workspace) -> str:
    own = get_classifier_path(workspace)
    if own.is_file():
        return str(own)
    from icbir_core.model.starter import starter_path

    return str(starter_path())
