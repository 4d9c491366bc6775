"""What the DICOM objects of a search say, before any of them is written."""

from __future__ import annotations

import hashlib
import json
import uuid
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cached_property

import cv2
import numpy as np

from icbir_core.annotation.drawing import Marks
from icbir_core.annotation.turning import Turn
from icbir_core.errors import DicomExportError
from icbir_core.pacs.source_header import SourceHeader
from icbir_core.radiograph.network_input import Box, Letterbox
from icbir_core.radiograph.overlay import OverlayStyle
from icbir_core.types import Ranking, SaliencyMap

RESEARCH = "For research, not for diagnosis"
SMALLEST_PART = 0.001
"""Of the film's pixels, that a connected part of a map must cover to be named a region."""
MOST_REGIONS = 8
_KINDS = {"length": 2, "angle": 3, "ratio": 4, "ellipse": 4, "rectangle": 4}
_UNITS = ("mm", "px", "deg", "1", "%")


@dataclass(frozen=True)
class Measurement:
    """What a reader measured on the film.

    kind : "length" (two points), "angle" (three, its corner in the middle), "ratio" (two lines of two points each, as
    of heart and chest), "ellipse" (both ends of its long axis, then of its short one) or "rectangle" (its corners, one
    after another). points : (column, row) in pixels of the film, the upper left corner of the film at (0, 0).
    value : in `unit`: "mm", "px", "deg" or "1"; of a region the mean grey in "%", with its standard deviation and area
    (in square `area_unit`, "mm" or "px").
    """

    kind: str
    points: tuple[tuple[float, float], ...]
    value: float
    unit: str
    label: str = ""
    deviation: float = 0.0
    area: float = 0.0
    area_unit: str = "px"

    @property
    def is_region(self) -> bool:
        """True of an ellipse and a rectangle."""
        return self.kind in ("ellipse", "rectangle")

    @property
    def lines(self) -> tuple[tuple[tuple[float, float], ...], ...]:
        """Its points, one line after another; of an ellipse the ends of its axes."""
        return (self.points,) if self.kind != "ratio" else (self.points[:2], self.points[2:])

    def __post_init__(self) -> None:
        if _KINDS.get(self.kind) != len(self.points) or self.unit not in _UNITS or self.area_unit not in ("mm", "px"):
            raise DicomExportError(f"A {self.kind} of {len(self.points)} points in '{self.unit}' cannot be exported.")


@dataclass(frozen=True)
class Note:
    """What a reader drew without measuring. points : of an arrow its tail and its tip, of words their place, in pixels
    of the film as those of a `Measurement`. text : one line, "" of an arrow without words."""

    points: tuple[tuple[float, float], ...]
    text: str = ""


@dataclass(frozen=True, eq=False)
class ShownFilm:
    """A film as the reader saw it. pixels : float32 (H, W) in [0, 1], with her window. found : its map as it is drawn,
    or None. lines : what stands below it; nothing that names a person. sides : what stands in its lower corners.
    place : of a case, what was compared with the searched region (left, top, width, height in its pixels), or None.
    """

    title: str
    pixels: np.ndarray
    found: SaliencyMap | None = None
    lines: tuple[str, ...] = ()
    sides: tuple[str, ...] = ()
    place: Box | None = None


