"""A reload in a real browser: the film and its cases stand there again, and another browser finds nothing."""

from __future__ import annotations

import time

import pytest

from icbir_core.keeping.kept_films import KeptFilms, read_keeping_rules
from icbir_core.keeping.kept_places import find_kept_folder, open_kept_place
from icbir_ui.links import KEPT_COOKIE
from scripts.chromium import remember_reader
from tests.browser.conftest import start_server
from tests.browser.test_application import TIME, VIEWER, make_dicom, order, wait_for_panes
from tests.helpers import fakes

pytestmark = pytest.mark.browser
FILM = f"({VIEWER})().panes[0].film.hash"
DRAWN = f"() => {{ const viewer = ({VIEWER})(); return viewer.marksOf(viewer.panes[0]).items; }}"


def drop_and_draw(page, workspace) -> tuple[str, list[str], list]:
    """Drop a film, turn it, draw a length on it and wait until that is kept: (the film's hash, its cases, what is
    drawn)."""
    film = {"name": "SMITH", "mimeType": "application/octet-stream", "buffer": make_dicom(3)}
    page.locator("input[type=file]").first.set_input_files([film])
    wait_for_panes(page, 9)
    before, cases = page.evaluate(FILM), order(page)
    (secret,) = [one for one in page.context.cookies() if one["name"] == KEPT_COOKIE]
    assert secret["httpOnly"] and KEPT_COOKIE not in page.evaluate("document.cookie")
    for key in "ydd":  # turned, and a length in the middle of the film
        page.keyboard.press(key)
    kept = KeptFilms(open_kept_place(workspace), secret["value"], "R1", read_keeping_rules())
    deadline = time.monotonic() + TIME / 1000
    while (
        not (drawn := kept.read_state().get("drawn", {}).get(before, {}).get("items")) and time.monotonic() < deadline
    ):
        page.wait_for_timeout(200)
    assert drawn and len(drawn) == 1 and kept.count() == 1
    return before, cases, drawn


def test_a_dropped_film_stands_there_after_a_reload_and_in_no_other_browser(page, open_window, served):
    address, workspace = served
    remember_reader(page.context, address, "R1")
    page.goto(address, timeout=TIME)
    before, cases, drawn = drop_and_draw(page, workspace)
    named = page.url
    (secret,) = [one for one in page.context.cookies() if one["name"] == KEPT_COOKIE]
    page.reload()
    wait_for_panes(page, 9)
    assert page.evaluate(FILM) == before and order(page) == cases
    assert page.evaluate(DRAWN) == drawn
    page.locator("[data-pane=query] .turned", has_text="turned 90°").wait_for(timeout=TIME)
    page.keyboard.press("Control+z")
    assert page.evaluate(DRAWN) == []
    files = [path for path in find_kept_folder(workspace.path).rglob("*") if path.is_file()]
    assert files and not [path for path in files if b"SMITH" in path.read_bytes() or secret["value"] in str(path)]
    other = open_window()
    remember_reader(other.context, address, "R1")
    other.goto(named)
    other.get_by_text("not kept any more").wait_for(timeout=TIME)


def test_a_film_outlives_the_replica_that_took_it(page, database_url, tmp_path, monkeypatch):
    """Two replicas over one database server; the one that took the film is killed, and the other has it all."""
    monkeypatch.setenv("ICBIR_DATABASE_URL", database_url)
    workspace = fakes.make_workspace(tmp_path / "w")
    replicas = []
    try:
        replicas += [start_server(workspace.path, "--fake")]
        replicas += [start_server(workspace.path, "--fake")]
        (doomed, address), (_, other) = replicas
        remember_reader(page.context, address, "R1")
        page.goto(address, timeout=TIME)
        before, cases, drawn = drop_and_draw(page, workspace)
        again = page.url.replace(address, other)
        context = page.context
        page.close()
        doomed.kill()
        doomed.wait(20)
        page = context.new_page()
        page.goto(again, timeout=TIME)
        wait_for_panes(page, 9)
        assert page.evaluate(FILM) == before and order(page) == cases and page.evaluate(DRAWN) == drawn
        assert not find_kept_folder(workspace.path).exists(), "nothing lies in a folder"
    finally:
        page.close()  # else it asks for a server that is gone, and says so
        for process, _ in replicas:
            process.terminate()
            process.wait(20)
