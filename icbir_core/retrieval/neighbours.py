"""How near is near in this catalogue: nearest-neighbour distances of its own cases, and a distance in plain words."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np

from icbir_core.errors import IndexMismatch
from icbir_core.files import PathLike, read_arrays, reading_own, replace_atomically
from icbir_core.retrieval.case_keys import CaseKeys
from icbir_core.retrieval.part_index import PartIndex, measure_nearest
from icbir_core.retrieval.search_index import Eligible, SearchIndex

FILE = "neighbours.npz"
_PIECE = 32


def measure_neighbours(
    index: SearchIndex, vectors: Any, rows: np.ndarray, removed: np.ndarray, keys: CaseKeys, sample: int, seed: int = 7
) -> np.ndarray:
    """Distances float64, ascending, of at most `sample` cases (drawn by `seed`) to the nearest case of another patient
    that is not the same image and not removed.

    vectors : array with slices, aligned with `rows`. A case without such a neighbour is left out.
    """
    positions = np.flatnonzero(~np.isin(rows, removed))
    alive = Eligible(rows[positions], len(positions))
    chosen = np.random.default_rng(seed).choice(positions, size=min(sample, len(positions)), replace=False)
    found = []
    for piece in np.split(np.sort(chosen), range(_PIECE, len(chosen), _PIECE)):
        for position, vector in zip(piece, _read_sparsely(vectors, piece), strict=True):
            own = _find_own(int(rows[position]), keys)
            nearest = index.search(vector, 1 + len(own), alive)
            found.extend(nearest.distances[~np.isin(nearest.rows, own)][:1].tolist())
    return np.sort(np.asarray(found, dtype=np.float64))


def _read_sparsely(vectors: Any, positions: np.ndarray) -> Iterable[np.ndarray]:
    """The vectors at positions, ascending: in one slice where few others lie between, since each takes milliseconds."""
    if len(positions) and positions[-1] - positions[0] < 4 * len(positions):
        return list(np.asarray(vectors[positions[0] : positions[-1] + 1])[positions - positions[0]])
    return (vectors[position : position + 1][0] for position in positions)


def measure_part_neighbours(index: PartIndex, rows: np.ndarray, keys: CaseKeys, seed: int = 7) -> np.ndarray:
    """As `measure_neighbours`, for a part of what the network saw: a sample of the cases against all others, in one
    pass over the catalogue. rows : int64, ascending, without removed cases.
    """
    sample = index.method.sample
    chosen = np.sort(np.random.default_rng(seed).choice(rows, size=min(sample, len(rows)), replace=False))
    excluded = [_find_own(int(row), keys) for row in chosen]
    found = measure_nearest(index.get_vectors(chosen), excluded, rows, index.places(rows))
    return np.sort(found[np.isfinite(found)])


def _find_own(row: int, keys: CaseKeys) -> np.ndarray:
    """The case itself, its patient's others, and the same image under other names: no neighbours of it."""
    return np.unique(np.concatenate([[row], keys.find_same_patient(row), keys.find_identical(row)]))


def write_neighbours(directory: PathLike, index_sha256: str, distances: np.ndarray) -> None:
    """Keep the distances beside the index that they were measured with."""
    with replace_atomically(Path(directory) / FILE) as aside, open(aside, "wb") as handle:
        np.savez(handle, distances=distances, index=np.array(index_sha256))


def read_neighbours(directory: PathLike, index_sha256: str) -> np.ndarray:
    """The distances, ascending. Raises `IndexMismatch` if they are missing or belong to another index."""
    path = Path(directory) / FILE
    if not path.is_file():
        raise IndexMismatch(f"'{FILE}' is missing beside the index; run the index command again.")
    stored = read_arrays(path, IndexMismatch, "run the index command again")
    with reading_own(f"'{FILE}'", IndexMismatch, "run the index command again"):
        owner, distances = str(stored["index"]), np.asarray(stored["distances"], np.float64)
    if owner != index_sha256:
        raise IndexMismatch(f"'{FILE}' belongs to another index; run the index command again.")
    if distances.ndim != 1:
        raise IndexMismatch(f"'{FILE}' holds no list of distances; run the index command again.")
    return distances


def find_percentile(distance: float, neighbours: np.ndarray) -> float:
    """Share in [0, 1] of the nearest-neighbour distances that are smaller than `distance`; NaN if there are none."""
    return (
        float(np.searchsorted(neighbours, distance, side="left") / len(neighbours)) if len(neighbours) else float("nan")
    )


VERY_CLOSE = 0.10
_WORDS = ((VERY_CLOSE, "very close"), (0.50, "close"), (0.90, "usual"))


def describe_distance(percentile: float) -> str:
    """One of four words for a percentile of `find_percentile`: "very close" up to the closest tenth of the catalogue's
    own pairs (a case and its nearest of another patient), "close" up to their half, "usual" up to nine tenths, else
    "distant"; "no pairs to compare with" for NaN."""
    if np.isnan(percentile):
        return "no pairs to compare with"
    return next((words for limit, words in _WORDS if percentile <= limit), "distant")
