"""The viewer in a real browser: its pixels are the film's, and its hand is steady."""

from __future__ import annotations

import base64

import cv2
import numpy as np
import pytest
from harness import Harness, address

from icbir_core.radiograph.overlay import OverlayStyle, colour_table, render_overlay
from icbir_ui.viewer.payload import pack_film, pack_map

pytestmark = pytest.mark.browser
SIDE = 256
READ = """([pane, x, y, w, h]) => { const v = root.viewer, p = v.panes[pane];
  cancelAnimationFrame(v.pending); v.pending = 0; v.paint();
  return Array.from(v.context.getImageData(p.rect.left + x, p.rect.top + y, w, h).data); }"""
FULL = "() => { const v = root.viewer; v.memory.preset = 'full'; v.memory.overlay = false; v.act('one'); }"


def make_films(bits: int = 8, count: int = 2) -> list[np.ndarray]:
    top = 255 if bits == 8 else 65535
    generator = np.random.default_rng(bits)
    return [(generator.integers(0, top + 1, (SIDE, SIDE)) / top).astype(np.float32) for _ in range(count)]


def make_map() -> np.ndarray:
    rows, columns = np.mgrid[0:SIDE, 0:SIDE] / SIDE
    return (np.sin(7 * rows) * np.cos(5 * columns)).astype(np.float32)


def make_harness(
    films: list[np.ndarray], bits: int = 8, values: np.ndarray | None = None, signed=False, **more
) -> Harness:
    files, panes = {}, []
    for number, film in enumerate(films):
        name, place = address(data := pack_film(film, bits, f"film {number}"))
        files[place] = data
        pane = {"key": f"pane{number}", "title": f"Case {number}", "film": {"hash": name, "url": place}, "lines": ["a"],
                "ratable": True, "regionable": number == 0, "markable": True, "orientation": "unverified"}  # fmt: skip
        if values is not None:
            name, place = address(data := pack_map(values, f"map {number}"))
            files[place] = data
            pane["map"] = {"hash": name, "url": place}
        panes.append(pane)
    table = colour_table("berlin" if signed else "inferno")
    data = {"name": "test", "panes": panes, "colours": base64.b64encode(table.tobytes()).decode(), "overlayScale": 1.0,
            "signed": signed, "opacity": 0.5, "region": True, "scale": [[n, f"step {n}"] for n in range(1, 6)],
            "report": True, **more}  # fmt: skip
    return Harness(data, files)


def open_harness(page, harness: Harness, painter: str = "canvas") -> None:
    page.add_init_script(f"globalThis[Symbol.for('icbir.painter')] = {painter!r}")
    page.goto(harness.url)
    page.wait_for_function(
        "window.root?.viewer?.panes.every(p => p.pixels && (p.steps || !p.map) && p.rect)", timeout=20_000
    )
    kind = page.evaluate("root.viewer.painter.kind")
    if painter == "webgl" and kind != "webgl":
        pytest.skip("no WebGL 2 in this Chromium, not even in software")
    assert kind == painter


def read(page, pane: int = 0, x: int = 0, y: int = 0, width: int = SIDE, height: int = SIDE) -> np.ndarray:
    return np.array(page.evaluate(READ, [pane, x, y, width, height]), np.uint8).reshape(height, width, 4)[..., :3]


def place_of_film(page, pane: int = 0) -> tuple[int, int]:
    """Where film pixel (0, 0) lies in its pane at 1:1; panes have even sides only by chance, so it is asked for."""
    return tuple(page.evaluate(
        "(n) => { const p = root.viewer.panes[n]; return filmAt(p); function filmAt(p) {"
        "const s = Math.min(p.rect.width / 256, p.rect.height / 256) * p.state.view.zoom;"
        "return [p.rect.width / 2 - p.state.view.x * 256 * s, p.rect.height / 2 - p.state.view.y * 256 * s]; } }", pane,
    ))  # fmt: skip


