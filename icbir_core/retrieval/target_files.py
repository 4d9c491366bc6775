"""Where a workspace keeps what belongs to one target finding, and under which names its manifest lists it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from icbir_core.catalogue import Workspace
from icbir_core.catalogue.verifying import Check, guard, list_artefacts
from icbir_core.errors import WorkspaceError
from icbir_core.files import read_json
from icbir_core.types import Progress

CLASSIFIER = "classifier"
"""The manifest's name of the classifier, which all targets share."""
_TARGET, INDEX, _STORE, _SALIENCY = "index:", "index/", "store/", "saliency_classifier/"
_SALIENCY_FILE = "saliency_classifier.keras"


def get_classifier_path(workspace: Workspace) -> Path:
    """The weights of the workspace's own classifier; its card lies beside them."""
    return workspace.models / "classifier.keras"


@dataclass(frozen=True)
class TargetFiles:
    """Paths, which need not exist, and manifest names of one target of a workspace."""

    workspace: Workspace
    target: str

    @property
    def folder(self) -> Path:
        """What was computed for the target; made if missing. The centres of its features lie here."""
        return self.workspace.target_directory(self.target)

    @property
    def saliency_classifier(self) -> Path:
        """The weights of the target's saliency classifier; its card lies beside them."""
        return self.folder / _SALIENCY_FILE

    @property
    def training(self) -> Path:
        """What a training keeps while it runs."""
        return self.folder / "training"

    @property
    def store(self) -> Path:
        """Maps and embeddings of every case."""
        return self.folder / "store.zarr"

    def get_own_store(self, method: str) -> Path:
        """What a method computes of every case by itself."""
        return self.folder / "methods" / f"{method}.zarr"

    def get_index(self, method: str) -> Path:
        """Folder of a method's index."""
        return self.folder / "index" / method

    @property
    def name(self) -> str:
        """Lists the indexed methods, and what they were made from."""
        return _TARGET + self.target

    @property
    def saliency_name(self) -> str:
        return _SALIENCY + self.target

    def get_store_name(self, method: str = "") -> str:
        """Of the store, or of a method's own."""
        return _STORE + self.target + (f"/{method}" if method else "")

    def get_index_name(self, method: str) -> str:
        return f"{INDEX}{self.target}/{method}"


def get_encoder_store(workspace: Workspace, encoder: str) -> Path:
    """What an encoder computes of every case, for all targets."""
    return workspace.path / "encoders" / f"{encoder}.zarr"


def get_encoder_store_name(encoder: str) -> str:
    """Of an encoder's store in the manifest."""
    return f"{_STORE}encoder/{encoder}"


def list_stores(workspace: Workspace) -> list[Path]:
    """The folders of all stores that are there, also of one that no indexing has recorded yet."""
    places = ("targets/*/*.zarr", "targets/*/methods/*.zarr", "encoders/*.zarr")
    return sorted(path for place in places for path in workspace.path.glob(place) if not path.name.startswith("."))


def find_next_order(artefacts: dict[str, Any], name: str) -> int:
    """The place of an artefact among those of its kind: its former one, else behind all; the first is the default."""
    kind = next(kind for kind in (_TARGET, _SALIENCY) if name.startswith(kind))
    orders = [entry.get("order", 0) for key, entry in artefacts.items() if key.startswith(kind)]
    return int(artefacts.get(name, {}).get("order", max(orders, default=-1) + 1))


def list_targets(workspace: Workspace) -> tuple[str, ...]:
    """The indexed findings, in the order of their first indexing. Raises `WorkspaceError` if there is none."""
    artefacts = workspace.read_manifest()["artefacts"]
    found = [(entry.get("order", 0), name) for name, entry in artefacts.items() if name.startswith(_TARGET)]
    if not found:
        raise WorkspaceError(f"'{workspace.path}' has no index; run the index command first.")
    return tuple(name.removeprefix(_TARGET) for _, name in sorted(found))


@dataclass(frozen=True)
class IndexState:
    """What an opened retriever rests on, as the manifest names it; equal as long as it need not be opened anew.

    catalogue : hash of the catalogue at its last ingest, None before the first. indexed : target → its catalogue,
    models and methods. behind : the targets that were indexed before the last ingest, so that `index` must run.
    """

    catalogue: str | None
    indexed: dict[str, tuple[Any, ...]]

    @property
    def behind(self) -> tuple[str, ...]:
        return tuple(target for target, (catalogue, *_) in self.indexed.items() if catalogue != self.catalogue)

    @classmethod
    def read(cls, workspace: Workspace) -> IndexState:
        """As the manifest is now; nothing is hashed. Raises `WorkspaceError` if it is damaged."""
        artefacts = workspace.read_manifest()["artefacts"]
        indexed = {
            name.removeprefix(_TARGET): (entry.get("catalogue"), entry.get("models"), entry.get("methods"))
            for name, entry in artefacts.items()
            if name.startswith(_TARGET)
        }
        return cls(artefacts.get("catalogue", {}).get("sha256"), indexed)


def list_saliency_cards(workspace: Workspace) -> list[Path]:
    """The cards of the saliency classifiers of the workspace's own."""
    return sorted((workspace.path / "targets").glob(f"*/{Path(_SALIENCY_FILE).stem}.json"))


def list_trained_targets(workspace: Workspace) -> list[str]:
    """Findings with a saliency classifier of the workspace's own, in the order of their first training."""
    artefacts = workspace.read_manifest()["artefacts"]
    found = []
    for path in list_saliency_cards(workspace):
        card = read_json(path)
        target = str(card.get("target") or card["findings"][0])
        found.append((artefacts.get(_SALIENCY + target, {}).get("order", 0), target))
    return [target for _, target in sorted(found)]


def get_catalogue_sha256(workspace: Workspace) -> str:
    """The catalogue's hash as its last ingest recorded it (`verify` computes it anew)."""
    entry = workspace.read_manifest()["artefacts"].get("catalogue")
    return str(entry["sha256"]) if entry else workspace.catalogue.sha256()


def verify_stores(workspace: Workspace, progress: Progress | None = None) -> Iterator[Check]:
    """One check a store: its maps and embeddings, hashed again. Loads no network."""
    for name in list_artefacts(workspace):
        if name.startswith(_STORE):
            label = f"maps and embeddings/{name.removeprefix(_STORE)}"
            yield from guard(label, partial(_check_store, workspace, name, label, progress))


def _check_store(workspace: Workspace, name: str, label: str, progress: Progress | None) -> Iterator[Check]:
    from icbir_core.retrieval.store import CaseStore

    folder = (workspace.path / workspace.read_manifest()["artefacts"][name]["path"]).parent
    yield Check(label, True, f"{CaseStore.open(folder).check(progress)} cases unchanged")
