"""From the hospital's archive to the screen: a real Orthanc, the application, and a real Chromium between a reader and
them.
"""

from __future__ import annotations

import os
import time

import cv2
import numpy as np
import pytest

from icbir_core.radiograph.reading import read_radiograph
from scripts.chromium import remember_reader
from scripts.orthanc import NO_ORTHANC, has_orthanc, run_orthanc
from tests.browser.conftest import find_log, start_server

pytestmark = pytest.mark.browser
TIME = 60_000
HITS = 8
# The films of every viewer on the page that has painted all its panes.
PAINTED = """() => [...document.querySelectorAll('[data-testid=stBidiComponentIsolated]')].flatMap(host => {
  const v = host.shadowRoot?.querySelector('.viewer')?.viewer;
  return v && !v.pending && v.panes.every(p => p.pixels && p.rect) ? v.panes.map(p => p.film.hash) : []; })"""


@pytest.fixture(scope="module")
def hospital(chromium, tmp_path_factory, archive_films):
    """(address of the pages, Orthanc, file of what the server logs): the application beside an archive."""
    if not has_orthanc():
        pytest.skip(NO_ORTHANC)
    from tests.helpers import fakes

    with run_orthanc(tmp_path_factory.mktemp("orthanc")) as orthanc:
        orthanc.store(film.data for film in archive_films[:12])
        workspace = fakes.make_workspace(tmp_path_factory.mktemp("hospital") / "workspace")
        settings = {"ICBIR_DICOMWEB": orthanc.dicomweb, "ICBIR_DICOMWEB_USER": orthanc.user}
        settings |= {"ICBIR_DICOMWEB_PASSWORD": orthanc.password}
        before = dict(os.environ)
        os.environ.update(settings)
        try:
            process, address = start_server(workspace.path, "--fake")
        finally:
            for name in settings:
                os.environ.pop(name)
            os.environ.update(before)
        yield address, orthanc, find_log(address.rsplit(":", 1)[1])
        process.terminate()
        process.wait(20)


def name_pixels(film) -> str:
    """The hash under which the viewer holds a film."""
    return read_radiograph(film.data).pixel_sha256[:24]


def open_link(page, address: str, **parameters: str) -> None:
    remember_reader(page.context, address, "R1")
    page.goto(f"{address}/search?" + "&".join(f"{name}={value}" for name, value in parameters.items()))


def list_painted(page) -> list[str]:
    return [one[:24] for one in page.evaluate(PAINTED)]


def wait_until_painted(page, films, hits: int = HITS) -> list[str]:
    """Until all the films stand there, and the cases of the search; the hashes of every pane."""
    wanted, deadline = {name_pixels(film) for film in films}, time.monotonic() + TIME / 1000
    while time.monotonic() < deadline:
        shown = list_painted(page)
        if wanted <= set(shown) and len(shown) >= len(wanted) + hits:
            return shown
        page.wait_for_timeout(200)
    raise AssertionError(f"not all the films are there: {page.inner_text('body')[:2000]}")


def test_one_click_in_the_pacs_shows_film_lateral_and_prior_and_the_search(open_window, hospital, archive_films):
    address, _, log = hospital
    prior, frontal, lateral = archive_films[:3]
    page = open_window(1400, 1600)
    open_link(page, address, StudyInstanceUIDs=frontal.study)
    shown = wait_until_painted(page, (frontal, lateral, prior))
    assert shown[0] == name_pixels(frontal)
    page.get_by_role("button", name="Search with: Prior").wait_for(timeout=TIME)
    page.wait_for_timeout(1000)  # the page draws the row once more when its cases are there
    beside = page.locator(".st-key-beside [data-testid=stBidiComponentIsolated]")
    picture = cv2.imdecode(np.frombuffer(beside.screenshot(), np.uint8), cv2.IMREAD_GRAYSCALE)
    assert picture.std() > 15, "films are drawn beside the film"
    said = log.read_text(errors="replace")
    for uid in (frontal.study, frontal.instance, lateral.instance, prior.study, frontal.patient, frontal.accession):
        assert uid not in page.url and uid not in page.inner_text("body") and uid not in said
    page.get_by_role("button", name="Search with: Prior").click()
    deadline = time.monotonic() + TIME / 1000
    while list_painted(page)[:1] != [name_pixels(prior)] and time.monotonic() < deadline:
        page.wait_for_timeout(200)
    wait_until_painted(page, (prior, frontal, lateral))
