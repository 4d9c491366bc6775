"""The page Search in one screen: where everything stands, measured, and the case that is shown large."""

from __future__ import annotations

import numpy as np
import pytest

from scripts.chromium import remember_reader
from tests.browser.test_application import TIME, VIEWER, order, wait_for_panes

pytestmark = pytest.mark.browser
BOX = "(one) => { const r = one.getBoundingClientRect(); return [r.left, r.top, r.right, r.bottom]; }"
DRAWN = f"""() => {{ const p = ({VIEWER})().panes[0], ratio = window.devicePixelRatio;
  return Math.min(p.rect.width / p.pixels.width, p.rect.height / p.pixels.height) * p.pixels.height / ratio; }}"""
COLOURED = f"""(n) => {{ const v = ({VIEWER})(), r = v.panes[n].rect; v.paint();
  const levels = v.context.getImageData(r.left, r.top, r.width, r.height).data;
  return levels.some((level, at) => at % 4 === 0 && Math.abs(level - levels[at + 2]) > 20); }}"""
BEYOND = "() => { const main = document.querySelector('.stMain'); return main.scrollHeight - main.clientHeight; }"


def open_search(open_window, served, width: int, height: int):
    page, (address, _) = open_window(width, height), served
    remember_reader(page.context, address, "R1")
    page.goto(f"{address}/?film=effusion_1")
    wait_for_panes(page, 9)
    return page


def find_boxes(page, selector: str) -> np.ndarray:
    """left, top, right, bottom of every such element of the viewer: float (N, 4)."""
    return np.array([one.evaluate(BOX) for one in page.locator(selector).all()])


@pytest.mark.parametrize(
    ("width", "height", "least", "least_case"),
    [(1280, 720, 560, 110), (1920, 1080, 860, 200), (3840, 1080, 860, 200), (820, 1180, 440, 150)],
)
def test_her_film_and_eight_cases_are_on_the_screen_without_scrolling(
    open_window, served, width, height, least, least_case
):
    page = open_search(open_window, served, width, height)
    assert page.evaluate(DRAWN) >= least, "the film itself, without the black beside it"
    (film,), cases, (answer,) = (
        find_boxes(page, one) for one in ("[data-pane=query] .film", ".rest figure", ".answer")
    )
    foot = page.locator(".st-key-foot").bounding_box()["y"]
    assert len(cases) == 8 and page.evaluate(BEYOND) <= 0
    for box in (film, *cases, answer):
        assert box[0] >= 0 and box[2] <= width and box[3] <= foot + 1
    assert (cases[:, 2] - cases[:, 0]).min() >= least_case and find_boxes(page, ".shares button").size
    if width > height:
        assert film[2] < cases[:, 0].min() and 0.4 < film[2] / width < 0.65
    else:
        assert film[3] < answer[1] < cases[:, 1].min(), "a portrait window stacks"
        page.keyboard.press("1")
        page.keyboard.press("Enter")
        page.wait_for_url("**/compare**", timeout=TIME)
        page.locator(".full [data-pane=query]").wait_for(timeout=TIME)
        wait_for_panes(page, 2)
        above, below = find_boxes(page, ".full .film")
        assert above[3] < below[1] and below[3] <= height and page.evaluate(DRAWN) >= 400, "and so does Compare"
        page.get_by_role("radio", name="Four together").click()
        page.locator(".board [data-pane=query]").wait_for(timeout=TIME)
        wait_for_panes(page, 5)
        above, *cases = find_boxes(page, ".board .film")
        assert above[3] < np.min(cases, axis=0)[1] and np.max(cases, axis=0)[3] <= height


def test_both_monitors_are_used(open_window, served):
    page = open_search(open_window, served, 3840, 1080)
    (film,), (large,), cases = (
        find_boxes(page, one) for one in ("[data-pane=query] .film", ".preview canvas", ".rest figure")
    )
    assert film[2] < 1920 < large[0] < large[2] < cases[:, 0].min() and cases[:, 2].max() > 3500
    assert large[2] - large[0] > 800 and large[3] - large[1] > 800, "a case always stands there large"


def test_the_case_under_the_pointer_or_chosen_by_a_key_is_shown_large_and_enter_compares(open_window, served):
    page = open_search(open_window, served, 1280, 720)
    preview, (first, second, *_) = page.locator(".preview"), order(page)
    assert not preview.is_visible()
    page.locator(f'[data-pane="{second}"] .film').hover()
    preview.get_by_text(second).wait_for(timeout=TIME)
    ((left, top, right, bottom),) = find_boxes(page, ".preview canvas")
    assert min(right - left, bottom - top) > 380
    page.locator(f'[data-pane="{second}"] figcaption').hover(force=True)
    preview.wait_for(state="hidden", timeout=TIME)
    for key, shown in (("ArrowRight", first), ("ArrowRight", second), ("1", first)):
        page.keyboard.press(key)
        preview.get_by_text(shown).wait_for(timeout=TIME)
    page.keyboard.press("Escape")
    preview.wait_for(state="hidden", timeout=TIME)
    page.keyboard.press("u")  # one after another, until a key or a press
    for shown in (first, second):
        preview.get_by_text(shown).wait_for(timeout=TIME)
    page.keyboard.press("Escape")
    preview.wait_for(state="hidden", timeout=TIME)
    page.keyboard.press("2")
    page.keyboard.press("Enter")
    page.wait_for_url("**/compare**", timeout=TIME)
    page.locator(f'.full [data-pane="{second}"]').wait_for(timeout=TIME)


def test_the_heat_map_stands_on_her_film_alone_and_the_space_bar_looks_under_it(open_window, served):
    page = open_search(open_window, served, 1280, 720)

    def is_coloured(pane: int) -> bool:
        return bool(page.evaluate(COLOURED, pane))

    assert is_coloured(0) and not is_coloured(1), "cases have their maps when they are asked for"
    page.locator("[data-pane=query] .film").click()
    page.keyboard.down("Space")
    assert not is_coloured(0)
    page.keyboard.up("Space")
    assert is_coloured(0)
    page.locator("[data-pane=query] .chip").click()
    assert not is_coloured(0) and not is_coloured(1)
    page.keyboard.press("m")
    page.wait_for_function(f"({VIEWER})().panes.every(pane => pane.map && pane.steps)", timeout=TIME)
    wait_for_panes(page, 9)
    assert is_coloured(1) and not is_coloured(0)


def test_a_finding_of_the_line_asks_for_it(open_window, served):
    page = open_search(open_window, served, 1280, 720)
    before = order(page)
    page.locator(".shares [data-finding=Cardiomegaly]").click()
    page.locator(".shares [data-finding=Cardiomegaly][aria-pressed=true]").wait_for(timeout=TIME)
    wait_for_panes(page, 9)
    assert order(page) != before and page.get_by_text("Ranked by Cardiomegaly").is_visible()
    assert page.evaluate(DRAWN) >= 560, "the steps stand in the line of the menus"


@pytest.mark.parametrize("size", [100, 200])
def test_the_menus_are_readable_with_text_of_any_size(open_window, served, size):
    page = open_search(open_window, served, 1280, 720)
    page.add_style_tag(content=f"html {{ font-size: {size}% !important; }}")
    page.wait_for_timeout(800)
    menus = page.locator(".st-key-search_room button").all()
    boxes = [one.bounding_box() for one in menus]
    assert len(boxes) == 4 and max(box["x"] + box["width"] for box in boxes) <= 1280
    assert all(one.evaluate("one => one.scrollWidth <= one.clientWidth + 1") for one in menus)
