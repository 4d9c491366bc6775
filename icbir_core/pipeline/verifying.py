"""The whole of a workspace against its manifest: the catalogue's own checks, and every stored map and embedding.

Loads no network.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

from icbir_core.catalogue import Workspace
from icbir_core.catalogue.verifying import Check, verify_workspace
from icbir_core.errors import IcbirError
from icbir_core.retrieval.store import CaseStore

Progress = Callable[[int, int, str], None]
STORE_ARTEFACT = "store/"
"""Begins the manifest's name of a target's store; its file holds the hashes of the chunks."""


def verify_all(workspace: Workspace, progress: Progress | None = None) -> Iterator[Check]:
    """The checks of `verify_workspace`, then one a target: its stored maps and embeddings, hashed again."""
    yield from verify_workspace(workspace, progress)
    for name, entry in sorted(workspace.read_manifest()["artefacts"].items()):
        if name.startswith(STORE_ARTEFACT):
            label = f"maps and embeddings/{name.removeprefix(STORE_ARTEFACT)}"
            try:
                cases = CaseStore.open((workspace.path / entry["path"]).parent).check(progress)
                yield Check(label, True, f"{cases} cases unchanged")
            except IcbirError as error:
                yield Check(label, False, str(error))
