"""What the indexes have in common in which a tree or a graph proposes and exact Euclidean distances decide."""

from __future__ import annotations

from abc import ABC, abstractmethod

import numpy as np

from icbir_core.errors import IndexMismatch, RetrievalError
from icbir_core.retrieval.exact import measure_distances
from icbir_core.retrieval.index_files import IndexOnDisk
from icbir_core.retrieval.methods import EUCLIDEAN
from icbir_core.retrieval.search_index import Eligible, Found


class ProposingIndex(IndexOnDisk, ABC):
    """Nearest neighbours by Euclidean distance among the embeddings of a catalogue. Thread-safe."""

    metric = EUCLIDEAN
    proposer = ""
    """The route by what proposes; the other routes are "auto" and "exact"."""

    def search(self, query: np.ndarray, k: int, eligible: Eligible | None = None, route: str = "auto") -> Found:
        """The k nearest of the eligible cases by Euclidean distance from a vector (D,); see `SearchIndex`.

        route "auto" takes what proposes unless so few are eligible that comparing each is cheaper; its name and "exact"
        insist. The route of what is found says which it was, and with "exact (…)" why.
        """
        vector = np.ascontiguousarray(query, dtype=np.float32)
        if vector.shape != (self.dimension,):
            raise IndexMismatch(
                f"Expected a query of dimension {self.dimension}, got shape {vector.shape}; "
                "embed it with the models that made the index."
            )
        if not np.isfinite(vector).all():
            raise IndexMismatch("The embedding of the film holds NaN or infinity; check the network's weights.")
        routes = ("auto", self.proposer, "exact")
        if route not in routes:
            raise RetrievalError(f"There is no search route '{route}'; choose one of {', '.join(routes)}.")
        mask = self._make_mask(eligible)
        number = len(self.rows) if mask is None else int(mask.sum())
        k = min(int(k), number)
        if k < 1:
            return Found(np.empty(0, np.int64), np.empty(0), "exact" if route == "exact" else self.proposer)
        few = route == "auto" and self._are_few(number, k, eligible)
        return self._search(vector, k, mask, route != "exact" and not few, few)

    def measure(self, query: np.ndarray, rows: np.ndarray) -> np.ndarray:
        """Euclidean distances float64 (R,) of a vector (D,) to cases."""
        return measure_distances(self.get_vectors(rows), np.arange(len(rows)), query, self.rounding)

    @abstractmethod
    def get_vectors(self, rows: np.ndarray) -> np.ndarray:
        """The embeddings float32 (R, D) of catalogue rows. Raises `RetrievalError` for a row that is not indexed."""

    @abstractmethod
    def _make_mask(self, eligible: Eligible | None) -> np.ndarray | None:
        """True where a case may be returned; None if all may."""

    @abstractmethod
    def _are_few(self, number: int, k: int, eligible: Eligible | None) -> bool:
        """Whether comparing each of the eligible is cheaper than proposals."""

    @abstractmethod
    def _search(self, vector: np.ndarray, k: int, mask: np.ndarray | None, propose: bool, few: bool) -> Found:
        """The k ≥ 1 nearest of those that the mask lets through; few : for the name of the route."""