def show_exactly(page) -> tuple[int, int]:
    """1:1, and moved by less than a pixel so that film pixels and screen pixels coincide."""
    page.evaluate(FULL)
    page.evaluate("""() => { for (const p of root.viewer.panes) { const v = p.state.view;
      for (const [axis, side] of [["x", p.rect.width], ["y", p.rect.height]])
        v[axis] = (side / 2 - Math.ceil(side / 2 - 128)) / 256; } }""")
    left, top = place_of_film(page)
    assert abs(left - round(left)) < 1e-6 and abs(top - round(top)) < 1e-6
    return round(left), round(top)


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


def test_a_double_click_shows_one_film_alone_and_whole(page):
    with make_harness(make_films()) as harness:
        open_harness(page, harness)
        page.locator("[data-pane=pane1] .film").dblclick()
        assert page.evaluate("root.viewer.memory.alone") == "pane1"
        box = page.locator("[data-pane=pane1] .film").bounding_box()
        assert box["y"] >= 0 and box["y"] + box["height"] <= page.viewport_size["height"]
        page.locator("[data-pane=pane1] .film").dblclick()
        assert page.evaluate("root.viewer.memory.alone") is None


def test_films_are_unpacked_in_threads(page):
    with make_harness(make_films(16), 16) as harness:
        open_harness(page, harness)
        assert page.evaluate("globalThis[Symbol.for('icbir.unpackers')].threads.length") >= 1


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


def drag(page, start, end, **options):
    page.mouse.move(*start)
    page.mouse.down(**options)
    page.mouse.move(*end, steps=6)
    page.mouse.up(**options)


def middle(page, pane: int, dx: float = 0, dy: float = 0) -> tuple[float, float]:
    box = page.locator(f"[data-pane=pane{pane}] .film").bounding_box()
    return box["x"] + box["width"] / 2 + dx, box["y"] + box["height"] / 2 + dy


def test_dragging_windows_all_linked_panes(page):
    with make_harness(make_films()) as harness:
        open_harness(page, harness)
        page.evaluate("() => { root.viewer.memory.overlay = false; }")
        before = [read(page, pane, 10, 10, 60, 60) for pane in (0, 1)]
        drag(page, middle(page, 0), middle(page, 0, 60, 40))
        assert all((read(page, pane, 10, 10, 60, 60) != before[pane]).any() for pane in (0, 1))


LEAVE = {
    "a click beside": lambda page: page.locator("#beside").click(),
    "the tabulator": lambda page: page.locator("#beside").focus(),
    "a key of the page": lambda page: page.keyboard.press("j"),
    "a decision": lambda page: page.keyboard.press("Shift+Digit3"),
}


@pytest.mark.parametrize("leave", LEAVE)
def test_the_view_is_told_once_when_the_hand_goes_elsewhere(page, leave):
    with make_harness(make_films(), values=make_map()) as harness:
        open_harness(page, harness)
        page.evaluate("""() => { const button = document.createElement("button"); button.id = "beside";
          document.body.append(button); window.told = [];
          root.viewer.setState = (name, value) => window.told.push([name, value]); }""")
        drag(page, middle(page, 0), middle(page, 0, 60, 40))
        page.mouse.wheel(0, -300)
        for key in ("o", "c", "n", ".", "+", "ArrowLeft", "Tab"):
            page.keyboard.press(key)
        page.locator("[data-slider=opacity]").fill("80")
        page.wait_for_timeout(600)
        assert page.evaluate("window.told") == []
        LEAVE[leave](page)
        ((name, view),) = page.evaluate("window.told")
        assert name == "view" and set(view["panes"]) == {"pane0", "pane1"}
        assert view["opacity"] == 0.8 and not view["overlay"] and view["contour"]
        LEAVE[leave](page)
        assert len(page.evaluate("window.told")) == 1, "it did not change"


def test_zoom_keeps_the_point_under_the_pointer_in_all_linked_panes(page):
    with make_harness(make_films()) as harness:
        open_harness(page, harness)
        page.evaluate("() => { root.viewer.memory.overlay = false; }")
        x, y = middle(page, 0, 35, -20)
        page.mouse.click(x, y)
        where = (
            "(n) => { const p = root.viewer.panes[n], v = p.state.view;"
            " const s = (Math.min(p.rect.width, p.rect.height) / 256) * v.zoom;"
            " return [v.x * 256 + 35 / s, v.y * 256 - 20 / s]; }"
        )
        before = [page.evaluate(where, pane) for pane in (0, 1)]
        page.mouse.wheel(0, -500)
        page.wait_for_function("root.viewer.panes[1].state.view.zoom > 1.5")
        for pane in (0, 1):
            assert np.allclose(page.evaluate(where, pane), before[pane], atol=0.6)


