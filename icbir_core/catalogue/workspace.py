"""The workspace: one folder that holds one catalogue and what was computed from it."""

from __future__ import annotations

import base64
import hashlib
import hmac
import os
import re
import secrets
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from typing import Any

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESSIV
from filelock import FileLock, Timeout

from icbir_core.catalogue.film_places import FilmPlace, draw_place, open_films
from icbir_core.catalogue.table import Catalogue
from icbir_core.database import draw_schema, is_database_named
from icbir_core.errors import ManifestMismatch, WorkspaceBusy, WorkspaceError
from icbir_core.files import (
    PARTIAL_MARK,
    PathLike,
    read_json,
    sha256_of_file,
    sha256_of_tree,
    write_bytes_atomically,
    write_json_atomically,
)
from icbir_core.settings import get_environment

FORMAT = 1
MANIFEST = "manifest.json"
CATALOGUE = "catalogue.db"
DATABASE = "database"
"""The manifest's key for the schema of a workspace whose catalogue and ratings lie in a database server."""
FILMS = "films"
"""The manifest's key for the address of the films, where they lie outside the folder."""
MOVED = ".moved"
"""Added to the name of a file whose content lies in the database server now."""
SALT = "patients.salt"
_SEARCHED = ("catalogue", "index")
"""Kinds of artefacts that a search rests on: where one is recorded, pages that run learn of it by the revision."""
_BLANK = {"", "nan", "none", "null", "na", "n/a", "unknown"}


