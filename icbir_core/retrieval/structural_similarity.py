"""The baseline that looks at grey levels only: structural similarity (Wang et al., IEEE TIP 2004) on reduced images.

The network's input image (letterboxed, equalised) is reduced to 64 × 64 by area averaging. The comparison is that of
`skimage.metrics.structural_similarity(gaussian_weights=True, sigma=1.5, use_sample_covariance=False, data_range=1)`,
for all cases at once: means and variances of the catalogue are kept, and each Gaussian window is a matrix product. The
search is exact; its metric is 1 − SSIM, from 0 (identical) to 2.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from icbir_core.errors import IndexMismatch, RetrievalError
from icbir_core.files import PathLike
from icbir_core.retrieval.exact import order_nearest
from icbir_core.retrieval.index_files import (
    FORMAT,
    IndexOnDisk,
    Selection,
    adopt_file,
    check_files,
    make_aside,
    open_index,
    publish_manifest,
)
from icbir_core.retrieval.search_index import Eligible, Found
from icbir_core.rounding import clear_rounding

SIDE = 64
SIGMA, TRUNCATE = 1.5, 3.5
RADIUS = int(TRUNCATE * SIGMA + 0.5)
INSIDE = SIDE - 2 * RADIUS
_C1, _C2 = 0.01**2, 0.03**2
_BLOCK = 256
METRIC = "1 - ssim"


def reduce_images(images: np.ndarray) -> np.ndarray:
    """float16 (N, 64, 64) of images float32 (N, S, S) in [0, 1]; half precision for query and catalogue alike."""
    reduced = [
        cv2.resize(np.asarray(image, np.float32), (SIDE, SIDE), interpolation=cv2.INTER_AREA) for image in images
    ]
    return np.asarray(reduced, dtype=np.float16).reshape(len(images), SIDE, SIDE)


def _make_window() -> np.ndarray:
    """float32 (54, 64): the normalised Gaussian window at each position that lies wholly inside the image."""
    offsets = np.arange(-RADIUS, RADIUS + 1)
    weights = np.exp(-0.5 * (offsets / SIGMA) ** 2)
    weights /= weights.sum()
    window = np.zeros((INSIDE, SIDE))
    for position in range(INSIDE):
        window[position, position : position + 2 * RADIUS + 1] = weights
    return window.astype(np.float32)


_WINDOW = _make_window()


def _smooth(images: np.ndarray) -> np.ndarray:
    return np.asarray(_WINDOW @ images @ _WINDOW.T)


def describe_windows(reduced: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Local means and variances, each float32 (N, 54, 54), of reduced images (N, 64, 64)."""
    images = np.asarray(reduced, dtype=np.float32)
    means = _smooth(images)
    return means, _smooth(images * images) - means * means


def compare(query: np.ndarray, reduced: np.ndarray, means: np.ndarray, variances: np.ndarray) -> np.ndarray:
    """Structural similarity float64 (N,) in [−1, 1] of one reduced image (64, 64) to N, whose means and variances
    are given."""
    return np.asarray(compare_windows(query, reduced, means, variances).mean(axis=(1, 2), dtype=np.float64))


def compare_windows(query: np.ndarray, reduced: np.ndarray, means: np.ndarray, variances: np.ndarray) -> np.ndarray:
    """The same of each window, float32 (N, 54, 54): those that lie wholly inside, `RADIUS` pixels from each edge."""
    query = np.asarray(query, dtype=np.float32)
    query_mean, query_variance = (values[0] for values in describe_windows(query[None]))
    covariance = _smooth(np.asarray(reduced, np.float32) * query) - means * query_mean
    numerator = (2 * means * query_mean + _C1) * (2 * covariance + _C2)
    denominator = (means * means + query_mean * query_mean + _C1) * (variances + query_variance + _C2)
    return np.asarray(numerator / denominator)


def measure_distances(query: np.ndarray, reduced: np.ndarray, means: np.ndarray, variances: np.ndarray) -> np.ndarray:
    """1 − SSIM float64 (N,) in [0, 2], 0 where it is only rounding; takes what `compare` takes."""
    return np.asarray(np.maximum(clear_rounding(1.0 - compare(query, reduced, means, variances), 1.0), 0.0))


def measure_pairs(queries: np.ndarray, cases: np.ndarray) -> np.ndarray:
    """1 - SSIM float64 (Q, N) of reduced images (Q, 64, 64) and (N, 64, 64)."""
    distances = np.empty((len(queries), len(cases)))
    for start in range(0, len(cases), _BLOCK):
        part = cases[start : start + _BLOCK]
        means, variances = describe_windows(part)
        for place, query in enumerate(queries):
            distances[place, start : start + len(part)] = measure_distances(query, part, means, variances)
    return distances


