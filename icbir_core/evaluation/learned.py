"""The learned metric under evaluation: fitted on the catalogue at hand, once whole and once in folds of patients.

The metric learns from the labels of the very cases that it places, and label measures then ask for the same labels.
That is how a supervised search is used and usually judged, but part of the gain is that a case is placed by its own
label. In folds, no case is placed by a metric that saw a label of its patient; what is left of the gain is what the
pictures carry.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from icbir_core.evaluation.films import FilmSet
from icbir_core.evaluation.statistics import group_patients
from icbir_core.retrieval.learned_metric import NAME, LearnedMetric, fit_metric

if TYPE_CHECKING:
    from icbir_core.evaluation.vectors import VectorSource

LEARNED, LEARNED_FOLDS = NAME, NAME + "_folds"
FOLDS = 5


def learn_vectors(
    source: VectorSource, queries: FilmSet, catalogue: FilmSet, in_folds: bool
) -> tuple[np.ndarray, np.ndarray]:
    """Vectors float32 (Q, F + D) and (N, F + D) of queries and cases. Raises `RetrievalError` if nothing can be
    learned."""
    kinds = ("cnn", "ig_cbir") if source.engine.models.saliency_classifier is not None else ("cnn",)
    ours, theirs = (_read(source, films, kinds) for films in (queries, catalogue))
    findings = catalogue.findings
    labels = catalogue.align_labels(findings)
    whole = fit_metric(*theirs, labels, findings, {})
    vectors = whole.transform(*theirs)
    if in_folds:
        fold = np.random.default_rng(0).permutation(FOLDS)[np.asarray(group_patients(catalogue.patients)) % FOLDS]
        for number in range(FOLDS):
            inside = fold == number
            if inside.any():
                part = fit_metric(*_take(theirs, ~inside), labels[~inside], findings, {})
                vectors[inside] = _align(part, whole, part.transform(*_take(theirs, inside)))
    return whole.transform(*ours), vectors


def _read(source: VectorSource, films: FilmSet, kinds: tuple[str, ...]) -> tuple[np.ndarray, np.ndarray | None]:
    found = [source.get(films, kind) for kind in kinds]
    return found[0], found[1] if len(found) > 1 else None


def _take(parts: tuple[np.ndarray, np.ndarray | None], chosen: np.ndarray) -> tuple[np.ndarray, np.ndarray | None]:
    return parts[0][chosen], None if parts[1] is None else parts[1][chosen]


def _align(part: LearnedMetric, whole: LearnedMetric, vectors: np.ndarray) -> np.ndarray:
    """Vectors of a fold's metric in the columns and units of the whole catalogue's; a finding it could not learn is
    left at even odds."""
    aligned = np.full((len(vectors), len(whole.findings) + vectors.shape[1] - len(part.findings)), 0.5, np.float32)
    for column, name in enumerate(whole.findings):
        if name in part.findings:
            aligned[:, column] = vectors[:, part.findings.index(name)]
    aligned[:, len(whole.findings) :] = vectors[:, len(part.findings) :] * (whole.appearance / part.appearance)
    return aligned
