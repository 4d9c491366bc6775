"""The viewer in a real browser: its pixels are the film's."""

from __future__ import annotations

import json
import re

import cv2
import numpy as np
import pytest

from icbir_core.radiograph.overlay import OverlayStyle, render_overlay
from tests.browser.viewer_page import SIDE, make_films, make_harness, make_map, open_harness, read, show_exactly

pytestmark = pytest.mark.browser


@pytest.mark.parametrize("painter", ["canvas", "webgl"])
@pytest.mark.parametrize("bits", [8, 16])
def test_full_range_at_one_to_one_shows_every_pixel(page, painter, bits):
    films = make_films(bits)
    with make_harness(films, bits) as harness:
        open_harness(page, harness, painter)
        left, top = show_exactly(page)
        shown = read(page, 0, max(left, 0) + 4, max(top, 0) + 4, 96, 96)
        skip = (max(-left, 0) + 4 if left < 0 else 4, max(-top, 0) + 4 if top < 0 else 4)
        expected = films[0][skip[1] : skip[1] + 96, skip[0] : skip[0] + 96] * 255
        assert np.abs(shown[..., 0].astype(float) - expected).max() <= 1.0


@pytest.mark.parametrize("thread", ["throw new Error()", "super(URL.createObjectURL(new Blob(['throw 1'])))"])
def test_where_threads_are_refused_or_fail_the_page_unpacks_films_itself(page, thread):
    page.add_init_script(f"globalThis.Worker = class extends Worker {{ constructor() {{ {thread} }} }}")
    films = make_films(16)
    with make_harness(films, 16) as harness:
        open_harness(page, harness)
        assert page.evaluate("globalThis[Symbol.for('icbir.unpackers')].threads.length") == 0
        left, top = show_exactly(page)
        assert left >= 0 and top >= 0
        shown = read(page, 0, left + 4, top + 4, 96, 96)[..., 0].astype(float)
        assert np.abs(shown - films[0][4:100, 4:100] * 255).max() <= 1.0


def test_films_are_unpacked_in_threads(page):
    with make_harness(make_films(16), 16) as harness:
        open_harness(page, harness)
        assert page.evaluate("globalThis[Symbol.for('icbir.unpackers')].threads.length") >= 1


def test_a_run_builds_and_paints_only_the_panes_that_changed(page):
    rerun = """(rating) => { const v = root.viewer, before = v.panes.map(p => p.figure), data = structuredClone(v.data);
      Object.assign(data.panes[1], { rating: rating ?? undefined }); start(data);
      const stands = v.panes.every(p => p.pixels);
      cancelAnimationFrame(v.pending); v.pending = 0; v.paint();
      return [v.panes.map((p, at) => p.figure === before[at]), stands, Number(root.dataset.painted)]; }"""
    checked = "() => root.viewer.panes[1].figure.querySelectorAll('[aria-checked=true]').length"
    with make_harness(make_films()) as harness:
        open_harness(page, harness)
        shown = [read(page, pane) for pane in (0, 1)]
        assert page.evaluate(rerun, None) == [[True, True], True, 0]
        assert page.evaluate(rerun, 4) == [[True, False], True, 1] and page.evaluate(checked) == 1
        page.evaluate("root.viewer.panes[1].figure.querySelector('[data-rating=\"2\"]').click()")
        assert page.evaluate(rerun, None)[0] == [True, False] and not page.evaluate(checked), "it was not taken"
        page.evaluate("root.viewer.act('invert')")
        inverted = [read(page, pane) for pane in (0, 1)]
        assert all((one.astype(int) + other == 255).mean() > 0.5 for one, other in zip(shown, inverted, strict=True))


