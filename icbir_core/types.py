"""The nouns that rooms hand to each other: immutable, without behaviour that needs a heavy import."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from icbir_core.findings import FindingState
from icbir_core.plurals import join_words

Progress = Callable[[int, int, str], None]
"""progress(done, total, text), called while something long is computed; a total of 0 means "not known"."""
UNKNOWN = "unknown"
# The views that can be asked for; other projections keep their own name.
VIEWS: tuple[str, ...] = ("PA", "AP", "LATERAL")
NOT_SHOWN = "not shown to be better than chance"
"""Said of a prediction or a search wherever its interval holds chance: that it is no better is not known."""
SEARCH_NOT_SHOWN = f"On films that the networks never saw, this search was {NOT_SHOWN} for {{}}."
DIGITS = 6
"""Significant decimal digits that a 32-bit number holds."""


def shorten(value: float) -> float:
    """The number with as many digits as a 32-bit one holds: 0.16 for 0.1599999964237213."""
    return float(f"{float(value):.{DIGITS}g}")


@dataclass(frozen=True, eq=False)
class Radiograph:
    """A decoded film.

    pixels : float32 (H, W) in [0, 1], air dark, bone bright, full resolution.
    stored_bits : bits of grey that the source really held (8 … 16).
    sha256 : of the file's bytes; pixel_sha256 : of the decoded grey levels (identical film in another container);
    stored_sha256 : of a DICOM's values before its window and tables (identical film under another header), of other
    films as pixel_sha256.
    view : "PA", "AP", "LATERAL" or "unknown"; age in years or None; sex "M", "F" or "unknown".
    spacing : (row, column) in millimetres at the detector, or None.
    orientation_verified : True only where the header states the patient orientation.
    facts : what else a reader should know (source format, transfer syntax, window used, …), strings only.

    Examples
    --------
    >>> import icbir_core as icbir
    >>> radiograph = icbir.read_film(icbir.open_retriever("workspaces/demo"), "film.png").radiograph
    >>> radiograph.source_format, str(radiograph.pixels.dtype), radiograph.pixels.ndim
    ('PNG', 'float32', 2)
    """

    pixels: np.ndarray
    sha256: str
    pixel_sha256: str
    source_format: str
    stored_bits: int = 8
    view: str = UNKNOWN
    age: int | None = None
    sex: str = UNKNOWN
    spacing: tuple[float, float] | None = None
    orientation_verified: bool = False
    stored_sha256: str = ""
    facts: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class FilmHeader:
    """What a DICOM header says of a film, before its pixels are looked at.

    number : the patient's number, None where none is written; issuer : who gave it, "" where that is not said.
    instance : the SOP Instance UID, None where there is none. modality : "" where it is not said. burned_in : whether
    it says that text is burned into the picture. has_picture : whether it describes one. view, age, sex : as of a
    `Radiograph`. unreadable : the name of an element that decides on one of these and is damaged, else "". study : the
    Study Instance UID, None where there is none.
    """

    number: str | None = field(repr=False)
    issuer: str = field(repr=False)
    instance: str | None = field(repr=False)
    modality: str
    burned_in: bool
    has_picture: bool
    view: str
    age: int | None
    sex: str
    unreadable: str = ""
    study: str | None = field(default=None, repr=False)

    @property
    def patient(self) -> str | None:
        """The patient's number with its issuer, to be hashed: one number of two issuers is two patients, and a number
        without an issuer is neither of them."""
        return f"{self.number}^^^{self.issuer}" if self.number and self.issuer else self.number


@dataclass(frozen=True, eq=False)
class Query:
    """A film to search with. patient: hashed as in the workspace, or None; case_id: set if it is a catalogue case;
    instance, study: hashes of the SOP Instance UID and of the Study Instance UID, or None.

    Examples
    --------
    >>> import icbir_core as icbir
    >>> icbir.read_film(icbir.open_retriever("workspaces/demo"), "film.png").name
    'film'
    """

    name: str
    radiograph: Radiograph
    patient: str | None = None
    case_id: str | None = None
    instance: str | None = None
    study: str | None = None


@dataclass(frozen=True)
class Case:
    """One row of the catalogue. `row` is its stable integer (never reused); `path` is relative to the workspace.

    orientation_verified : True only where the header of the original film stated the patient orientation.
    instance : hash of the SOP Instance UID, or None. stored_sha256 : as of its `Radiograph`, None where the catalogue
    was made before it was kept. other_patients : hashes under which the film is known as well: in another file of it,
    or in its header where the table names another patient.

    Examples
    --------
    >>> import icbir_core as icbir
    >>> case = icbir.Workspace.open("workspaces/demo").catalogue.cases()[0]
    >>> case.row, case.removed, isinstance(case.present, tuple)
    (0, False, True)
    """

    row: int
    case_id: str
    path: str
    sha256: str
    pixel_sha256: str
    findings: Mapping[str, FindingState]
    patient: str | None = None
    view: str = UNKNOWN
    age: int | None = None
    sex: str = UNKNOWN
    source: str = UNKNOWN
    report: str | None = None
    diagnosis: str | None = None
    removed: bool = False
    orientation_verified: bool = False
    instance: str | None = None
    stored_sha256: str | None = None
    other_patients: tuple[str, ...] = ()

    @property
    def patients(self) -> tuple[str, ...]:
        """Every hash that stands for this film's patient; none where the patient is not known."""
        return tuple(dict.fromkeys((*([self.patient] if self.patient else []), *self.other_patients)))

    @property
    def present(self) -> tuple[str, ...]:
        """The findings that are present, in the vocabulary's order of the catalogue."""
        return tuple(name for name, state in self.findings.items() if state is FindingState.PRESENT)