@dataclass(frozen=True, eq=False)
class SearchResult:
    """One search, to be written as DICOM objects.

    source : of the query film. style, scale : how every map is drawn; map_title : what the map is, "" without one.
    versions : name and version of all that computed it. region : what of the film was searched with. made : when; the
    same result made at the same time gives the same objects, byte for byte. marks : measurements and notes as they
    are drawn in the pixels of the page. turn : how the query stood on the screen; its pixels here are not turned.
    told : sentences for whoever sends it.
    """

    source: SourceHeader
    ranking: Ranking
    query: ShownFilm
    cases: tuple[ShownFilm, ...]
    style: OverlayStyle
    scale: float
    map_title: str
    pixel_sha256: str
    versions: tuple[tuple[str, str], ...] = ()
    filters: str = "no filter"
    region: Box | None = None
    measurements: tuple[Measurement, ...] = ()
    notes: tuple[Note, ...] = ()
    marks: Marks | None = None
    turn: Turn = Turn()
    made: datetime = field(default_factory=lambda: datetime.now(UTC))
    told: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        rows, columns = self.query.pixels.shape
        if (rows, columns) != (self.source.rows, self.source.columns):
            raise DicomExportError(
                f"The film has {columns} × {rows} pixels and its header says {self.source.columns} × "
                f"{self.source.rows}, so that no place on it can be named."
            )

    def make_uid(self, name: str) -> str:
        """The UID of one part of this result: a function of all that the result says and shows."""
        digest = hashlib.sha256(f"{self._identity}\0{name}".encode()).digest()
        # PS3.5 B.2: a UUID as a decimal number below 2.25.
        return f"2.25.{uuid.UUID(bytes=digest[:16], version=4).int}"

    @cached_property
    def _identity(self) -> str:
        ranking = json.dumps(self.ranking.as_record(), sort_keys=True, default=str)
        said = (self.made.isoformat(), repr(self.region), repr(self.measurements), repr(self.versions), self.filters)
        drawn = (repr(self.notes), repr(self.turn))
        shown = (self.map_title, repr(self.style), repr(self.scale))
        digest = hashlib.sha256(
            "\0".join((self.source.study, self.source.instance, ranking, *said, *drawn, *shown)).encode()
        )
        for film in (self.query, *self.cases):
            digest.update("\0".join((film.title, *film.lines, *film.sides)).encode())
            digest.update(film.pixels.tobytes())
            digest.update(film.found.values.tobytes() if film.found is not None else b"")
        return digest.hexdigest()


@dataclass(frozen=True, eq=False)
class MapRegion:
    """A connected part of a map from its threshold on. outline : float (N, 2), (column, row) in pixels of the film, not
    closed. share : of the map's shown strength that lies in it; sign : 1, or −1 where it speaks against the finding.
    """

    outline: np.ndarray
    share: float
    sign: int


def find_map_regions(film: ShownFilm, style: OverlayStyle, scale: float) -> tuple[MapRegion, ...]:
    """The parts of a film's map that are shown, the strongest first: at most 8, each of 0.1 % of the film or more.
    Empty where there is no map, where it marks no place, or where nothing of it reaches the threshold."""
    found = film.found
    if found is None or found.state != "ok" or not scale > 0:
        return ()
    values = found.values
    if values.shape != film.pixels.shape:
        values = Letterbox.of(film.pixels.shape, values.shape[0]).to_film(values)
    shown = [
        region for sign in ((1, -1) if style.signed else (1,)) for region in _trace(sign * values, style, scale, sign)
    ]
    total = sum(region.share for region in shown)
    large = [one for one in shown if cv2.contourArea(one.outline.astype(np.float32)) >= SMALLEST_PART * values.size]
    large.sort(key=lambda region: -region.share)
    return tuple(MapRegion(one.outline, one.share / total, one.sign) for one in large[:MOST_REGIONS])


def _trace(values: np.ndarray, style: OverlayStyle, scale: float, sign: int) -> Iterable[MapRegion]:
    strength = np.maximum(values, 0)
    mask = ((strength > 0) & (strength >= style.threshold * scale)).astype(np.uint8)
    count, labels = cv2.connectedComponents(mask, connectivity=8)
    sums = np.bincount(labels.ravel(), strength.ravel(), minlength=count)
    for number in range(1, count):
        outlines, _ = cv2.findContours((labels == number).astype(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
        line = max(outlines, key=len)
        # The centre of a pixel lies half a pixel from its corner, where DICOM counts from.
        outline = cv2.approxPolyDP(line, 1.0, True).reshape(-1, 2).astype(np.float64) + 0.5
        if len(outline) >= 3:
            yield MapRegion(outline, float(sums[number]), sign)


def list_versions(ranking: Ranking, program: str) -> tuple[tuple[str, str], ...]:
    """The program's and the ranking's versions: (name, version or hash)."""
    return (("ICBIR", program), *sorted(ranking.versions.items()))


def describe_cases(ranking: Ranking) -> tuple[tuple[str, ...], ...]:
    """Two lines for each hit, without age and sex: its findings, and its distance."""
    return tuple(
        (
            ", ".join(hit.case.present) or "no finding listed",
            f"distance {hit.distance:.4g} ({ranking.metric}) · view {hit.case.view}",
        )
        for hit in ranking.hits
    )
