"""The film on screen without identifiers, on the page Search."""

from __future__ import annotations

import io
import zipfile

import numpy as np
import pydicom
import pytest
import streamlit as st
from pydicom.uid import SecondaryCaptureImageStorage

from icbir_core.annotation.records import Annotation, FilmAnnotations
from icbir_core.audit import open_audit
from icbir_ui import films, state
from tests.helpers.search_results import make_film

LABEL = "Film without identifiers (ZIP)"


@pytest.fixture
def offered(make_page, monkeypatch):
    """Opens Search with a film; label → what a download makes."""
    made, offer = {}, st.download_button

    def watch(label, data, *more, **named):
        made[label] = data
        return offer(label, data, *more, **named)

    monkeypatch.setattr(st, "download_button", watch)

    def open_page(data: bytes, results: str | None = "download"):
        monkeypatch.delenv("ICBIR_RESULTS", raising=False)
        if results:
            monkeypatch.setenv("ICBIR_RESULTS", results)
        page = make_page("search").run()
        page.app.file_uploader[0].set_value(("IM1", data, "application/octet-stream"))
        return page.run(), made

    return open_page


def unpack(data: bytes) -> dict[str, bytes]:
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def test_text_is_blacked_out_where_she_drew_and_the_download_is_recorded(offered, workspace):
    data = make_film(BurnedInAnnotation="YES")
    page, made = offered(data)
    assert "black it out" in unpack(made[LABEL]())["NOT_MADE.txt"].decode()
    key = page.app.session_state[state.Key.CURRENT.value]
    drawn = FilmAnnotations((Annotation("rectangle", ((4.0, 6.0), (24.0, 16.0))),), 1)
    page.app.session_state[state.Key.ANNOTATIONS.value] = {key: drawn}
    page.run()
    assert "Black out what I framed: 1 rectangle" in [one.label for one in page.app.checkbox]
    ((name, film),) = unpack(made[LABEL]()).items()
    assert b"Doe" not in film and b"19500102" not in film
    result, before = pydicom.dcmread(io.BytesIO(film)), pydicom.dcmread(io.BytesIO(data)).pixel_array
    expected = before.copy()
    expected[6:16, 4:24] = before.min()
    np.testing.assert_array_equal(result.pixel_array, expected)
    assert name == f"{result.SOPInstanceUID}.dcm"
    told = [dict(one.details) for one in open_audit(workspace).entries() if one.action == "exported"]
    assert told == [{"format": "deidentified"}]  # the refused one left nothing


def test_a_capture_needs_her_word_that_she_looked(offered):
    page, made = offered(make_film(SOPClassUID=SecondaryCaptureImageStorage))
    assert "NOT_MADE.txt" in unpack(made[LABEL]())
    next(one for one in page.app.checkbox if "I have looked" in one.label).check()
    page.run()
    assert "NOT_MADE.txt" not in unpack(made[LABEL]())


def test_it_is_not_offered_where_no_objects_may_leave_or_no_file_is_held(offered, make_page, monkeypatch):
    page, made = offered(make_film(), None)
    assert LABEL not in made
    assert not page.app.session_state[state.Key.FILMS.value].popitem()[1].original
    monkeypatch.setenv("ICBIR_RESULTS", "download")
    make_page("search", film="effusion_1").run()
    assert LABEL not in made


def test_a_file_that_is_far_larger_than_its_picture_is_not_held(monkeypatch):
    data = make_film()
    assert films.read_source(data, 96 * 80)["original"] == data
    padded = make_film(DataSetTrailingPadding=b"\0" * (1 << 21))
    assert films.read_source(padded, 96 * 80)["original"] == b""
