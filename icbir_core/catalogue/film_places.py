"""Where the stored films of a workspace lie: in its folder, or at any place that fsspec reaches by a URL, such as S3.

Whoever reads a film compares it with the hash of its row, so that a place which gives another file is found at every
read. Rights for a place come from its own environment variables, such as AWS_ACCESS_KEY_ID and AWS_ENDPOINT_URL; the
workspace's manifest names the address alone.
"""

from __future__ import annotations

import errno
import os
import re
import secrets
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Protocol

from icbir_core.errors import FilmLost, FilmsAway, IcbirError, WorkspaceError
from icbir_core.files import PARTIAL_MARK, PathLike, remove_partial_files, write_bytes_atomically

FOLDER = "images"
"""Within the workspace, and the first part of every film's name in the catalogue, wherever it lies."""
LEFT = "pacs/"
"""Begins the name of a film that was left in the archive (PACS), and lies at none of these places. Its UIDs follow, as
`Workspace.hide` gives them."""
CHUNKS = "chunks"
"""The first part of the name of what is no film: a chunk of maps and embeddings."""
_URL = re.compile(r"[a-z][a-z0-9+]*://[^@?#\s]+")

_OBJECT_STORES = frozenset({"s3", "s3a", "gs", "gcs", "abfs", "abfss", "az"})
"""Where an object appears when all of it is there. Elsewhere a film is written under another name first."""


class FilmPlace(Protocol):
    """Keeps films under the names that the catalogue gives them within a workspace, "images/NAME.png". Every call
    raises `FilmsAway` where the place does not answer, and `WorkspaceError` where it refuses or is full."""

    def write(self, name: str, data: bytes) -> None:
        """Keep a film, whole or not at all."""

    def read(self, name: str) -> bytes:
        """A film's bytes. Raises `FilmLost` where it is missing."""

    def read_head(self, name: str, size: int) -> bytes:
        """The first `size` bytes of a film, fewer where it has no more. Raises `FilmLost` where it is missing."""

    def delete(self, name: str) -> None:
        """Keep a film no longer; nothing where it is not there. A film that was left in the archive stays there."""

    def list_names(self) -> list[str]:
        """The names of all films that are there."""

    def remove_partial(self) -> None:
        """Remove what a killed writer left; nobody may write meanwhile."""


class LocalFilms:
    """Films in the workspace's own folder."""

    def __init__(self, workspace: PathLike):
        self.workspace = Path(workspace)

    def write(self, name: str, data: bytes) -> None:
        with _reaching(name):
            write_bytes_atomically(self.workspace / name, data)

    def read(self, name: str) -> bytes:
        with _reaching(name):
            return (self.workspace / name).read_bytes()

    def read_head(self, name: str, size: int) -> bytes:
        with _reaching(name), open(self.workspace / name, "rb") as file:
            return file.read(size)

    def delete(self, name: str) -> None:
        with _reaching(name):
            if not name.startswith(LEFT):
                (self.workspace / name).unlink(missing_ok=True)

    def list_names(self) -> list[str]:
        with _reaching(FOLDER):
            folder = self.workspace / FOLDER
            files = folder.iterdir() if folder.is_dir() else ()
            found = [file.name for file in files if PARTIAL_MARK not in file.name]
        return [f"{FOLDER}/{one}" for one in found]

    def remove_partial(self) -> None:
        with _reaching(FOLDER):
            remove_partial_files(self.workspace / FOLDER)


