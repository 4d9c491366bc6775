"""Every search method as one record: all that the rest of the program has to know of it. Importing it loads nothing
heavy.

A new method is a record here and, where it compares something new, one module that the record names. A package of
somebody else adds one without touching this file: see docs/plug-ins.md.
"""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import AbstractContextManager
from dataclasses import dataclass

from icbir_core.errors import RetrievalError
from icbir_core.plugins import SEARCH_GROUP, Registry
from icbir_core.plurals import join_words
from icbir_core.rounding import COARSE, SINGLE

EUCLIDEAN = "euclidean"
ANNOY, PGVECTOR = "annoy", "pgvector"
ENGINES = {ANNOY: "icbir_core.retrieval.index:Index", PGVECTOR: "icbir_core.retrieval.vector_index:VectorIndex"}
"""What can hold the vectors of a method that compares them by Euclidean distance, by the "kind" of its manifest."""
FEATURES, SALIENCY_FEATURES, REDUCED, SPATIAL, PROBABILITIES = "cnn", "ig_cbir", "ssim", "spatial", "probabilities"
ENCODERS = "encoders"
"""Stored values of a film that can be compared: the penultimate features of the classifier and of the saliency
classifier, the film reduced to 64 × 64, the last feature map on a coarse grid, the probability of each finding.
`ENCODERS` stands for the features of each encoder that the target was indexed with."""


@dataclass(frozen=True)
class SearchMethod:
    """One way to compare films.

    name : in commands, files and exported data; title : what a reader sees instead; compares : what is compared, in a
    few words for a report. fields : the stored values that it compares; several are centred and stand side by side.
    metric : "euclidean", "cosine" or the name of another distance. centred : compared by the direction from the
    catalogue's mean. points : whether cases are points, so that a query can move towards them and a map can
    show them. part : whether it compares a part of the film, chosen when asking; it then has no index of its own.
    control : whether it carries no interpretation of the film. needs_saliency_classifier : of the target.
    needs_encoders : of the workspace. sample : of
    how many cases the nearest-neighbour distances are measured. rounding : the share of a description's length that
    counts as rounding (`icbir_core.rounding`).

    The rest names what is imported when it is needed, as "package.module:name". index : a class that builds and opens
    what is searched (`StoredIndex`). measure : distances float64 (Q, N) of queries to cases, where they are not
    Euclidean. explain : shares the distance of two films out over their places (`FilmPair` → `SharedDistance`).
    describe : for a method that brings its own field; computes it, float32 (N, *shape), from the films' network images
    (N, S, S) and `Embeddings`. version : another one when it computes something else.
    """

    name: str
    title: str
    compares: str
    fields: tuple[str, ...]
    metric: str = EUCLIDEAN
    centred: bool = False
    points: bool = True
    part: bool = False
    control: bool = False
    needs_saliency_classifier: bool = False
    needs_encoders: bool = False
    sample: int = 1000
    rounding: float = SINGLE
    index: str = ENGINES[ANNOY]
    measure: str = ""
    explain: str = ""
    describe: str = ""
    shape: tuple[int, ...] = ()
    version: str = ""

    @property
    def depends_on_target(self) -> bool:
        """Whether what it compares is computed for one finding; else one index serves every finding."""
        return self.needs_saliency_classifier or bool(self.describe)

    @property
    def field(self) -> str:
        """The stored value of a method that compares one alone."""
        (field,) = self.fields
        return field


_SHARE_FEATURES = "icbir_core.retrieval.pair_explanation:share_features"
SEARCH_METHODS: Registry[SearchMethod] = Registry(
    "search method",
    SEARCH_GROUP,
    SearchMethod,
    (
        SearchMethod(
            "encoders_centred",
            "Several networks, centred",
            "features of the classifier and of each encoder by angle about the catalogue's mean, side by side",
            (FEATURES, ENCODERS),
            centred=True,
            needs_encoders=True,
            explain="icbir_core.retrieval.pair_explanation:share_side_by_side",
        ),
        SearchMethod(
            "cnn_centred",
            "Network features, centred",
            "features of the classifier by angle about the catalogue's mean",
            (FEATURES,),
            centred=True,
            explain=_SHARE_FEATURES,
        ),
        SearchMethod(
            "ig_cbir",
            "Heat map (IG-CBIR)",
            "features of the saliency classifier on Deep Taylor maps (the paper's method)",
            (SALIENCY_FEATURES,),
            needs_saliency_classifier=True,
            rounding=COARSE,
            explain=_SHARE_FEATURES,
        ),
        SearchMethod(
            "cnn", "Network features (CNN)", "features of the classifier", (FEATURES,), explain=_SHARE_FEATURES
        ),
        SearchMethod(
            "ssim",
            "Structural similarity (SSIM)",
            "structural similarity of the films",
            (REDUCED,),
            metric="1 - ssim",
            points=False,
            sample=200,
            index="icbir_core.retrieval.structural_similarity:StructuralSimilarityIndex",
            measure="icbir_core.retrieval.structural_similarity:measure_pairs",
            explain="icbir_core.retrieval.pair_explanation:share_structure",
        ),
    ),
)
"""The methods of a search, the preferred first: the default of a target is the first that is indexed for it."""

REGION = SearchMethod(
    "region", "Region (stored spatial features)", "what the network saw in a region of the film", (SPATIAL,),
    metric="euclidean (region)", part=True, sample=200,
)  # fmt: skip
FINDING = SearchMethod(
    "finding", "Finding (features weighed by the classifier)", "features of the classifier, weighed for one finding",
    (FEATURES,), metric="euclidean (finding)", part=True, sample=200,
)  # fmt: skip
PARTS = {part.name: part for part in (REGION, FINDING)}
"""Steps of a search: they rank by a part of what the network saw, whichever method searched by the whole film."""


def calling(method: SearchMethod) -> AbstractContextManager[None]:
    """Run the code of a method: what goes wrong in that of an installed package becomes a `RetrievalError`."""
    return SEARCH_METHODS.calling(method.name, RetrievalError)


def find_method(name: str) -> SearchMethod:
    """The method of a ranking, a step of a search included. Raises `UnknownNameError`, `BrokenPlugin`."""
    return PARTS[name] if name in PARTS else SEARCH_METHODS[name]


def find_title(name: str) -> str:
    """What a reader sees instead of the name; the name itself where nothing of that name is installed (any more)."""
    known = {**PARTS, **SEARCH_METHODS}
    return known[name].title if name in known else name


def list_possible(saliency_classifier: bool, encoders: bool = False) -> tuple[str, ...]:
    """The methods that can be indexed for a target with or without a saliency classifier, and encoders."""
    return tuple(
        name
        for name, method in SEARCH_METHODS.items()
        if (saliency_classifier or not method.needs_saliency_classifier) and (encoders or not method.needs_encoders)
    )


def list_titles(methods: Iterable[SearchMethod]) -> str:
    """Titles for a sentence: "A, B or C"."""
    return join_words([method.title for method in methods], "or")
