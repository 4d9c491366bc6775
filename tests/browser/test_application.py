"""The whole path in a real browser: upload, results, window, zoom, region, rating, reload; no error, nothing leaves."""

from __future__ import annotations

import base64
import io
import re

import cv2
import numpy as np
import pytest

from scripts.chromium import remember_reader

pytestmark = pytest.mark.browser
TIME = 60_000
VIEWER = """() => [...document.querySelectorAll('[data-testid=stBidiComponentIsolated]')]
  .map(host => host.shadowRoot?.querySelector('.viewer')?.viewer).find(Boolean)"""
READY = (
    f"() => {{ const v = ({VIEWER})(); return v && v.panes.length > LEAST && v.panes.every(p => p.pixels && p.rect); }}"
)


def make_dicom(seed: int) -> bytes:
    """A small film as most archives hand it out: 12 bits, MONOCHROME1, no ending."""
    from pydicom.dataset import Dataset, FileMetaDataset
    from pydicom.uid import DigitalXRayImageStorageForPresentation, ExplicitVRLittleEndian, generate_uid

    from tests.helpers import fakes

    pixels = fakes.make_radiograph(seed, (300, 260)).pixels
    dataset = Dataset()
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    dataset.file_meta.MediaStorageSOPClassUID = dataset.SOPClassUID = DigitalXRayImageStorageForPresentation
    dataset.file_meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID = generate_uid()
    dataset.Rows, dataset.Columns = pixels.shape
    dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit, dataset.PixelRepresentation = 16, 12, 11, 0
    dataset.SamplesPerPixel, dataset.PhotometricInterpretation = 1, "MONOCHROME1"
    dataset.ViewPosition, dataset.PatientSex, dataset.PatientAge, dataset.Modality = "PA", "F", "061Y", "DX"
    dataset.PatientOrientation = ["L", "F"]
    dataset.PixelData = np.rint((1 - pixels) * 4095).astype(np.uint16).tobytes()
    buffer = io.BytesIO()
    dataset.save_as(buffer, enforce_file_format=True)
    return buffer.getvalue()


def wait_for_panes(page, least: int) -> None:
    page.wait_for_function(READY.replace("LEAST", str(least - 1)), timeout=TIME)
    page.wait_for_timeout(600)


def order(page) -> list[str]:
    return page.evaluate(f"({VIEWER})().panes.filter(p => !p.lead).map(p => p.key)")


def read(page, pane: int) -> np.ndarray:
    script = f"""(n) => {{ const v = ({VIEWER})(), p = v.panes[n]; v.paint();
      return Array.from(v.context.getImageData(p.rect.left, p.rect.top, p.rect.width, p.rect.height).data); }}"""
    return np.array(page.evaluate(script, pane), np.uint8)


def drag(page, selector: str, dx: float, dy: float, by: tuple[float, float] = (0.5, 0.5)) -> None:
    box = page.locator(selector).bounding_box()
    x, y = box["x"] + by[0] * box["width"], box["y"] + by[1] * box["height"]
    page.mouse.move(x, y)
    page.mouse.down()
    page.mouse.move(x + dx, y + dy, steps=5)
    page.mouse.up()


def open_drawer(page):
    """The drawer of the search's settings."""
    page.get_by_role("button", name="Search settings").click()
    body = page.get_by_test_id("stPopoverBody")
    body.get_by_role("combobox", name="Cases").wait_for(timeout=TIME)
    return body


def choose_count(page, count: int) -> None:
    open_drawer(page).get_by_role("combobox", name="Cases").click()
    page.get_by_role("option", name=str(count), exact=True).click()
    page.keyboard.press("Escape")


def accept(page, address: str) -> None:
    page.goto(address)
    page.get_by_role("textbox", name="Pseudonym").fill("R1")
    page.get_by_role("button", name="I understand").click()
    page.get_by_text("Find past films").wait_for(timeout=TIME)
    page.wait_for_function("document.cookie.includes('icbir_reader=')", timeout=TIME)


def test_a_browser_accepts_once_and_no_link_accepts_for_another(page, open_window, served):
    address, _ = served
    accept(page, address)
    page.reload()
    page.get_by_text("Find past films").wait_for(timeout=TIME)
    page.goto(f"{address}/about?reader=R1")
    page.get_by_role("heading", name="About").wait_for(timeout=TIME)
    other = open_window()
    other.goto(f"{address}/?reader=R1&film=effusion_1")
    other.get_by_role("button", name="I understand").wait_for(timeout=TIME)
    for name in ("Reader: R1", "Read as somebody else"):
        page.get_by_role("button", name=name).click()
    page.get_by_role("button", name="I understand").wait_for(timeout=TIME)
    page.wait_for_function("!document.cookie.includes('icbir_reader=')", timeout=TIME)
    page.reload()
    page.get_by_role("button", name="I understand").wait_for(timeout=TIME)