def test_unlinked_panes_move_alone_and_keep_their_offset_when_linked_again(page):
    with make_harness(make_films()) as harness:
        open_harness(page, harness)
        page.keyboard.press("k")
        drag(page, middle(page, 0), middle(page, 0, 40, 0), button="right")
        offset = "() => root.viewer.panes[0].state.view.x - root.viewer.panes[1].state.view.x"
        held = page.evaluate(offset)
        assert abs(held) > 0.05
        page.keyboard.press("k")
        drag(page, middle(page, 1), middle(page, 1, 0, 30), button="right")
        assert page.evaluate("root.viewer.panes[0].state.view.y") != 0.5
        assert abs(page.evaluate(offset) - held) < 1e-9


def test_a_region_comes_back_in_film_pixels(page):
    with make_harness(make_films()) as harness:
        open_harness(page, harness)
        page.locator("[data-act=region]").click()
        drag(page, middle(page, 0, -50, -40), middle(page, 0, 30, 60))
        (decision,) = page.evaluate("window.states.decisions")
        scale = page.evaluate("Math.min(root.viewer.panes[0].rect.width, root.viewer.panes[0].rect.height) / 256")
        expected = [128 - 50 / scale, 128 - 40 / scale, 128 + 30 / scale, 128 + 60 / scale]
        assert decision["name"] == "region" and np.allclose(decision["box"], expected, atol=2)


def test_keys(page):
    with make_harness(make_films(), values=make_map()) as harness:
        open_harness(page, harness)
        page.keyboard.press("2")
        page.keyboard.press("Shift+Digit4")
        page.keyboard.press("Shift+Digit2")
        decisions = page.evaluate("window.states.decisions")
        assert [(one["name"], one["pane"], one["rating"]) for one in decisions] == [
            ("rated", "pane1", 4),
            ("rated", "pane1", 2),
        ]
        plain, inverted = read(page), None
        page.keyboard.press("i")
        inverted = read(page)
        assert (plain != inverted).any() and page.evaluate("root.viewer.memory.invert")
        page.keyboard.press("i")
        page.keyboard.down("Space")
        without = read(page)
        page.keyboard.up("Space")
        assert (without != plain).any() and (read(page) == plain).all(), "space hides the overlay while it is held"
        page.keyboard.press("o")
        assert (read(page) == without).all()
        page.keyboard.press("?")
        assert page.locator("dialog.help").is_visible()
        page.keyboard.press("Escape")
        page.keyboard.press("l")
        page.mouse.move(*middle(page, 0))
        page.mouse.move(*middle(page, 0, 3, 3))
        assert page.locator("canvas.lens").is_visible()


def test_a_ring_shows_what_the_keyboard_chose_and_no_ring_what_the_mouse_did(page):
    with make_harness(make_films()) as harness:
        open_harness(page, harness)
        ring = (
            "() => { const style = getComputedStyle(root.querySelectorAll('.pane')[1]);"
            " return [style.outlineStyle, style.outlineWidth]; }"
        )
        page.mouse.click(*middle(page, 1))
        assert page.evaluate(ring)[0] == "none"
        page.keyboard.press("2")
        assert page.evaluate("root.getRootNode().activeElement.dataset.pane") == "pane1"
        assert page.evaluate(ring) == ["solid", "2px"]


def test_orientation_is_readable_on_a_white_film(page):
    with make_harness([np.ones((SIDE, SIDE), np.float32)]) as harness:
        open_harness(page, harness)
        styles = (
            "() => { const style = getComputedStyle(root.querySelector('.unverified'));"
            " return [style.color, style.backgroundColor]; }"
        )
        ink, ground = (
            [float(one) for one in text[text.index("(") + 1 : -1].split(",")] for text in page.evaluate(styles)
        )
        seen = [255 * (1 - ground[3]) + one * ground[3] for one in ground[:3]]
        light, dark = (0.05 + np.dot([0.2126, 0.7152, 0.0722], (np.array(one[:3]) / 255) ** 2.2) for one in (ink, seen))
        assert light / dark > 4.5, "the contrast that is asked of small text"


