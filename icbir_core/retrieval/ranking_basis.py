"""The two sides of a search: what is computed of the film that is asked with, and by what the cases are ranked."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import numpy as np

from icbir_core.model.encoders import Encoder
from icbir_core.radiograph.network_input import Box
from icbir_core.retrieval.embedding import Embeddings
from icbir_core.retrieval.methods import SearchMethod
from icbir_core.retrieval.search_index import SearchIndex
from icbir_core.settings import InputSettings
from icbir_core.types import Prediction


@dataclass(frozen=True, eq=False)
class QueryEmbedding:
    """What is kept of a film that was searched with.

    images : the film float32 (S, S) as each kind of input settings makes it, that of the classifier first; embeddings :
    of this one film; prediction; timings_ms : of each stage. descriptors : by method, and beside : by encoder its
    features (1, width) under its hash, what was asked for so far.
    """

    images: Mapping[InputSettings, np.ndarray]
    embeddings: Embeddings
    prediction: Prediction
    timings_ms: Mapping[str, float]
    descriptors: dict[str, np.ndarray] = field(default_factory=dict)
    beside: dict[str, np.ndarray] = field(default_factory=dict)

    def encode(self, encoder: Encoder) -> np.ndarray:
        """The film's features (1, width) by an encoder, computed once."""
        if encoder.sha256 not in self.beside:
            self.beside[encoder.sha256] = encoder.features(self.images[encoder.input_settings][None])
        return self.beside[encoder.sha256]

    @property
    def image(self) -> np.ndarray:
        """The classifier's input."""
        return next(iter(self.images.values()))


@dataclass(frozen=True, eq=False)
class RankingBasis:
    """By what a target's cases are ranked: by a method, or by a step of a search.

    index : ranks. describe : a film's description, comparable with those of the index. measure_neighbours : distances
    float64, ascending, of the catalogue's own cases to their nearest. versions : hashes of what an answer rests on.
    locate : for a region, the box of the network's image that was compared in each case (description, rows → boxes).
    """

    method: SearchMethod
    index: SearchIndex
    describe: Callable[[QueryEmbedding], np.ndarray]
    measure_neighbours: Callable[[], np.ndarray]
    versions: Mapping[str, str]
    locate: Callable[[np.ndarray, np.ndarray], list[Box]] | None = None