class StructuralSimilarityIndex(IndexOnDisk):
    """Exact search by 1 − SSIM: a `StoredIndex`."""

    metric = METRIC
    tail = 0

    def __init__(self, directory: PathLike, manifest: Mapping[str, Any]):
        super().__init__(directory, manifest)
        names = {name: entry["name"] for name, entry in self.manifest["files"].items()}
        self._images, self._means, self._variances, rows = (
            np.load(self.directory / names[name], mmap_mode="r") for name in ("images", "means", "variances", "rows")
        )
        self.rows = np.asarray(rows)

    def get_vectors(self, rows: np.ndarray) -> np.ndarray:
        """The reduced images float16 (R, 64, 64) of cases. Raises `RetrievalError` for a row that is not indexed."""
        return np.asarray(self._images[self._find_positions(rows)])

    def _find_positions(self, rows: np.ndarray) -> np.ndarray:
        rows = np.asarray(rows, dtype=np.int64)
        order = np.argsort(self.rows)
        positions = order[np.minimum(np.searchsorted(self.rows, rows, sorter=order), len(order) - 1)]
        if (missing := rows[self.rows[positions] != rows]).size:
            raise RetrievalError(f"Catalogue row {missing[0]} is not indexed; run the index command.")
        return positions

    def measure(self, query: np.ndarray, rows: np.ndarray) -> np.ndarray:
        """1 − SSIM float64 (R,) of a reduced image to cases."""
        return self._measure(query, self._find_positions(rows))

    def _measure(self, query: np.ndarray, positions: np.ndarray) -> np.ndarray:
        distances = np.empty(len(positions))
        for start in range(0, len(positions), _BLOCK):
            part = positions[start : start + _BLOCK]
            stored = (self._images[part], self._means[part], self._variances[part])
            distances[start : start + _BLOCK] = measure_distances(query, *stored)
        return distances

    def search(self, query: np.ndarray, k: int, eligible: Eligible | None = None, route: str = "auto") -> Found:
        """See `SearchIndex`; `query` is the reduced image (64, 64), the distance 1 − SSIM, the route always exact.
        Raises `RetrievalError` if Annoy is insisted on: structural similarity is no Euclidean distance."""
        if route == "annoy":
            raise RetrievalError("The method ssim has no route annoy; use auto or exact.")
        query = np.asarray(query, dtype=np.float32)
        if query.shape != (SIDE, SIDE) or not np.isfinite(query).all():
            raise IndexMismatch(f"Expected a finite reduced image ({SIDE}, {SIDE}), got shape {query.shape}.")
        positions = np.arange(len(self.rows)) if eligible is None else self._find_positions(eligible.rows)
        distances = self._measure(query, positions)
        order = order_nearest(distances, self.rows[positions], int(k)) if len(positions) and k > 0 else slice(0, 0)
        return Found(self.rows[positions][order], distances[order], "exact")

    @classmethod
    def update(
        cls, directory: PathLike, reduced: Any, rows: np.ndarray, removed: np.ndarray, made_from: Mapping[str, str]
    ) -> StructuralSimilarityIndex:
        """Write the index of reduced images (N, 64, 64), any array that can be sliced, read 256 at a time; the rows in
        `removed` are left out. Raises `IndexMismatch` for a value that is not finite."""
        rows, directory = np.asarray(rows, dtype=np.int64), Path(directory)
        kept = np.flatnonzero(~np.isin(rows, removed))
        rows, reduced = rows[kept], Selection(reduced, kept)
        shapes = {"images": (SIDE, np.float16), "means": (INSIDE, np.float32), "variances": (INSIDE, np.float32)}
        with make_aside(directory) as aside:
            files = {
                name: np.lib.format.open_memmap(aside / f"{name}.npy", "w+", kind, (len(rows), side, side))
                for name, (side, kind) in shapes.items()
            }
            for start in range(0, len(rows), _BLOCK):
                part = slice(start, start + _BLOCK)
                block = np.asarray(reduced[part])
                if not np.isfinite(block).all():
                    raise IndexMismatch(f"An image near row {rows[start]} holds NaN; run the index command again.")
                files["images"][part] = block
                files["means"][part], files["variances"][part] = describe_windows(block)
            for array in files.values():
                array.flush()
            np.save(aside / "rows.npy", rows)
            entries = {name: adopt_file(directory, aside / f"{name}.npy") for name in (*shapes, "rows")}
        manifest = {
            "format": FORMAT,
            "kind": "ssim",
            "metric": METRIC,
            "side": SIDE,
            "sigma": SIGMA,
            "count": len(rows),
            "recall_at_10": 1.0,
            "made_from": dict(made_from),
            "files": entries,
        }
        return cls(directory, publish_manifest(directory, manifest))

    @classmethod
    def open(cls, directory: PathLike, expected: Mapping[str, str] | None = None) -> StructuralSimilarityIndex:
        """Open for searching; as `Index.open`. Raises `IndexMismatch`."""
        facts = {"kind": "ssim", "metric": METRIC, "side": SIDE}
        return open_index(Path(directory), facts, expected or {}, lambda manifest: cls(Path(directory), manifest))

    def verify(self) -> None:
        """Hash every file. Raises `IndexMismatch`."""
        check_files(self.directory, self.manifest, None)