def test_a_tab_of_a_former_reader_does_not_bring_her_name_back(page, served):
    address, _ = served
    accept(page, address)
    second = page.context.new_page()
    second.goto(address)
    for name in ("Reader: R1", "Read as somebody else"):
        second.get_by_role("button", name=name).click()
    second.get_by_role("textbox", name="Pseudonym").fill("R2")
    second.get_by_role("button", name="I understand").click()
    second.wait_for_function("document.cookie.includes('icbir_reader=R2')", timeout=TIME)
    page.get_by_role("link", name="About", exact=True).first.click()
    page.get_by_role("heading", name="About").wait_for(timeout=TIME)
    page.wait_for_timeout(1500)
    second.reload()
    second.get_by_role("button", name="Reader: R2").wait_for(timeout=TIME)


def test_upload_of_a_dicom_to_results_window_zoom_and_region(page, served):
    address, _ = served
    accept(page, address)
    page.locator("input[type=file]").set_input_files(
        {"name": "IM000001", "mimeType": "application/octet-stream", "buffer": make_dicom(4)}
    )
    wait_for_panes(page, 9)
    caption = page.locator("[data-pane=query] figcaption").inner_text().replace("\xa0", " ")  # a fact stays on its line
    assert "PA · 61 years · female" in caption and "12 bits" in caption and "DICOM" in caption
    assert page.locator("[data-pane=query] .side[data-edge=left]").inner_text() == "R"
    before = [read(page, 0), read(page, 3)]
    drag(page, "[data-pane=query] .film", 70, 30)
    after = [read(page, 0), read(page, 3)]
    assert all((one != other).mean() > 0.2 for one, other in zip(before, after, strict=True)), (
        "linked panes window alike"
    )
    wait_for_panes(page, 9)
    held = page.evaluate(f"({VIEWER})().panes[0].state.tone.stretch")
    page.wait_for_timeout(1500)
    assert page.evaluate(f"({VIEWER})().panes[0].state.tone.stretch") == held, "the rerun keeps the reader's window"
    box = page.locator("[data-pane=query] .film").bounding_box()
    before = [read(page, 0), read(page, 3)]
    page.mouse.move(box["x"] + 0.4 * box["width"], box["y"] + 0.4 * box["height"])
    page.mouse.wheel(0, -600)
    page.wait_for_function(f"({VIEWER})().panes.every(p => p.state.view.zoom > 1.5)", timeout=TIME)
    after = [read(page, 0), read(page, 3)]
    assert all((one != other).mean() > 0.2 for one, other in zip(before, after, strict=True)), "linked panes zoom alike"
    page.keyboard.press("r")
    first = order(page)
    page.locator("[data-act=region]").click()
    drag(page, "[data-pane=query] .film", 90, 90, (0.25, 0.3))
    page.wait_for_function(f"(was) => JSON.stringify(({VIEWER})().panes.filter(p => !p.lead).map(p => p.key)) !== was",
                           arg=str(first).replace("'", '"').replace(", ", ","), timeout=TIME)  # fmt: skip
    page.get_by_role("button", name="Undo").click()
    page.wait_for_function(f"(was) => JSON.stringify(({VIEWER})().panes.filter(p => !p.lead).map(p => p.key)) === was",
                           arg=str(first).replace("'", '"').replace(", ", ","), timeout=TIME)  # fmt: skip


def test_a_click_on_a_finding_ranks_by_it_and_undo_brings_the_first_ranking_back(page, served):
    address, _ = served
    remember_reader(page.context, address, "R1")
    page.goto(f"{address}/?film=effusion_1")
    wait_for_panes(page, 9)
    first = order(page)
    page.locator("[data-pane=query] [data-finding=Cardiomegaly]").click()
    page.locator(".bar[data-finding=Cardiomegaly][aria-pressed=true]").wait_for(timeout=TIME)
    wait_for_panes(page, 9)
    assert order(page) != first
    page.get_by_text("Ranked by Cardiomegaly").wait_for(timeout=TIME)
    page.get_by_role("button", name="Undo").click()
    page.locator(".bar[data-finding=Effusion][aria-pressed=false]").wait_for(timeout=TIME)
    page.get_by_text("Ranked by Cardiomegaly").wait_for(state="detached", timeout=TIME)
    wait_for_panes(page, 9)
    assert order(page) == first


