"""Are the ratings what was stored? For `verify`; nothing is changed."""

from __future__ import annotations

from collections.abc import Iterator

from icbir_core.catalogue.verifying import Check, guard
from icbir_core.catalogue.workspace import Workspace
from icbir_core.settings import get_environment
from icbir_core.study.chain import ARTEFACT, Head
from icbir_core.study.creating import RATINGS, open_store


def verify_ratings(workspace: Workspace) -> Iterator[Check]:
    """Yield the check of the ratings' chain and head; none for a workspace that never had a rating."""
    yield from guard("ratings", lambda: _check_ratings(workspace))


def _check_ratings(workspace: Workspace) -> Iterator[Check]:
    path = workspace.path / RATINGS
    if not get_environment("RATINGS") and not workspace.database_schema and not path.is_file():
        if Head(path).path.is_file() or ARTEFACT in workspace.read_manifest()["artefacts"]:
            yield Check("ratings", False, f"'{RATINGS}' is missing; restore it from a copy.")
        return
    store = open_store(workspace)
    try:
        faults = store.find_faults()
        text = " ".join(faults) or f"{store.count()} ratings in one chain"
    finally:
        store.close()
    yield Check("ratings", not faults, text)