class RemoteFilms:
    """Films below a URL. Raises `WorkspaceError` where the packages for it are missing or the URL is none."""

    def __init__(self, url: str):
        try:
            from fsspec.core import url_to_fs

            self._files, self._base = url_to_fs(check_url(url))
            self._writes_whole = url.partition("://")[0] in _OBJECT_STORES
        except (ImportError, ModuleNotFoundError):
            raise WorkspaceError("Films at a URL need further packages; run `pip install icbir[objects]`.") from None
        except ValueError:
            raise WorkspaceError(f"Films cannot lie at '{url}'; give a URL such as s3://bucket/films.") from None

    def write(self, name: str, data: bytes) -> None:
        with _reaching(name):
            path = self._find(name)
            folder, _, last = path.rpartition("/")
            self._files.makedirs(folder, exist_ok=True)
            if self._writes_whole:
                self._files.pipe_file(path, data)
                return
            aside = f"{folder}/.{secrets.token_hex(6)}{PARTIAL_MARK}.{last}"
            try:
                self._files.pipe_file(aside, data)
                self._files.mv(aside, path)
            except BaseException:
                with suppress(Exception):  # the first error is the one to tell
                    self._files.rm_file(aside)
                raise

    def read(self, name: str) -> bytes:
        with _reaching(name):
            found: Any = self._files.cat_file(self._find(name))
            return bytes(found)

    def read_head(self, name: str, size: int) -> bytes:
        with _reaching(name):
            found: Any = self._files.cat_file(self._find(name), start=0, end=size)
            return bytes(found)

    def delete(self, name: str) -> None:
        with _reaching(name), suppress(FileNotFoundError):
            if not name.startswith(LEFT):
                self._files.rm_file(self._find(name))

    def list_names(self) -> list[str]:
        return [name for name in self.list_all(FOLDER) if PARTIAL_MARK not in name]

    def remove_partial(self) -> None:
        for name in () if self._writes_whole else self.list_all(FOLDER):
            if PARTIAL_MARK in name:
                self.delete(name)

    def list_all(self, kind: str) -> list[str]:
        """The names of all objects of a kind, `FOLDER` or `CHUNKS`, also of what a killed writer left."""
        with _reaching(kind):
            self._files.invalidate_cache()
            try:
                found = [str(one).rpartition("/")[2] for one in self._files.ls(self._find(kind), detail=False)]
            except FileNotFoundError:  # before the first film
                return []
        return [f"{kind}/{one}" for one in found if one]

    def _find(self, name: str) -> str:
        return f"{self._base}/{name}"


def check_url(url: str) -> str:
    """The URL itself, without a slash at its end. Raises `WorkspaceError` for what is none, or holds a password."""
    if not _URL.fullmatch(url):
        raise WorkspaceError(f"Films cannot lie at '{url}'; give a URL such as s3://bucket/films, without a password.")
    return url.rstrip("/")


def draw_place(url: str) -> str:
    """An address below `url` that no other workspace has."""
    return f"{check_url(url)}/icbir-{secrets.token_hex(6)}"


def open_films(workspace: PathLike, url: str) -> FilmPlace:
    """The films of a workspace: below `url`, or in its folder where that is ""."""
    return RemoteFilms(url) if url else LocalFilms(workspace)


@contextmanager
def _reaching(name: str) -> Iterator[None]:
    """The one door to the films: whatever a file system raises becomes an error of ours in one sentence, which never
    holds the driver's own text, since that may name a host or a key."""
    try:
        yield
    except IcbirError:
        raise
    except Exception as error:
        raise _name_error(error, _describe(name)) from error


def _describe(name: str) -> str:
    if name.partition("/")[0] == CHUNKS:
        return "The maps and embeddings"
    return f"The film '{name}'" if name != FOLDER else "The folder of the films"


def _name_error(error: Exception, what: str) -> WorkspaceError:
    number = error.errno if isinstance(error, OSError) else None
    if isinstance(error, FileNotFoundError | IsADirectoryError):
        return FilmLost(f"{what} is missing; restore it.")
    if isinstance(error, PermissionError) or "Credential" in type(error).__name__:  # as botocore calls it
        return WorkspaceError(f"{what} cannot be reached (no right); check the rights to the place of the films.")
    if number == errno.EROFS:
        return WorkspaceError(f"{what} cannot be written (read-only); check the place of the films.")
    if number in (errno.ENOSPC, errno.EDQUOT):
        return WorkspaceError(f"There is no space left for {what[0].lower()}{what[1:]}; make room and try again.")
    reason = os.strerror(number) if number else type(error).__name__
    return FilmsAway(f"{what} cannot be reached ({reason}); try again later.")
