"""Exports hold the film, the maps, the cases, the settings, the versions and the notice, and need nothing else."""

from __future__ import annotations

import csv
import io
import json
import re
from dataclasses import replace

import cv2
import fakes
import numpy as np
import pytest
from reportlab.platypus import Paragraph

from icbir_core.radiograph.overlay import shared_scale
from icbir_core.retrieval.refinement import RefinementTrail, Region
from icbir_core.settings import SearchSettings
from icbir_core.types import Query
from icbir_ui.export import pdf
from icbir_ui.export.content import apply_window, gather_report
from icbir_ui.export.html import write_html
from icbir_ui.export.latin import spell_latin
from icbir_ui.export.pdf import write_pdf
from icbir_ui.export.tables import write_csv, write_json
from icbir_ui.films import Film
from icbir_ui.searching import Maps
from icbir_ui.state import NOTICE


@pytest.fixture
def searched(workspace):
    retriever = fakes.FakeRetriever(workspace)
    film = Film("f" * 64, Query("<b>Müller</b>", fakes.make_radiograph(3)), ("It may be <rotated>.",), "upload")
    ranking = retriever.search(film.query, SearchSettings(top_k=4, target="Effusion"))
    query = retriever.map_of(film.query)
    cases = {hit.case.case_id: retriever.map_of(hit.case) for hit in ranking.hits}
    scale = shared_scale([query.values, *(one.values for one in cases.values())])
    return film, ranking, Maps(query, cases, "deep_taylor", "Deep Taylor decomposition", False, scale), workspace


def test_html_is_one_file_with_everything_and_no_address(searched):
    text = write_html(gather_report(*searched, {})).decode()
    assert text.count("data:image/png;base64,") == 10, "film and overlay of the query and of four cases"
    assert not re.search(r'(src|href)="(?!data:)', text) and "<script" not in text
    assert text.count(NOTICE) >= 2
    assert all(hit.case.case_id in text for hit in searched[1].hits)
    assert "a" * 64 in text and "It may be &lt;rotated&gt;." in text


def test_pdf_is_a_pdf_with_all_pages(searched):
    data = write_pdf(gather_report(*searched, {}))
    assert data.startswith(b"%PDF") and data.rstrip().endswith(b"%%EOF")
    assert data.count(b"/Type /Page\n") >= 3


def test_no_written_form_holds_the_name_of_an_uploaded_file(searched):
    report = gather_report(*searched, {})
    assert report.query.title == "Query" and "Müller" not in write_html(report).decode()
    film, *rest = searched
    assert gather_report(replace(film, origin="demonstration"), *rest, {}).query.title == "Query · <b>Müller</b>"


def test_pdf_spells_what_its_fonts_lack():
    assert spell_latin("zażółć Łódź, řeka, Müller – 5 ≥ 3 → x") == "zazólc Lódz, reka, Müller - 5 >= 3 -> x"
    assert spell_latin("Щука Петров Ёж йод") == "Shchuka Petrov Yozh yod"
    assert spell_latin("Ψυχή Ωμέγα Έλος") == "Psychi Omega Elos"
    assert spell_latin("e\u0301 影") == "é [U+5F71]" and "?" not in spell_latin("ąłя‑ώ")


def test_pdf_says_where_letters_were_transliterated(searched, monkeypatch):
    written = []
    monkeypatch.setattr(pdf, "Paragraph", lambda text, style: written.append(text) or Paragraph(text, style))
    report = gather_report(*searched, {})
    write_pdf(report)
    assert pdf.TRANSLITERATED not in written
    write_pdf(replace(report, query=replace(report.query, text="Лёгкие & płuca")))
    assert pdf.TRANSLITERATED in written and "Lyogkie &amp; pluca" in written


def test_report_names_filters_and_refinement_without_the_session(searched):
    film, ranking, maps, workspace = searched
    refined = replace(ranking, settings={**ranking.settings, "refinement": ["more like case_001"]})
    settings = dict(gather_report(film, refined, maps, workspace, {}, "PA, female").settings)
    assert settings["Refinement"] == "more like case_001" and settings["Filters"] == "PA, female"
    assert json.loads(write_json(ranking, film.key, "PA, female"))["settings"]["filters"] == "PA, female"


def test_a_region_search_is_named_as_what_it_was(searched):
    film, _, maps, workspace = searched
    trail = RefinementTrail().add(Region((20, 20, 60, 60)))
    settings = SearchSettings(top_k=4, target="Effusion", method="ssim")
    ranking = fakes.FakeRetriever(workspace).search(film.query, settings, trail)
    written = dict(gather_report(film, ranking, Maps(None, {}), workspace, {}).settings)
    assert written["Search by"] == "Region (stored spatial features)"
    assert json.loads(write_json(ranking, film.key))["method"] == "region"


def test_report_uses_the_readers_window(searched):
    plain = gather_report(*searched, {})
    seen = gather_report(*searched, {"panes": {"query": {"centre": 0.3, "width": 0.2}}, "invert": True})
    assert plain.query.film != seen.query.film


def test_window_is_a_ramp_with_both_ends():
    pixels = np.array([[0.0, 0.4, 0.5, 0.6, 1.0]])
    expected = [[0.0, 0.0, 0.5, 1.0, 1.0]]
    assert np.allclose(apply_window(pixels, {"centre": 0.5, "width": 0.2}), expected)
    assert np.allclose(apply_window(pixels, {"centre": 0.5, "width": 0.2}, invert=True), 1 - np.array(expected))


def test_csv_and_json_agree(searched):
    film, ranking, *_ = searched
    rows = list(csv.DictReader(io.StringIO(write_csv(ranking).decode())))
    content = json.loads(write_json(ranking, film.key))
    assert [row["case_id"] for row in rows[:4]] == [hit["case_id"] for hit in content["hits"]]
    assert [float(row["distance"]) for row in rows[:4]] == [hit["distance"] for hit in content["hits"]]
    assert content["notice"] == NOTICE and "Müller" not in json.dumps(content, ensure_ascii=False)
    assert NOTICE in rows[4]["rank"]


def decode(data):
    return cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)[..., ::-1].astype(int)


def test_film_and_map_stand_beside_each_other_at_one_scale(searched):
    report = gather_report(*searched, {})
    text = write_html(report).decode()
    columns = re.findall(r"columns: minmax\(0, (\d+)fr\) minmax\(0, (\d+)fr\)", text)
    pictures = (report.query, *report.hits)
    for shares, one in zip(columns, pictures, strict=True):
        sizes = [decode(data).shape[:2] for data in (one.film, one.overlay)]
        assert [int(share) for share in shares] == [width for _, width in sizes] and sizes[0][0] == sizes[1][0]
    for height in (20, 400):  # points, where the height of the page bounds them and where its width does
        film, overlay = pdf._fit(report.query, height)
        assert film.drawWidth / film.imageWidth == pytest.approx(overlay.drawWidth / overlay.imageWidth)
        assert film.drawHeight == pytest.approx(overlay.drawHeight) and film.drawHeight <= height
        assert film.drawWidth + overlay.drawWidth <= pdf.WIDTH
    (alone,) = pdf._fit(replace(report.query, overlay=None), 400)
    assert alone.drawWidth <= pdf.WIDTH / 2
