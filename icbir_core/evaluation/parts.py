"""An evaluation in parts that several workers take: the vectors of eight films each, kept where it looks for them."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from icbir_core.catalogue import Workspace, iterate_layout
from icbir_core.catalogue.layouts import RawCase
from icbir_core.errors import EvaluationError
from icbir_core.evaluation.films import FilmSet, collect_layout
from icbir_core.evaluation.methods import compute_vectors, find_method
from icbir_core.evaluation.running import (
    VECTORS,
    EvaluationOptions,
    choose_methods,
    choose_queries,
    collect_indexed,
    open_target,
)
from icbir_core.evaluation.vectors import VectorSource

SIZE = 8
"""Films of a part."""
_CASES, _QUERIES = "cases", "queries"


@dataclass
class EvaluationInParts:
    """What is computed of each case and each query film. The networks are loaded once, with the first part."""

    workspace: Workspace
    options: EvaluationOptions

    def list_parts(self) -> list[str]:
        """ "cases 0", "cases 8", …, "queries 0", …. Raises as `run_evaluation`."""
        counts = {_CASES: len(self._cases), _QUERIES: len(self._listed)}
        return [f"{kind} {first}" for kind, count in counts.items() for first in range(0, count, SIZE)]

    def do_part(self, part: str) -> None:
        """Compute what is lacking of one part, by every method that is compared; a film that cannot be read is left to
        the evaluation, which names it. Raises as `run_evaluation`."""
        kind, first = part.split(" ")[0], int(part.split(" ")[1])
        if (films := self._choose(kind, first)) is None:
            return
        methods, _ = choose_methods(self.options.methods, self._source.opened.models)
        for name in methods:
            compute_vectors(find_method(name), self._source, films)

    def _choose(self, kind: str, first: int) -> FilmSet | None:
        if kind == _CASES:
            return self._cases.select(range(first, min(first + SIZE, len(self._cases))))
        queries = choose_queries(self.options)
        assert queries is not None
        try:
            return collect_layout(self.workspace, queries, listed=self._listed[first : first + SIZE])
        except EvaluationError:
            return None  # none of them can be read

    @cached_property
    def _source(self) -> VectorSource:
        return VectorSource(open_target(self.workspace, self.options), self.workspace.path / VECTORS)

    @cached_property
    def _cases(self) -> FilmSet:
        return collect_indexed(self.workspace, self._source.opened)

    @cached_property
    def _listed(self) -> list[tuple[RawCase, Path]]:
        queries = choose_queries(self.options)
        return [] if queries is None else list(iterate_layout(queries))
