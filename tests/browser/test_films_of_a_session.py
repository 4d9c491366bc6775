"""Films of one session, each brought in another way: the one that was asked for, and nothing of the one before."""

from __future__ import annotations

import re

import pytest

from scripts.chromium import remember_reader
from tests.browser.conftest import find_log, start_server
from tests.browser.test_application import TIME, VIEWER, accept, make_dicom, wait_for_panes

pytestmark = pytest.mark.browser
WAYS = ("upload on the first page", "tile", "address")
FILM_OF = f"({VIEWER})().panes[0].film.hash"


@pytest.fixture(scope="module")
def shown(chromium, tmp_path_factory):
    """The application with five demonstration films, over the stand-in: (address, file of what the server logs)."""
    from icbir_core.radiograph.writing import write_lossless
    from tests.helpers import fakes

    workspace = fakes.make_workspace(tmp_path_factory.mktemp("shown") / "workspace")
    for number in range(2, 6):
        write_lossless(fakes.make_radiograph(100 + number), workspace.path / "queries" / f"effusion_{number}.png")
    process, address = start_server(workspace.path, "--fake", "--pause", "0.4")
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
    another = f"(was) => {{ const v = ({VIEWER})(); return v?.panes.length === 10 && v.panes[0].film.hash !== was; }}"
    page.wait_for_function(another, arg=former, timeout=TIME)
    wait_for_panes(page, 10)
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
