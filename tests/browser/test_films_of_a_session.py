"""Films of one session, each brought in another way: the one that was asked for, and nothing of the one before."""

from __future__ import annotations

import re

import pytest

from scripts.chromium import remember_reader
from tests.browser.conftest import find_log, start_server
from tests.browser.test_application import (
    TIME,
    VIEWER,
    accept,
    choose_count,
    make_dicom,
    open_drawer,
    order,
    wait_for_panes,
)

pytestmark = pytest.mark.browser
WAYS = ("upload on the first page", "tile", "address")
FILM_OF = f"({VIEWER})().panes[0].film.hash"


@pytest.fixture(scope="module")
def shown(chromium, tmp_path_factory):
    """The application with seven demonstration films, over the stand-in: (address, file of what the server logs)."""
    from icbir_core.radiograph.writing import write_lossless
    from tests.helpers import fakes

    workspace = fakes.make_workspace(tmp_path_factory.mktemp("shown") / "workspace")
    for number in range(2, 8):
        write_lossless(fakes.make_radiograph(100 + number), workspace.path / "queries" / f"effusion_{number}.png")
    process, address = start_server(workspace.path, "--fake", "--pause", "0.8")
    yield address, find_log(address.rsplit(":", 1)[1])
    process.terminate()
    process.wait(20)


def drop(place, *names: str) -> None:
    """Upload films, each drawn from its name."""
    place.locator("input[type=file]").first.set_input_files(
        [
            {"name": name, "mimeType": "application/octet-stream", "buffer": make_dicom(sum(name.encode()))}
            for name in names
        ]
    )


def open_menu(page):
    page.get_by_role("button", name="Film", exact=True).click()
    body = page.get_by_test_id("stPopoverBody")
    body.wait_for(timeout=TIME)
    return body


def wait_for_another(page, former: str | None) -> str:
    """Until another film than `former` stands there with its cases; its hash."""
    another = f"(was) => {{ const v = ({VIEWER})(); return v?.panes.length === 9 && v.panes[0].film.hash !== was; }}"
    page.wait_for_function(another, arg=former, timeout=TIME)
    wait_for_panes(page, 9)
    return page.evaluate(FILM_OF)


def begin(page, address: str, way: str) -> str:
    if way == "address":
        remember_reader(page.context, address, "R1")
        page.goto(f"{address}/?film=case_011")
    else:
        accept(page, address)
        if way == "tile":
            page.get_by_role("button", name="Effusion 3").click()
        else:
            drop(page, "first.dcm")
    return wait_for_another(page, None)


@pytest.mark.parametrize("way", WAYS)
def test_five_films_of_a_session_are_each_what_the_menu_says(page, shown, way):
    address, _ = shown
    films = {{"tile": "Effusion 3", "address": "case_011"}.get(way, "first.dcm"): begin(page, address, way)}
    for name in ("second.dcm", "Effusion 5", "case_007", "third.dcm"):
        menu = open_menu(page)
        if name.endswith(".dcm"):
            drop(menu, name)
        elif name.startswith("case"):
            menu.get_by_role("textbox", name="Catalogue case").fill(name)
            menu.get_by_role("textbox", name="Catalogue case").press("Enter")
            menu.get_by_role("button", name="Search with this case").click()
        else:
            menu.get_by_role("combobox", name="Demonstration film").click()
            page.get_by_role("option", name=name, exact=True).click()
        films[name] = wait_for_another(page, list(films.values())[-1])
    assert len(set(films.values())) == 5
    for name in ("second.dcm", *list(films)[::-1], "case_007"):
        before = page.evaluate(FILM_OF)
        menu = open_menu(page)
        page.wait_for_timeout(1500)
        assert page.evaluate(FILM_OF) == before and menu.is_visible(), "to look into the menu changes nothing"
        chooser = menu.get_by_role("combobox", name=re.compile("Films of this session"))
        chooser.click()
        assert page.get_by_role("option").all_inner_texts() == list(films), "in the order in which they came"
        page.get_by_role("option", name=name, exact=True).click()
        if films[name] == before:
            page.keyboard.press("Escape")
        else:
            assert wait_for_another(page, before) == films[name]


def test_films_that_are_dropped_together_keep_their_order(page, shown):
    address, _ = shown
    accept(page, address)
    drop(page, "a.dcm", "b.dcm", "c.dcm")
    wait_for_another(page, None)
    open_menu(page).get_by_role("combobox", name=re.compile("Films of this session")).click()
    assert page.get_by_role("option").all_inner_texts() == ["a.dcm", "b.dcm", "c.dcm"]


