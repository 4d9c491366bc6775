"""Exports hold the film, the maps, the cases, the settings, the versions and the notice, and need nothing else."""

from __future__ import annotations

import base64
import csv
import html
import io
import json
import re
import zipfile
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import cv2
import numpy as np
import pytest
import streamlit as st
from pypdf import PdfReader
from reportlab.platypus import Paragraph

from icbir_core.annotation.records import Annotation, FilmAnnotations
from icbir_core.deidentifying import leaving
from icbir_core.errors import WorkspaceError
from icbir_core.radiograph.marks import REGION_COLOUR
from icbir_core.radiograph.overlay import OverlayStyle, shared_scale
from icbir_core.retrieval.refinement import RefinementTrail, Region
from icbir_core.settings import SearchSettings
from icbir_core.types import Query
from icbir_ui.export import content, controls, pdf
from icbir_ui.export.content import apply_window, gather_report
from icbir_ui.export.html import write_html
from icbir_ui.export.letters import is_spelt, spell
from icbir_ui.export.pdf import write_pdf
from icbir_ui.export.tables import write_csv, write_json
from icbir_ui.films import Film
from icbir_ui.search.asking import Maps
from icbir_ui.state import NOTICE
from icbir_ui.viewer import ViewerOptions
from icbir_ui.words import FAR_AWAY, SIMULATED
from tests.helpers import fakes


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


def test_films_with_text_burned_in_are_left_off_until_it_is_framed(searched, monkeypatch):
    film, ranking, maps, workspace = searched
    named = ranking.hits[1].case
    monkeypatch.setattr(leaving, "is_burned_in_case", lambda workspace, case: case.case_id == named.case_id)
    facts = {**film.radiograph.facts, "burned_in": "burned into the picture, as the header says"}
    burned = replace(film, query=replace(film.query, radiograph=replace(film.radiograph, facts=facts)))
    report = gather_report(burned, ranking, maps, workspace, {})
    for one in (report.query, report.hits[1]):
        assert one.film is None and one.overlay is None
        assert f"{leaving.LEFT_OFF} {leaving.FRAME}" in one.lines
    assert all(one.film and one.overlay for one in (report.hits[0], *report.hits[2:]))
    assert write_html(report).decode().count("data:image/png;base64,") == 6
    assert leaving.LEFT_OFF in " ".join(read_pdf_text(write_pdf(report)).split())
    frame = Annotation("rectangle", ((0.0, 0.0), (30.0, 20.0)))
    drawn = {key: FilmAnnotations((frame,), 1) for key in (burned.key, named.pixel_sha256)}
    framed = gather_report(burned, ranking, maps, workspace, {}, drawn=drawn)
    for one in (framed.query, framed.hits[1]):
        inside = cv2.imdecode(np.frombuffer(one.film, np.uint8), cv2.IMREAD_COLOR)[4:16, 4:26]
        assert inside.max() < 60, "black, and the line of the frame runs outside"


def test_pdf_is_a_pdf_with_all_pages(searched):
    data = write_pdf(gather_report(*searched, {}))
    assert data.startswith(b"%PDF") and data.rstrip().endswith(b"%%EOF")
    assert data.count(b"/Type /Page\n") >= 3


def test_no_written_form_holds_the_name_of_an_uploaded_file(searched):
    report = gather_report(*searched, {})
    assert report.query.title == "Query" and "Müller" not in write_html(report).decode()
    film, *rest = searched
    assert gather_report(replace(film, origin="demonstration"), *rest, {}).query.title == "Query · <b>Müller</b>"


def read_pdf_text(data: bytes) -> str:
    """The words of a PDF, as another program reads them."""
    return "".join(page.extract_text() for page in PdfReader(io.BytesIO(data)).pages)


def test_pdf_holds_every_letter_that_its_fonts_have_and_spells_the_others():
    kept = "zażółć Łódź, Müller – 5 ≥ 3 → x, Щука Ёж, Ψυχή Έλος"
    assert spell(kept) == kept and not is_spelt(kept)
    assert spell("a:\tb\r\nc") == "a: b\nc" and not is_spelt("a:\tb\r\nc")
    assert spell("e\u0301 影 א") == "é [U+5F71] [U+05D0]" and is_spelt("影") and is_spelt("א")


def test_pdf_is_read_back_in_the_letters_of_the_report(searched):
    report = gather_report(*searched, {})
    assert pdf.SPELT not in read_pdf_text(write_pdf(report))
    told = read_pdf_text(write_pdf(replace(report, query=replace(report.query, text="Лёгкие & płuca, πνεύμονας"))))
    assert "Лёгкие & płuca, πνεύμονας" in told and "code points" not in told
    told = read_pdf_text(write_pdf(replace(report, query=replace(report.query, text="肺"))))
    assert "[U+80BA]" in told and "code points" in told


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
    rows = list(csv.DictReader(io.StringIO(write_csv(ranking).decode("utf-8-sig"))))
    content = json.loads(write_json(ranking, film.key))
    assert [row["case_id"] for row in rows[:4]] == [hit["case_id"] for hit in content["hits"]]
    assert [float(row["distance"]) for row in rows[:4]] == [hit["distance"] for hit in content["hits"]]
    assert content["notice"] == NOTICE and "Müller" not in json.dumps(content, ensure_ascii=False)
    assert NOTICE in rows[4]["rank"]


