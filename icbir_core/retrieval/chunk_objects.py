"""Chunks of maps and embeddings that lie at a URL, such as S3, through the door of the films.

In the place of such a chunk the store's folder holds its hash. So a missing object is never taken for an empty chunk,
and another one is found at every read. An object is named by its chunk and its hash, and never written over: a writer
that is killed leaves the former chunk, and at most an object that nothing names, which `sweep` takes away.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

from zarr.abc.store import ByteRequest
from zarr.core.buffer import Buffer, BufferPrototype, default_buffer_prototype
from zarr.storage import LocalStore

from icbir_core.catalogue.film_places import CHUNKS, RemoteFilms
from icbir_core.errors import FilmLost
from icbir_core.files import PathLike, sha256_of_bytes, write_bytes_atomically, write_text_atomically

ADDRESS = "objects.url"
"""Of a store whose chunks lie at a URL: that URL."""
_MARK = b"SHA-256 of an object: "
_LENGTH = len(_MARK) + 64


def write_address(store: PathLike, films: str) -> None:
    """Let the chunks that are written from now on lie below `films`, where no other store's do; in the folder if ""."""
    if films:
        write_text_atomically(Path(store) / ADDRESS, f"{films}/arrays/{secrets.token_hex(6)}")


def _read_hash(stored: bytes) -> str:
    """Of the object in whose place this lies; "" where it is the chunk itself."""
    return stored[len(_MARK) :].decode() if len(stored) == _LENGTH and stored.startswith(_MARK) else ""


def _name_object(key: str, digest: str) -> str:
    return f"{CHUNKS}/{key.replace('/', '.')}-{digest[:32]}"


