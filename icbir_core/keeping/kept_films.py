"""Films that a reader keeps over a reload: encrypted by this machine with a key that only her browser can bring.

The server stores no key. Each film is sealed by AES-256-GCM, under a key and an owner's name that both come from the
browser's secret and the reader's pseudonym by HKDF-SHA256; so neither another browser nor another reader finds or opens
them, and nobody can once the browser has lost its secret. `kept_places` says where they lie.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import re
import secrets
import time
import zlib
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import numpy as np
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from icbir_core.errors import WorkspaceError
from icbir_core.keeping.kept_places import FILM, LATER, STATE, KeptPlace
from icbir_core.settings import get_environment

SECRET = re.compile(r"[0-9a-f]{64}")
_MAGIC = b"ICBIRK1\n"
_NONCE = 12


@dataclass(frozen=True)
class KeepingRules:
    """What the operator decided. mode : "on" (kept unless the reader switches it off), "ask" (kept once she switches it
    on) or "off"; hours : after which a film is gone; archive : films from the archive too, not uploads alone;
    own_bytes, all_bytes : most that one reader, and all, may keep."""

    mode: str = "on"
    hours: float = 12.0
    archive: bool = False
    own_bytes: int = 400_000_000
    all_bytes: int = 4_000_000_000


def read_keeping_rules() -> KeepingRules:
    """The rules of `ICBIR_KEEP_FILMS`, `ICBIR_KEEP_HOURS` and `ICBIR_KEEP_ARCHIVE`. A value that means nothing keeps no
    film."""
    mode, asked = get_environment("KEEP_FILMS") or "on", get_environment("KEEP_HOURS") or "12"
    try:
        hours = float(asked)
    except ValueError:
        hours = 0.0
    usable = mode in ("on", "ask") and 0 < hours <= 168
    return KeepingRules(mode if usable else "off", hours if usable else 0.0, get_environment("KEEP_ARCHIVE") == "on")


@dataclass(frozen=True, eq=False)
class KeptFilm:
    """name : of the film, chosen by whoever keeps it; facts : JSON values about it; levels : uint16 (H, W)."""

    name: str
    facts: Mapping[str, Any]
    levels: np.ndarray


class KeptFilms:
    """What one reader keeps in one browser. place : where all lie; secret : 64 hexadecimal digits."""

    def __init__(self, place: KeptPlace, secret: str, reader: str, rules: KeepingRules):
        if not SECRET.fullmatch(secret):
            raise WorkspaceError("The browser brought no secret; load the page again.")
        info = b"icbir kept films\0" + reader.encode()
        material = HKDF(SHA256(), 64, None, info).derive(bytes.fromhex(secret))
        self._cipher, self._names = AESGCM(material[:32]), material[32:48]
        self.place, self.rules = place, rules
        self.owner = material[48:].hex()

    def keep(self, film: KeptFilm) -> None:
        """Keep a film; one that is kept already keeps its time. The reader's oldest give way to it. Raises
        `WorkspaceError` where it cannot be written or all readers together keep too much."""
        name, held = self._name(film.name), self.place.list_films(self.owner)
        if name in dict(held):
            return
        head = {"name": film.name, "kept": time.time(), "shape": list(film.levels.shape), "facts": dict(film.facts)}
        written = json.dumps(head).encode()
        plain = len(written).to_bytes(4, "big") + written + zlib.compress(film.levels.astype("<u2").tobytes(), 1)
        size = len(plain) + 64
        if size > self.rules.own_bytes or size + self.place.measure() > self.rules.all_bytes:
            raise WorkspaceError("The server can keep no more films: this one is gone after a reload.")
        own = self.place.measure(self.owner)
        for old, length in held:
            if own + size <= self.rules.own_bytes:
                break
            self.place.delete(self.owner, old)
            own -= length
        self._write(name, plain)

    def drop(self, name: str) -> None:
        """Keep a film no longer."""
        self.place.delete(self.owner, self._name(name))

    def read_films(self) -> list[KeptFilm]:
        """Every film that is kept and whose time is not over, the first kept first; what cannot be opened is left
        out."""
        found: list[tuple[float, KeptFilm]] = []
        for name, _ in self.place.list_films(self.owner):
            plain = self._read(name)
            if plain is None:
                continue
            length = int.from_bytes(plain[:4], "big")
            head = json.loads(plain[4 : 4 + length])
            if self._is_over(head["kept"]):
                self.place.delete(self.owner, name)
                continue
            levels = np.frombuffer(zlib.decompress(plain[4 + length :]), "<u2").reshape(head["shape"])
            found.append((head["kept"], KeptFilm(head["name"], head["facts"], levels.astype(np.uint16))))
        return [film for _, film in sorted(found, key=lambda one: one[0])]

    def count(self) -> int:
        """How many films lie there."""
        return len(self.place.list_films(self.owner))

    def write_state(self, state: Mapping[str, Any]) -> None:
        """Remember JSON values beside the films. Raises `WorkspaceError`."""
        self._write(STATE, json.dumps({"kept": time.time(), "state": dict(state)}).encode())

    def read_state(self) -> dict[str, Any]:
        """What was remembered last; {} for nothing, and after its time."""
        plain = self._read(STATE)
        held = json.loads(plain) if plain is not None else {}
        return dict(held["state"]) if held and not self._is_over(held["kept"]) else {}

    def forget(self) -> None:
        """Delete everything that this reader keeps in this browser."""
        self.place.forget(self.owner)

    def _name(self, film: str) -> str:
        return f"{hmac.new(self._names, film.encode(), hashlib.sha256).hexdigest()[:32]}{FILM}"

    def _is_over(self, kept: float) -> bool:
        return not -LATER <= time.time() - kept <= 3600 * self.rules.hours

    def _write(self, name: str, plain: bytes) -> None:
        nonce = secrets.token_bytes(_NONCE)
        self.place.write(self.owner, name, _MAGIC + nonce + self._cipher.encrypt(nonce, plain, _MAGIC + name.encode()))

    def _read(self, name: str) -> bytes | None:
        """What lies under a name; None where it is gone, damaged or of another."""
        data = self.place.read(self.owner, name)
        if data is None or not data.startswith(_MAGIC):
            return None
        start = len(_MAGIC)
        with suppress(InvalidTag, ValueError):
            return self._cipher.decrypt(data[start : start + _NONCE], data[start + _NONCE :], _MAGIC + name.encode())
        return None