WATCH = """() => {
  window.seen = [];
  const look = () => {
    const viewers = [...document.querySelectorAll('[data-testid=stBidiComponentIsolated]')]
      .map(host => host.shadowRoot?.querySelector('.viewer')).filter(root => root?.getClientRects().length);
    const films = viewers.flatMap(root => root.viewer?.panes.map(pane => pane.film.hash) ?? []);
    const tiles = [...document.querySelectorAll('[class*=st-key-tile_]')].filter(one => one.getClientRects().length);
    window.seen.push({ films, tiles: tiles.length, text: document.querySelector('.stMain').innerText });
    window.watching = setTimeout(look, 30);
  };
  look();
}"""


def watch_until_another(page, former: str | None, bring) -> tuple[str, list[dict]]:
    """Bring a film; its hash, and what was on the screen from when it stood there alone until its cases came."""
    page.evaluate(WATCH)
    bring()
    new = wait_for_another(page, former)
    seen = page.evaluate("() => { clearTimeout(window.watching); return window.seen; }")
    first = next((at for at, one in enumerate(seen) if one["films"] == [new]), None)
    assert first is not None, "the film stands there before its cases"
    return new, [one for one in seen[first:] if one["films"] != [] and len(one["films"]) < 9]


@pytest.mark.parametrize("way", ["tile", "upload on the first page"])
def test_the_first_page_is_gone_once_a_film_is_searched(page, shown, way):
    address, _ = shown
    accept(page, address)
    tile = page.get_by_role("button", name="Effusion 4")
    bring = tile.click if way == "tile" else lambda: drop(page, "mine.dcm")
    _, seen = watch_until_another(page, None, bring)
    assert seen and all(one["tiles"] == 0 for one in seen)
    assert not any("demonstration film" in one["text"] for one in seen)


def test_nothing_of_the_former_film_stays_while_another_is_searched(page, shown):
    address, _ = shown  # with films that no test searched before: the server remembers what it found
    remember_reader(page.context, address, "R1")
    page.goto(f"{address}/?film=effusion_6")
    former = wait_for_another(page, None)
    page.get_by_text("Neighbours:").first.wait_for(timeout=TIME)
    for bring in ("upload", "demonstration"):
        menu = open_menu(page)

        def choose(menu=menu, bring=bring) -> None:
            if bring == "upload":
                drop(menu, "another.dcm")
            else:
                menu.get_by_role("combobox", name="Demonstration film").click()
                page.get_by_role("option", name="Effusion 7", exact=True).click()

        new, seen = watch_until_another(page, former, choose)
        assert seen and all(one["films"] == [new] for one in seen), "no film but hers"
        for words in ("Neighbours:", "About this film", "Export"):  # her settings stay hers
            assert not any(words in one["text"] for one in seen), words
        former = new


def test_back_from_compare_is_one_press_and_forward_leads_there_again(page, shown):
    address, _ = shown
    accept(page, address)
    drop(page, "first.dcm")
    film = wait_for_another(page, None)
    choose_count(page, 5)
    page.wait_for_function(f"({VIEWER})()?.panes.length === 6", timeout=TIME)
    wait_for_panes(page, 6)
    first = order(page)
    page.locator("[data-open]").first.click()
    page.wait_for_url("**/compare**", timeout=TIME)
    page.locator(f'.full [data-pane="{first[0]}"]').wait_for(timeout=TIME)  # a key pressed before it is nobody's
    for case in (*first[1:4], first[2]):
        page.keyboard.press("ArrowLeft" if case == first[2] and f"case={first[3]}" in page.url else "ArrowRight")
        page.locator(f'.full [data-pane="{case}"]').wait_for(timeout=TIME)
        page.wait_for_url(f"**/compare?**case={case}**", timeout=TIME)
    page.go_back()
    page.wait_for_url(re.compile(r":\d+/\?"), timeout=TIME)
    wait_for_panes(page, 6)
    assert page.evaluate(FILM_OF) == film and order(page) == first
    page.go_forward()
    page.locator(f'.full [data-pane="{first[2]}"]').wait_for(timeout=TIME)
    assert f"case={first[2]}" in page.url


