"""A published network, downloaded or given as a file, becomes a classifier of this project (`fetch model`)."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from icbir_core.catalogue import Workspace
from icbir_core.errors import ModelError
from icbir_core.files import PathLike, replace_atomically
from icbir_core.model.classifier import manifest_path, read_manifest
from icbir_core.model.published import TABLE, convert_published, find_published
from icbir_core.pipeline.fetching import fetch_data_set
from icbir_core.retrieval.target_files import get_classifier_path
from icbir_core.types import Progress


@dataclass(frozen=True)
class FetchedModel:
    """path : the converted network (.keras), its manifest and card beside it; installed : where the workspace has it,
    or None."""

    path: PathLike
    manifest: dict[str, Any]
    installed: PathLike | None


def fetch_model(
    name: str,
    to: PathLike,
    file: PathLike | None = None,
    workspace: Workspace | None = None,
    progress: Progress | None = None,
    base_url: str | None = None,
) -> FetchedModel:
    """Brings a published network into the folder `to` and, where a workspace is given, makes it its classifier.

    file : its weights, downloaded elsewhere; None downloads them. Raises `UnknownNameError` (network), `FetchError`
    (download), `ManifestMismatch` (another file than before), `ModelError` (damaged or harmful file, or a workspace
    that has a classifier of its own already).
    """
    network, to = find_published(name), Path(to)
    if workspace is not None:
        _require_free(workspace, None)
    if file is None:
        (fetched,) = fetch_data_set(network.name, None, to, progress, TABLE, base_url, unpack=False)
        file = to / fetched.name
    target = to / f"torchxrayvision_{network.name}.keras"
    classifier = convert_published(network, file, target)
    installed = None
    if workspace is not None:
        with workspace.lock("training", seconds=1):
            installed = _install(workspace, target, classifier.sha256)
            facts = {"path": installed, "findings": list(classifier.findings)}
            workspace.record_artefact("classifier", facts)
    return FetchedModel(target, classifier.manifest, installed)


def _require_free(workspace: Workspace, sha256: str | None) -> None:
    """Raises `ModelError` if the workspace has a trained or another published classifier: what was made from it would
    be lost."""
    own = get_classifier_path(workspace)
    if own.is_file() and manifest_path(own).is_file():
        manifest = read_manifest(own)
        if "published" not in manifest or (sha256 is not None and manifest["sha256"] != sha256):
            raise ModelError(
                f"The workspace {workspace.path} has a classifier of its own; take another workspace, or move "
                f"{own} and its .json away."
            )


def _install(workspace: Workspace, source: Path, sha256: str) -> Path:
    target = get_classifier_path(workspace)
    _require_free(workspace, sha256)
    # The manifest goes last, as in `save_classifier`.
    for one, other in ((source, target), (manifest_path(source), manifest_path(target))):
        with replace_atomically(other) as aside:
            shutil.copyfile(one, aside)
    return target
