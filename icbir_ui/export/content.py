"""What a report of a search holds, before it is HTML or PDF."""

from __future__ import annotations

import platform
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from typing import Any

import cv2
import numpy as np

from icbir_core import __version__
from icbir_core.annotation.drawing import Marks, draw_marks
from icbir_core.annotation.records import FilmAnnotations
from icbir_core.annotation.turning import Turn
from icbir_core.catalogue import Workspace
from icbir_core.deidentifying.leaving import hide_text, read_leaving_case
from icbir_core.radiograph.marks import draw_region, list_sides, write_sides
from icbir_core.radiograph.overlay import attach_legend, render_overlay
from icbir_core.retrieval.methods import find_title
from icbir_core.retrieval.refinement import Region
from icbir_core.types import Radiograph, Ranking, SaliencyMap
from icbir_ui.errors import explain
from icbir_ui.films import Film
from icbir_ui.search.asking import Maps, describe_scale
from icbir_ui.search.panes import describe_state
from icbir_ui.state import NOTICE
from icbir_ui.words import (
    AT_CHANCE,
    describe_cautions,
    describe_film,
    describe_findings,
    describe_hit,
    describe_person,
    describe_place,
    describe_share,
)

SIDE = 1000
_Drawn = tuple[tuple[str, ...], bytes | None, bytes | None]
"""The words in the lower corners, the film and the film under its map, as PNG."""
_NOTHING = FilmAnnotations()
SMALL = "Pictures are reduced to at most {side} pixels a side; they are not for reading."


@dataclass(frozen=True, eq=False)
class Picture:
    """A film, and the same film with its map (PNG bytes; overlay None without a map), with its title and facts.

    sides : what is written in the lower corners of both. film : None where it cannot be shown; a line says why.
    """

    title: str
    lines: tuple[str, ...]
    sides: tuple[str, ...]
    film: bytes | None
    overlay: bytes | None
    text: str | None = None

    @property
    def widths(self) -> tuple[int, ...]:
        """Pixels across of each picture; the colour bar makes the second wider, and both have one height."""
        return tuple(int.from_bytes(data[16:20]) for data in (self.film, self.overlay) if data)  # the head of a PNG


@dataclass(frozen=True, eq=False)
class Report:
    """Everything on the pages of a report.

    probabilities : (finding, probability, operating point or None). warnings : of the query's film. cautions : of the
    whole ranking.
    """

    query: Picture
    hits: tuple[Picture, ...]
    probabilities: tuple[tuple[str, float, float | None], ...]
    share: str
    warnings: tuple[str, ...]
    cautions: tuple[str, ...]
    settings: tuple[tuple[str, str], ...]
    versions: tuple[tuple[str, str], ...]
    made: str
    notice: str = NOTICE
    small: str = SMALL.format(side=SIDE)


def apply_window(pixels: np.ndarray, window: Mapping[str, float] | None, invert: bool = False) -> np.ndarray:
    """The film (H, W) in [0, 1] as the reader saw it: centre and width in [0, 1], as the viewer reports them."""
    if window:
        width = max(float(window["width"]), 1e-6)
        pixels = np.clip((pixels - (float(window["centre"]) - width / 2)) / width, 0.0, 1.0)
    return 1.0 - pixels if invert else pixels


def reduce_film(pixels: np.ndarray) -> np.ndarray:
    """The film with its longer side at most 1,000 pixels, averaged over areas."""
    scale = SIDE / max(pixels.shape)
    if scale >= 1:
        return pixels
    size = (max(1, round(pixels.shape[1] * scale)), max(1, round(pixels.shape[0] * scale)))
    return cv2.resize(np.ascontiguousarray(pixels, np.float32), size, interpolation=cv2.INTER_AREA)


def _encode(picture: np.ndarray) -> bytes:
    return cv2.imencode(".png", picture[..., ::-1])[1].tobytes()  # OpenCV writes blue first


@dataclass(frozen=True, eq=False)
class Look:
    """How a reader saw a film. pane : what the viewer reports of its pane; view : of all of them."""

    pane: Mapping[str, Any] | None
    view: Mapping[str, Any]
    drawn: FilmAnnotations = _NOTHING
    region: Region | None = None

    def describe(self, radiograph: Radiograph) -> tuple[str, ...]:
        """What she measured and drew, and how the film is turned, in lines."""
        turn = Turn.from_view(self.pane)
        turned = (f"Shown {turn.words}.",) if turn.words else ()
        return (*turned, *(Marks.of(self.drawn.items, radiograph).list_lines() if self.drawn.items else ()))


