"""The seal of a store of cases: what its ledger, the headers of its arrays and each of its chunks were, as hashes."""

from __future__ import annotations

import hashlib
from contextlib import AbstractContextManager
from pathlib import Path
from typing import NamedTuple

import numpy as np

from icbir_core.errors import IndexMismatch
from icbir_core.files import PathLike, reading_own, write_bytes_atomically

HASHES = "chunks.sha256"
ADVICE = "run the index command again, or restore it from a copy"
_HEAD = 72
"""Bytes before the hashes of the chunks: the number of rows and two hashes."""


class Seal(NamedTuple):
    """rows : how many of the ledger were sealed; ledger, headers : SHA-256 of these rows and of the arrays' headers;
    chunks : uint8 (C, 32), SHA-256 of every chunk by its number."""

    rows: int
    ledger: bytes
    headers: bytes
    chunks: np.ndarray


def reading_store(path: PathLike) -> AbstractContextManager[None]:
    """The door through which a store is read: whatever is raised in it becomes an `IndexMismatch`."""
    return reading_own(f"'{Path(path).name}'", IndexMismatch, ADVICE)


def hash_bytes(data: bytes) -> bytes:
    """SHA-256, 32 bytes."""
    return hashlib.sha256(data).digest()


def read_seal(store: PathLike) -> Seal:
    """The seal of the store in a folder; of one that was never sealed, a seal of no rows. Raises `IndexMismatch`."""
    path = Path(store) / HASHES
    with reading_store(store):
        data = path.read_bytes() if path.is_file() else b""
    if not data:
        return Seal(0, hash_bytes(b""), b"", np.zeros((0, 32), np.uint8))
    if len(data) < _HEAD or len(data) % 32 != _HEAD % 32:
        raise IndexMismatch(f"'{path}' is cut short; restore it from a copy.")
    chunks = np.frombuffer(data, np.uint8, offset=_HEAD).reshape(-1, 32)
    return Seal(int.from_bytes(data[:8], "little"), data[8:40], data[40:_HEAD], chunks)


def write_seal(store: PathLike, seal: Seal) -> Path:
    """Write a seal, unless that is the one which is there; returns its file."""
    path = Path(store) / HASHES
    data = seal.rows.to_bytes(8, "little") + seal.ledger + seal.headers + seal.chunks.tobytes()
    if not path.is_file() or path.read_bytes() != data:
        write_bytes_atomically(path, data)
    return path
