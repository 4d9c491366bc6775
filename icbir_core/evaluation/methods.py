"""The methods that an evaluation compares, and the distance of every query to every case by each of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from icbir_core.errors import UnknownNameError
from icbir_core.evaluation.controls import CONTROLS
from icbir_core.evaluation.films import FilmSet
from icbir_core.evaluation.retraining import SUFFIX
from icbir_core.evaluation.vectors import VectorSource
from icbir_core.retrieval.centring import Centre

_BLOCK = 256
CENTRED = "centred cosine"


@dataclass(frozen=True)
class Method:
    """A way to compare films. parts : kinds of vectors, each scaled to the same spread and put side by side.

    metric : "euclidean", "cosine", "centred cosine" (each part about the catalogue's mean) or "1 - ssim"; control :
    it carries no interpretation of the film.
    """

    name: str
    description: str
    parts: tuple[str, ...]
    metric: str = "euclidean"
    control: bool = False


METHODS: Mapping[str, Method] = {
    method.name: method
    for method in (
        Method("ssim", "structural similarity of the films", ("ssim",), "1 - ssim"),
        Method("cnn", "features of the classifier", ("cnn",)),
        Method("cnn_centred", "features of the classifier by angle about the catalogue's mean", ("cnn",), CENTRED),
        Method("ig_cbir_centred", "features of the saliency classifier by angle about the catalogue's mean",
               ("ig_cbir",), CENTRED),
        Method("hybrid_centred", "both networks' features, each by angle about its mean", ("cnn", "ig_cbir"), CENTRED),
        Method("ig_cbir", "features of the saliency classifier on Deep Taylor maps (the paper's method)", ("ig_cbir",)),
        Method("hybrid", "features of both networks side by side, equal spread", ("cnn", "ig_cbir")),
        Method("findings", "log-odds of every finding of the classifier, equal spread", ("findings",)),
        Method("hybrid_findings", "features of the classifier and log-odds of every finding", ("cnn", "findings")),
        Method("cnn_cosine", "features of the classifier by angle", ("cnn",), "cosine"),
        Method("ig_cbir_cosine", "features of the saliency classifier by angle", ("ig_cbir",), "cosine"),
        *(Method(c.name, c.description + "; saliency classifier not retrained", (c.name,), control=True)
          for c in CONTROLS.values()),
        Method("ig_cbir" + SUFFIX, "as ig_cbir, saliency classifier trained anew on this catalogue",
               ("ig_cbir" + SUFFIX,)),
        *(Method(c.name + SUFFIX, c.description + "; saliency classifier retrained on these maps",
                 (c.name + SUFFIX,), control=True)
          for c in CONTROLS.values()),
    )
}  # fmt: skip
DEFAULT_METHODS: tuple[str, ...] = (
    "ssim", "cnn", "ig_cbir", "cnn_centred", "ig_cbir_centred", "hybrid", "hybrid_centred", "findings",
    "hybrid_findings", *CONTROLS,
)  # fmt: skip
NEEDS_SALIENCY_CLASSIFIER = ("ig_cbir", *CONTROLS)


def require_methods(names: Sequence[str]) -> list[Method]:
    """The methods of these names. Raises `UnknownNameError` listing the known ones."""
    for name in names:
        if name not in METHODS:
            raise UnknownNameError("method of the evaluation", name, METHODS)
    return [METHODS[name] for name in names]


def measure_distances(method: Method, source: VectorSource, queries: FilmSet, catalogue: FilmSet) -> np.ndarray:
    """float64 (Q, N): the distance of each query to each case; smaller is closer; scales come from the catalogue."""
    if method.metric == "1 - ssim":
        return _measure_ssim(source.get(queries, "ssim"), source.get(catalogue, "ssim"))
    left, right = [], []
    for part in method.parts:
        one, other = (_get(source, films, part) for films in (queries, catalogue))
        scale = 1.0
        if method.metric == CENTRED:
            centre = Centre.measure([other], {})
            one, other = centre.transform(one), centre.transform(other)
        elif len(method.parts) > 1:
            spread = float(np.sqrt(((other - other.mean(axis=0)) ** 2).sum(axis=1).mean()))
            scale = 1 / spread if spread > 0 else 1.0
        elif part == "findings":
            deviation = other.std(axis=0)
            scale = np.divide(1.0, deviation, out=np.ones_like(deviation), where=deviation > 0)
        left.append(one * scale)
        right.append(other * scale)
    queries_matrix, cases = np.concatenate(left, axis=1), np.concatenate(right, axis=1)
    if method.metric == "cosine":
        queries_matrix, cases = (_normalise(matrix) for matrix in (queries_matrix, cases))
    return measure_euclidean(queries_matrix, cases)


def measure_euclidean(queries: np.ndarray, cases: np.ndarray) -> np.ndarray:
    """Euclidean distances float64 (Q, N) of vectors (Q, D) and (N, D)."""
    queries, cases = np.asarray(queries, np.float64), np.asarray(cases, np.float64)
    squared = (queries**2).sum(axis=1)[:, None] + (cases**2).sum(axis=1)[None, :] - 2 * queries @ cases.T
    return np.sqrt(np.maximum(squared, 0.0))


def rank_cases(distances: np.ndarray, allowed: np.ndarray) -> list[np.ndarray]:
    """For each query the numbers of the allowed cases, nearest first; equal distances in the catalogue's order."""
    return [np.flatnonzero(ok)[np.argsort(row[ok], kind="stable")] for row, ok in zip(distances, allowed, strict=True)]


def _get(source: VectorSource, films: FilmSet, part: str) -> np.ndarray:
    if part != "findings":
        return np.asarray(source.get(films, part), np.float64)
    odds = np.clip(np.asarray(source.get(films, "probabilities"), np.float64), 1e-6, 1 - 1e-6)
    return np.log(odds / (1 - odds))


def _normalise(matrix: np.ndarray) -> np.ndarray:
    length = np.linalg.norm(matrix, axis=1, keepdims=True)
    return np.divide(matrix, length, out=np.zeros_like(matrix), where=length > 0)


def _measure_ssim(queries: np.ndarray, cases: np.ndarray) -> np.ndarray:
    from icbir_core.retrieval.structural_similarity import compare, describe_windows

    distances = np.empty((len(queries), len(cases)))
    for start in range(0, len(cases), _BLOCK):
        part = cases[start : start + _BLOCK]
        means, variances = describe_windows(part)
        for i, query in enumerate(queries):
            distances[i, start : start + len(part)] = 1 - compare(query, part, means, variances)
    return distances
