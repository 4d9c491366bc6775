"""The catalogue's embeddings in the plane: two principal components, computed once, with the query on them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from sklearn.decomposition import PCA

from icbir_core.rounding import clear_rounding

if TYPE_CHECKING:
    from icbir_core.retrieval.retriever import Retriever
    from icbir_core.types import Query

LARGEST = 20_000
BATCH = 2048


@dataclass(frozen=True, eq=False)
class EmbeddingMap:
    """rows int64 (N,) of the cases; points float32 (N, 2); kept : the share of the variance that is kept."""

    rows: np.ndarray
    points: np.ndarray
    kept: float
    plane: PCA

    def place(self, vector: np.ndarray) -> np.ndarray:
        """Where an embedding (D,) lies in the plane: float (2,)."""
        place: np.ndarray = self.plane.transform(np.asarray(vector, np.float64)[None])[0]
        return place


def project_catalogue(retriever: Retriever, target: str, method: str) -> EmbeddingMap:
    """The plane of a catalogue for a target and a method whose cases are points; a sample of 20,000 of more cases."""
    index = retriever.get_target(target).get_index(method)
    rows = np.array([case.row for case in retriever.workspace.catalogue.cases()], np.int64)
    if len(rows) > LARGEST:
        rows = np.sort(np.random.default_rng(0).choice(rows, LARGEST, replace=False))
    vectors = np.concatenate([index.get_vectors(rows[at : at + BATCH]) for at in range(0, len(rows), BATCH)])
    plane = PCA(n_components=min(2, len(rows)), random_state=0).fit(vectors.astype(np.float64))
    points = plane.transform(vectors.astype(np.float64)).astype(np.float32)
    points = clear_rounding(points, np.linalg.norm(vectors, axis=1)[:, None])  # equal cases lie on one point
    if points.shape[1] < 2:
        points = np.pad(points, ((0, 0), (0, 2 - points.shape[1])))
    return EmbeddingMap(rows, points, float(np.nansum(plane.explained_variance_ratio_)), plane)


def place_query(retriever: Retriever, found: EmbeddingMap, query: Query, target: str, method: str) -> np.ndarray:
    """The query's point float (2,) in the plane, by the same path as its search."""
    return found.place(retriever.describe_query(query, method, target))
