"""Which studies of an archive were searched already, as hashes under the workspace's salt."""

from __future__ import annotations

import os

from icbir_core.catalogue.workspace import Workspace
from icbir_core.files import reading_own

SEARCHED_FILE = "searched_studies.txt"


def name_study(workspace: Workspace, uid: str) -> str:
    """16 hexadecimal digits that stand for a study in this workspace only."""
    return workspace.hash_study(uid) or ""


def record_searched(workspace: Workspace, uid: str) -> None:
    """Remember that a study was searched. Raises `WorkspaceError` where that cannot be written."""
    name = name_study(workspace, uid)
    if name in read_searched(workspace):
        return
    with reading_own(f"'{SEARCHED_FILE}'"):
        # A line is appended in one piece, so that several processes may write.
        descriptor = os.open(workspace.path / SEARCHED_FILE, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
        try:
            os.write(descriptor, f"{name}\n".encode())
        finally:
            os.close(descriptor)


def read_searched(workspace: Workspace) -> frozenset[str]:
    """The names (see `name_study`) of the studies that were searched; none where the file is not there."""
    path = workspace.path / SEARCHED_FILE
    if not path.is_file():
        return frozenset()
    with reading_own(f"'{SEARCHED_FILE}'", advice="delete it: it only marks what was searched"):
        return frozenset(path.read_text(encoding="ascii").split())
