"""What is drawn on films on a page: held for the session, checked, and in the files that leave."""

from __future__ import annotations

import base64
import json
import re
from dataclasses import replace

import cv2
import numpy as np
import pytest

from icbir_core.annotation.drawing import COLOUR
from icbir_core.annotation.records import Annotation, FilmAnnotations
from icbir_core.annotation.turning import Turn
from icbir_core.retrieval.refinement import Region
from icbir_ui import state
from icbir_ui.annotations import put_annotations
from icbir_ui.export.content import gather_report
from icbir_ui.export.html import write_html
from icbir_ui.export.pdf import write_pdf
from icbir_ui.state import Key
from tests.ui.test_export import read_pdf_text, searched  # noqa: F401

LINE = {"kind": "length", "points": [[10, 10], [40, 50]], "text": "node"}


def test_what_was_drawn_is_held_by_film_and_comes_back_to_the_browser(open_page):
    page = open_page("search", film="effusion_1")
    case = page.case_ids[0]
    page.decide("annotated", 1, pane="query", drawn={"number": 1, "items": [LINE]})
    film = page.data["panes"][0]["film"]["hash"]
    told = FilmAnnotations.from_record({"number": 1, "items": [LINE]})
    assert page.data["panes"][0]["annotations"] == json.loads(json.dumps(told.as_record())) and told.items
    page.decide("annotated", 2, pane=case, drawn={"number": 9, "items": [LINE]})
    held = page.app.session_state[Key.ANNOTATIONS.value]
    assert list(held) == [film, page.data["panes"][1]["film"]["hash"]]
    page.decide("annotated", 3, pane="query", drawn={"number": 2, "items": [{**LINE, "kind": "script"}]})
    assert "of a kind that is not known" in page.text()
    page.decide("annotated", 4, pane="another film", drawn={"number": 2, "items": [LINE]})
    page.decide("annotated", 5, about="another window:", pane="query", drawn={"number": 2, "items": []})
    page.decide("annotated", 6, pane="query")
    assert page.app.session_state[Key.ANNOTATIONS.value] == held


def test_a_blinded_film_carries_nothing_and_takes_nothing(open_page):
    from icbir_ui.rating.panes import make_options

    item = type("Item", (), {"task": "similarity", "token": "x"})()
    assert make_options(item, {}).annotate is False


def test_an_earlier_state_changes_nothing_and_the_films_that_are_held_have_an_end(monkeypatch):
    held: dict = {}
    monkeypatch.setattr(state, "get", lambda key, default=None: held.get(key, default))
    monkeypatch.setattr(state, "put", held.__setitem__)
    line = Annotation("arrow", ((1, 1), (2, 2)))
    put_annotations("film", FilmAnnotations((line,), 5))
    put_annotations("film", FilmAnnotations((), 4))
    assert held[Key.ANNOTATIONS]["film"].items == (line,)
    for number in range(250):
        put_annotations(f"film {number}", FilmAnnotations((line,), 5))
    assert len(held[Key.ANNOTATIONS]) == 200 and "film" not in held[Key.ANNOTATIONS]


@pytest.mark.parametrize("quarters", [0, 1])
def test_reports_hold_the_film_as_it_was_seen_with_what_was_drawn(searched, quarters):  # noqa: F811
    film, ranking, maps, workspace = searched
    pixels = np.resize(film.query.radiograph.pixels, (200, 120))
    radiograph = replace(film.query.radiograph, pixels=pixels, spacing=(0.5, 0.5), orientation_verified=True,
                         facts={"spacing": "at the detector"})  # fmt: skip
    film = replace(film, query=replace(film.query, radiograph=radiograph))
    view = {"panes": {"query": {"centre": 0.5, "width": 1.0, "quarters": quarters, "mirrored": True}}}
    drawn = {
        film.key: FilmAnnotations((Annotation("length", ((10, 20), (40, 60)), "node"),), 1),
        ranking.hits[0].case.pixel_sha256: FilmAnnotations((Annotation("text", ((5, 5),), "see here"),), 1),
    }
    report = gather_report(
        film, ranking, replace(maps, query=None), workspace, view, region=Region((10, 150, 30, 40)), drawn=drawn
    )
    told = "Length · node: 25.0 mm"
    turned = "Shown mirrored, turned by 90° clockwise." if quarters else "Shown mirrored."
    assert {told, turned} <= set(report.query.lines) and any(
        "the beam magnifies" in line for line in report.query.lines
    )
    assert report.query.sides == (("L above", "R below") if quarters else ("L", "R"))
    assert "Text · see here" in report.hits[0].lines
    picture = cv2.imdecode(np.frombuffer(report.query.film, np.uint8), cv2.IMREAD_COLOR)[..., ::-1]
    assert picture.shape[:2] == ((120, 200) if quarters else (200, 120))
    green = (picture == COLOUR).all(-1)
    for x, y in ((17.5, 30), (25, 40), (32.5, 50)):
        column, row = (int(one) for one in Turn(quarters, True).turn_point((x, y), (200, 120)))
        assert green[row - 2 : row + 3, column - 2 : column + 3].any()
    html = write_html(report).decode()
    assert told in html and turned in html and told in read_pdf_text(write_pdf(report)).replace("\n", " ")
    assert base64.b64encode(report.query.film).decode() in re.sub(r"\s", "", html)
    assert gather_report(film, ranking, maps, workspace, {}).query.lines == tuple(
        line for line in report.query.lines if line not in (told, turned) and "Millimetres" not in line
    )