def decode(data):
    return cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)[..., ::-1].astype(int)


def find_changes(before, after, width):
    """Whether the lower left and the lower right corner of a film differ, and that nothing above them does."""
    changed = np.any(decode(before)[:, :width] != decode(after)[:, :width], axis=2)
    assert not changed[: -len(changed) // 6].any()
    return changed[:, : width // 8].any(), changed[:, -width // 8 :].any()


def test_every_film_leaves_with_its_sides_or_the_word_that_nobody_vouches_for_them(searched, monkeypatch):
    film, *rest = searched
    vouched = replace(film.query.radiograph, orientation_verified=True)
    plain = gather_report(*searched, {})
    with monkeypatch.context() as patched:
        patched.setattr(content, "write_sides", lambda picture, sides: picture)
        bare = gather_report(*searched, {})
    with monkeypatch.context() as patched:
        read = content.read_leaving_case
        patched.setattr(content, "read_leaving_case", lambda *of: replace(read(*of), orientation_verified=True))
        sided = gather_report(replace(film, query=replace(film.query, radiograph=vouched)), *rest, {})
    for none, without, both in zip(*((one.query, *one.hits) for one in (bare, plain, sided)), strict=True):
        width = none.widths[0]
        assert without.sides == ("orientation unverified",) and both.sides == ("R", "L")
        for name in ("film", "overlay"):
            before, unverified, verified = (getattr(one, name) for one in (none, without, both))
            assert find_changes(before, unverified, width)[0] and find_changes(before, verified, width) == (True, True)
            assert unverified != verified
    assert write_html(plain).decode().count('; orientation unverified"') == 10
    assert write_html(sided).decode().count('; R and L"') == 10


@pytest.mark.parametrize("shape", [(180, 160), (1500, 1200)], ids=["small", "reduced"])
def test_the_region_is_drawn_where_it_was_on_the_query_alone(searched, shape):
    film, ranking, maps, workspace = searched
    film = replace(film, query=Query("large", fakes.make_radiograph(3, shape)))
    rows, columns = shape
    left, top, width, height = columns * 0.25, rows * 0.3, columns * 0.5, rows * 0.2
    report = gather_report(film, ranking, maps, workspace, {}, region=Region((left, top, width, height)))
    for data in (report.query.film, report.query.overlay):
        drawn = decode(data)
        lines = np.argwhere((drawn == REGION_COLOUR).all(axis=2))
        scale = len(drawn) / rows
        expected = np.array([top, left, top + height, left + width]) * scale
        assert np.abs(np.concatenate([lines.min(0), lines.max(0)]) - expected).max() <= 3
        inner = drawn[round((top + height / 2) * scale), round((left + width / 2) * scale)]
        assert tuple(inner) != REGION_COLOUR
    others = [report.hits[0].film, gather_report(film, ranking, maps, workspace, {}).query.film]
    assert not any((decode(data) == REGION_COLOUR).all(axis=2).any() for data in others)


def test_the_page_hands_its_region_and_its_cautions_to_a_report_made_outside_of_the_session(open_page, monkeypatch):
    offered, offer, search = {}, st.download_button, fakes.FakeRetriever.search

    def watch(label, make, *more, **settings):
        offered[label] = make
        return offer(label, make, *more, **settings)

    def search_far(*asked):
        found = search(*asked)
        return replace(found, percentiles=(0.995,) * len(found.hits))

    monkeypatch.setattr(st, "download_button", watch)
    monkeypatch.setattr(fakes.FakeRetriever, "search", search_far)
    page = open_page("search", film="effusion_1")
    page.decide("region", 1, pane="query", box=[20, 30, 80, 90])
    with ThreadPoolExecutor(1) as elsewhere:
        text = elsewhere.submit(offered["Report (HTML)"]).result().decode()
    pictures = re.findall(r"base64,([^\"]+)", text)
    marked = [bool((decode(base64.b64decode(one)) == REGION_COLOUR).all(axis=2).any()) for one in pictures]
    assert len(marked) > 2 and all(marked), "on the query, and what was compared with it on the cases"
    assert text.count("In the box: the same place.") == len(page.case_ids)
    for caution in (FAR_AWAY.format("everything in the catalogue"), SIMULATED):
        assert caution in page.data["answer"]["notes"] and html.escape(caution.replace("`", "")) in text


def test_cautions_of_a_ranking_are_in_both_reports_and_only_where_they_hold(searched, monkeypatch):
    film, ranking, maps, workspace = searched
    written = []
    monkeypatch.setattr(pdf, "Paragraph", lambda text, style: written.append(text) or Paragraph(text, style))
    far = gather_report(film, replace(ranking, percentiles=(0.995,) * 4), maps, workspace, {})
    assert far.cautions == (FAR_AWAY.format("everything in the catalogue"), SIMULATED.replace("`", ""))
    write_pdf(far)
    assert all(caution in written and caution in write_html(far).decode() for caution in far.cautions)
    real = [replace(ranking.hits[0], case=replace(ranking.hits[0].case, source="nih")), *ranking.hits[1:]]
    assert gather_report(film, replace(ranking, hits=tuple(real)), maps, workspace, {}).cautions == ()


def test_a_map_that_marks_no_place_says_so(searched):
    film, ranking, maps, workspace = searched
    zero = replace(maps.query, values=np.zeros_like(maps.query.values), state="zero")
    report = gather_report(film, ranking, replace(maps, query=zero), workspace, {})
    said = "Empty: this map is all zero and marks no place."
    assert said in report.query.lines and not any(said in hit.lines for hit in report.hits)


def test_film_and_map_stand_beside_each_other_at_one_scale(searched):
    report = gather_report(*searched, {})
    text = write_html(report).decode()
    columns = re.findall(r"columns: minmax\(0, (\d+)fr\) minmax\(0, (\d+)fr\)", text)
    pictures = (report.query, *report.hits)
    for shares, one in zip(columns, pictures, strict=True):
        sizes = [decode(data).shape[:2] for data in (one.film, one.overlay)]
        assert [int(share) for share in shares] == [width for _, width in sizes] and sizes[0][0] == sizes[1][0]
    for height in (20, 400):  # points, where the height of the page bounds them and where its width does
        film, overlay = pdf.fit_pictures(report.query, height)
        assert film.drawWidth / film.imageWidth == pytest.approx(overlay.drawWidth / overlay.imageWidth)
        assert film.drawHeight == pytest.approx(overlay.drawHeight) and film.drawHeight <= height
        assert film.drawWidth + overlay.drawWidth <= pdf.WIDTH
    (alone,) = pdf.fit_pictures(replace(report.query, overlay=None), 400)
    assert alone.drawWidth <= pdf.WIDTH / 2


def test_a_case_whose_film_is_gone_stands_in_both_reports_with_the_sentence(searched, monkeypatch):
    film, ranking, maps, workspace = searched
    written = []
    monkeypatch.setattr(pdf, "Paragraph", lambda text, style: written.append(text) or Paragraph(text, style))
    gone = ranking.hits[1].case
    (workspace.path / gone.path).unlink()
    report = gather_report(film, ranking, maps, workspace, {})
    said = f"The film '{gone.path}' of the case '{gone.case_id}' is missing; restore it."
    assert [said in one.lines for one in report.hits] == [False, True, False, False]
    text = write_html(report).decode()
    assert html.escape(said).replace("&#x27;", "&#39;") in text and text.count("data:image/png;base64,") == 8
    assert write_pdf(report).startswith(b"%PDF") and any(said in one for one in written)


@pytest.mark.parametrize("ending", ["html", "pdf", "csv", "json", "zip"])
def test_a_file_that_cannot_be_made_says_so(ending, monkeypatch):
    written = []
    monkeypatch.setattr(pdf, "Paragraph", lambda text, style: written.append(text) or Paragraph(text, style))

    def fail():
        raise WorkspaceError("Expected <films>, got none; restore them.")

    data = controls.make_or_say(fail, ending)
    if ending == "pdf":
        assert data.startswith(b"%PDF") and "Expected &lt;films&gt;, got none" in written[0]
        return
    if ending == "zip":
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            data = archive.read("NOT_MADE.txt")
    text = data.decode()
    assert ("Expected &lt;films&gt;," if ending == "html" else "Expected <films>, got none") in text and NOTICE in text


@pytest.mark.parametrize("shape", [(32, 60000), (60000, 32)], ids=["flat", "narrow"])
def test_a_film_far_longer_than_wide_has_a_report(searched, shape):
    film, ranking, maps, workspace = searched
    film = replace(film, query=Query("long", fakes.make_radiograph(3, shape)))
    report = gather_report(film, ranking, maps, workspace, {}, region=Region((0, 0, 32, 32)))
    assert max(decode(report.query.film).shape) == 1000
    overlay = decode(report.query.overlay)
    assert len(overlay) == len(decode(report.query.film)) and overlay[:, -60:].any(), "with its legend"
    assert write_html(report) and write_pdf(report).startswith(b"%PDF")


def test_a_long_text_of_a_case_is_printed_to_its_end(searched):
    report = gather_report(*searched, {})

    def count_pages(text: str) -> int:
        return write_pdf(replace(report, hits=(replace(report.hits[0], text=text),))).count(b"/Type /Page\n")

    words = "The lungs are clear. " * 190  # 4,000 letters, where it was once cut
    assert count_pages(words * 10) >= count_pages(words) + 5
    assert count_pages("\n".join(["The lungs are clear."] * 1000)) > 10


def test_maps_are_laid_over_films_as_the_reader_chose_and_as_at_first_without_a_choice():
    maps = Maps(None, {}, threshold=0.3, signed=True)
    assert maps.style_by({}) == OverlayStyle(opacity=ViewerOptions.opacity, threshold=0.3, signed=True)
    chosen = maps.style_by({"opacity": 0.9, "threshold": 0.1, "contour": True})
    assert chosen == OverlayStyle(opacity=0.9, threshold=0.1, contour=True, signed=True)
