"""Measuring, drawing and turning by hand and keys: the browser's numbers are Python's, and lines stay on the film."""

from __future__ import annotations

import numpy as np
import pytest

from icbir_core.annotation.measuring import describe_values, measure
from icbir_core.annotation.records import TITLES, FilmAnnotations
from icbir_core.annotation.turning import Turn
from tests.browser.viewer_page import SIDE, make_films, make_harness, make_map, open_harness, read

pytestmark = pytest.mark.browser
SPACING = (0.2, 0.15)
PLACE = """([n, x, y]) => { const v = root.viewer, p = v.panes[n], box = p.box.getBoundingClientRect();
  const [px, py] = filmToPane(...v.toSeen(p, [x, y]), p); return [box.left + px, box.top + py];
  function filmToPane(fx, fy, p) { const s = Math.min(p.rect.width / p.pixels.width, p.rect.height / p.pixels.height)
    * p.state.view.zoom, w = p.state.view; return [(fx - w.x * p.pixels.width) * s + p.rect.width / 2,
    (fy - w.y * p.pixels.height) * s + p.rect.height / 2]; } }"""
ITEMS = "() => root.viewer.marksOf(root.viewer.panes[0]).items"
LIST = "() => [...root.querySelectorAll('.bench .value')].map(one => one.textContent)"
GREEN = """() => { const v = root.viewer, r = v.panes[0].rect; v.chooseMark(null); v.paint();
  const d = v.context.getImageData(r.left, r.top, r.width, r.height).data; let n = 0;
  for (let i = 0; i < d.length; i += 4) n += d[i] === 0x8e && d[i + 1] === 0xf0 && d[i + 2] === 0xb0; return n; }"""

SAVED = """async () => {
  const make = URL.createObjectURL;
  let blob;
  URL.createObjectURL = (one) => { blob = one; return make.call(URL, one); };
  root.querySelector("[data-act=save]").click();
  for (let i = 0; i < 50 && !blob; i++) await new Promise((go) => setTimeout(go, 50));
  URL.createObjectURL = make;
  const map = await createImageBitmap(blob), canvas = document.createElement("canvas");
  Object.assign(canvas, { width: map.width, height: map.height });
  const pen = canvas.getContext("2d");
  pen.drawImage(map, 0, 0);
  const d = pen.getImageData(0, 0, map.width, map.height).data;
  let n = 0;
  for (let i = 0; i < d.length; i += 4) n += d[i] === 0x8e && d[i + 1] === 0xf0 && d[i + 2] === 0xb0;
  return n;
}"""


@pytest.fixture
def drawn(page):
    """The viewer alone with two films, that may be drawn on: (page, film of the first pane)."""
    films = make_films(16)
    with make_harness(films, 16, make_map(), annotate=True, window="one") as harness:
        open_harness(page, harness)
        page.evaluate("root.style.setProperty('--head', '0px')")  # here is no header for the tools to stand under
        page.locator("[data-act=measure]").click()
        yield page, films[0]


def press(page, *points, drag=False, pane=0):
    for number, point in enumerate(points):
        page.mouse.move(*page.evaluate(PLACE, [pane, *point]), steps=2)
        if not drag or number == 0:
            page.mouse.down()
        if not drag or number == len(points) - 1:
            page.mouse.up()


def draw_all(page) -> None:
    for kind, drag, points in (
        ("length", True, [(30, 40), (200, 90)]),
        ("angle", False, [(40, 200), (90, 150), (150, 210)]),
        ("ratio", False, [(128, 20), (126, 240), (90, 170), (180, 160), (20, 120), (240, 130)]),
        ("ellipse", True, [(60, 60), (140, 110)]),
        ("rectangle", True, [(220, 230), (160, 180)]),
        ("arrow", True, [(240, 20), (210, 50)]),
    ):
        page.locator(f"[data-mark-act={kind}]").click()
        press(page, *points, drag=drag)
    page.locator("[data-mark-act=text]").click()
    press(page, (20, 230))
    page.wait_for_timeout(50)
    page.keyboard.type("clip of last year")
    page.keyboard.press("Enter")