class ChunkObjects:
    """The chunks of one store, wherever they lie. key : of a chunk within the store's folder, "maps/c/0/0/0".

    Every call raises `FilmsAway` where the place does not answer, and `WorkspaceError` where it refuses or is full.
    """

    def __init__(self, store: PathLike):
        self.store = Path(store)
        self._place: tuple[str, RemoteFilms] | None = None

    def _reach(self) -> RemoteFilms | None:
        """None for a store whose chunks lie in its folder. Read anew each time, since a move may have been begun."""
        file = self.store / ADDRESS
        if not file.is_file():
            return None
        address = file.read_text(encoding="utf-8")
        if self._place is None or self._place[0] != address:
            self._place = address, RemoteFilms(address)
        return self._place[1]

    def read(self, key: str) -> bytes | None:
        """A chunk; None where there is none. Raises `FilmLost` where its object is missing or another one."""
        former = b""
        while True:
            stored = self._read_stored(key)
            digest = _read_hash(stored or b"")
            if not digest:
                return stored
            place = self._reach()
            try:
                data = place.read(_name_object(key, digest)) if place else b""
                if sha256_of_bytes(data) == digest:
                    return data
            except FilmLost:
                pass
            if stored == former:
                raise FilmLost(
                    f"The chunk '{key}' of '{self.store.name}' is missing at its URL, or is not the one that was "
                    "stored; run the repair command, then the index command."
                )
            former = stored or b""  # a writer may have replaced it since; then the folder names another object

    def _read_stored(self, key: str) -> bytes | None:
        with suppress(FileNotFoundError, IsADirectoryError, NotADirectoryError):
            return (self.store / key).read_bytes()
        return None

    def write(self, key: str, data: bytes) -> bytes:
        """Keep a chunk; what is to lie in the folder then."""
        place = self._reach()
        if place is None:
            return data
        digest = sha256_of_bytes(data)
        place.write(_name_object(key, digest), data)
        return _MARK + digest.encode()

    def drop(self, key: str, stored: bytes) -> None:
        """Keep no longer the object of which this lay in the folder."""
        place, digest = self._reach(), _read_hash(stored)
        if place is not None and digest:
            place.delete(_name_object(key, digest))

    def delete(self, key: str) -> None:
        """Keep a chunk no longer."""
        stored = self._read_stored(key)
        (self.store / key).unlink(missing_ok=True)
        self.drop(key, stored or b"")

    def _list_keys(self) -> Iterator[tuple[str, str]]:
        """The key of every chunk and the hash of its object, "" for one in the folder."""
        for file in sorted(self.store.glob("*/c/**/*")):
            if file.is_file():
                named = file.stat().st_size == _LENGTH
                yield file.relative_to(self.store).as_posix(), _read_hash(file.read_bytes()) if named else ""

    def count_in_folder(self) -> int:
        """How many chunks lie in the folder."""
        return sum(not digest for _, digest in self._list_keys())

    def move(self, films: str, tell: Callable[[], None]) -> int:
        """Move the chunks that lie in the folder below `films`, each read back and compared; how many. What reads
        meanwhile is not disturbed, and where it is cut short the same call does the rest; nobody may write."""
        if not (self.store / ADDRESS).is_file():
            write_address(self.store, films)
        moved = 0
        for key in [key for key, digest in self._list_keys() if not digest]:
            data = (self.store / key).read_bytes()
            stored, place = self.write(key, data), self._reach()
            if place is None or place.read(_name_object(key, sha256_of_bytes(data))) != data:
                raise FilmLost(f"The chunk '{key}' of '{self.store.name}' is at the URL not as it was stored.")
            write_bytes_atomically(self.store / key, stored)
            moved += 1
            tell()
        return moved

    def copy_to(self, store: PathLike) -> None:
        """Put the chunks themselves into a copy of the store's folder, whose files stand in their place."""
        for key, digest in self._list_keys():
            if digest:
                write_bytes_atomically(Path(store) / key, self.read(key) or b"")

    def sweep(self) -> int:
        """Delete the objects that no chunk names; how many. Nobody may write meanwhile."""
        return self._delete_but({_name_object(key, digest) for key, digest in self._list_keys() if digest})

    def delete_all(self) -> None:
        """Delete every object of the store, before its folder goes."""
        self._delete_but(set())

    def _delete_but(self, kept: set[str]) -> int:
        place = self._reach()
        if place is None:
            return 0
        others = [name for name in place.list_all(CHUNKS) if name not in kept]
        for name in others:
            place.delete(name)
        return len(others)


class ChunkStore(LocalStore):
    """For zarr: a store's folder, with the chunks wherever they lie. Headers always lie in the folder."""

    def __init__(self, root: PathLike, *, read_only: bool = False) -> None:
        super().__init__(Path(root), read_only=read_only)
        self._objects = ChunkObjects(self.root)

    async def get(
        self, key: str, prototype: BufferPrototype | None = None, byte_range: ByteRequest | None = None
    ) -> Buffer | None:
        """As zarr says; of a chunk, which is never asked for in parts."""
        if not _is_chunk(key) or byte_range is not None:
            return await super().get(key, prototype, byte_range)
        data = await asyncio.to_thread(self._objects.read, key)
        return None if data is None else (prototype or default_buffer_prototype()).buffer.from_bytes(data)

    async def set(self, key: str, value: Buffer) -> None:
        """As zarr says: first the object, then what names it, then the former object goes."""
        if not _is_chunk(key) or not (self.root / ADDRESS).is_file():
            return await super().set(key, value)
        former = await asyncio.to_thread(self._objects._read_stored, key)
        stored = await asyncio.to_thread(self._objects.write, key, value.to_bytes())
        await super().set(key, default_buffer_prototype().buffer.from_bytes(stored))
        if former is not None and former != stored:
            await asyncio.to_thread(self._objects.drop, key, former)

    async def delete(self, key: str) -> None:
        """As zarr says, which deletes a chunk of nothing but zeros."""
        if not _is_chunk(key):
            return await super().delete(key)
        await asyncio.to_thread(self._objects.delete, key)


def _is_chunk(key: str) -> bool:
    return "/c/" in key
