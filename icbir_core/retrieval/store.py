"""What was computed from each case of a catalogue, in one chunked zarr v3 group, written resumably.

Position in every array is the case's stable row. A batch of eight rows is one chunk of each array; zarr's local store
writes a chunk aside and renames it, and a row enters the ledger only after all its chunks are written. A process killed
at any point therefore leaves whole chunks and a ledger that claims nothing too much; the next run does the rest.
When all is written the store is sealed: hashes say later whether a chunk is still what was computed.
"""

from __future__ import annotations

import hashlib
import json
import os
import secrets
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import zarr
from filelock import FileLock

from icbir_core.errors import FilmLost, IndexMismatch, RetrievalError
from icbir_core.files import PathLike, read_json, write_bytes_atomically, write_json_atomically
from icbir_core.plurals import join_words
from icbir_core.retrieval.chunk_objects import ChunkObjects, ChunkStore, write_address
from icbir_core.retrieval.seal import ADVICE, Seal, hash_bytes, read_seal, reading_store, write_seal
from icbir_core.types import Progress

BATCH = 8
Fields = Mapping[str, tuple[tuple[int, ...], str]]
"""Name of a field → (shape of one case, dtype)."""
LEDGER = "ledger.int64"
FORMAT = 1
DEVICES = "devices.json"
# Values are written before the ledger names them.
_ENDED_EARLY = "If an indexing was ended early, run the index command again; otherwise"


