"""The centre of a workspace's features: measured when it is indexed, kept while it still fits the catalogue."""

from __future__ import annotations

import numpy as np

from icbir_core.errors import IndexMismatch
from icbir_core.files import PathLike
from icbir_core.retrieval.centring import Centre
from icbir_core.retrieval.index import MERGE_SHARE
from icbir_core.retrieval.store import CaseStore


def renew_centre(store: CaseStore, rows: np.ndarray, directory: PathLike, identity: dict[str, str]) -> Centre:
    """The centre in `directory`, measured on the cases `rows` if there is none that fits.

    One of the same models stays until the catalogue has grown or shrunk by a tenth since, so that an addition does not
    make the index anew.
    """
    try:
        found = Centre.open(directory, identity)
        if abs(len(rows) - found.cases) <= MERGE_SHARE * found.cases:
            return found
    except IndexMismatch:
        pass
    found = Centre.measure((values for _, values in store.iterate("cnn", rows)), identity)
    found.save(directory)
    return found


class CentredView:
    """The vectors (R, D) of a store's rows about a centre, computed when they are sliced."""

    def __init__(self, store: CaseStore, centre: Centre, rows: np.ndarray):
        self.features, self.centre = store.view("cnn", rows), centre
        self.shape = self.features.shape

    def __len__(self) -> int:
        return len(self.features)

    def __getitem__(self, part: slice) -> np.ndarray:
        return self.centre.transform(self.features[part])
