"""Weights out of a PyTorch file without PyTorch, and without running what the file says.

A PyTorch file is a pickle, which can name any function of the machine and have it called. Here the pickle is read by an
unpickler that knows a short list of names and nothing else: containers, number types, and the functions that put a
tensor together, each replaced by one of this module's own. A network's class becomes a plain record that holds what was
stored of it. Any other name ends the reading. Both forms are read: the zip archive of PyTorch 1.6 and newer
(`data.pkl` and one entry for each storage), and the older one (five pickles, then the storages one after another).
"""

from __future__ import annotations

import io
import math
import pickle
import struct
import zipfile
from collections import OrderedDict
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from icbir_core.errors import ModelError
from icbir_core.files import PathLike

_LEGACY_MAGIC = 0x1950A86A20F9469CFC6C
_LEGACY_PROTOCOL = 1001
LARGEST_FILE = 4 * 1024**3
LARGEST_PICKLE = 64 * 1024**2
_STORAGES: Mapping[str, str] = {
    "FloatStorage": "<f4",
    "DoubleStorage": "<f8",
    "HalfStorage": "<f2",
    "BFloat16Storage": "<u2",
    "LongStorage": "<i8",
    "IntStorage": "<i4",
    "ShortStorage": "<i2",
    "CharStorage": "i1",
    "ByteStorage": "u1",
    "BoolStorage": "?",
}
# Packages whose classes are layers of a network. None of their code is loaded: an instance becomes a record.
_LAYERS = ("torch.nn.modules.", "torchvision.models.", "torchxrayvision.models")
_CONTAINERS: Mapping[str, type] = {
    "collections.OrderedDict": OrderedDict,
    "builtins.set": set,
    "__builtin__.set": set,
    "torch.Size": tuple,
}


def read_torch_weights(path: PathLike) -> dict[str, np.ndarray]:
    """The arrays of a PyTorch file by name, such as "features.conv0.weight": float or integer arrays of their own.

    The file may hold a state dictionary (also under "state_dict" or "model") or a whole network, whose parameters and
    buffers are then taken. Raises `ModelError` where it is no PyTorch file, is cut short or contradicts itself, and
    where it names anything that a network's weights do not need; nothing of it has then been run.
    """
    path = Path(path)
    if not path.is_file():
        raise ModelError(f"There is no file {path}; name the file of the weights.")
    if path.stat().st_size > LARGEST_FILE:
        raise ModelError(f"{path.name} is larger than {LARGEST_FILE // 1024**3} GiB; it was not read.")
    try:
        with open(path, "rb") as handle:
            named = _collect(_read_archive(path) if zipfile.is_zipfile(path) else _read_legacy(handle))
    except ModelError as error:
        raise ModelError(f"{path.name} was not read: {error}") from None
    except (
        pickle.UnpicklingError, zipfile.BadZipFile, EOFError, OSError, ValueError, TypeError, KeyError, IndexError,
        AttributeError, ImportError, MemoryError, OverflowError, RecursionError, NotImplementedError, struct.error,
    ) as error:  # fmt: skip
        raise ModelError(
            f"{path.name} is no whole PyTorch file ({type(error).__name__}: {error}); fetch it again."
        ) from None
    if not named:
        raise ModelError(f"{path.name} holds no weights.")
    return named


def _make_record_class() -> type[object]:
    """A class of its own for each reading, so that nothing a file sets on it outlives the reading."""

    class Record:
        """What a file stores of an object: its attributes, and nothing that runs."""

    return Record


class _Storage:
    """Numbers of one kind, in a row; `values` is filled in once they have been read."""

    def __init__(self, kind: str, count: int):
        self.kind, self.count, self.values = kind, count, np.zeros(0, np.uint8)

    @property
    def size(self) -> int:
        return self.count * np.dtype(_STORAGES[self.kind]).itemsize


class _Tensor:
    """Where a tensor's numbers lie in a storage: offset, shape and strides in elements."""

    def __init__(self, storage: _Storage, offset: int, shape: tuple[int, ...], strides: tuple[int, ...]):
        self.storage, self.offset = storage, int(offset)
        self.shape, self.strides = tuple(map(int, shape)), tuple(map(int, strides))

    def to_array(self) -> np.ndarray:
        """A copy as an array in C order. Raises `ModelError` if it reaches beyond its storage."""
        if len(self.shape) != len(self.strides) or min((*self.shape, *self.strides, self.offset), default=0) < 0:
            raise ModelError("a tensor has impossible strides.")
        last = self.offset + sum((side - 1) * step for side, step in zip(self.shape, self.strides, strict=True))
        if 0 in self.shape:
            return np.zeros(self.shape, self.storage.values.dtype)
        # Weights never repeat a number by a stride of 0: a small file could else ask for any amount of memory.
        if last >= len(self.storage.values) or math.prod(self.shape) > len(self.storage.values):
            raise ModelError("a tensor reaches beyond the numbers that are stored.")
        steps = tuple(step * self.storage.values.itemsize for step in self.strides)
        view = np.lib.stride_tricks.as_strided(self.storage.values[self.offset :], self.shape, steps, writeable=False)
        if self.storage.kind == "BFloat16Storage":
            return (view.astype(np.uint32, order="C") << 16).view(np.float32)
        return view.copy(order="C")


