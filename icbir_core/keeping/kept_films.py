"""Films that a reader keeps over a reload: encrypted on this machine with a key that only her browser can bring.

The server stores no key. Each file is sealed by AES-256-GCM, under a key and in a folder whose name both come from the
browser's secret and the reader's pseudonym by HKDF-SHA256; so neither another browser nor another reader finds or opens
them, and nobody can once the browser has lost its secret.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import os
import re
import secrets
import shutil
import time
import zlib
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from icbir_core.errors import WorkspaceError
from icbir_core.files import PathLike, write_bytes_atomically
from icbir_core.settings import get_environment

SECRET = re.compile(r"[0-9a-f]{64}")
_MAGIC = b"ICBIRK1\n"
_NONCE = 12
_STATE = "state"
_FILM = ".film"
_NAME = re.compile(r"[0-9a-f]{32}")
_LATER = 300.0
"""Seconds by which the clock of a file may be ahead of this machine's."""


@dataclass(frozen=True)
class KeepingRules:
    """What the operator decided. mode : "on" (kept unless the reader switches it off), "ask" (kept once she switches it
    on) or "off"; hours : after which a film is gone; own_bytes, all_bytes : most that one reader, and all, may keep."""

    mode: str = "on"
    hours: float = 12.0
    own_bytes: int = 400_000_000
    all_bytes: int = 4_000_000_000


def read_keeping_rules() -> KeepingRules:
    """The rules of `ICBIR_KEEP_FILMS` and `ICBIR_KEEP_HOURS`. A value that means nothing keeps no film."""
    mode, asked = get_environment("KEEP_FILMS") or "on", get_environment("KEEP_HOURS") or "12"
    try:
        hours = float(asked)
    except ValueError:
        hours = 0.0
    usable = mode in ("on", "ask") and 0 < hours <= 168
    return KeepingRules(mode if usable else "off", hours if usable else 0.0)


def find_kept_folder(workspace: PathLike) -> Path:
    """Where films are kept: the folder `ICBIR_KEPT`, else one beside the workspace, so that no copy of that holds
    it."""
    place = Path(workspace).absolute()
    return Path(get_environment("KEPT") or place.with_name(f"{place.name}.kept"))


@dataclass(frozen=True, eq=False)
class KeptFilm:
    """name : of the film, chosen by whoever keeps it; facts : JSON values about it; levels : uint16 (H, W)."""

    name: str
    facts: Mapping[str, Any]
    levels: np.ndarray