def test_the_overlay_the_window_and_the_zoom_run_nothing_again_and_the_export_has_them(page, served):
    address, _ = served
    sent: list[bytes] = []
    page.on("websocket", lambda socket: socket.on("framesent", lambda frame: sent.append(frame)))
    accept(page, address)
    page.get_by_role("button", name="Effusion 1").click()
    wait_for_panes(page, 9)
    page.wait_for_timeout(1500)
    sent.clear()
    drag(page, "[data-pane=query] .film", 70, 30)
    page.mouse.wheel(0, -300)
    page.locator("[data-act=more]").click()
    for name in ("opacity", "threshold"):
        page.locator(f"[data-slider={name}]").fill("70")
    for name in ("contour", "overlay", "overlay", "invert", "zoom"):
        page.locator(f".toolbar [data-act={name}]").click()
    page.locator("[data-act=preset]").select_option("lungs")
    for key in ("o", "c", "f", "n", ".", "Shift+ArrowUp"):
        page.keyboard.press(key)
    page.wait_for_timeout(1500)
    assert not sent, "nothing is sent while the hand is in the viewer"
    page.get_by_role("button", name="Export").click()
    page.wait_for_timeout(2500)
    assert sent, "the click that opens it tells the view"
    with page.expect_download() as caught:
        page.get_by_role("button", name="Report (HTML)").click()
    told = caught.value.path().read_text(encoding="utf-8")
    pictures = [base64.b64decode(one) for one in re.findall(r"data:image/png;base64,([^\"']+)", told)]
    film = cv2.imdecode(np.frombuffer(pictures[0], np.uint8), cv2.IMREAD_GRAYSCALE)
    window = page.evaluate(f"(() => {{ const p = ({VIEWER})().panes[0]; return p.look.window; }})()")
    pixels = draw_demonstration_film()
    expected = 1 - np.clip((pixels - window["centre"]) / window["width"] + 0.5, 0, 1)
    above = np.abs(film / 255.0 - expected)[:-30]  # the words on its sides stand in the last rows
    assert above.max() < 0.01, "inverted, in the window that the viewer shows"
    assert "Length" not in told and "mirrored" not in told
    page.keyboard.press("Escape")
    page.locator("[data-pane=query] .film").click()
    for key in ("z", "d", "d"):  # mirrored, and a length in the middle
        page.keyboard.press(key)
    page.get_by_role("button", name="Export").click()
    page.wait_for_timeout(2500)
    with page.expect_download() as caught:
        page.get_by_role("button", name="Report (HTML)").click()
    told = caught.value.path().read_text(encoding="utf-8")
    shown = page.locator(".bench .value").text_content()
    assert f"Length: {shown}" in told and "Shown mirrored." in told and shown.endswith(" px")
    page.keyboard.press("Escape")
    page.get_by_role("link", name="Compare", exact=True).first.click()
    page.locator(".full [data-pane=query]").wait_for(timeout=TIME)
    wait_for_panes(page, 2)
    page.locator("[data-act=measure]").first.click()
    assert page.locator(".bench .value").first.text_content() == shown, "the same film on another page"


def draw_demonstration_film() -> np.ndarray:
    """The demonstration film, float (H, W) in [0, 1]."""
    from tests.helpers import fakes

    return fakes.make_radiograph(100).pixels


def test_rating_by_keyboard_is_there_after_a_reload_and_pixels_travel_once(page, served):
    address, workspace = served
    films: list[str] = []
    page.on("request", lambda one: films.append(one.url) if "/media/" in one.url and one.url.endswith(".gz") else None)
    accept(page, address)
    page.get_by_role("button", name="Effusion 1").click()
    wait_for_panes(page, 9)
    fetched = len(films)
    assert fetched == 9 + 1, "nine films, and the map of the query"
    case = order(page)[2]
    page.keyboard.press("3")  # the digit that stands on the case
    page.keyboard.press("Shift+Digit4")
    page.keyboard.press("4")
    page.keyboard.press("Shift+Digit2")
    page.locator(f'[data-pane="{case}"] [data-rating="4"][aria-checked=true]').wait_for(timeout=TIME)
    page.wait_for_timeout(2500)
    assert len(films) == len(set(films)) == fetched, "no film and no map is sent again"
    page.reload()
    wait_for_panes(page, 9)
    page.locator(f'[data-pane="{case}"] [data-rating="4"][aria-checked=true]').wait_for(timeout=TIME)
    from icbir_core.study.store import RatingsStore

    stored = RatingsStore.open(workspace.path / "ratings.db").history(reader="R1")
    assert [one.score for one in stored] == [4, 2], "two quick answers are two ratings"


