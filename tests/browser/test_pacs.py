"""From the hospital's archive to the screen and back: a real Orthanc, the application, and a real Chromium between a
reader and them.
"""

from __future__ import annotations

import datetime
import io
import os
import time
import zipfile

import cv2
import numpy as np
import pydicom
import pytest

from icbir_core.radiograph.reading import read_radiograph
from scripts.archive_films import PRIOR_DAYS
from scripts.chromium import remember_reader
from scripts.hospital import name_archive
from scripts.orthanc import NO_ORTHANC, has_orthanc, run_orthanc
from tests.browser.conftest import find_log, start_server
from tests.unit.pacs.test_result_objects import read_groups

pytestmark = pytest.mark.browser
TIME = 120_000
HITS = 8
# The films of every viewer on the page that has painted all its panes.
PAINTED = """() => [...document.querySelectorAll('[data-testid=stBidiComponentIsolated]')].flatMap(host => {
  const v = host.shadowRoot?.querySelector('.viewer')?.viewer;
  return v && !v.pending && v.panes.every(p => p.pixels && p.rect) ? v.panes.map(p => p.film.hash) : []; })"""

# What the search says: findings with their probabilities, cases in their order.
SHOWN = """() => {
  const v = [...document.querySelectorAll('[data-testid=stBidiComponentIsolated]')].map(host =>
    host.shadowRoot?.querySelector('.viewer')?.viewer).find(one => one?.data?.room);
  return { bars: Object.fromEntries(v.panes[0].bars.map(one => [one.name, one.value])),
           cases: v.panes.filter(one => !one.lead).map(one => one.key) }; }"""

# Of her film and of the one beside it.
BOXES = """() => {
  const hosts = [...document.querySelectorAll("[data-testid=stBidiComponentIsolated]")];
  const viewer = hosts.map(one => one.shadowRoot?.querySelector(".viewer")?.viewer).find(one => one?.data?.room);
  return viewer.panes.filter(one => one.lead).map(one => one.box.getBoundingClientRect().toJSON()); }"""
ZOOMS = BOXES.replace("one.box.getBoundingClientRect().toJSON()", "one.state.view.zoom")


def read_picture(locator) -> np.ndarray:
    """What the browser shows of an element, in grey."""
    return cv2.imdecode(np.frombuffer(locator.screenshot(), np.uint8), cv2.IMREAD_GRAYSCALE)


@pytest.fixture(scope="module")
def hospital(chromium, tmp_path_factory, archive_films):
    """(address of the pages, Orthanc, file of what the server logs): the application beside an archive of thirty films
    of ten patients in six transfer syntaxes."""
    if not has_orthanc():
        pytest.skip(NO_ORTHANC)
    from tests.helpers import fakes

    with run_orthanc(tmp_path_factory.mktemp("orthanc")) as orthanc:
        orthanc.store(film.data for film in archive_films)
        workspace = fakes.make_workspace(tmp_path_factory.mktemp("hospital") / "workspace")
        settings = name_archive(orthanc)
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


def wait_until(page, there) -> None:
    """Until it is so once: films that come later have the page drawn anew, and it may not be so a moment after."""
    deadline = time.monotonic() + TIME / 1000
    while time.monotonic() < deadline:
        if there():
            return
        page.wait_for_timeout(100)
    raise AssertionError(page.inner_text("body")[:2000])


def list_lead(page) -> list[str]:
    return list_painted(page)[:1]


@pytest.mark.timeout(900)  # no test depends on how busy the machine is
def test_a_study_goes_from_the_pacs_to_the_search_and_its_result_back(open_window, hospital, archive_films):
    address, orthanc, log = hospital
    page = open_window(1280, 720)
    check_link(page, address, archive_films[:3], log)
    check_result(page, orthanc, archive_films[1])
    check_worklist(page, archive_films)
    check_panel(page, address, archive_films)
    check_stop_and_death(page, address, orthanc, archive_films[7])


def check_link(page, address: str, films, log) -> None:
    """One click in the PACS: film, lateral and prior on the screen, the cases beside them, no UID anywhere."""
    prior, frontal, lateral = films
    open_link(page, address, StudyInstanceUIDs=frontal.study)
    assert wait_until_painted(page, [frontal])[0] == name_pixels(frontal)
    for _ in look_at_others(page, prior, lateral):
        hers, other = page.evaluate(BOXES)
        assert hers["height"] >= 560 and other["height"] >= 480 and hers["width"] > 0.9 * other["width"]
        assert hers["left"] + hers["width"] < other["left"] and page.locator(".rest .pane").first.is_hidden()
    page.locator(".lead .film").first.click()
    page.keyboard.press("+")
    first, second = page.evaluate(ZOOMS)
    assert first == second > 1, "what is zoomed in one is zoomed in the other"
    page.get_by_role("button", name="Back to the cases").click()
    wait_until(page, lambda: page.locator(".rest .pane").first.is_visible())
    said = log.read_text(errors="replace")
    for uid in (frontal.study, frontal.instance, lateral.instance, prior.study, frontal.patient, frontal.accession):
        assert uid not in page.url and uid not in page.inner_text("body") and uid not in said