def test_the_browser_says_the_same_numbers_as_python_also_of_a_turned_film(drawn):
    page, film = drawn
    page.locator("[data-act=mirror]").click()
    page.locator("[data-act=turn]").click()
    page.locator("[data-act=link]").click()
    draw_all(page)
    page.wait_for_function("window.states.decisions?.some(one => one.name === 'annotated')")
    page.wait_for_timeout(900)
    told = [one for one in page.evaluate("window.states.decisions") if one["name"] == "annotated"]
    told = [one for one in told if one["pane"] == "pane0"]  # the other film was turned with it
    assert len(told) == 1, "each state takes the place of the one before"
    state = FilmAnnotations.from_record(told[0]["drawn"])
    assert [one.kind for one in state.items] == list(TITLES) and state.items[-1].text == "clip of last year"
    assert np.allclose(state.items[0].points, [(30, 40), (200, 90)], atol=1), "places of the film, not of the screen"
    expected = [describe_values(measure(one, SPACING, film)) for one in state.items]
    assert page.evaluate(LIST) == expected
    assert expected[0].endswith(" mm") and "SD" in expected[3] and expected[2].startswith("0.")
    page.keyboard.press("2")  # the other film has no pixel size, and nothing was drawn on it
    assert page.evaluate(LIST) == []
    assert page.locator(".bench .worth").text_content() == ""
    page.evaluate(f"() => {{ window.items = ({ITEMS})(); }}")
    page.evaluate("() => { window.start({ ...root.viewer.data, name: 'another page' }); }")
    assert page.evaluate(f"({ITEMS})() === window.items"), "the same film elsewhere carries the same"
    page.evaluate("() => { window.start({ ...root.viewer.data, window: 'another reader' }); }")
    assert page.evaluate(ITEMS) == []


def test_what_is_drawn_moves_goes_and_comes_back_by_hand_and_by_keys(drawn):
    page, _ = drawn
    page.keyboard.press("d")
    press(page, (40, 40), (120, 40), drag=True)
    press(page, (120, 40), (120, 100), drag=True)  # its end, which is chosen: no second one is drawn
    assert np.allclose(page.evaluate(ITEMS)[0]["points"], [(40, 40), (120, 100)], atol=1)
    page.keyboard.press("s")
    press(page, (80, 70), (90, 75), drag=True)
    (moved,) = page.evaluate(ITEMS)
    assert np.allclose(moved["points"], [(50, 45), (130, 105)], atol=1)
    page.keyboard.press("ArrowRight")
    page.keyboard.press("g")
    page.keyboard.press("Shift+ArrowDown")
    (pushed,) = page.evaluate(ITEMS)
    step = np.subtract(pushed["points"], moved["points"])
    assert (step[:, 0] > 0.5).all() and sorted(step[:, 1] > 0.5) == [False, True]
    page.keyboard.press("Delete")
    assert page.evaluate(ITEMS) == []
    for _ in range(3):
        page.keyboard.press("Control+z")
    assert page.evaluate(ITEMS) == [moved]
    page.keyboard.press("Control+Shift+Z")
    page.keyboard.press("Control+y")
    assert page.evaluate(ITEMS) == [pushed]
    page.keyboard.press("e")
    page.keyboard.press("e")  # a second time: one in the middle, without a mouse
    page.locator(".bench input").fill("nodule?")
    assert [one["kind"] for one in page.evaluate(ITEMS)] == ["length", "ellipse"]
    assert page.evaluate(ITEMS)[1]["text"] == "nodule?"
    page.locator("[data-entry='0']").click()
    page.keyboard.press("Backspace")
    assert [one["kind"] for one in page.evaluate(ITEMS)] == ["ellipse"]
    page.keyboard.press("h")
    press(page, (128, 20))
    page.locator(".bench .hint", has_text="the midline, below (2 of 6)").wait_for(timeout=5000)
    page.keyboard.press("Escape")
    page.keyboard.press("Escape")
    assert page.evaluate("root.viewer.memory.tool") == "window" and len(page.evaluate(ITEMS)) == 1


def test_a_page_that_runs_again_in_the_middle_of_it_takes_nothing_away(drawn):
    page, _ = drawn
    again = """async () => { window.start(await (await fetch('./data.json')).json());
      while (!root.viewer.panes.every((one) => one.pixels && one.rect)) await new Promise(requestAnimationFrame); }"""
    page.keyboard.press("d")
    page.mouse.move(*page.evaluate(PLACE, [0, 40, 40]))
    page.mouse.down()
    page.mouse.move(*page.evaluate(PLACE, [0, 90, 90]))
    page.evaluate(again)
    page.mouse.move(*page.evaluate(PLACE, [0, 120, 40]), steps=3)
    page.mouse.up()
    (one,) = page.evaluate(ITEMS)
    assert np.allclose(one["points"], [(40, 40), (120, 40)], atol=1)
    page.evaluate(again)
    assert page.evaluate(ITEMS) == [one]
    later = {"number": 9e15, "items": [{"kind": "text", "points": [[5, 5]], "text": "kept"}]}
    later |= {"undo": [[]], "redo": [], "turn": {"quarters": 1, "mirrored": False}}
    page.evaluate(
        """(later) => window.start({ ...root.viewer.data, panes: root.viewer.data.panes.map((pane, n) =>
      n ? pane : { ...pane, annotations: later }) })""",
        later,
    )
    assert page.evaluate(ITEMS) == later["items"], "what Python holds counts where it is later"
    page.locator("[data-pane=pane0] .turned", has_text="turned 90°").wait_for(timeout=5000)
    page.keyboard.press("Control+z")
    assert page.evaluate(ITEMS) == [], "what was done before a reload can be undone"
    page.keyboard.press("Control+Shift+z")
    assert page.evaluate(ITEMS) == later["items"]


