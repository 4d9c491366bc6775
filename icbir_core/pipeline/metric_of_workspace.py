"""The learned metric of a workspace: fitted when it is indexed, kept while it still fits the catalogue."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from icbir_core.catalogue import Workspace
from icbir_core.errors import IndexMismatch
from icbir_core.retrieval.index import MERGE_SHARE
from icbir_core.retrieval.learned_metric import LARGEST_SAMPLE, LearnedMetric, fit_metric
from icbir_core.retrieval.store import CaseStore


def renew_metric(
    workspace: Workspace, store: CaseStore, rows: np.ndarray, directory: Path, identity: dict[str, str]
) -> LearnedMetric:
    """The metric in `directory`, fitted on the catalogue's cases `rows` if there is none that fits.

    One of the same models stays until the catalogue has grown or shrunk by a tenth since, so that an addition does not
    make every index anew. Raises `RetrievalError` if no finding is known well enough.
    """
    try:
        found = LearnedMetric.open(directory, identity)
        if abs(len(rows) - found.cases) <= MERGE_SHARE * found.cases or min(len(rows), found.cases) >= LARGEST_SAMPLE:
            return found
    except IndexMismatch:
        pass
    if len(rows) > LARGEST_SAMPLE:
        rows = np.sort(np.random.default_rng(0).choice(rows, LARGEST_SAMPLE, replace=False))
    catalogue = workspace.catalogue
    findings = catalogue.findings
    ig_cbir = store.read("ig_cbir", rows) if "ig_cbir" in store.names else None
    found = fit_metric(store.read("cnn", rows), ig_cbir, catalogue.labels(findings, rows), findings, identity)
    found.save(directory)
    return found


class LearnedView:
    """The vectors (R, F + D) of a store's rows under a metric, computed when they are sliced."""

    def __init__(self, store: CaseStore, metric: LearnedMetric, rows: np.ndarray):
        self.store, self.metric, self.rows = store, metric, np.asarray(rows, np.int64)
        self.shape = (len(self.rows), len(metric.findings) + store.view("cnn", self.rows).shape[1])

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, part: slice) -> np.ndarray:
        rows = self.rows[part]
        ig_cbir = self.store.read("ig_cbir", rows) if "ig_cbir" in self.store.names else None
        return self.metric.transform(self.store.read("cnn", rows), ig_cbir)
