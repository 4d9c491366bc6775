"""Films that an archive pushed here: kept in a folder of the workspace that only its owner may read, for some hours.

A film lies there as it came, with its header, and beside it the result of its search once there is one.
"""

from __future__ import annotations

import os
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from icbir_core.catalogue.workspace import Workspace
from icbir_core.errors import PacsError, WorkspaceError
from icbir_core.files import read_json, reading_own, remove_partial_files, write_bytes_atomically, write_json_atomically

INBOX = "inbox"
KEEP_HOURS = 24.0
MAX_HELD = 500
"""Films that lie there at a time."""


@dataclass(frozen=True)
class Received:
    """A film that was pushed here. name : its name in the inbox, which tells nobody; moment : when it came, in seconds
    since 1970; result : of its search, None while it waits, {"error": …} where it cannot be searched."""

    name: str
    path: Path = field(repr=False)
    moment: float = 0.0
    result: dict[str, Any] | None = field(default=None, repr=False)


class Inbox:
    """The films of a workspace that were pushed here. Raises `WorkspaceError` where the folder cannot be made."""

    def __init__(self, workspace: Workspace, keep_hours: float = KEEP_HOURS):
        self.workspace, self.keep_hours = workspace, keep_hours
        self.folder = workspace.path / INBOX

    def put(self, data: bytes, instance: str) -> str:
        """Keep a film's DICOM file; the name of it. The same instance takes the place of the one before. Raises
        `PacsError` where the inbox is full, `WorkspaceError` where it cannot be written."""
        name = self.workspace.hash_secretly(f"received:{instance}")
        self.drop_old()
        if len(self._list_files()) >= MAX_HELD:
            raise PacsError(f"The inbox holds {MAX_HELD} films already; wait until they are searched or dropped.")
        try:
            self.folder.mkdir(mode=0o700, exist_ok=True)
            (self.folder / f"{name}.json").unlink(missing_ok=True)
            write_bytes_atomically(self.folder / f"{name}.dcm", data, mode=0o600)
        except OSError as error:
            raise WorkspaceError(f"A film cannot be put into '{INBOX}' ({error.strerror}); make room.") from None
        return name

    def list_films(self) -> list[Received]:
        """The films that lie there, the newest first; those that are too old are dropped."""
        self.drop_old()
        found = []
        for path in self._list_files():
            result = path.with_suffix(".json")
            try:
                moment = path.stat().st_mtime
                held = read_json(result) if result.is_file() else None
            except (OSError, WorkspaceError):
                continue  # dropped just now by another process
            found.append(Received(path.stem, path, moment, held))
        return sorted(found, key=lambda one: (one.moment, one.name), reverse=True)

    def read(self, name: str) -> bytes:
        """The DICOM file of a film. Raises `PacsError` where it is not there any more."""
        path = self.folder / f"{name}.dcm"
        if not path.is_file():
            raise PacsError("The film is not in the inbox any more; send it again.")
        with reading_own(f"'{INBOX}'", advice="send the film again"):
            return path.read_bytes()

    def list_ready(self) -> frozenset[str]:
        """The names (see `name_study`) of the studies of which a film was searched and waits with its result."""
        return frozenset(film.result["study"] for film in self.list_films() if film.result and "study" in film.result)

    def put_result(self, name: str, result: dict[str, Any]) -> None:
        """Keep the result of a film's search beside it; nothing where the film was dropped meanwhile."""
        film, place = self.folder / f"{name}.dcm", self.folder / f"{name}.json"
        if film.is_file():
            write_json_atomically(place, result, mode=0o600)
        if not film.is_file():  # dropped while it was written: nobody would look for it again
            place.unlink(missing_ok=True)

    def forget_results(self) -> None:
        """Delete all results, which name cases; the films are searched anew."""
        for result in self.folder.glob("*.json"):
            result.unlink(missing_ok=True)

    def drop_old(self) -> int:
        """Take out what has lain there longer than `keep_hours`; how many films."""
        limit, dropped = time.time() - 3600 * self.keep_hours, 0
        for path in self._list_files():
            try:
                if path.stat().st_mtime < limit:
                    path.with_suffix(".json").unlink(missing_ok=True)  # first: one without its film is never dropped
                    path.unlink(missing_ok=True)
                    dropped += 1
            except OSError:
                continue
        return dropped

    def tidy(self) -> None:
        """Take out what a killed process left half written."""
        if self.folder.is_dir():
            os.chmod(self.folder, 0o700)
            remove_partial_files(self.folder)

    def _list_files(self) -> list[Path]:
        return list(self.folder.glob("[!.]*.dcm"))