@dataclass(frozen=True)
class Prediction:
    """Calibrated probability per finding, each in [0, 1], with its operating point (threshold on that probability).

    networks : titles of those whose mean it is, the classifier first. at_chance : findings that they were not shown to
    tell better than chance on films that none of them had seen.
    """

    probabilities: Mapping[str, float]
    operating_points: Mapping[str, float] = field(default_factory=dict)
    networks: tuple[str, ...] = ()
    at_chance: tuple[str, ...] = ()

    @property
    def source(self) -> str:
        """Which networks predict, for a reader; "" where it is not known."""
        return describe_networks(self.networks)

    @property
    def caution(self) -> str:
        """For which findings nothing is shown, as a phrase; "" where there is none."""
        return f"{NOT_SHOWN} for {', '.join(self.at_chance)}" if self.at_chance else ""


def describe_networks(networks: Sequence[str]) -> str:
    """Titles of networks whose mean is taken as one phrase."""
    return "".join(networks) if len(networks) < 2 else f"the mean of {join_words(networks)}"


def describe_copies(copies: Sequence[str]) -> str:
    """Which cases a search left out as copies of the query's film, in a sentence."""
    shows = "it shows" if len(copies) == 1 else "they show"
    return f"Left out, because {shows} this very film: {', '.join(copies)}."


@dataclass(frozen=True, eq=False)
class SaliencyMap:
    """An attribution laid on the network's input.

    values : float32 (H, W) at the network's input size, raw attribution as the method returns it (not scaled); with 0
    around it where the network saw the middle of the film only.
    method, finding, layer : what made it, for which output, from which layer ("" if the whole network).
    signed : whether negative values mean something in this method.
    state : "ok", "flat" (constant) or "zero" (all zero). network : title of the network that is explained, one of those
    that predict; "" for a map of no single network.
    """

    values: np.ndarray
    method: str
    finding: str
    signed: bool
    layer: str = ""
    state: str = "ok"
    network: str = ""


@dataclass(frozen=True)
class Hit:
    """One retrieved case: rank from 1, distance in the metric of its ranking (smaller is closer).

    place : what of its film was compared with a region of the query (left, top, width, height in pixels of the case's
    film, cut to it); None where no region ranked.

    Examples
    --------
    >>> import icbir_core as icbir
    >>> retriever = icbir.open_retriever("workspaces/demo")
    >>> first, second = retriever.search(icbir.read_film(retriever, "film.png")).hits[:2]
    >>> first.rank, second.rank, first.distance <= second.distance
    (1, 2, True)
    """

    rank: int
    distance: float
    case: Case
    place: tuple[float, float, float, float] | None = None


@dataclass(frozen=True)
class Ranking:
    """The answer to a query; holds no tensor.

    method : name of a search method, "region" or "finding". metric : "euclidean", "1 - ssim", "euclidean (region)" or
    "euclidean (finding)".
    route : "annoy", "annoy+tail", "hnsw", "exact" or "exact (…)" with the reason.
    eligible, total : "n of N eligible" after filters and exclusions.
    base_rate : part of the eligible cases with known state that carry the target finding, or None. base_rates : the
    same of every finding of the catalogue whose state is known in a case.
    percentile : per hit, the share of the catalogue's own nearest-neighbour distances that are smaller (0 … 1).
    at_chance : on films that no network saw, this search was not shown to find cases of the target more often than
    chance.
    timings_ms : by stage; versions : "model", "saliency_model", "catalogue", "index" hashes (no
    "index" where none had a say). copies : names of cases that were left out because they show the query's own picture.

    Examples
    --------
    >>> import icbir_core as icbir
    >>> retriever = icbir.open_retriever("workspaces/demo")
    >>> ranking = retriever.search(icbir.read_film(retriever, "film.png"))
    >>> ranking.query, ranking.target, ranking.eligible <= ranking.total
    ('film', 'Effusion', True)
    """

    query: str
    method: str
    target: str
    metric: str
    route: str
    eligible: int
    total: int
    hits: tuple[Hit, ...]
    prediction: Prediction | None = None
    base_rate: float | None = None
    percentiles: tuple[float, ...] = ()
    timings_ms: Mapping[str, float] = field(default_factory=dict)
    versions: Mapping[str, str] = field(default_factory=dict)
    settings: Mapping[str, Any] = field(default_factory=dict)
    base_rates: Mapping[str, float] = field(default_factory=dict)
    at_chance: bool = False
    copies: tuple[str, ...] = ()

    def as_record(self) -> dict[str, Any]:
        """What every written form of a ranking has in common, as plain values for JSON.

        method, target, metric, route, eligible, total, base_rate, versions, and of each of the hits: rank, case_id,
        distance, view, age, sex, percentile where there is one (None if it is not finite), and place (left, top, width,
        height) after a search by a region. Numbers have the digits that a 32-bit one holds.
        """
        hits = []
        for number, hit in enumerate(self.hits):
            case = hit.case
            facts = {"rank": hit.rank, "case_id": case.case_id, "distance": shorten(hit.distance)}
            facts |= {"view": case.view, "age": case.age, "sex": case.sex}
            if number < len(self.percentiles):
                percentile = float(self.percentiles[number])
                facts["percentile"] = shorten(percentile) if math.isfinite(percentile) else None
            if hit.place is not None:
                facts["place"] = [shorten(value) for value in hit.place]
            hits.append(facts)
        names = ("method", "target", "metric", "route", "eligible", "total", "base_rate")
        record = {name: getattr(self, name) for name in names} | {"versions": dict(self.versions), "hits": hits}
        record["base_rate"] = None if self.base_rate is None else shorten(self.base_rate)
        return record
