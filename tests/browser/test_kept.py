"""A reload in a real browser: the film and its cases stand there again, and another browser finds nothing."""

from __future__ import annotations

import time

import pytest

from icbir_core.keeping.kept_films import KeptFilms, find_kept_folder, read_keeping_rules
from icbir_ui.links import KEPT_COOKIE
from scripts.chromium import remember_reader
from tests.browser.test_application import TIME, VIEWER, make_dicom, order, wait_for_panes

pytestmark = pytest.mark.browser
FILM = f"({VIEWER})().panes[0].film.hash"
DRAWN = f"() => {{ const viewer = ({VIEWER})(); return viewer.marksOf(viewer.panes[0]).items; }}"


def test_a_dropped_film_stands_there_after_a_reload_and_in_no_other_browser(page, open_window, served):
    address, workspace = served
    remember_reader(page.context, address, "R1")
    page.goto(address, timeout=TIME)
    film = {"name": "SMITH", "mimeType": "application/octet-stream", "buffer": make_dicom(3)}
    page.locator("input[type=file]").first.set_input_files([film])
    wait_for_panes(page, 9)
    before, cases, named = page.evaluate(FILM), order(page), page.url
    (secret,) = [one for one in page.context.cookies() if one["name"] == KEPT_COOKIE]
    assert secret["httpOnly"] and KEPT_COOKIE not in page.evaluate("document.cookie")
    for key in "ydd":  # turned, and a length in the middle of the film
        page.keyboard.press(key)
    kept = KeptFilms(find_kept_folder(workspace.path), secret["value"], "R1", read_keeping_rules())
    deadline = time.monotonic() + TIME / 1000
    while (
        not (drawn := kept.read_state().get("drawn", {}).get(before, {}).get("items")) and time.monotonic() < deadline
    ):
        page.wait_for_timeout(200)
    page.reload()
    wait_for_panes(page, 9)
    assert page.evaluate(FILM) == before and order(page) == cases
    assert page.evaluate(DRAWN) == drawn and len(drawn) == 1
    page.locator("[data-pane=query] .turned", has_text="turned 90°").wait_for(timeout=TIME)
    page.keyboard.press("Control+z")
    assert page.evaluate(DRAWN) == []
    files = [path for path in find_kept_folder(workspace.path).rglob("*") if path.is_file()]
    assert files and not [path for path in files if b"SMITH" in path.read_bytes() or secret["value"] in str(path)]
    other = open_window()
    remember_reader(other.context, address, "R1")
    other.goto(named)
    other.get_by_text("not kept any more").wait_for(timeout=TIME)
