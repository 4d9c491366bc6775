"""The methods that an evaluation compares, and the distance of every query to every case by each of them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from icbir_core.errors import UnknownNameError
from icbir_core.evaluation.controls import CONTROL_MAPS
from icbir_core.evaluation.films import FilmSet
from icbir_core.evaluation.retraining import SUFFIX
from icbir_core.evaluation.vectors import VectorSource
from icbir_core.plugins import load_reference
from icbir_core.retrieval.centring import Centre
from icbir_core.retrieval.methods import FEATURES, SALIENCY_FEATURES, SEARCH_METHODS, SearchMethod
from icbir_core.retrieval.side_by_side import list_fields
from icbir_core.rounding import clear_rounding, invert_lengths

FINDINGS = "findings"
"""Log-odds of every finding, which no index holds."""


def _compare(name: str, compares: str, *fields: str, **more: Any) -> SearchMethod:
    needs = more.pop("needs_saliency_classifier", SALIENCY_FEATURES in fields)
    return SearchMethod(name, name, compares, fields, needs_saliency_classifier=needs, **more)


_BOTH = (FEATURES, SALIENCY_FEATURES)
EVALUATED_ALONE: Mapping[str, SearchMethod] = {
    method.name: method
    for method in (
        _compare("ig_cbir_centred", "features of the saliency classifier by angle about the catalogue's mean",
                 SALIENCY_FEATURES, centred=True),
        _compare("hybrid_centred", "both networks' features, each by angle about its mean", *_BOTH, centred=True),
        _compare("hybrid", "features of both networks side by side, equal spread", *_BOTH),
        _compare("findings", "log-odds of every finding that is predicted, equal spread", FINDINGS),
        _compare("hybrid_findings", "features of the classifier and log-odds of every finding", FEATURES, FINDINGS),
        _compare("cnn_cosine", "features of the classifier by angle", FEATURES, metric="cosine"),
        _compare("ig_cbir_cosine", "features of the saliency classifier by angle", SALIENCY_FEATURES, metric="cosine"),
        *(_compare(name, f"{maps}; saliency classifier not retrained", name, control=True,
                   needs_saliency_classifier=True)
          for name, maps in CONTROL_MAPS.items()),
        _compare("ig_cbir" + SUFFIX, "as ig_cbir, saliency classifier trained anew on this catalogue",
                 "ig_cbir" + SUFFIX),
        *(_compare(name + SUFFIX, f"{maps}; saliency classifier retrained on these maps", name + SUFFIX, control=True)
          for name, maps in CONTROL_MAPS.items()),
    )
}  # fmt: skip
"""What is compared for its own sake beside the methods of a search: variants, and controls."""
DEFAULT_METHODS: tuple[str, ...] = (
    "encoders_centred", "ssim", "cnn", "ig_cbir", "cnn_centred", "ig_cbir_centred", "hybrid", "hybrid_centred",
    "findings", "hybrid_findings",
)  # fmt: skip


def list_default_methods() -> tuple[str, ...]:
    """What an evaluation compares when nothing is named; search methods of installed packages come before controls."""
    added = [name for name in SEARCH_METHODS if name not in SEARCH_METHODS.built_in]
    return (*DEFAULT_METHODS, *added, *CONTROL_MAPS)


def find_method(name: str) -> SearchMethod:
    """A search method, or one that only an evaluation compares. Raises `UnknownNameError` listing both."""
    if name in EVALUATED_ALONE:
        return EVALUATED_ALONE[name]
    if name in SEARCH_METHODS or name in SEARCH_METHODS.broken:
        return SEARCH_METHODS[name]
    raise UnknownNameError("method of the evaluation", name, (*SEARCH_METHODS, *EVALUATED_ALONE))


def require_methods(names: Sequence[str]) -> list[SearchMethod]:
    """The methods of these names. Raises `UnknownNameError` listing the known ones."""
    return [find_method(name) for name in names]


def compute_vectors(method: SearchMethod, source: VectorSource, films: FilmSet) -> None:
    """Have the source keep what the method compares of these films."""
    for part in (method.field,) if method.measure else list_fields(method, source.encoders):
        _get(source, films, part)


def measure_distances(method: SearchMethod, source: VectorSource, queries: FilmSet, catalogue: FilmSet) -> np.ndarray:
    """float64 (Q, N): the distance of each query to each case; smaller is closer; scales come from the catalogue."""
    if method.measure:
        measure: Callable[[np.ndarray, np.ndarray], np.ndarray] = load_reference(method.measure)
        return measure(source.get(queries, method.field), source.get(catalogue, method.field))
    left, right = [], []
    for part in list_fields(method, source.encoders):
        one, other = (_get(source, films, part) for films in (queries, catalogue))
        scale: float | np.ndarray = 1.0
        if method.centred:
            centre = Centre.measure([other], {})
            one, other = centre.transform(one), centre.transform(other)
        elif len(method.fields) > 1:
            spread = float(np.sqrt(((other - other.mean(axis=0)) ** 2).sum(axis=1).mean()))
            spread = float(clear_rounding(np.asarray(spread), np.sqrt((other**2).sum(axis=1).mean())))
            scale = 1 / spread if spread > 0 else 1.0
        elif part == FINDINGS:
            deviation = clear_rounding(other.std(axis=0), np.abs(other.mean(axis=0)))
            scale = np.divide(1.0, deviation, out=np.ones_like(deviation), where=deviation > 0)
        left.append(one * scale)
        right.append(other * scale)
    queries_matrix, cases = np.concatenate(left, axis=1), np.concatenate(right, axis=1)
    if method.metric == "cosine":
        queries_matrix, cases = (matrix * invert_lengths(matrix)[:, None] for matrix in (queries_matrix, cases))
    return measure_euclidean(queries_matrix, cases)


def measure_euclidean(queries: np.ndarray, cases: np.ndarray) -> np.ndarray:
    """Euclidean distances float64 (Q, N) of vectors (Q, D) and (N, D)."""
    queries, cases = np.asarray(queries, np.float64), np.asarray(cases, np.float64)
    sizes = (queries**2).sum(axis=1)[:, None] + (cases**2).sum(axis=1)[None, :]
    distances = np.sqrt(np.maximum(sizes - 2 * queries @ cases.T, 0.0))
    return clear_rounding(distances, np.sqrt(sizes))


def rank_cases(distances: np.ndarray, allowed: np.ndarray) -> list[np.ndarray]:
    """For each query the numbers of the allowed cases, nearest first; equal distances in the catalogue's order."""
    return [np.flatnonzero(ok)[np.argsort(row[ok], kind="stable")] for row, ok in zip(distances, allowed, strict=True)]


def _get(source: VectorSource, films: FilmSet, part: str) -> np.ndarray:
    if part != FINDINGS:
        return np.asarray(source.get(films, part), np.float64)
    odds = np.clip(source.predict(films).astype(np.float64), 1e-6, 1 - 1e-6)
    return np.log(odds / (1 - odds))