@pytest.mark.parametrize("painter", ["canvas", "webgl"])
def test_a_turned_film_is_the_film_and_its_map_turned(page, painter):
    films = make_films()
    with make_harness(films, values=make_map(), annotate=True, window="one") as harness:
        open_harness(page, harness, painter)
        page.evaluate(
            "() => { const m = root.viewer.memory; m.preset = 'full'; m.overlay = false; root.viewer.act('one'); }"
        )
        turn = Turn()
        for keys in ("", "y", "z", "y", "yy", "z"):
            for key in keys:
                page.keyboard.press(key)
            turn = Turn.from_view(page.evaluate("root.viewer.panes[0].state.turn"))
            seen = turn.turn_picture(films[0])
            shown = page.evaluate("() => Array.from(root.viewer.panes[0].pixels.pixels)")
            assert np.array_equal(np.reshape(shown, seen.shape), np.rint(seen * 255)), turn
            steps = page.evaluate(
                "() => [Array.from(root.viewer.panes[0].mapSteps.steps), Array.from(root.viewer.panes[0].steps.steps)]"
            )
            assert np.array_equal(
                np.reshape(steps[1], (SIDE, SIDE)), turn.turn_picture(np.reshape(steps[0], (SIDE, SIDE)))
            )
            middle = page.evaluate(
                "() => [root.viewer.panes[0].rect.width >> 1, root.viewer.panes[0].rect.height >> 1]"
            )
            page.evaluate("""() => { for (const p of root.viewer.panes)
              for (const [axis, side] of [["x", p.rect.width], ["y", p.rect.height]])
                p.state.view[axis] = (side / 2 - Math.ceil(side / 2 - 128)) / 256; }""")
            patch = read(page, 0, middle[0] - 20, middle[1] - 20, 40, 40)[..., 0]
            assert any(
                np.abs(patch.astype(int) - np.rint(seen[row : row + 40, column : column + 40] * 255)).max() <= 1
                for row in range(106, 111) for column in range(106, 111)
            )  # fmt: skip
        assert turn == Turn.from_view(page.evaluate("root.viewer.panes[1].state.turn")), "linked"
        page.keyboard.press("r")
        assert page.evaluate("root.viewer.panes[0].pixels === root.viewer.panes[0].source")


def test_a_mirrored_film_says_so_and_its_sides_change_places(drawn):
    page, _ = drawn
    page.evaluate(
        """() => window.start({ ...root.viewer.data,
          panes: root.viewer.data.panes.map((pane) => ({ ...pane, orientation: "verified" })) })"""
    )
    edges = (
        "() => [...root.querySelectorAll('[data-pane=pane0] .side')].map(one => [one.textContent, one.dataset.edge])"
    )
    page.wait_for_function("root.viewer.panes.every(pane => pane.pixels)")
    word = page.locator("[data-pane=pane0] .turned")
    assert page.evaluate(edges) == [["R", "left"], ["L", "right"]] and not word.is_visible()
    page.keyboard.press("z")
    assert page.evaluate(edges) == [["R", "right"], ["L", "left"]] and word.text_content() == "mirrored"
    page.keyboard.press("y")
    assert page.evaluate(edges) == [["R", "bottom"], ["L", "top"]] and word.text_content() == "mirrored · turned 90°"
    page.keyboard.press("k")
    page.keyboard.press("2")
    page.keyboard.press("y")
    assert page.evaluate("root.viewer.panes.map(one => one.state.turn.quarters)") == [1, 2], "one pane alone"


def test_what_is_drawn_is_in_the_picture_that_is_saved_and_a_box_keeps_its_place_on_the_film(drawn):
    page, _ = drawn
    assert page.evaluate(GREEN) == 0
    page.keyboard.press("d")
    press(page, (40, 40), (220, 200), drag=True)
    before = page.evaluate(GREEN)
    assert before > 50
    saved = page.evaluate(SAVED)
    assert saved >= before * 0.9
    page.keyboard.press("Escape")
    page.keyboard.press("y")
    page.locator("[data-act=region]").click()
    press(page, (50, 60), (130, 120), drag=True)
    (region,) = [one for one in page.evaluate("window.states.decisions") if one["name"] == "region"]
    assert np.allclose(region["box"], [50, 60, 130, 120], atol=1)


def test_nothing_can_be_drawn_where_it_is_not_meant_to_be(page):
    with make_harness(make_films(), window="one") as harness:
        open_harness(page, harness)
        assert not page.locator("[data-act=measure]").is_visible()
        for key in ("d", "d", "Control+z", "g"):
            page.keyboard.press(key)
        assert page.evaluate("root.viewer.memory.tool") == "window" and page.evaluate(ITEMS) == []


def test_the_grey_under_the_pointer_is_said(drawn):
    page, film = drawn
    page.mouse.move(*page.evaluate(PLACE, [0, 100.5, 60.5]))
    told = page.locator("[data-pane=pane0] .readout").text_content()
    assert f"{100 * film[60, 100]:.1f} % at 100, 60" in told
