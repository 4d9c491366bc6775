"""The files of an index: hashed names, a manifest that is replaced last, and the checks at opening."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from icbir_core.errors import IndexMismatch
from icbir_core.files import PathLike, read_json, reading_own, sha256_of_bytes, sha256_of_file, write_json_atomically
from icbir_core.rounding import SINGLE
from icbir_core.types import Progress

FORMAT = 1
HASH_AT_OPEN = 256 * 1024 * 1024
"""Files up to this size are hashed when an index is opened; larger ones by `verify` (a gigabyte takes a second)."""
_ASIDE = ".building-"
_TRIES = 10
Opened = TypeVar("Opened")


@contextmanager
def make_aside(directory: PathLike) -> Iterator[Path]:
    """A folder inside `directory` in which files are written before they are adopted; what a killed build left goes."""
    directory = Path(directory)
    directory.mkdir(parents=True, exist_ok=True)
    for left in directory.glob(f"{_ASIDE}*"):
        shutil.rmtree(left, ignore_errors=True)
    # `TemporaryDirectory` calls itself without end where the folder may no longer be written.
    aside = Path(tempfile.mkdtemp(dir=directory, prefix=_ASIDE))
    try:
        yield aside
    finally:
        shutil.rmtree(aside, ignore_errors=True)


def open_index(
    directory: PathLike,
    facts: Mapping[str, Any],
    made_from: Mapping[str, str],
    load: Callable[[dict[str, Any]], Opened],
) -> Opened:
    """What `load` makes of the checked manifest (see `open_manifest`) and its files.

    Tried again where another process has put a new manifest in the place of the one that was read: the old one's files
    are then gone. Raises `IndexMismatch` for whatever else is wrong with a file.
    """
    directory = Path(directory)
    for left in reversed(range(_TRIES)):
        before = _stamp(directory)
        try:
            with reading_own(f"The index '{directory.name}'", IndexMismatch, "run the index command again"):
                return load(open_manifest(directory, facts, made_from))
        except IndexMismatch:
            if not left or _stamp(directory) == before:
                raise
    raise AssertionError("unreachable")


def _stamp(directory: Path) -> tuple[int, int] | None:
    """Changes whenever the manifest is replaced; None where there is none."""
    try:
        state = (directory / "manifest.json").stat()
    except OSError:
        return None
    return state.st_mtime_ns, state.st_ino


def open_manifest(directory: PathLike, facts: Mapping[str, Any], made_from: Mapping[str, str]) -> dict[str, Any]:
    """The manifest, after its facts ("kind", "metric"), its origin and its files have been compared with what is there.
    Raises `IndexMismatch` naming the first difference."""
    directory = Path(directory)
    if not (directory / "manifest.json").is_file():
        raise IndexMismatch(f"'{directory.name}' holds no index; run the index command.")
    manifest: dict[str, Any] = read_json(directory / "manifest.json")
    for key, wanted in ({"format": FORMAT} | dict(facts)).items():
        if manifest.get(key) != wanted:
            raise IndexMismatch(
                f"The index has the {key} {manifest.get(key)} instead of {wanted}; run the index command again."
            )
    for name, wanted in made_from.items():
        found = manifest["made_from"].get(name)
        if found != wanted:
            raise IndexMismatch(
                f"The index was made from the {name} {str(found)[:12]} instead of {str(wanted)[:12]}; "
                "run the index command again."
            )
    check_files(directory, manifest, HASH_AT_OPEN)
    return manifest


class IndexOnDisk:
    """What every index has that lies in a folder. manifest : as `open_index` found it; rows : int64, of its cases."""

    rounding = SINGLE
    """What share of their length counts as rounding where two descriptions are compared."""
    rows: np.ndarray

    def __init__(self, directory: PathLike, manifest: Mapping[str, Any]):
        self.directory, self.manifest = Path(directory), dict(manifest)

    @property
    def sha256(self) -> str:
        """One hash that names the whole index."""
        return str(self.manifest["sha256"])

    @property
    def dimension(self) -> int:
        """Of its vectors."""
        return int(self.manifest["dimension"])

    def __len__(self) -> int:
        return len(self.rows)


class Selection:
    """Rows of an array that is read in slices (a mapped file, a zarr array) as if it were one contiguous array."""

    def __init__(self, array: Any, positions: np.ndarray):
        self.array, self.positions = array, positions
        self.shape = (len(positions), array.shape[1])

    def __len__(self) -> int:
        return len(self.positions)

    def __getitem__(self, part: slice) -> np.ndarray:
        chosen = self.positions[part]
        if len(chosen) == 0:
            return np.empty((0, self.shape[1]), dtype=np.float32)
        low, high = int(chosen.min()), int(chosen.max()) + 1
        return np.asarray(np.asarray(self.array[low:high])[chosen - low])


def copy_vectors(vectors: Any, rows: np.ndarray, path: PathLike, progress: Progress | None = None) -> None:
    """Write `vectors` as float32 .npy, 1,024 at a time. Raises `IndexMismatch` naming the row with a bad value."""
    target = np.lib.format.open_memmap(path, mode="w+", dtype=np.float32, shape=tuple(vectors.shape))
    for start in range(0, len(rows), 1024):
        block = np.asarray(vectors[start : start + 1024], dtype=np.float32)
        bad = ~np.isfinite(block).all(axis=1)
        if bad.any():
            row = int(rows[start + int(np.flatnonzero(bad)[0])])
            raise IndexMismatch(
                f"The embedding of catalogue row {row} holds NaN or infinity; remove that case or run the index "
                "command again."
            )
        target[start : start + len(block)] = block
        if progress is not None:
            progress(start + len(block), len(rows), "copying vectors")
    target.flush()


def adopt_file(directory: PathLike, aside: PathLike) -> dict[str, Any]:
    """Move a finished file into the index's directory under a name that holds its hash; its manifest entry."""
    directory, aside = Path(directory), Path(aside)
    digest = sha256_of_file(aside)
    name = f"{aside.stem}-{digest[:12]}{aside.suffix}"
    entry = {"name": name, "sha256": digest, "bytes": aside.stat().st_size}
    aside.replace(directory / name)
    return entry