class KeptFilms:
    """What one reader keeps in one browser. root : the folder of all; secret : 64 hexadecimal digits."""

    def __init__(self, root: PathLike, secret: str, reader: str, rules: KeepingRules):
        if not SECRET.fullmatch(secret):
            raise WorkspaceError("The browser brought no secret; load the page again.")
        info = b"icbir kept films\0" + reader.encode()
        material = HKDF(SHA256(), 64, None, info).derive(bytes.fromhex(secret))
        self._cipher, self._names = AESGCM(material[:32]), material[32:48]
        self.root, self.rules = Path(root), rules
        self.folder = self.root / material[48:].hex()

    def keep(self, film: KeptFilm) -> None:
        """Keep a film; one that is kept already keeps its time. The reader's oldest give way to it.

        Raises `WorkspaceError` where it cannot be written or all readers together keep too much.
        """
        path = self._find(film.name)
        if path.is_file():
            return
        head = {"name": film.name, "kept": time.time(), "shape": list(film.levels.shape), "facts": dict(film.facts)}
        written = json.dumps(head).encode()
        plain = len(written).to_bytes(4, "big") + written + zlib.compress(film.levels.astype("<u2").tobytes(), 1)
        size = len(plain) + 64
        if size > self.rules.own_bytes or size + _measure(self.root) > self.rules.all_bytes:
            raise WorkspaceError("The server can keep no more films: this one is gone after a reload.")
        ages = {path: found.st_mtime for path, found in _list_files(self.folder) if path.name.endswith(_FILM)}
        for old in sorted(ages, key=ages.__getitem__):
            if _measure(self.folder) + size <= self.rules.own_bytes:
                break
            old.unlink(missing_ok=True)
        self._write(path, plain)

    def drop(self, name: str) -> None:
        """Keep a film no longer."""
        self._find(name).unlink(missing_ok=True)

    def read_films(self) -> list[KeptFilm]:
        """Every film that is kept and whose time is not over, the first kept first; what cannot be opened is left
        out."""
        found: list[tuple[float, KeptFilm]] = []
        for path in self.folder.glob(f"*{_FILM}"):
            plain = self._read(path)
            if plain is None:
                continue
            length = int.from_bytes(plain[:4], "big")
            head = json.loads(plain[4 : 4 + length])
            if self._is_over(head["kept"]):
                path.unlink(missing_ok=True)
                continue
            levels = np.frombuffer(zlib.decompress(plain[4 + length :]), "<u2").reshape(head["shape"])
            found.append((head["kept"], KeptFilm(head["name"], head["facts"], levels.astype(np.uint16))))
        return [film for _, film in sorted(found, key=lambda one: one[0])]

    def count(self) -> int:
        """How many films lie there."""
        return len(list(self.folder.glob(f"*{_FILM}")))

    def write_state(self, state: Mapping[str, Any]) -> None:
        """Remember JSON values beside the films. Raises `WorkspaceError`."""
        self._write(self.folder / _STATE, json.dumps({"kept": time.time(), "state": dict(state)}).encode())

    def read_state(self) -> dict[str, Any]:
        """What was remembered last; {} for nothing, and after its time."""
        plain = self._read(self.folder / _STATE)
        held = json.loads(plain) if plain is not None else {}
        return dict(held["state"]) if held and not self._is_over(held["kept"]) else {}

    def forget(self) -> None:
        """Delete everything that this reader keeps in this browser."""
        shutil.rmtree(self.folder, ignore_errors=True)

    def _find(self, name: str) -> Path:
        return self.folder / f"{hmac.new(self._names, name.encode(), hashlib.sha256).hexdigest()[:32]}{_FILM}"

    def _is_over(self, kept: float) -> bool:
        return not -_LATER <= time.time() - kept <= 3600 * self.rules.hours

    def _write(self, path: Path, plain: bytes) -> None:
        nonce = secrets.token_bytes(_NONCE)
        sealed = self._cipher.encrypt(nonce, plain, _MAGIC + path.name.encode())
        try:
            for folder in (self.root, self.folder):
                folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            write_bytes_atomically(path, _MAGIC + nonce + sealed, mode=0o600)
        except OSError as error:
            raise WorkspaceError(f"The film cannot be kept ({error.strerror}): it is gone after a reload.") from None

    def _read(self, path: Path) -> bytes | None:
        """What a file holds; None where it is gone, damaged or of another."""
        with suppress(OSError, InvalidTag, ValueError):
            data = path.read_bytes()
            if data.startswith(_MAGIC):
                start = len(_MAGIC)
                nonce, sealed = data[start : start + _NONCE], data[start + _NONCE :]
                return self._cipher.decrypt(nonce, sealed, _MAGIC + path.name.encode())
        return None


def sweep_kept(root: PathLike, rules: KeepingRules, now: float | None = None) -> int:
    """Delete what lies longer than its time, what a crash left half written, and empty folders; how many files went.

    Needs no key: the time of a file is when it was written. With mode "off" everything goes.
    """
    limit = (time.time() if now is None else now) - 3600 * rules.hours
    gone = 0
    for folder in (one for one in Path(root).glob("*") if one.is_dir() and _NAME.fullmatch(one.name)):
        for path, found in _list_files(folder):
            known = path.name == _STATE or path.name.endswith(_FILM)
            with suppress(OSError):
                age = found.st_mtime
                if rules.mode == "off" or age <= limit or (not known and age <= limit + 3600 * rules.hours - _LATER):
                    path.unlink()
                    gone += 1
        with suppress(OSError):
            folder.rmdir()  # refused where something is left
    return gone


def _measure(folder: Path) -> int:
    """Bytes of all files below a folder."""
    return sum(found.st_size for _, found in _list_files(folder))


def _list_files(folder: Path) -> list[tuple[Path, os.stat_result]]:
    """The files below a folder that are still there when each is looked at: those of other visits come and go."""
    listed = []
    for root, _, names in os.walk(folder):
        for path in (Path(root) / name for name in names):
            with suppress(FileNotFoundError):
                listed.append((path, path.stat()))
    return listed
