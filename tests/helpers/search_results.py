"""A search result made from arrays, for tests of what is written of it."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import numpy as np

from icbir_core.annotation.turning import Turn
from icbir_core.findings import FindingState
from icbir_core.pacs.result import Measurement, Note, SearchResult, ShownFilm, describe_cases, list_versions
from icbir_core.pacs.source_header import read_source_header
from icbir_core.radiograph import read_radiograph
from icbir_core.radiograph.marks import list_sides
from icbir_core.radiograph.overlay import OverlayStyle
from icbir_core.types import Case, Hit, Prediction, Ranking, SaliencyMap
from tests.helpers.dicom_files import make_dicom

MADE = datetime(2026, 11, 28, 12, 0, 0, 123456, tzinfo=UTC)
SIDE = 64


def make_film(**elements: Any) -> bytes:
    """A grey DICOM film of 96 × 80 pixels with a patient and a study; `elements` replace or add, None deletes."""
    pixels = np.add.outer(np.arange(96), np.arange(80)).astype(np.uint16)
    known = {
        "StudyInstanceUID": "1.2.826.0.1.3680043.8.498.1",
        "SeriesInstanceUID": "1.2.826.0.1.3680043.8.498.2",
        "PatientName": "Doe^Jane",
        "PatientID": "4711",
        "IssuerOfPatientID": "HOSPITAL",
        "PatientBirthDate": "19500102",
        "PatientSex": "F",
        "PatientAge": "076Y",
        "StudyDate": "20260203",
        "StudyTime": "101112",
        "StudyID": "S1",
        "AccessionNumber": "A1",
        "ReferringPhysicianName": "Roe^Richard",
        "StudyDescription": "Chest",
        "PatientOrientation": ["L", "F"],
    }
    wanted = {name: value for name, value in (known | elements).items() if value is not None}
    return make_dicom(pixels, **wanted)


def make_map(finding: str = "Effusion", signed: bool = False) -> SaliencyMap:
    """Two round spots, the first larger and stronger; the second negative in a signed map."""
    down, across = np.mgrid[:SIDE, :SIDE]
    values = np.exp(-((across - 22) ** 2 + (down - 30) ** 2) / 60)
    values += (-0.7 if signed else 0.7) * np.exp(-((across - 44) ** 2 + (down - 20) ** 2) / 25)
    return SaliencyMap(values.astype(np.float32), "gradient", finding, signed)


def make_ranking(count: int = 3) -> Ranking:
    """A ranking of `count` cases for Effusion, with probabilities of three findings."""
    states = (FindingState.ABSENT, FindingState.PRESENT)
    hits = tuple(
        Hit(
            number,
            number / 7,
            Case(
                number, f"case_{number:04d}", "x.png", "s", "p", {"Effusion": states[number % 2]}, patient="hash",
                view="PA", age=83, sex="M", report="a report", diagnosis="a diagnosis",
            ),
        )
        for number in range(1, count + 1)
    )  # fmt: skip
    prediction = Prediction(
        {"Effusion": 0.123456789, "Cardiomegaly": 0.9, "Enlarged Cardiomediastinum": 0.25}, {"Effusion": 0.3125}
    )
    return Ranking(
        "query", "cnn_centred", "Effusion", "euclidean", "exact", 20, 30, hits, prediction, 0.16,
        tuple(number / 9 for number in range(count)), versions={"model": "a" * 64, "index": "b" * 64},
    )  # fmt: skip


def make_result(film: bytes | None = None, **more: Any) -> SearchResult:
    """A result for a film (that of `make_film`); `more` replaces fields of it."""
    film = make_film() if film is None else film
    radiograph, ranking = read_radiograph(film), more.pop("ranking", make_ranking())
    found = more.pop("found", make_map())
    cases = tuple(
        ShownFilm(f"{hit.rank} · {hit.case.case_id}", np.full((50, 40), 0.5, np.float32), found, lines)
        for hit, lines in zip(ranking.hits, describe_cases(ranking), strict=True)
    )
    known: dict[str, Any] = {
        "region": (10.0, 20.0, 30.0, 40.0),
        "measurements": (
            Measurement("length", ((5.0, 5.0), (50.5, 60.0)), 71.25, "mm", "heart"),
            Measurement("angle", ((5.0, 5.0), (20.0, 20.0), (5.0, 30.0)), 41.5, "deg"),
            Measurement("ratio", ((5.0, 5.0), (50.0, 5.0), (0.0, 9.0), (79.0, 9.0)), 0.57, "1"),
            Measurement(
                "ellipse",
                ((10.0, 20.0), (40.0, 20.0), (25.0, 10.0), (25.0, 30.0)),
                41.25,
                "%",
                "nodule",
                3.5,
                471.0,
                "mm",
            ),
            Measurement(
                "rectangle",
                ((10.0, 40.0), (40.0, 40.0), (40.0, 60.0), (10.0, 60.0)),
                12.5,
                "%",
                deviation=2.0,
                area=600.0,
            ),
        ),
        "notes": (
            Note(((50.0, 50.0), (30.0, 30.0)), "line"),
            Note(((20.0, 20.0),), "älter"),
            Note(((1.0, 1.0), (9.0, 9.0))),
        ),
        "turn": Turn(1, True),
        "made": MADE,
    }
    return SearchResult(
        source=read_source_header(film),
        ranking=ranking,
        query=ShownFilm("Query", radiograph.pixels, found, (), list_sides(radiograph)),
        cases=cases,
        style=OverlayStyle(threshold=0.4, signed=bool(found is not None and found.signed)),
        scale=1.0,
        map_title="Gradient" if found is not None else "",
        pixel_sha256=radiograph.pixel_sha256,
        versions=list_versions(ranking, "1.2.3"),
        **(known | more),
    )