GROUND = """(wanted) => {
  const app = document.querySelector('.stApp'); // not there yet while a page loads
  return app !== null && getComputedStyle(app).backgroundColor === wanted; }"""


def test_every_page_opens_and_compare_steps_by_arrows(page, served):
    address, _ = served
    accept(page, address)
    page.get_by_role("button", name="Effusion 1").click()
    wait_for_panes(page, 9)
    first = order(page)
    page.locator(f'[data-pane="{first[0]}"] [data-open]').click()
    page.wait_for_url("**/compare**", timeout=TIME)
    page.locator(f'.full [data-pane="{first[0]}"]').wait_for(timeout=TIME)
    page.keyboard.press("ArrowRight")
    page.locator(f'.full [data-pane="{first[1]}"]').wait_for(timeout=TIME)
    page.get_by_text("Four together").click()
    page.locator(f'.board [data-pane="{first[3]}"]').wait_for(timeout=TIME)
    boxes = [page.locator(f'.board [data-pane="{name}"] .film').bounding_box() for name in ("query", *first[:4])]
    assert all(box["y"] + box["height"] <= page.viewport_size["height"] for box in boxes), "in one screen"
    assert boxes[0]["height"] > 1.9 * boxes[1]["height"] and boxes[1]["x"] > boxes[0]["x"] + boxes[0]["width"]
    page.locator("#icbir-theme").click()
    page.wait_for_function(GROUND, arg="rgb(246, 247, 249)", timeout=TIME)
    page.locator(".full [data-pane=query]").wait_for(timeout=TIME)
    page.locator("#icbir-theme", has_text="Dark screen").click()
    page.wait_for_function(GROUND, arg="rgb(11, 13, 16)", timeout=TIME)
    for name in ("Rate", "Results", "Catalogue", "About", "Search"):
        page.get_by_role("link", name=name, exact=True).first.click()
        page.wait_for_url(re.compile(f"/{name.lower()}" if name != "Search" else r":\d+/(\?|$)"), timeout=TIME)
        page.wait_for_timeout(1200)
        assert "went wrong" not in page.inner_text("body")


@pytest.mark.parametrize("pressed", [0, 150])
def test_the_menu_answers_the_first_click_of_the_mouse(page, served, pressed):
    """Also where the view is still to be told: what runs again for the page that she leaves would keep her there."""
    address, _ = served
    accept(page, address)
    page.get_by_role("button", name="Effusion 1").click()
    for name in ("About", "Results", "Catalogue"):
        wait_for_panes(page, 9)
        drag(page, "[data-pane=query] .film", 40, 10)
        page.get_by_role("link", name=name, exact=True).first.click(delay=pressed)
        page.wait_for_url(f"**/{name.lower()}**", timeout=8000)
        shown = page.get_by_role("heading", name=name, exact=True).or_(page.get_by_role("tab", name="List"))
        shown.first.wait_for(timeout=8000)
        page.get_by_role("link", name="Search", exact=True).first.click(delay=pressed)


def test_a_film_that_does_not_come_leaves_its_pane_empty(open_window, served):
    """Never another film under its words."""
    address, _ = served
    page = open_window(expected="/media/")
    accept(page, address)
    page.get_by_role("button", name="Effusion 1").click()
    wait_for_panes(page, 9)
    before = order(page)
    page.route("**/media/**", lambda route: route.fulfill(status=404))
    choose_count(page, 12)
    page.get_by_text("could not be loaded").first.wait_for(timeout=TIME)
    page.wait_for_timeout(1000)
    lost = [key for key in order(page) if key not in before]
    painted = page.evaluate(f"""() => {{ const v = ({VIEWER})(); v.paint(true); return v.panes.map(({{ key, rect }}) =>
      [key, v.context.getImageData(rect.left, rect.top, rect.width, rect.height).data.some(Boolean)]); }}""")
    assert lost and [key for key, any_pixel in painted if not any_pixel] == lost