@pytest.mark.parametrize(("width", "columns"), [(1280, 3), (2560, 4)])
def test_more_cases_stand_in_a_row_on_a_wide_screen(page, width, columns):
    page.set_viewport_size({"width": width, "height": 1080})
    with make_harness(make_films(count=8)) as harness:
        open_harness(page, harness)
        page.evaluate(
            "() => { const data = root.viewer.data; window.start({ ...data,"
            " panes: data.panes.map((pane, number) => ({ ...pane, lead: number < 2 })) }); }"
        )
        tops = page.evaluate("[...root.querySelectorAll('.rest .pane')].map(p => p.getBoundingClientRect().top)")
        assert tops.count(tops[0]) == columns


def save_picture(page) -> np.ndarray:
    """The saved PNG, uint8 (H, W, 3), red first."""
    with page.expect_download() as caught:
        page.locator("[data-act=save]").click()
    assert caught.value.suggested_filename == "films.png"
    return cv2.imread(str(caught.value.path()))[..., ::-1]


def test_the_picture_is_saved_with_its_notice(page):
    with make_harness(make_films(), notice="For research.") as harness:
        open_harness(page, harness)
        assert (save_picture(page)[-20:] > 200).any()


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


def test_keys_change_width_and_level(page):
    with make_harness(make_films()) as harness:
        open_harness(page, harness)
        shown = "() => { root.viewer.paint(); return root.viewer.panes.map(p => p.look.window); }"
        for key, name, sign in (("n", "width", -1), ("w", "width", 1), (",", "centre", -1), (".", "centre", 1)):
            before = page.evaluate(shown)
            page.keyboard.press(key)
            for one, other in zip(before, page.evaluate(shown), strict=True):
                assert (other[name] - one[name]) * sign > 0.01
                (left,) = {"width", "centre"} - {name}
                assert abs(other[left] - one[left]) < 1e-9


def test_a_region_is_drawn_by_keys(page):
    with make_harness(make_films()) as harness:
        open_harness(page, harness)
        drawn = "root.viewer.drawing?.region.map(Math.round)"
        page.keyboard.press("2")  # a pane without region: the box goes to the one that has it
        page.keyboard.press("b")
        assert page.evaluate(drawn) == [85, 85, 171, 171]
        page.evaluate("root.viewer.paint()")
        assert page.locator("[data-pane=pane0] .box").is_visible()
        page.keyboard.press("Escape")
        assert page.evaluate("root.viewer.drawing") is None and page.evaluate("window.states.decisions") is None
        page.keyboard.press("b")
        page.keyboard.press("ArrowLeft")
        page.keyboard.press("ArrowDown")
        page.keyboard.press("Shift+ArrowRight")
        for _ in range(60):
            page.keyboard.press("Shift+ArrowUp")
        page.evaluate("async () => window.start(await (await fetch('./data.json')).json())")  # the page runs again
        page.keyboard.press("Enter")
        (decision,) = page.evaluate("window.states.decisions")
        left, top, right, bottom = decision["box"]
        assert (decision["name"], decision["pane"]) == ("region", "pane0")
        assert np.allclose([left, right, top, bottom], [80, 171, 90, 98], atol=1)
        assert page.evaluate("root.viewer.drawing") is None


def test_a_click_does_not_take_a_box_of_the_keyboard(page):
    with make_harness(make_films()) as harness:
        open_harness(page, harness)
        page.locator("[data-act=region]").click()
        page.keyboard.press("b")
        page.mouse.click(*middle(page, 0))
        assert page.evaluate("window.states.decisions") is None


def test_a_film_that_is_gone_is_one_sentence(open_window):
    page = open_window(expected="/media/")
    harness = make_harness(make_films())
    for path in [path for path in harness.files if path.startswith("/media/")]:
        del harness.files[path]
    with harness:
        page.goto(harness.url)
        page.get_by_text("could not be loaded").first.wait_for(timeout=10_000)