def test_the_case_that_bears_the_digit_is_rated_with_maps_and_without(page, shown):
    address, _ = shown
    accept(page, address)
    drop(page, "rated.dcm")
    wait_for_another(page, None)
    first = order(page)
    for digit, rating in ((3, 4), (2, 5)):
        if digit == 2:
            open_drawer(page).get_by_role("combobox", name="Heat map").click()
            page.get_by_role("option", name="None", exact=True).click()
            page.keyboard.press("Escape")
            page.locator("[data-pane=query] .chip").wait_for(state="detached", timeout=TIME)
            wait_for_panes(page, 9)
            page.locator("[data-pane=query] .film").click()  # the keys are the viewer's again
        assert page.locator(f'[data-pane="{first[digit - 1]}"] .badge').inner_text() == str(digit)
        page.keyboard.press(str(digit))
        page.keyboard.press(f"Shift+Digit{rating}")
        page.locator(f'[data-pane="{first[digit - 1]}"] [data-rating="{rating}"][aria-checked=true]').wait_for(
            timeout=TIME
        )
    assert page.locator("[role=radio][data-rating][aria-checked=true]").count() == 2
    page.keyboard.press("q")
    assert page.evaluate(f"({VIEWER})().memory.chosen") == "query"


def test_the_file_name_of_an_upload_is_in_no_picture_export_or_title(page, shown, tmp_path):
    address, log = shown
    accept(page, address)
    drop(page, "Mustermann_Erika.dcm")
    wait_for_another(page, None)
    assert "Mustermann" not in page.content() + "".join(page.evaluate(f"({VIEWER})().panes.map(p => p.title)"))
    assert page.title() == "ICBIR" and "Mustermann" not in page.url
    with page.expect_download() as caught:
        page.locator("[data-act=save]").click()
    assert re.fullmatch(r"icbir-[-\d]+\.png", caught.value.suggested_filename)
    page.get_by_role("button", name="Export").click()
    for label in ("Report (HTML)", "Ranking (CSV)", "Ranking (JSON)"):
        with page.expect_download() as caught:
            page.get_by_role("button", name=label).click()
        told = caught.value.path().read_bytes() + caught.value.suggested_filename.encode()
        assert b"Mustermann" not in told, label
    page.keyboard.press("Escape")
    page.locator("[data-open]").first.click()
    page.wait_for_url("**/compare**", timeout=TIME)
    wait_for_panes(page, 2)
    assert "Mustermann" not in page.evaluate(f"({VIEWER})().root.innerText") + page.content()
    assert "Mustermann" not in log.read_text(encoding="utf-8", errors="replace")


def test_the_findings_of_the_filter_are_what_was_clicked(page, shown):
    address, _ = shown
    remember_reader(page.context, address, "R1")
    page.goto(f"{address}/?film=effusion_2")
    wait_for_another(page, None)
    body = open_drawer(page)
    present, absent = (
        body.locator("[data-testid=stButtonGroup]").filter(has_text=f"Findings {word}")
        for word in ("present", "absent")
    )
    present.get_by_role("button", name="Cardiomegaly").click()
    page.get_by_text("5 of 14 cases eligible").wait_for(timeout=TIME)
    absent.get_by_role("button", name="Cardiomegaly").click()
    page.get_by_text("9 of 14 cases eligible").wait_for(timeout=TIME)
    assert "Cardiomegaly absent" in page.evaluate("new URLSearchParams(location.search).get('search')")
    page.reload()
    page.get_by_text("9 of 14 cases eligible").wait_for(timeout=TIME)


def test_a_selection_of_many_cases_writes_no_trace_to_the_log(page, shown):
    address, log = shown
    remember_reader(page.context, address, "R1")
    page.goto(f"{address}/catalogue")
    page.get_by_role("tab", name="Embeddings").click()
    plot = page.locator(".stPlotlyChart .nsewdrag").last
    plot.wait_for(timeout=TIME)
    page.wait_for_timeout(1500)
    box = plot.bounding_box()
    corners = [(0.01, 0.01), (0.99, 0.01), (0.99, 0.99), (0.01, 0.99), (0.01, 0.02)]
    places = [(box["x"] + x * box["width"], box["y"] + y * box["height"]) for x, y in corners]
    page.mouse.move(*places[0])
    page.mouse.down()
    for place in places[1:]:
        page.mouse.move(*place, steps=8)
    page.mouse.up()
    page.get_by_text("cases 1–8 of 14").wait_for(timeout=TIME)
    page.get_by_role("button", name="Page 2").click()
    page.get_by_text("cases 9–14 of 14").wait_for(timeout=TIME)
    said = log.read_text(encoding="utf-8", errors="replace")
    assert "Traceback" not in said and "Stack (most recent call last)" not in said, said[-3000:]