class _Reader(pickle.Unpickler):
    """Knows the names of the list and hands every stored object to `get_storage`."""

    def __init__(self, file: BinaryIO, get_storage: Callable[[tuple[Any, ...]], _Storage]):
        super().__init__(file, encoding="utf-8")
        self._record, self._get_storage = _make_record_class(), get_storage
        self._functions = {
            "torch._utils._rebuild_tensor": lambda *parts: _Tensor(*parts[:4]),
            "torch._utils._rebuild_tensor_v2": lambda *parts: _Tensor(*parts[:4]),
            "torch._utils._rebuild_parameter": lambda data, *_: data,
            "torch.nn.parameter.Parameter": lambda data, *_: data,
        }

    def find_class(self, module: str, name: str) -> object:
        full = f"{module}.{name}"
        if full in self._functions:
            return self._functions[full]
        if full in _CONTAINERS:
            return _CONTAINERS[full]
        if module == "torch" and name in _STORAGES:
            return _StorageKind(name)
        if module.startswith(_LAYERS) and name.isidentifier():
            return self._record
        raise ModelError(f"it asks for '{full}', which no network's weights need, and may be harmful.")

    def persistent_load(self, identifier: object) -> object:
        if not isinstance(identifier, tuple) or not identifier:
            raise ModelError("it refers to something that is not stored in it.")
        if identifier[0] == "module":  # the older form keeps a class with its source text, which is not looked at
            return identifier[1]
        if identifier[0] != "storage":
            raise ModelError("it refers to something that is not stored in it.")
        return self._get_storage(identifier)


class _StorageKind(str):
    """The name of a kind of storage, such as "FloatStorage"."""


def _kind_of(identifier: tuple[Any, ...]) -> str:
    kind = identifier[1]
    if not isinstance(kind, _StorageKind):
        raise ModelError("it holds numbers of an unknown kind.")
    return str(kind)


def _read_archive(path: Path) -> object:
    """The object of a zip archive; its storages are entries of their own."""
    with zipfile.ZipFile(path) as archive:
        entries = {entry.filename.partition("/")[2]: entry for entry in archive.infolist()}
        if "data.pkl" not in entries:
            raise ModelError("it is a zip archive, but not one of PyTorch.")
        if entries["data.pkl"].file_size > LARGEST_PICKLE or sum(e.file_size for e in entries.values()) > LARGEST_FILE:
            raise ModelError("it unpacks to more than a network can need.")
        if "byteorder" in entries and archive.read(entries["byteorder"]).strip() != b"little":
            raise ModelError("its numbers are stored with the highest byte first.")
        storages: dict[str, _Storage] = {}

        def get_storage(identifier: tuple[Any, ...]) -> _Storage:
            kind, key, count = _kind_of(identifier), str(identifier[2]), int(identifier[4])
            if key not in storages:
                storage = storages[key] = _Storage(kind, count)
                # The archive checks its own sums (CRC) while it is read.
                _fill(storage, archive.read(entries[f"data/{key}"]))
            return storages[key]

        return _Reader(io.BytesIO(archive.read(entries["data.pkl"])), get_storage).load()


def _read_legacy(handle: BinaryIO) -> object:
    """The object of the older form: three pickles of the form itself, the object, the storages' keys, the storages."""
    storages: dict[str, _Storage] = {}

    def get_storage(identifier: tuple[Any, ...]) -> _Storage:
        kind, key, count, view = _kind_of(identifier), str(identifier[2]), int(identifier[4]), identifier[5]
        if view is not None:
            raise ModelError("it was written by a PyTorch older than 0.4.")
        return storages.setdefault(key, _Storage(kind, count))

    def read() -> object:
        return _Reader(handle, get_storage).load()

    if read() != _LEGACY_MAGIC or read() != _LEGACY_PROTOCOL:
        raise ModelError("it is no PyTorch file.")
    system = read()
    if not isinstance(system, dict) or not system.get("little_endian", False):
        raise ModelError("its numbers are stored with the highest byte first.")
    found = read()
    keys = read()
    if not isinstance(keys, list) or sorted(map(str, keys)) != sorted(storages):
        raise ModelError("it does not hold the numbers that it speaks of.")
    for key in keys:
        storage = storages[str(key)]
        (count,) = struct.unpack("<q", handle.read(8))
        if count != storage.count:
            raise ModelError("it holds another count of numbers than it says.")
        _fill(storage, handle.read(storage.size))
    if handle.read(1):
        raise ModelError("more follows behind its last number.")
    return found


def _fill(storage: _Storage, data: bytes) -> None:
    if len(data) != storage.size:
        raise ModelError("it is cut short: fewer numbers are stored than it says.")
    storage.values = np.frombuffer(data, _STORAGES[storage.kind])


def _collect(found: object) -> dict[str, np.ndarray]:
    """Every array by its name, from a state dictionary or from a network."""
    if isinstance(found, Mapping):
        for key in ("state_dict", "model"):
            if key in found:
                return _collect(found[key])
        return {str(name): value.to_array() for name, value in found.items() if isinstance(value, _Tensor)}
    named: dict[str, np.ndarray] = {}
    _walk(found, "", named)
    return named


def _walk(layer: object, prefix: str, named: dict[str, np.ndarray], depth: int = 0) -> None:
    """The parameters and buffers of a record and of the layers in it, as `state_dict` would name them."""
    if depth > 50:
        raise ModelError("its layers lie in each other without end.")
    held = getattr(layer, "__dict__", {})
    for group in ("_parameters", "_buffers"):
        for name, value in dict(held.get(group) or {}).items():
            if isinstance(value, _Tensor):
                named[f"{prefix}{name}"] = value.to_array()
    for name, inner in dict(held.get("_modules") or {}).items():
        _walk(inner, f"{prefix}{name}.", named, depth + 1)
