"""The search method "cnn_centred": the classifier's features less their mean over the catalogue, at unit length.

Penultimate features are positive and share a large common part, what every chest film has; distances between raw
features are ruled by it and by how strongly a film drives the network. Less the mean and at unit length, only the
direction in which a film differs from the average film is compared. No label is used. (Centring before the angle:
Suzuki et al., "Centering similarity measures to reduce hubs", EMNLP 2013.)
"""

from __future__ import annotations

import io
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from icbir_core.errors import IndexMismatch
from icbir_core.files import PathLike, read_arrays, reading_own, sha256_of_bytes, sha256_of_file, write_bytes_atomically
from icbir_core.retrieval.search_index import MERGE_SHARE
from icbir_core.rounding import invert_lengths

FILE = "centre.npz"
_PIECE = 1024


@dataclass(frozen=True, eq=False)
class Centre:
    """mean float32 (D,) of the classifier's features over `cases` cases. identity : hashes of what they came from.
    read_from : the SHA-256 of the file that it was read from, "" for one that was measured."""

    mean: np.ndarray
    cases: int
    identity: dict[str, str]
    read_from: str = ""

    @classmethod
    def measure(cls, features: Iterable[np.ndarray], identity: dict[str, str]) -> Centre:
        """The centre of features that come in pieces (N, D); at least one film."""
        total, cases = 0.0, 0
        for part in features:
            total, cases = total + np.asarray(part, np.float64).sum(axis=0), cases + len(part)
        return cls(np.asarray(total / cases, np.float32), cases, dict(identity))

    @property
    def sha256(self) -> str:
        """The hash of its file: indexes made with this centre carry it. Another version of Python or NumPy writes the
        same values in other bytes, so one that was read keeps the hash that its file has."""
        return self.read_from or sha256_of_bytes(self._to_bytes())

    def transform(self, features: np.ndarray) -> np.ndarray:
        """Unit vectors float32 (N, D) of features (N, D); a film that is the mean itself, but for
        rounding, stays at zero."""
        features = np.asarray(features, np.float64)
        return np.asarray(((features - self.mean) * self._invert_lengths(features)[:, None]).astype(np.float32))

    def transform_maps(self, maps: np.ndarray) -> np.ndarray:
        """Feature maps float64 (N, h, w, D) whose means over the positions are what `transform` makes of those of
        `maps` (N, h, w, D)."""
        maps = np.asarray(maps, np.float64)
        return np.asarray((maps - self.mean) * self._invert_lengths(maps.mean(axis=(1, 2)))[:, None, None, None])

    def _invert_lengths(self, features: np.ndarray) -> np.ndarray:
        return invert_lengths(features - self.mean, self.measure_sizes(features))

    def measure_sizes(self, features: np.ndarray) -> np.ndarray:
        """What is subtracted from each other, (|f|² + |c|²)^½ of features (N, D) and the mean: float64 (N,)."""
        return np.asarray(np.hypot(np.linalg.norm(features, axis=1), np.linalg.norm(self.mean)))

    def _to_bytes(self) -> bytes:
        buffer = io.BytesIO()
        identity = [f"{key}={value}" for key, value in sorted(self.identity.items())]
        np.savez(buffer, mean=self.mean, cases=np.array(self.cases), identity=np.array(identity))
        return buffer.getvalue()

    def save(self, directory: PathLike, name: str = FILE) -> None:
        """Write it as `name` into a target's folder."""
        write_bytes_atomically(Path(directory) / name, self._to_bytes())

    @classmethod
    def renew(cls, directory: PathLike, identity: dict[str, str], features: Any, name: str = FILE) -> Centre:
        """The centre in `name` of `directory`, measured on `features` (N, D), any array with slices, if
        there is none that fits.

        One of the same models stays until the catalogue has grown or shrunk by a tenth since, so that an addition does
        not make the index anew.
        """
        with suppress(IndexMismatch):
            found = cls.open(directory, identity, name)
            if abs(len(features) - found.cases) <= MERGE_SHARE * found.cases:
                return found
        measured = cls.measure((features[at : at + _PIECE] for at in range(0, len(features), _PIECE)), identity)
        measured.save(directory, name)
        return measured

    @classmethod
    def open(cls, directory: PathLike, identity: dict[str, str], name: str = FILE) -> Centre:
        """Read it. Raises `IndexMismatch` if there is none, or one of other models."""
        path = Path(directory) / name
        if not path.is_file():
            raise IndexMismatch(f"'{name}' is missing beside the indexes; run the index command.")
        stored = read_arrays(path, IndexMismatch, "run the index command again")
        with reading_own(f"'{name}'", IndexMismatch, "run the index command again"):
            known = dict(text.split("=", 1) for text in stored["identity"].tolist())
            found = cls(np.asarray(stored["mean"], np.float32), int(stored["cases"]), known, sha256_of_file(path))
        if found.mean.ndim != 1 or not np.isfinite(found.mean).all():
            raise IndexMismatch(f"'{name}' holds no finite centre; run the index command again.")
        if found.identity != identity:
            raise IndexMismatch(f"'{name}' belongs to other models; run the index command.")
        return found


class CentredView:
    """The vectors (R, D) of features (R, D), any array with slices, about a centre; computed when they are sliced."""

    def __init__(self, features: Any, centre: Centre):
        self.features, self.centre = features, centre
        self.shape = features.shape

    def __len__(self) -> int:
        return len(self.features)

    def __getitem__(self, part: slice) -> np.ndarray:
        return self.centre.transform(self.features[part])