class CaseStore:
    """Arrays of one target's catalogue, addressed by catalogue row.

    identity : what the values were made by (hashes of the models, names of the methods); a store is never mixed.
    """

    def __init__(self, path: PathLike, group: zarr.Group):
        self.path, self._group = Path(path), group
        self._ledger, self.objects = self.path / LEDGER, ChunkObjects(path)
        self._dimensions: dict[str, int] = {}  # zarr reads an array's header each time that it is asked

    @classmethod
    def open(cls, path: PathLike, identity: Mapping[str, str] | None = None) -> CaseStore:
        """Open a store. Raises `IndexMismatch` if there is none or its identity is not the given one."""
        path = Path(path)
        if not (path / "zarr.json").is_file():
            raise IndexMismatch(f"'{path}' holds no maps and embeddings; run the index command.")
        with reading_store(path):
            group = zarr.open_group(ChunkStore(path), mode="r+")
            found = _read_texts(group, "identity")
            lacking = [name for name in _read_names(group) if name not in group]
        if lacking:
            raise IndexMismatch(f"'{path.name}' lacks the field '{lacking[0]}'; {ADVICE}.")
        if group.attrs.get("format") != FORMAT or (identity is not None and found != dict(identity)):
            wanted = dict(identity or {})
            differing = [name for name in sorted(wanted | found) if wanted.get(name) != found.get(name)] or ["format"]
            raise IndexMismatch(f"The embeddings are of another {join_words(differing)}; run the index command again.")
        return cls(path, group)

    @classmethod
    def create(cls, path: PathLike, identity: Mapping[str, str], fields: Fields, films: str = "") -> CaseStore:
        """Make an empty store at `path`, in place of what is there. films : the URL of the workspace's films, below
        which the chunks shall lie; "" for the folder.

        Raises `IndexMismatch` if the folder that it shall lie in is not there, or no longer is the same: zarr makes
        every folder that is missing, also where a drive was lost and an empty folder stands in its place.
        """
        path = Path(path)
        aside, drive = path.with_name(f".{path.name}.new"), _name_folder(path.parent)
        for old in (aside, path):
            if old.exists():
                ChunkObjects(old).delete_all()
                shutil.rmtree(old)
        group = zarr.open_group(str(aside), mode="w", zarr_format=3)
        for name, (shape, kind) in fields.items():
            group.create_array(name, shape=(0, *shape), chunks=(BATCH, *shape), dtype=kind)
        facts: Any = {"identity": dict(identity), "fields": list(fields), "format": FORMAT}
        group.attrs.update(facts | {"made": secrets.token_hex(8)})
        write_address(aside, films)
        os.replace(aside, path)
        if _name_folder(path.parent) != drive:
            raise IndexMismatch(_describe_gone(path.parent))
        return cls.open(path, identity)

    @classmethod
    def open_or_create(
        cls, path: PathLike, identity: Mapping[str, str], fields: Fields, films: str = ""
    ) -> tuple[CaseStore, bool]:
        """(store, whether it is new): an existing one only if its identity is the given one; otherwise it starts anew,
        because values made by another model are of no use. Arguments and errors as `create`."""
        try:
            store = cls.open(path, identity)
            if set(store.names) == set(fields):
                return store, False
        except IndexMismatch:
            pass
        return cls.create(path, identity, fields, films), True

    @property
    def identity(self) -> dict[str, str]:
        """What the values were made by."""
        return _read_texts(self._group, "identity")

    @property
    def mark(self) -> str:
        """A hash that no other store has, nor the one that is made anew in its place: of its identity and a random
        number of its making."""
        return hashlib.sha256(json.dumps(self._group.attrs.asdict(), sort_keys=True).encode()).hexdigest()[:16]

    def is_current(self) -> bool:
        """Whether what lies at the path is still the store that was opened: another process may have made it anew."""
        try:
            return CaseStore.open(self.path).mark == self.mark
        except IndexMismatch:
            return False

    @property
    def names(self) -> tuple[str, ...]:
        """The fields of the store."""
        return _read_names(self._group)

    def _get(self, name: str) -> zarr.Array[Any]:
        try:
            found = self._group[name]
        except KeyError:
            raise IndexMismatch(_describe_gone(self.path)) from None
        if not isinstance(found, zarr.Array):
            raise IndexMismatch(f"'{name}' in '{self.path}' is not an array; run the index command again.")
        return found

    def get_completed(self) -> np.ndarray:
        """The rows int64 that are whole, ascending."""
        return np.unique(self._read_ledger())

    def _read_ledger(self) -> np.ndarray:
        """The rows int64 in the order in which they were completed."""
        with reading_store(self.path):
            data = self._ledger.read_bytes() if self._ledger.is_file() else b""
        return np.frombuffer(data[: len(data) // 8 * 8], dtype="<i8")

    def write(self, rows: np.ndarray, values: Mapping[str, np.ndarray]) -> None:
        """Write the values of some cases, then note them as complete.

        rows int64 (B,), ascending; values: every field of the store, (B, …). Raises `RetrievalError` if a field is
        missing or a value is not finite (the case is named, nothing of the batch is noted).
        """
        rows = np.asarray(rows, dtype=np.int64)
        if set(values) != set(self.names):
            raise RetrievalError(f"Give values for {', '.join(sorted(self.names))}, not {', '.join(sorted(values))}.")
        for name, array in values.items():
            bad = ~np.isfinite(np.asarray(array)).reshape(len(rows), -1).all(axis=1)
            if bad.any():
                raise RetrievalError(
                    f"'{name}' of catalogue row {rows[bad][0]} holds NaN or infinity; "
                    "remove that case and run the index command again."
                )
        self._check_is_there()
        self.grow(int(rows.max(initial=-1)) + 1)
        for name, array in values.items():
            target = self._get(name)
            if np.array_equal(rows, np.arange(rows[0], rows[0] + len(rows))):
                target[int(rows[0]) : int(rows[-1]) + 1] = np.asarray(array, dtype=target.dtype)
            else:
                target.oindex[rows] = np.asarray(array, dtype=target.dtype)
        self._note(rows)

    def _check_is_there(self) -> None:
        if not (self.path / "zarr.json").is_file():
            raise IndexMismatch(_describe_gone(self.path))
        if not self.is_current():
            raise IndexMismatch(f"'{self.path}' was made anew by another process; run the index command again.")

    def grow(self, count: int) -> None:
        """Let every array hold at least `count` cases. Of several processes one at a time: an array that is given a
        shorter length than it has loses its end."""
        if all(self._get(name).shape[0] >= count for name in self.names):
            return
        with self._hold_alone():
            for name in self.names:
                target = self._get(name)  # read again: another process may have been first
                if target.shape[0] < count:
                    target.resize((count, *target.shape[1:]))

    def read_devices(self) -> dict[str, float]:
        """The kinds of device that computed the values, each with the largest difference from the values that were
        there before it, as a share of their length; empty where values were written by an earlier edition."""
        path = self.path / DEVICES
        found = read_json(path) if path.is_file() else {}
        return {str(kind): float(value) for kind, value in found.items()}

    def note_device(self, kind: str, difference: float, first: bool = False) -> None:
        """Remember that a kind of device computed here. first : forget those that wrote nothing before they ended."""
        with self._hold_alone():
            former = {} if first else self.read_devices()
            write_json_atomically(self.path / DEVICES, former | {kind: difference})

    def has_values(self) -> bool:
        """Whether any case is whole."""
        return self._ledger.is_file() and self._ledger.stat().st_size >= 8

    def _note(self, rows: np.ndarray) -> None:
        """Append rows to the ledger in one write; a partial record that a killed writer left is overwritten."""
        self._check_is_there()
        with self._hold_alone():
            descriptor = os.open(self._ledger, os.O_RDWR | os.O_CREAT, 0o666)
            try:
                os.lseek(descriptor, os.fstat(descriptor).st_size // 8 * 8, os.SEEK_SET)
                os.write(descriptor, np.asarray(rows, dtype="<i8").tobytes())
                os.fsync(descriptor)
            finally:
                os.close(descriptor)

    def _hold_alone(self) -> FileLock:
        """So that of several workers one at a time changes what they share."""
        return FileLock(self.path / ".store.lock", timeout=60.0)

    def seal(self) -> Path:
        """Record what was written since the last seal, and nothing else, so that an older hash is never made to fit a
        chunk that was damaged; returns the file of the hashes: of the ledger and the arrays' headers, then one a chunk.
        """
        ledger, former = self._read_ledger(), read_seal(self.path)
        chunks = np.unique(ledger[former.rows :] // BATCH)
        grown = np.zeros((int(ledger.max(initial=-1)) // BATCH + 1, 32), np.uint8)
        grown[: len(former.chunks)] = former.chunks
        for chunk in chunks:
            grown[chunk] = np.frombuffer(self._hash_chunk(int(chunk)), np.uint8)
        return write_seal(self.path, Seal(len(ledger), hash_bytes(ledger.tobytes()), self._hash_headers(), grown))

    def check(self, progress: Progress | None = None) -> int:
        """Hash every sealed chunk again; returns how many cases were looked at. Chunks that a killed run has written to
        since the seal are left out. Raises `IndexMismatch` if a chunk, the ledger or a header is not what was sealed.
        """
        chunks, changed = self._find_changed(progress)
        if changed:
            first = changed[0] * BATCH
            raise IndexMismatch(
                f"{len(changed)} of {len(chunks)} chunks of maps and embeddings have changed since they were indexed "
                f"(first: catalogue rows {first} to {first + BATCH - 1}). {_ENDED_EARLY} run the repair command, or "
                f"remove '{self.path}' and run the index command."
            )
        return int(np.isin(self.get_completed() // BATCH, chunks).sum())

    def drop_damaged(self) -> int:
        """Forget the cases of the chunks that are not what was sealed, so that the next run computes them again;
        returns how many. Raises `IndexMismatch` if the ledger or a header, which prove the rest, is not either."""
        _, changed = self._find_changed()
        if not changed:
            return 0
        ledger, former = self._read_ledger(), read_seal(self.path)
        kept = ~np.isin(ledger // BATCH, changed)
        proved = ledger[: former.rows][kept[: former.rows]]
        for chunk in changed:
            for name in self.names:
                self.objects.delete(self._find_chunk(name, chunk))
        write_bytes_atomically(self._ledger, ledger[kept].tobytes())
        write_seal(self.path, former._replace(rows=len(proved), ledger=hash_bytes(proved.tobytes())))
        return len(np.unique(ledger[~kept]))

    def _find_changed(self, progress: Progress | None = None) -> tuple[np.ndarray, list[int]]:
        """(the chunks that were looked at, those of them that are not what was sealed)."""
        ledger, (sealed, rows_hash, headers_hash, hashes) = self._read_ledger(), read_seal(self.path)
        advice = f"remove '{self.path}' and run the index command, or restore it from a copy"
        if len(ledger) < sealed or hash_bytes(ledger[:sealed].tobytes()) != rows_hash:
            raise IndexMismatch(f"The ledger of {sealed} cases has changed since it was sealed; {advice}.")
        if len(ledger) == sealed and self._hash_headers() != headers_hash:
            raise IndexMismatch(
                "The headers of the arrays, or the devices noted beside them, have changed since they were sealed. "
                f"{_ENDED_EARLY} {advice}."
            )
        chunks = np.setdiff1d(ledger[:sealed] // BATCH, ledger[sealed:] // BATCH)
        changed = []
        for done, chunk in enumerate(chunks, start=1):
            if chunk >= len(hashes) or not self._is_whole(int(chunk), hashes[chunk].tobytes()):
                changed.append(int(chunk))
            if progress is not None:
                progress(done, len(chunks), "maps and embeddings")
        return chunks, changed

    def _is_whole(self, number: int, sealed: bytes) -> bool:
        try:
            return self._hash_chunk(number) == sealed
        except FilmLost:
            return False

    def _hash_chunk(self, number: int) -> bytes:
        """Of one chunk of every field; one that holds zeros alone has no file."""
        digest = hashlib.sha256()
        for name in self.names:
            with reading_store(self.path):
                data = self.objects.read(self._find_chunk(name, number)) or b""
            digest.update(f"{name} {len(data)}\0".encode())
            digest.update(data)
        return digest.digest()

    def _find_chunk(self, name: str, number: int) -> str:
        if name not in self._dimensions:
            self._dimensions[name] = self._get(name).ndim
        return "/".join([name, "c", str(number), *["0"] * (self._dimensions[name] - 1)])

    def _hash_headers(self) -> bytes:
        files = [self.path / "zarr.json", *(self.path / name / "zarr.json" for name in self.names)]
        if (self.path / DEVICES).is_file():  # an earlier version noted none
            files.append(self.path / DEVICES)
        with reading_store(self.path):
            return hash_bytes(b"\0".join(file.read_bytes() for file in files))

    def read(self, name: str, rows: np.ndarray) -> np.ndarray:
        """The values (R, …) of a field for the given rows, in their order."""
        with reading_store(self.path):
            return self._read(name, np.asarray(rows, dtype=np.int64))

    def _read(self, name: str, rows: np.ndarray) -> np.ndarray:
        array = self._get(name)
        if len(rows) == 0:
            return np.empty((0, *array.shape[1:]), array.dtype)
        unique, inverse = np.unique(rows, return_inverse=True)
        if unique[-1] >= array.shape[0]:
            raise RetrievalError(f"Catalogue row {unique[-1]} is not indexed; run the index command.")
        low, high = int(unique[0]), int(unique[-1]) + 1
        if high - low <= 2 * len(unique) + 2 * BATCH:
            return np.asarray(np.asarray(array[low:high])[unique - low][inverse])
        return np.asarray(array.oindex[unique])[inverse]

    def iterate(self, name: str, rows: np.ndarray, batch: int = 1024) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """(rows, values) in pieces of `batch`, so that memory does not grow with the catalogue."""
        for start in range(0, len(rows), batch):
            part = rows[start : start + batch]
            yield part, self.read(name, part)

    def view(self, name: str, rows: np.ndarray) -> FieldView:
        """The field as an array (R, …) that is read when it is sliced."""
        return FieldView(self, name, np.asarray(rows, dtype=np.int64))


class FieldView:
    """A field of a store for chosen rows; has a shape, a length and slices, and holds nothing."""

    def __init__(self, store: CaseStore, name: str, rows: np.ndarray):
        self.store, self.name, self.rows = store, name, rows
        with reading_store(store.path):
            self.shape = (len(rows), *store._get(name).shape[1:])

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, part: slice) -> np.ndarray:
        return self.store.read(self.name, self.rows[part])


def _read_names(group: zarr.Group) -> tuple[str, ...]:
    """The fields that a group names. Raises `ValueError` where it names none."""
    found: Any = group.attrs.get("fields")
    if not isinstance(found, list) or not found or not all(isinstance(one, str) for one in found):
        raise ValueError("no names of fields")
    return tuple(found)


def _name_folder(path: Path) -> tuple[int, int]:
    """What tells a folder from another one of its name: its device and its number there."""
    try:
        found = path.stat()
    except OSError:
        raise IndexMismatch(_describe_gone(path)) from None
    return found.st_dev, found.st_ino


def _describe_gone(path: Path) -> str:
    return f"'{path}' is gone; connect its drive again and run the index command again."


def _read_texts(group: zarr.Group, name: str) -> dict[str, str]:
    """A dictionary of texts among a group's attributes; empty where there is none."""
    found: Any = group.attrs.get(name, {})
    return {str(key): str(value) for key, value in found.items()}