def _draw(
    radiograph: Radiograph, found: SaliencyMap | None, maps: Maps, look: Look
) -> tuple[tuple[str, ...], bytes, bytes | None]:
    view, region, turn = look.view, look.region, Turn.from_view(look.pane)
    marks = Marks.of(look.drawn.items, radiograph)
    pixels = reduce_film(apply_window(marks.pixels, look.pane, bool(view.get("invert"))))
    sides = turn.turn_sides(list_sides(radiograph))

    def mark(picture: np.ndarray) -> np.ndarray:
        marked = picture if region is None else draw_region(picture, region.box, marks.pixels.shape)
        return write_sides(draw_marks(turn.turn_picture(marked), marks, turn), sides)

    film = _encode(mark(np.repeat(np.rint(pixels * 255).astype(np.uint8)[..., None], 3, axis=2)))
    if found is None:
        return sides, film, None
    style = maps.style_by(view)
    overlay = mark(render_overlay(pixels, found.values, style, maps.scale))
    return sides, film, _encode(attach_legend(overlay, style, maps.scale))


def try_draw(
    read: Callable[[], Radiograph], found: SaliencyMap | None, maps: Maps, look: Look
) -> tuple[tuple[str, ...], _Drawn]:
    """What the reader measured on the film and how it is turned, or the sentence that stands in place of the picture;
    and what `_draw` gives."""
    try:
        radiograph = read()
        return look.describe(radiograph), _draw(radiograph, found, maps, look)
    except Exception as error:  # one film that cannot be shown does not take the report with it
        return (explain(error),), ((), None, None)


def _describe_map(found: SaliencyMap | None, maps: Maps) -> tuple[str, ...]:
    """A line where a map marks no place or is faint, else none."""
    state = describe_state(found, maps)
    return (state,) if state else ()


def gather_report(
    film: Film,
    ranking: Ranking,
    maps: Maps,
    workspace: Workspace,
    view: Mapping[str, Any],
    filters: str = "no filter",
    region: Region | None = None,
    drawn: Mapping[str, FilmAnnotations] | None = None,
) -> Report:
    """The report of a search, with the reader's own windows and overlay style (view, as the viewer reports it).

    Reads nothing from the session: Streamlit makes a download outside of it. filters : those in force, in words.
    region : what of the query was searched with, drawn on its pictures, as what was compared with it on those of the
    cases. drawn : film hash → what she drew on it.
    """
    panes, on_films = view.get("panes", {}), drawn or {}
    look = Look(panes.get("query"), view, on_films.get(film.key, _NOTHING), region)
    said, pictures = try_draw(lambda: hide_text(film.radiograph, look.drawn.items), maps.query, maps, look)
    query = Picture(film.title, (*describe_film(film.radiograph), *_describe_map(maps.query, maps), *said), *pictures)
    hits = []
    for hit in ranking.hits:
        case = hit.case
        found = maps.cases.get(case.case_id)
        place = None if hit.place is None else Region(hit.place)
        look = Look(panes.get(case.case_id), view, on_films.get(case.pixel_sha256, _NOTHING), place)
        read = partial(read_leaving_case, workspace, case, look.drawn.items)
        said, pictures = try_draw(read, found, maps, look)
        hits.append(
            Picture(
                f"{hit.rank} · {case.case_id}",
                (
                    describe_findings(case),
                    f"{describe_hit(ranking, hit)} (distance {hit.distance:.4g}, {ranking.metric})",
                    f"{describe_person(case.view, case.age, case.sex)} · {case.source}",
                    *filter(None, [describe_place(hit, bool(region and region.anywhere))]),
                    *_describe_map(found, maps),
                    *said,
                ),
                *pictures,
                "\n".join(part for part in (case.diagnosis, case.report) if part) or None,
            )
        )
    prediction = ranking.prediction
    probabilities = () if prediction is None else tuple(
        (f"{name} ({AT_CHANCE})" if name in prediction.at_chance else name, float(value),
         prediction.operating_points.get(name))
        for name, value in sorted(prediction.probabilities.items(), key=lambda item: -item[1])
    )  # fmt: skip
    settings = (
        ("Target finding", ranking.target),
        ("Search by", find_title(ranking.method)),
        *((("Probabilities by", prediction.source),) if prediction and prediction.source else ()),
        ("Heat map", describe_scale(maps, "films") if maps.title else "none"),
        ("Metric and route", f"{ranking.metric}, {ranking.route}"),
        ("Filters", filters),
        ("Eligible cases", f"{ranking.eligible} of {ranking.total}"),
        ("Refinement", "; ".join(ranking.settings.get("refinement", ())) or "none"),
    )
    versions = (
        ("ICBIR", __version__),
        ("Python", platform.python_version()),
        *((name, value) for name, value in sorted(ranking.versions.items())),
        ("Query, sha256 of the grey levels", film.key),
    )
    made = datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC")
    cautions = tuple(describe_cautions(ranking))
    return Report(
        query, tuple(hits), probabilities, describe_share(ranking), film.warnings, cautions, settings, versions, made
    )