def publish_manifest(directory: PathLike, manifest: dict[str, Any]) -> dict[str, Any]:
    """Make the manifest the current one (one atomic step), then delete files that it does not name. Its hash is that of
    its files' hashes, or of its "digest" where what it names lies elsewhere."""
    directory = Path(directory)
    parts = ",".join(f"{name}:{entry['sha256']}" for name, entry in sorted(manifest["files"].items()))
    manifest["sha256"] = sha256_of_bytes((parts + str(manifest.get("digest", ""))).encode())
    write_json_atomically(directory / "manifest.json", manifest)
    named = {entry["name"] for entry in manifest["files"].values()}
    for path in directory.iterdir():
        if path.is_file() and path.suffix in (".npy", ".ann") and "-" in path.stem and path.name not in named:
            path.unlink()
    return manifest


def check_files(directory: PathLike, manifest: Mapping[str, Any], hash_up_to: int | None) -> None:
    """Compare the files with the manifest: all sizes, and the hashes of files up to `hash_up_to` bytes (None: all).
    Raises `IndexMismatch` naming the file."""
    for entry in manifest["files"].values():
        path = Path(directory) / entry["name"]
        size = path.stat().st_size if path.is_file() else None
        if size is None:
            raise IndexMismatch(f"{entry['name']} is missing; run the index command again.")
        if size != entry["bytes"]:
            raise IndexMismatch(f"{entry['name']} has {size} bytes, not {entry['bytes']}; run the index command again.")
        if (hash_up_to is None or size <= hash_up_to) and sha256_of_file(path) != entry["sha256"]:
            raise IndexMismatch(f"{entry['name']} has changed since it was written; run the index command again.")
