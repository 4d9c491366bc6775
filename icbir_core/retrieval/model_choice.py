"""Which networks a workspace searches with: its own, or the starter models where it has none."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from icbir_core.catalogue import Workspace
from icbir_core.errors import ManifestMismatch, WorkspaceError
from icbir_core.plurals import join_words
from icbir_core.retrieval.target_files import TargetFiles, get_classifier_path, list_trained_targets

if TYPE_CHECKING:
    from icbir_core.model.classifier import Classifier
    from icbir_core.model.encoders import Encoder
    from icbir_core.model.prediction import Predictor
    from icbir_core.retrieval.embedding import Embedder
    from icbir_core.retrieval.methods import SearchMethod


@dataclass(frozen=True, eq=False)
class Models:
    """classifier, saliency classifier of one target (None: not trained), whether they are the starter models, the
    encoders whose features are compared beside the classifier's, and the networks that predict with it (None: it
    predicts alone)."""

    classifier: Classifier
    saliency_classifier: Classifier | None
    target: str
    starter: bool
    encoders: tuple[Encoder, ...] = ()
    together: Predictor | None = None

    @cached_property
    def predictor(self) -> Predictor:
        """What predicts."""
        from icbir_core.model.prediction import Predictor

        return self.together or Predictor(self.classifier)

    @property
    def identity(self) -> dict[str, str]:
        """The hashes that everything computed with these models carries."""
        saliency = self.saliency_classifier.sha256 if self.saliency_classifier else "none"
        return {"model": self.classifier.sha256, "saliency_model": saliency}

    @property
    def map_method(self) -> str:
        """Of the maps that an indexing stores: what the saliency classifier was trained on, else the published one
        where the network has rules for it."""
        from icbir_core.retrieval.embedding import DEFAULT_MAP_METHOD
        from icbir_core.saliency.methods import choose_map

        learnt = self.saliency_classifier.manifest.get("map_method") if self.saliency_classifier else None
        return str(learnt or choose_map(self.classifier.manifest["network"], DEFAULT_MAP_METHOD))

    def make_embedder(self, map_method: str) -> Embedder:
        """The one path from image to embeddings with these models."""
        from icbir_core.retrieval.embedding import Embedder

        return Embedder(self.classifier, self.saliency_classifier, self.target, map_method)


def load_models(workspace: Workspace, target: str | None = None, loaded: Models | None = None) -> Models:
    """The models of a workspace for a target (None: its first trained target, or its classifier's first finding).

    loaded : the workspace's models of another target, whose classifier and what predicts with it are taken over.
    Without a classifier of its own the starter models are taken, whole: an own and a starter network never mix. Raises
    `WorkspaceError` if neither is there, `UnknownNameError` if the classifier does not know the target.
    """
    from icbir_core.model.classifier import Classifier

    own = get_classifier_path(workspace)
    if not own.is_file():
        from icbir_core.model.starter import load_starter

        starter, starter_saliency = load_starter()
        classifier = loaded.classifier if loaded else starter
        trained_for = starter_saliency.manifest.get("target") or starter_saliency.findings[0]
        target = target or trained_for
        classifier.output_index(target)
        fits = target == trained_for
        together = loaded.together if loaded else _load_together(classifier)
        return Models(classifier, starter_saliency if fits else None, target, True, (), together)
    classifier = loaded.classifier if loaded else Classifier.load(own)
    if target is None:
        trained = list_trained_targets(workspace)
        target = trained[0] if trained else classifier.findings[0]
    classifier.output_index(target)
    path = TargetFiles(workspace, target).saliency_classifier
    saliency = Classifier.load(path, when_needed=True) if path.is_file() else None
    if saliency is not None and saliency.manifest.get("classifier") != classifier.sha256:
        raise ManifestMismatch(
            f"The saliency classifier was not trained on the present classifier's maps of {target}; "
            "run the train command with --stage saliency."
        )
    return Models(classifier, saliency, target, starter=False)


def _load_together(classifier: Classifier) -> Predictor | None:
    """The networks that predict together with the starter classifier; None where no card names any. Raises `ModelError`
    or `ManifestMismatch` if one of them is missing or another."""
    from icbir_core.model.encoders import get_shipped_folder, list_encoders, load_encoders
    from icbir_core.model.prediction import CLASSIFIER, Predictor, read_card

    card = read_card(classifier.sha256)
    if card is None:
        return None
    names = [name for name in card["networks"] if name != CLASSIFIER]
    return Predictor(classifier, load_encoders(names, list_encoders(get_shipped_folder())), card)


def find_encoders(workspace: Workspace) -> dict[str, Path]:
    """The manifests of the encoders that a workspace can use, by their names: its own, and those that come with the
    program."""
    from icbir_core.model.encoders import FOLDER, get_shipped_folder, list_encoders

    return list_encoders(workspace.models / FOLDER, get_shipped_folder())


def choose_encoders(workspace: Workspace, starter: bool) -> tuple[str, ...]:
    """The encoders that an indexing takes when none are named: the workspace's own; with the starter models also those
    that come with the program, which were judged beside them."""
    from icbir_core.model.encoders import FOLDER, list_encoders

    own = list_encoders(workspace.models / FOLDER)
    return tuple(find_encoders(workspace)) if starter else tuple(own)


def load_with_encoders(
    workspace: Workspace,
    target: str | None = None,
    methods: Sequence[SearchMethod] | None = None,
    encoders: Sequence[str] | None = None,
) -> Models:
    """What an indexing needs: `load_models`, and the encoders of these names (None: those of `choose_encoders`) unless
    the methods, where they are named, compare none. Raises as those, and `UnknownNameError` for an unknown encoder."""
    models = load_models(workspace, target)
    if methods is not None and not any(method.needs_encoders for method in methods):
        return models
    names = choose_encoders(workspace, models.starter) if encoders is None else encoders
    return replace(models, encoders=load_beside(workspace, names, models))


def load_beside(workspace: Workspace, names: Sequence[str], *loaded: Models | None) -> tuple[Encoder, ...]:
    """The encoders of these names in the order of the alphabet; those that some models hold already are not loaded
    again. Raises as `load_encoders`."""
    from icbir_core.model.encoders import load_encoders, read_encoder_manifest

    known, found = find_encoders(workspace), {}
    held = {one.name: one for models in loaded if models for one in (*models.encoders, *models.predictor.encoders)}
    for name in names:
        if name in known and name in held and read_encoder_manifest(known[name]) == held[name].manifest:
            found[name] = held[name]
    found |= {one.name: one for one in load_encoders([name for name in names if name not in found], known)}
    return tuple(found[name] for name in sorted(found))


def require_models(models: Models, methods: Sequence[SearchMethod]) -> None:
    """Raises `WorkspaceError` if a method cannot be offered for the target."""
    several = [method.name for method in methods if method.needs_encoders]
    if several and not models.encoders:
        raise WorkspaceError(
            f"The method {several[0]} compares the features of encoders, and this workspace has none; leave it out, or "
            "put one into models/encoders (docs/how-to/encoder.md)."
        )
    needing = [method.name for method in methods if method.needs_saliency_classifier]
    if needing and models.saliency_classifier is None:
        raise WorkspaceError(
            f"There is no saliency classifier for {models.target}; run the train command with "
            f"--stage saliency, or leave out the method {join_words(needing)}."
        )
