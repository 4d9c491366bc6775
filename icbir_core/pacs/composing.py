"""From a search to what its DICOM objects say: for the page, which knows what the reader saw, and for the command."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Protocol

import numpy as np

from icbir_core import __version__
from icbir_core.annotation.drawing import Marks
from icbir_core.annotation.turning import Turn
from icbir_core.errors import IcbirError
from icbir_core.pacs.drawn import convert_marks
from icbir_core.pacs.result import SearchResult, ShownFilm, describe_cases, list_versions
from icbir_core.pacs.source_header import SourceHeader
from icbir_core.radiograph.marks import list_sides
from icbir_core.radiograph.network_input import Box
from icbir_core.radiograph.overlay import OverlayStyle, shared_scale
from icbir_core.saliency.display import SMOOTHED, find_threshold, is_smoothed, name_strength, smooth_for_display
from icbir_core.saliency.methods import SALIENCY_METHODS
from icbir_core.types import Case, Query, Radiograph, Ranking, SaliencyMap

QUERY = "query"
_STRENGTHS = {"empty": "The map marks no place.", "faint": "The map is faint here: nothing reaches the threshold."}


@dataclass(frozen=True, eq=False)
class DrawnMaps:
    """The maps of a search as they are drawn: of the query (None without one) and of cases by case_id.

    title : what they are, "" without one.
    """

    query: SaliencyMap | None = None
    cases: Mapping[str, SaliencyMap] = field(default_factory=dict)
    title: str = ""
    scale: float = 1.0
    style: OverlayStyle = field(default_factory=OverlayStyle)


@dataclass(frozen=True, eq=False)
class Asked:
    """What a reader asked, beside the film: filters in words, the region, what she measured and drew on the film, and
    how it stood on the screen."""

    filters: str = "no filter"
    region: Box | None = None
    marks: Marks | None = None
    turn: Turn = Turn()
    made: datetime = field(default_factory=lambda: datetime.now(UTC))


class Mapper(Protocol):
    """What computes maps: a retriever."""

    def map_of(self, item: Query | Case, method: str, target: str | None = None) -> SaliencyMap:
        """The map of a film."""


def compose_result(
    source: SourceHeader,
    radiograph: Radiograph,
    ranking: Ranking,
    maps: DrawnMaps,
    read_case: Callable[[Case], Radiograph] | None,
    asked: Asked | None = None,
    window: Callable[[str, np.ndarray], np.ndarray] = lambda name, pixels: pixels,
) -> SearchResult:
    """The result of a search. read_case : gives the film of a case (None: no films of cases); one that cannot be read
    is left out of the page, which is told, and stays in the report. window : the pixels of "query" or of a case_id as
    the reader saw them.

    Raises `DicomExportError` where the film is not the one that the header describes.
    """
    asked = asked or Asked()
    measurements, notes = convert_marks(asked.marks) if asked.marks else ((), ())
    cases: list[ShownFilm] = []
    missing: dict[str, list[str]] = {}
    for hit, lines in zip(ranking.hits, describe_cases(ranking), strict=True):
        name = hit.case.case_id
        if read_case is None:
            break
        try:
            film = read_case(hit.case)
        except IcbirError as error:
            missing.setdefault(str(error), []).append(str(hit.rank))
            continue
        shown = window(name, film.pixels)
        title = f"{hit.rank} · {name}"
        cases.append(ShownFilm(title, shown, maps.cases.get(name), lines, list_sides(film), hit.place))
    strength = name_strength(maps.query, maps.scale, maps.style.threshold) if maps.query is not None else ""
    words = (_STRENGTHS[strength],) if strength else ()
    return SearchResult(
        source=source,
        ranking=ranking,
        query=ShownFilm("Query", window(QUERY, radiograph.pixels), maps.query, words, list_sides(radiograph)),
        cases=tuple(cases),
        style=maps.style,
        scale=maps.scale,
        map_title=maps.title,
        pixel_sha256=radiograph.pixel_sha256,
        versions=list_versions(ranking, __version__),
        filters=asked.filters,
        region=asked.region,
        measurements=measurements,
        notes=notes,
        marks=asked.marks,
        turn=asked.turn,
        made=asked.made,
        told=tuple(f"Not on the page: case {', '.join(ranks)}. {reason}" for reason, ranks in missing.items()),
    )


def draw_maps(mapper: Mapper, query: Query, ranking: Ranking, method: str) -> DrawnMaps:
    """The maps of the query and of every hit by a saliency method, at the scale and threshold of the query's, as the
    page shows them at first. A case whose film cannot be read has none."""
    own = smooth_for_display(mapper.map_of(query, method, ranking.target))
    cases: dict[str, SaliencyMap] = {}
    for hit in ranking.hits:
        try:
            cases[hit.case.case_id] = smooth_for_display(mapper.map_of(hit.case, method, ranking.target))
        except IcbirError:
            continue
    scale = shared_scale([own.values, *(one.values for one in cases.values())], lead=own.values)
    title = f"{SALIENCY_METHODS[method].title}, map of {ranking.target}"
    title += f", {SMOOTHED}" if is_smoothed(method) else ""
    style = OverlayStyle(threshold=find_threshold(own.values, scale, own.signed), signed=own.signed)
    return DrawnMaps(own, cases, title, scale, style)
