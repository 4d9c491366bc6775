"""A picture that is no chest film: nothing is computed or shown of it until the reader says so."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from icbir_core.radiograph.writing import encode_lossless
from icbir_ui import shared
from icbir_ui.search import gate
from tests.helpers import fakes

DOUBTS = frozenset({"not_chest", "lateral", "inverted", "rotated", "modality"})


@pytest.fixture(autouse=True)
def withheld(workspace, monkeypatch):
    monkeypatch.setattr(gate, "WITHHELD", DOUBTS)


def test_a_picture_that_is_no_chest_film_stands_alone_until_show_anyway(open_page):
    page = open_page("search", film="effusion_1")
    assert [pane["key"] for pane in page.data["panes"]] == ["query"] and not page.data["panes"][0]["bars"]
    assert "does not look like a whole, ordinary frontal chest film" in page.text() and "are not shown" in page.text()
    service = shared.open_service()
    assert service.loading or set(service.retriever.calls) <= {"first map"}, "nothing is computed"
    assert page.app.session_state["ranking"] is None and not page.app.get("download_button"), "nothing to export"
    page.press("Show anyway")
    assert len(page.case_ids) == 8 and page.data["panes"][0]["bars"] and "are not shown" not in page.text()
    assert "does not look like" in page.data["panes"][0]["note"], "the warning stays beside the film"


def test_show_anyway_holds_for_that_film_alone(open_page):
    page = open_page("search", film="effusion_1").press("Show anyway")
    noise = np.random.default_rng(0).integers(0, 256, (180, 160)).astype(np.float32) / 255
    film = ("other.png", encode_lossless(replace(fakes.make_radiograph(3), pixels=noise)), "image/png")
    page.app.file_uploader[0].set_value(film)
    page.run()
    assert "Show anyway" in [one.label for one in page.app.button] and not page.case_ids


def test_compare_shows_nothing_of_a_withheld_film(open_page):
    page = open_page("compare", film="effusion_1", case="case_003")
    assert "Search first" in page.text() and not page.app.get("bidi_component")