class Workspace:
    """One folder: manifest.json, catalogue.db, images/, models/, targets/<finding>/.

    Make it with `create` or `open`. Every path in a manifest is relative to the folder, so that it can be moved.

    Examples
    --------
    >>> import icbir_core as icbir
    >>> workspace = icbir.Workspace.open("workspaces/demo")
    >>> len(workspace.catalogue.cases()) > 0
    True
    """

    def __init__(self, path: PathLike):
        # absolute at once: an artefact's path is either below it or relative to it, never to the current folder
        self.path = Path(path).absolute()
        self._films: tuple[tuple[int, int, int], str, FilmPlace] | None = None

    @classmethod
    def create(cls, path: PathLike) -> Workspace:
        """Make a workspace in a new or empty folder; a folder that already is one is opened. Where `ICBIR_DATABASE_URL`
        is set, a new one keeps its catalogue and ratings there; where `ICBIR_FILMS` is, its films, maps and embeddings
        below that URL.

        Raises `WorkspaceError` if the folder holds other files.
        """
        path = Path(path)
        if (path / MANIFEST).is_file():
            return cls.open(path)
        if path.exists() and (not path.is_dir() or not all(_is_own(entry.name) for entry in path.iterdir())):
            raise WorkspaceError(f"The folder '{path}' has other content; name a new or empty one.")
        workspace = cls(path)
        for folder in (path, workspace.images, workspace.models, path / "targets"):
            folder.mkdir(parents=True, exist_ok=True)
        workspace._write_salt()
        with workspace.lock("manifest"):
            if not (path / MANIFEST).is_file():
                manifest: dict[str, Any] = {"format": FORMAT, "created": _now(), "artefacts": {}}
                if is_database_named():
                    manifest[DATABASE] = draw_schema()
                if url := get_environment("FILMS"):
                    manifest[FILMS] = draw_place(url)
                write_json_atomically(path / MANIFEST, manifest)
        return cls.open(path)

    @classmethod
    def open(cls, path: PathLike) -> Workspace:
        """Open a workspace. Raises `WorkspaceError` if the folder is none, or is of another format version."""
        workspace = cls(Path(path))
        workspace.check_is_there()
        workspace.read_manifest()
        return workspace

    def check_is_there(self) -> None:
        """Raises `WorkspaceError` if the folder holds no workspace, or no longer does."""
        if not (self.path / MANIFEST).is_file():
            raise WorkspaceError(f"'{self.path}' is not a workspace: it has no {MANIFEST}. `icbir ingest` makes one.")

    # Places

    @property
    def images(self) -> Path:
        """Folder of the normalised, de-identified radiographs."""
        return self.path / "images"

    @property
    def models(self) -> Path:
        """Folder of the classifier and its card."""
        return self.path / "models"

    @property
    def films(self) -> FilmPlace:
        """Where the stored films lie: a process that runs follows them when they are moved."""
        try:
            found = (self.path / MANIFEST).stat()
            state = (found.st_ino, found.st_mtime_ns, found.st_size)
        except OSError:
            state = (0, 0, 0)  # reading it says what is the matter
        if self._films is None or self._films[0] != state:
            address = self.films_address
            same = self._films is not None and self._films[1] == address
            self._films = (state, address, self._films[2] if same and self._films else open_films(self.path, address))
        return self._films[2]

    @property
    def films_address(self) -> str:
        """The URL below which films, maps and embeddings lie; "" for the folder."""
        return str(self.read_manifest().get(FILMS, ""))

    @cached_property
    def catalogue(self) -> Catalogue:
        """The case table, opened at first use."""
        return Catalogue(self.path / CATALOGUE, self.database_schema)

    @cached_property
    def database_schema(self) -> str:
        """Where catalogue and ratings lie in the database server that `ICBIR_DATABASE_URL` names; "" for the folder."""
        return str(self.read_manifest().get(DATABASE, ""))

    def target_directory(self, finding: str) -> Path:
        """Folder of what was computed for one target finding; made if missing."""
        name = re.sub(r"[^A-Za-z0-9]+", "_", finding).strip("_").lower()
        if not name:
            raise WorkspaceError(f"'{finding}' names no finding; name one, such as Effusion.")
        return self.make_folder(self.path / "targets" / name)

    def make_folder(self, folder: PathLike) -> Path:
        """A folder of the workspace, made if missing. Raises `WorkspaceError` where the workspace's drive is away, also
        where it went meanwhile and the folder was made in the empty one that stands in its place."""
        self.check_is_there()
        folder = Path(folder)
        folder.mkdir(parents=True, exist_ok=True)
        self.check_is_there()
        return folder

    @contextmanager
    def lock(self, name: str, seconds: float = 30.0) -> Iterator[None]:
        """Hold the lock `name` for the block. Raises `WorkspaceBusy` if another process holds it for `seconds`. The
        operating system frees the lock of a killed process."""
        try:
            with FileLock(self.path / f".{name}.lock", timeout=seconds):
                yield
        except Timeout:
            raise WorkspaceBusy(
                f"Another process is writing to '{self.path}' ({name}), and there can be only one; wait for it to end."
            ) from None

    # Manifest

    def read_manifest(self) -> dict[str, Any]:
        """The manifest: {"format", "created", "artefacts": {name: entry}}. Raises `WorkspaceError` if it is damaged."""
        manifest = read_json(self.path / MANIFEST)
        if not isinstance(manifest, dict) or not _are_entries(manifest.get("artefacts")):
            raise WorkspaceError(f"The manifest of '{self.path}' is another JSON file; restore it.")
        if manifest.get("format") != FORMAT:
            raise WorkspaceError(
                f"The workspace has format {manifest.get('format')}, this version reads {FORMAT}; use the one that "
                "made it."
            )
        return manifest

    def record_artefact(self, name: str, entry: Mapping[str, Any]) -> dict[str, Any]:
        """Write an artefact's entry into the manifest and return it as stored.

        entry : JSON values. Known keys: "path" (file or folder inside the workspace; its "sha256" is computed unless
        given), "made_from" ({name of another artefact: its sha256}). Everything else is kept as it is.
        """
        stored = dict(entry)
        if "path" in stored:
            target = self._inside(stored["path"])
            stored["path"] = Path(os.path.relpath(target, os.path.normpath(self.path))).as_posix()
            stored.setdefault("sha256", _hash(target, name))
        stored.setdefault("recorded", _now())
        with self.lock("manifest"):
            manifest = self.read_manifest()
            manifest["artefacts"][name] = stored
            write_json_atomically(self.path / MANIFEST, manifest)
        if re.split("[:/]", name)[0] in _SEARCHED:
            self.catalogue.raise_revision()
        return stored

    def check_artefact(self, name: str, content: bool = True) -> dict[str, Any]:
        """The entry of an artefact, after checking it.

        content : whether to hash the file or folder again; else only its presence is checked.
        Raises `WorkspaceError` if it was never recorded, `ManifestMismatch` if it is missing, changed, or was made from
        an artefact that has been replaced since.
        """
        artefacts = self.read_manifest()["artefacts"]
        if name not in artefacts:
            known = ", ".join(sorted(artefacts)) or "none"
            raise WorkspaceError(f"The workspace '{self.path}' lacks '{name}'; make it first. It has: {known}.")
        entry: dict[str, Any] = artefacts[name]
        if "path" in entry:
            target = self._inside(entry["path"])
            if not target.exists():
                raise ManifestMismatch(f"'{entry['path']}' of '{name}' is missing; restore or remake it.")
            if content and "sha256" in entry and (found := _hash(target, name)) != entry["sha256"]:
                raise ManifestMismatch(
                    f"'{entry['path']}' is not what the manifest names ({found[:12]}… instead of "
                    f"{entry['sha256'][:12]}…); restore or remake it."
                )
        for source, expected in entry.get("made_from", {}).items():
            found = artefacts.get(source, {}).get("sha256")
            if found != expected:
                raise ManifestMismatch(
                    f"'{name}' was made from another '{source}' than the one that is here "
                    f"({str(expected)[:12]}… instead of {str(found)[:12]}…); make '{name}' again."
                )
        return entry

    def _inside(self, path: str | Path) -> Path:
        root = Path(os.path.normpath(self.path))
        target = Path(os.path.normpath(root / path))
        if not target.is_relative_to(root):
            raise WorkspaceError(f"'{path}' is not inside the workspace; keep artefacts there.")
        return target

    # Patients

    def hash_patient(self, text: object) -> str | None:
        """16 hexadecimal digits that stand for a patient in this workspace only; None if the patient is not known.

        HMAC-SHA256 with the workspace's secret salt, so that the number cannot be found again by trying all numbers.
        Blank text is an unknown patient, never one patient for all.
        """
        plain = "" if text is None else str(text).strip().strip("\0").strip()
        return None if plain.casefold() in _BLANK else self.hash_secretly(plain)

    def hash_instance(self, uid: str | None) -> str | None:
        """16 hexadecimal digits that stand for a DICOM instance in this workspace only; None if there is no UID."""
        return None if not uid else self.hash_secretly(f"instance:{uid}")

    def hash_study(self, uid: str | None) -> str | None:
        """16 hexadecimal digits that stand for a DICOM study in this workspace only; None if there is no UID."""
        return None if not uid else self.hash_secretly(f"study:{uid}")

    def hash_secretly(self, text: str) -> str:
        """16 hexadecimal digits of HMAC-SHA256 of `text` under the workspace's salt."""
        return hmac.new(self._salt, text.encode("utf-8", "surrogateescape"), hashlib.sha256).hexdigest()[:16]

    def hide(self, text: str) -> str:
        """A text that only this workspace can turn back: AES-SIV under a key of its salt, in letters that may stand in
        a URL. The same text gives the same letters, so that an ingest that is run again gives the same row."""
        return base64.urlsafe_b64encode(self._cipher.encrypt(text.encode(), None)).decode()

    def reveal(self, hidden: str) -> str:
        """What `hide` was given. Raises `WorkspaceError` for letters that were changed, or of another salt."""
        try:
            return self._cipher.decrypt(base64.urlsafe_b64decode(hidden), None).decode()
        except (InvalidTag, ValueError):
            raise WorkspaceError(f"This was not hidden with the salt '{SALT}'; restore both from one copy.") from None

    @cached_property
    def _cipher(self) -> AESSIV:
        return AESSIV(hmac.new(self._salt, b"films that are left in the archive", hashlib.sha512).digest())

    @property
    def salt_check(self) -> str:
        """What the manifest keeps to know the salt again; it tells nothing of the salt."""
        return self.hash_secretly("check value of the salt")

    @cached_property
    def _salt(self) -> bytes:
        try:
            salt = (self.path / SALT).read_bytes()
        except FileNotFoundError:
            raise WorkspaceError(
                f"The salt file '{SALT}' of '{self.path}' is missing; restore it from a copy, since patients cannot be "
                "recognised without it."
            ) from None
        except OSError as error:
            raise WorkspaceError(
                f"'{SALT}' cannot be read ({error.strerror}); check its rights and the disk."
            ) from None
        if len(salt) < 32:
            raise WorkspaceError(f"'{SALT}' holds {len(salt)} bytes instead of 32; restore it from a copy.")
        return salt

    def _write_salt(self) -> None:
        with self.lock("manifest"):
            if not (self.path / SALT).exists():
                write_bytes_atomically(self.path / SALT, secrets.token_bytes(32), mode=0o600)


def _are_entries(artefacts: object) -> bool:
    """Whether this can be the manifest's table of artefacts."""
    return isinstance(artefacts, dict) and all(
        isinstance(entry, dict)
        and all(isinstance(entry.get(key, ""), str) for key in ("path", "sha256"))
        and isinstance(entry.get("made_from", {}), dict)
        for entry in artefacts.values()
    )


def _is_own(name: str) -> bool:
    """Whether a creation that was cut short may have left an entry of this name."""
    return name in {"images", "models", "targets", SALT, ".manifest.lock"} or PARTIAL_MARK in name


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")


def _hash(target: Path, name: str) -> str:
    if target.is_dir():
        return sha256_of_tree(target)
    if not target.is_file():
        raise WorkspaceError(f"The file '{target}' of '{name}' is missing; make it first.")
    return sha256_of_file(target)
