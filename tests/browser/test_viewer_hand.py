"""The viewer under the hand: mouse and keys."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from tests.browser.viewer_page import drag, make_films, make_harness, make_map, middle, open_harness, read

pytestmark = pytest.mark.browser


def test_a_double_click_shows_one_film_alone_and_whole(page):
    with make_harness(make_films()) as harness:
        open_harness(page, harness)
        page.locator("[data-pane=pane1] .film").dblclick()
        assert page.evaluate("root.viewer.memory.alone") == "pane1"
        box = page.locator("[data-pane=pane1] .film").bounding_box()
        assert box["y"] >= 0 and box["y"] + box["height"] <= page.viewport_size["height"]
        page.locator("[data-pane=pane1] .film").dblclick()
        assert page.evaluate("root.viewer.memory.alone") is None


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
          root.viewer.setState = (name, value) => name === "view" && window.told.push([name, value]); }""")
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


@pytest.mark.parametrize("by", ["mouse", "keys"])
def test_a_bar_asks_for_a_search_by_its_finding(page, by):
    names = {"Effusion": True, "No Finding": False}
    bars = [dict(name=name, value=0.4, mark=0.3, askable=asks, title=name) for name, asks in names.items()]
    with make_harness(make_films(), values=make_map(), bars=bars) as harness:
        open_harness(page, harness)
        assert page.locator("[data-pane=pane0] button.bar").count() == 1, "what cannot be asked for is no button"
        bar = page.locator("[data-finding=Effusion]")
        if by == "mouse":
            bar.click()
        else:
            bar.focus()
            page.keyboard.press("Enter")
        (decision,) = page.evaluate("window.states.decisions")
        assert (decision["name"], decision["pane"], decision["finding"]) == ("finding", "pane0", "Effusion")
        assert page.evaluate("root.viewer.panes.every(p => p.rect)"), "Enter on it makes no pane stand alone"


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


@pytest.mark.parametrize("painter", ["canvas", "webgl"])
def test_no_film_stays_where_its_pane_is_gone(page, painter):
    page.set_viewport_size({"width": 2560, "height": 1080})
    start = """(count) => { const data = root.viewer.data, panes = data.panes.slice(0, count);
        window.start({ ...data, panes: panes.map((pane, number) => ({ ...pane, lead: number < 2 })) }); }"""
    opaque = """({ left, top, width, height }) => [root.viewer.canvas.height,
        root.viewer.context.getImageData(left + width / 2 | 0, top + height / 2 | 0, 1, 1).data[3]]"""
    tall = [dict(name=f"finding {number}", value=0.4, mark=None, title="") for number in range(40)]
    with make_harness(make_films(count=8), bars=tall) as harness:
        open_harness(page, harness, painter)
        page.evaluate(start, 8)
        page.wait_for_function("!root.viewer.pending && root.viewer.panes.every(p => p.rect && p.pixels)")
        page.wait_for_timeout(300)
        place = page.evaluate("root.viewer.panes[6].rect")
        height, shown = page.evaluate(opaque, place)
        assert shown == 255
        page.evaluate(start, 5)
        page.wait_for_function("!root.viewer.pending && root.viewer.panes.length === 5")
        page.wait_for_timeout(300)
        assert page.evaluate(opaque, place) == [height, 0], "of the same height, so that nothing else wipes it"


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


def test_a_second_window_shows_the_film_in_focus_and_follows_it(page):
    films = make_films()
    with make_harness(films) as harness:
        open_harness(page, harness)
        page.evaluate("() => { const m = root.viewer.memory; m.preset = 'full'; m.overlay = false; }")
        with page.expect_popup() as opened:
            page.locator("[data-act=second]").click()
        second = opened.value
        second.wait_for_function("document.body?.textContent.includes('Case 0')", timeout=10_000)
        assert "orientation unverified" in second.inner_text("body") and second.url == "about:blank"
        for key, film in (("2", films[1]), ("1", films[0])):
            page.keyboard.press(key)
            second.wait_for_function(f"document.body.textContent.includes('Case {int(key) - 1}')", timeout=10_000)
            grey = second.evaluate(
                """() => { const c = document.querySelector('canvas'), side = Math.min(c.width, c.height);
                  const pen = c.getContext('2d'), [x, y] = [c.width, c.height].map(one => (one - side) / 2);
                  const data = pen.getImageData(x, y, side, side).data;
                  return [side, Array.from(data).filter((_, at) => at % 4 === 0)]; }"""
            )
            large = np.reshape(np.array(grey[1], np.float32), (grey[0], grey[0]))
            shown = cv2.resize(large, film.shape[::-1], interpolation=cv2.INTER_AREA).ravel()
            assert np.corrcoef(shown, film.ravel())[0, 1] > 0.9 and grey[0] > 600, "the film itself, drawn large"
        for name, told in (("The case", ["Case 1"]), ("Both", ["Case 0", "Case 1"]), ("My film", ["Case 0"])):
            second.get_by_role("button", name=name).click()
            second.wait_for_function(
                """(told) => told.join() ===
                  [...document.querySelectorAll('figcaption')].map(one => one.textContent.slice(0, 6)).join()""",
                arg=told,
                timeout=10_000,
            )
            assert second.locator("[aria-pressed=true]").inner_text() == name
        second.get_by_role("button", name="Both").click()
        page.keyboard.press("Enter")  # her film alone: the other is hidden on the page, not in the second window
        page.keyboard.press("+")
        page.keyboard.press("Shift+ArrowLeft")
        views = page.evaluate("root.viewer.panes.map(one => Object.values(one.state.view))")
        assert views[0] == views[1] and views[0][0] and np.isfinite(views).all(), "linked, there too"
        page.keyboard.press("Enter")
        page.evaluate("() => root.viewer.close()")
        resize_and_wait = (
            "() => new Promise(done => { window.dispatchEvent(new Event('resize')); setTimeout(done, 300); })"
        )
        for _ in range(2):
            assert not second.locator("canvas").count(), "nothing stays without its page"
            assert not second.inner_text("body").strip(), "nor comes back when the window is made larger"
            second.evaluate(resize_and_wait)
        page.evaluate("() => { const { data } = root.viewer; root.viewer = null; window.start(data); }")
        second.wait_for_function("document.body.textContent.includes('Case 0')", timeout=10_000)
        second.evaluate("() => { document.querySelector('canvas').width = 1; }")
        second.evaluate(resize_and_wait)
        assert second.evaluate("document.querySelector('canvas').width") > 600, "the next viewer follows the window"