def look_at_others(page, prior, lateral):
    """Show the lateral and the prior from the strip one after the other, and yield while each stands there."""
    wait_until(page, lambda: page.locator("[data-strip]").count() == 2)
    # Until all films have come the page is drawn anew, and may put another button under the pointer.
    page.get_by_role("button", name="Stop").wait_for(state="detached", timeout=TIME)
    day = datetime.date.today() - datetime.timedelta(PRIOR_DAYS)
    for film, label in ((lateral, "Lateral"), (prior, f"Prior, {day}")):
        small = page.get_by_role("button", name=label)
        assert read_picture(small.locator("img")).std() > 15, "a small picture stands in the strip"
        small.click()
        wait_until(page, lambda shown=film: name_pixels(shown) in list_painted(page))
        picture = read_picture(page.locator(".cases > .pane .film"))
        assert picture.std() > 15, "the film is drawn in the place of the cases"
        yield film


def check_result(page, orthanc, frontal) -> None:
    """Export, send: the objects are in the archive byte for byte as the reader may download them, and the report opened
    again holds the numbers on the screen."""
    shown = page.evaluate(SHOWN)
    before = set(orthanc.ask("/instances"))
    page.get_by_role("button", name="Export", exact=True).click()
    page.get_by_role("button", name="Send to PACS").click(timeout=TIME)
    page.get_by_text("Sent to the PACS.").wait_for(timeout=TIME)  # which is said of the result on the screen alone
    with page.expect_download(timeout=TIME) as coming:
        page.get_by_role("button", name="DICOM objects (ZIP)").click(timeout=TIME)
    with zipfile.ZipFile(coming.value.path()) as packed:
        exported = sorted(packed.read(name) for name in packed.namelist())
    stored = sorted(orthanc.read_file(name) for name in set(orthanc.ask("/instances")) - before)
    assert stored == exported
    made = {one.Modality: one for one in (pydicom.dcmread(io.BytesIO(data)) for data in stored)}
    assert set(made) == {"OT", "SR", "PR"} and len(before) == 30
    for one in made.values():
        assert (one.StudyInstanceUID, one.PatientID) == (frontal.study, frontal.patient)
        assert one.SeriesDescription.endswith("For research, not for diagnosis")
    page_of_it = made["OT"].pixel_array
    assert page_of_it.ndim == 3 and page_of_it.std() > 15
    groups = read_groups(made["SR"])
    told = {name: groups[f"finding {name}"]["Probability"][0] for name in shown["bars"]}
    assert told == pytest.approx(shown["bars"]) and told
    assert [name for name in groups if name in shown["cases"]] == shown["cases"] and len(shown["cases"]) == HITS
    images = {element.value for element in made["SR"].iterall() if element.keyword == "ReferencedSOPInstanceUID"}
    assert images == {frontal.instance}
    page.keyboard.press("Escape")


def check_worklist(page, films) -> None:
    """Today's films, of which one was searched; a click opens another, whose films are in three other syntaxes."""
    page.get_by_role("link", name="PACS", exact=True).click()
    page.get_by_role("button", name="Open").nth(3).wait_for(timeout=TIME)
    assert page.get_by_text("searched", exact=True).count() == 1
    page.wait_for_timeout(1000)  # the list may be drawn once more
    prior, frontal, lateral = films[-3:]
    assert len({film.syntax for film in (*films[:3], *films[-3:])}) == 6
    page.get_by_role("button", name="Open").first.click()
    wait_until(page, lambda: list_lead(page) == [name_pixels(frontal)])
    assert list(look_at_others(page, prior, lateral)) == [lateral, prior]


def check_panel(page, address: str, films) -> None:
    """The archive is asked on the first page too, by the number of a patient."""
    page.goto(address)
    page.get_by_text("Films from the PACS").click(timeout=TIME)
    page.get_by_role("tab", name="Find a study").click(timeout=TIME)
    page.get_by_role("textbox", name="Patient number").fill(films[4].patient)
    page.get_by_role("button", name="Find", exact=True).click()
    page.locator(".st-key-open_found_0 button").click(timeout=TIME)
    wait_until(page, lambda: list_lead(page) == [name_pixels(films[4])])


def check_stop_and_death(page, address: str, orthanc, frontal) -> None:
    """A study that does not come can be stopped; an archive that is gone is one sentence above the first page."""
    orthanc.pause()
    open_link(page, address, AccessionNumber=frontal.accession)
    page.get_by_role("button", name="Stop").click(timeout=TIME)
    page.get_by_text("The transfer was stopped.").wait_for(timeout=TIME)
    orthanc.kill()
    open_link(page, address, StudyInstanceUIDs=frontal.study)
    page.get_by_text("The archive (PACS) cannot be reached; check that it runs, and its address.").wait_for(
        timeout=TIME
    )
    page.get_by_text("Drop a film here").first.wait_for(timeout=TIME)
    assert frontal.study not in page.url