@pytest.mark.parametrize("painter", ["canvas", "webgl"])
def test_a_narrow_window_shows_sixteen_bits(page, painter):
    film = np.full((SIDE, SIDE), 30000 / 65535, np.float64)
    film[:, SIDE // 2 :] = 30020 / 65535  # a difference that eight bits do not hold
    with make_harness([film, film], 16) as harness:
        open_harness(page, harness, painter)
        show_exactly(page)
        page.evaluate(
            "() => Object.assign(root.viewer.panes[0].state.tone,"
            " { shift: 30010 / 65535 - 0.5, stretch: Math.log(40 / 65535) })"
        )
        page.evaluate("() => { root.viewer.memory.preset = 'full'; }")
        shown = read(page, 0, 0, 60, page.evaluate("root.viewer.panes[0].rect.width"), 4)[0, :, 0].astype(int)
        assert shown.max() - np.median(shown[shown > 0]) >= 0 and len(set(shown[shown > 0])) >= 2
        assert 100 <= shown.max() - shown[shown > 0].min() <= 160, "20 of a width of 40 levels is half of the greys"


@pytest.mark.parametrize("painter", ["canvas", "webgl"])
@pytest.mark.parametrize("signed", [False, True])
def test_overlay_is_the_cores_overlay(page, painter, signed):
    films, values = make_films(), make_map()
    with make_harness(films, values=values, signed=signed) as harness:
        open_harness(page, harness, painter)
        left, top = show_exactly(page)
        page.evaluate("() => { root.viewer.memory.overlay = true; root.viewer.memory.style.threshold = 0.1; }")
        x, y = max(left, 0) + 4, max(top, 0) + 4
        shown = read(page, 0, x, y, 96, 96).astype(float)
        style = OverlayStyle(opacity=0.5, threshold=0.1, signed=signed)
        expected = render_overlay(films[0], values, style, 1.0)[y - top : y - top + 96, x - left : x - left + 96]
        difference = np.abs(shown - expected)
        assert np.percentile(difference, 99) <= 4.0, "256 steps of the scale; a threshold may fall on either side"


WINDOWED = "v.tone(p, -60, 25);"
ZOOMED = "v.zoom(p, 1.7, 40, 60);"
OVERLAID = "v.memory.overlay = true; v.memory.style.threshold = 0.1;"
SCENES = {  # what is done to the first pane, and the share of pixels that may differ by more than two grey levels
    "window": ("v.memory.overlay = false;" + WINDOWED, 0.0),
    "invert": ("v.memory.overlay = false; v.memory.invert = true;" + WINDOWED, 0.0),
    "zoomed in": ("v.memory.overlay = false;" + ZOOMED, 0.001),
    "zoomed out": ("v.memory.overlay = false; v.zoom(p, 0.3, 40, 60);", 0.001),
    "overlay": (OVERLAID, 0.005),  # a value between two of the 256 colours may fall on either
    "all": (OVERLAID + WINDOWED + ZOOMED, 0.005),
    "contour": ("v.memory.style.contour = true;" + ZOOMED, 0.02),  # a line may fall one pixel beside
}


@pytest.mark.parametrize("scene", SCENES)
def test_both_painters_agree(open_window, scene):
    done, allowed = SCENES[scene]
    pictures = []
    for painter in ("canvas", "webgl"):
        page = open_window(1000, 700)
        with make_harness(make_films(16), 16, make_map()) as harness:
            open_harness(page, harness, painter)
            page.evaluate(f"() => {{ const v = root.viewer, p = v.panes[0]; {done} }}")
            pictures.append(read(page, 0, 20, 20, 200, 200).astype(int))
        page.close()
    difference = np.abs(pictures[0] - pictures[1]).max(axis=2)
    assert np.ptp(pictures[0]) > 50, "there is a picture"
    assert np.mean(difference > 2) <= allowed, f"up to {difference.max()}, {np.mean(difference > 2):.4f} of the pixels"


def test_pixels_travel_once(page):
    with make_harness(make_films(), values=make_map()) as harness:
        open_harness(page, harness)
        page.evaluate(
            "async () => { for (let i = 0; i < 3; i++) window.start(await (await fetch('./data.json')).json()); }"
        )
        page.wait_for_function("root.viewer.panes.every(p => p.pixels && p.steps)")
        films = {path: count for path, count in harness.requests.items() if path.startswith("/media/")}
        assert len(films) == 4 or len(films) == 3
        assert set(films.values()) == {1}


def test_orientation_unverified_stands_outside_the_film(page):
    with make_harness(make_films()) as harness:
        open_harness(page, harness)
        assert page.locator(".unverified").count() == 2 and page.locator(".film .unverified").count() == 0
        film, words = (page.locator(one).first.bounding_box() for one in (".film", ".unverified"))
        assert words["y"] >= film["y"] + film["height"]


def save_picture(page) -> np.ndarray:
    """The saved PNG, uint8 (H, W, 3), red first."""
    with page.expect_download() as caught:
        page.locator("[data-act=save]").click()
    assert re.fullmatch(r"icbir-\d{4}-\d\d-\d\d\.png", caught.value.suggested_filename)
    return cv2.imread(str(caught.value.path()))[..., ::-1]


def test_the_picture_is_saved_with_its_notice(page):
    with make_harness(make_films(), notice="For research.") as harness:
        open_harness(page, harness)
        assert (save_picture(page)[-20:] > 200).any()


def test_the_saved_picture_can_be_read_on_a_white_film(page):
    with make_harness([np.ones((SIDE, SIDE), np.float32)] * 2) as harness:
        open_harness(page, harness)
        picture = save_picture(page).astype(int)
        for rect in page.evaluate("root.viewer.panes.map(p => p.rect)"):
            left, bottom = rect["left"], rect["top"] + rect["height"]
            sides, title = (
                picture[bottom - 24 : bottom, left : left + 100],
                picture[bottom : bottom + 24, left : left + 90],
            )
            for words in (sides, title):
                assert (words < 80).all(axis=2).mean() > 0.3, "a dark ground"
                assert (words > 180).all(axis=2).mean() > 0.03, "light letters on it"


def test_the_saved_picture_leaves_text_that_is_burned_in_behind(page):
    """Of three white films one is left off with a sentence, one is black where it was framed, one is whole."""
    with make_harness([np.ones((SIDE, SIDE), np.float32)] * 3, leftOff="Frame the text.", annotate=True) as harness:
        data = json.loads(harness.files["/data.json"])
        frame = {"kind": "rectangle", "points": [[SIDE, SIDE / 2], [0, 0]], "text": ""}
        data["panes"][0] |= {"burned": True}
        data["panes"][1] |= {"burned": True, "annotations": {"number": 1, "items": [frame], "undo": [], "redo": []}}
        harness.files["/data.json"] = json.dumps(data).encode()
        open_harness(page, harness)
        page.evaluate("() => { root.viewer.memory.overlay = false; root.viewer.memory.preset = 'full'; }")
        picture = save_picture(page).astype(int)
        white = []
        for rect in page.evaluate("root.viewer.panes.map(p => p.rect)"):
            left, middle = rect["left"] + rect["width"] // 2 - 60, rect["top"] + rect["height"] // 2
            above, below = (picture[top : top + 40, left : left + 120] for top in (middle - 50, middle + 10))
            white.append([float((part > 250).all(axis=2).mean()) for part in (above, below)])
        assert white == [[0.0, 0.0], [0.0, 1.0], [1.0, 1.0]]


def test_the_saved_picture_is_not_half_black(page):
    """Beside two large panes with long captions stand eight small ones: on the page, black lies under the large."""
    leads = [{"lead": True, "bars": [{"name": f"F{number}", "value": 0.5} for number in range(14)]}] * 2
    with make_harness([np.full((SIDE, SIDE), 0.6, np.float32)] * 10) as harness:
        data = json.loads(harness.files["/data.json"])
        data["panes"] = [{**pane, **(leads[at] if at < 2 else {})} for at, pane in enumerate(data["panes"])]
        harness.files["/data.json"] = json.dumps(data).encode()
        open_harness(page, harness)
        page.evaluate("() => { root.viewer.memory.overlay = false; root.viewer.memory.preset = 'full'; }")
        picture = save_picture(page)
        film = ((picture > 120) & (picture < 180)).all(axis=2)
        assert film.mean() > 0.6
        shown = page.evaluate("root.viewer.panes.reduce((sum, p) => sum + p.rect.width * p.rect.height, 0)")
        assert film.sum() > 0.93 * shown, "all films, each in its own size; only their sides are written over"


def test_a_digit_chooses_the_case_that_bears_it(page):
    with make_harness(make_films(count=4), digits="choose") as harness:
        data = json.loads(harness.files["/data.json"])
        for pane, shortcut in zip(data["panes"], ("q", "m", "1", "2"), strict=True):
            pane["shortcut"] = shortcut
        harness.files["/data.json"] = json.dumps(data).encode()
        open_harness(page, harness)
        for key, chosen in (("2", "pane3"), ("q", "pane0"), ("1", "pane2"), ("m", "pane1"), ("7", "pane1")):
            page.keyboard.press(key)
            assert page.evaluate("root.viewer.memory.chosen") == chosen, key
        page.keyboard.press("Enter")
        page.keyboard.press("2")
        assert page.evaluate("root.viewer.memory.alone") == "pane3", "what is rated next is in sight"


def test_the_saved_picture_holds_the_panes_off_the_screen_and_the_region(page):
    with make_harness(make_films(count=5), columns=1) as harness:
        open_harness(page, harness)
        page.evaluate("() => { root.viewer.memory.overlay = false; root.viewer.panes[0].region = [60, 60, 180, 160]; }")
        picture = save_picture(page).astype(int)
        for rect in page.evaluate("root.viewer.panes.map(p => p.rect)"):
            left, top = rect["left"] + rect["width"] // 2, rect["top"] + rect["height"] // 2
            assert np.ptp(picture[top - 40 : top + 40, left - 40 : left + 40]) > 50
        x, y = page.evaluate(
            "() => { const p = root.viewer.panes[0], s = Math.min(p.rect.width, p.rect.height) / 256;"
            " return [p.rect.left + p.rect.width / 2 - 68 * s, p.rect.top + p.rect.height / 2 - 18 * s]; }"
        )
        edge = picture[round(y), round(x) - 2 : round(x) + 3]
        assert np.abs(edge - [255, 212, 121]).max(axis=1).min() < 12, "the colour of the box"


def test_a_film_that_is_gone_is_one_sentence(open_window):
    page = open_window(expected="/media/")
    harness = make_harness(make_films())
    for path in [path for path in harness.files if path.startswith("/media/")]:
        del harness.files[path]
    with harness:
        page.goto(harness.url)
        page.get_by_text("could not be loaded").first.wait_for(timeout=10_000)
