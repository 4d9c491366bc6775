"""The pages in German in a real window: everything fits, and the menu at the foot changes the language at once."""

from __future__ import annotations

import pytest

from icbir_ui.language import COOKIE
from icbir_ui.theme import COLOURS
from scripts.chromium import remember_reader
from tests.browser.test_application import TIME, wait_for_panes
from tests.browser.test_room import BEYOND, find_boxes

pytestmark = pytest.mark.browser
WIDER = "() => { const main = document.querySelector('.stMain'); return main.scrollWidth - main.clientWidth; }"
CUT = """() => [...document.querySelectorAll('.stMain button p, .stMain [role=tab] p, .stMain label p')]
  .filter((one) => one.offsetParent && (one.scrollWidth > one.clientWidth + 1
    || one.getBoundingClientRect().right > innerWidth + 1)).map((one) => one.textContent)"""
"""Words of buttons, tabs and labels that do not fit."""
WRITTEN = "(one) => [getComputedStyle(one).fontSize, getComputedStyle(one, '::after').content]"
COLOUR = "(one) => getComputedStyle(one).color.match(/[0-9]+/g).map(Number)"
PAGES = ("Bewerten", "Ergebnisse", "Katalog", "PACS", "Über ICBIR")


@pytest.fixture
def german(page, served):
    """The page Search in German, with a film and its cases."""
    address, _ = served
    remember_reader(page.context, address, "R1")
    page.context.add_cookies([{"name": COOKIE, "value": "de", "url": address}])
    page.goto(f"{address}/?film=effusion_1")
    wait_for_panes(page, 9)
    return page


def test_german_fits_into_every_page(german):
    page = german
    film, answer = find_boxes(page, "[data-pane=query] .film")[0], find_boxes(page, ".answer")[0]
    toolbar = find_boxes(page, ".toolbar > *")
    assert page.evaluate(BEYOND) <= 0 and page.evaluate(WIDER) <= 0, "her film and eight cases without scrolling"
    assert max(film[2], answer[2], toolbar[:, 2].max()) <= 1280 and len(find_boxes(page, ".rest figure")) == 8
    assert page.evaluate("() => document.documentElement.lang") == "de"
    page.get_by_role("button", name="Aufnahme", exact=True).click()
    for place, words in (("button p", "Dateien wählen"), ("[data-testid$=Instructions] span", "je bis zu 200 MB")):
        shown = page.locator(f"[data-testid=stFileUploaderDropzone] {place}").first
        assert shown.evaluate(WRITTEN) == ["0px", f'"{words}"'], "in the place of Streamlit's own words"
    page.keyboard.press("Escape")
    page.get_by_role("button", name="Über diese Aufnahme").click()
    label = page.locator(".icbir-facts th").first
    assert bytes(label.evaluate(COLOUR)).hex() == COLOURS["quiet"][1][1:], "the dark page's colours in a menu too"
    page.keyboard.press("Escape")
    link = page.get_by_role("link", name="Katalog", exact=True)
    link.focus()
    assert link.evaluate("(one) => getComputedStyle(one).outlineStyle") == "solid", "where the tabulator is, is seen"
    for name in PAGES:
        page.get_by_role("link", name=name, exact=True).first.click()
        page.get_by_text("nicht zur Diagnose").first.wait_for(timeout=TIME)
        page.locator("[data-testid=stStatusWidget]").wait_for(state="detached", timeout=TIME)
        assert page.evaluate(WIDER) <= 0 and page.evaluate(CUT) == [], name


def test_the_language_changes_at_once_and_the_film_stays(german):
    page = german
    cases = page.locator(".rest figure").evaluate_all("(all) => all.map((one) => one.dataset.pane)")
    assert page.locator(".toolbar [data-act=loupe]").get_attribute("title") == "Lupe (L)"
    page.get_by_role("button", name="Deutsch", exact=True).click()
    page.get_by_role("button", name="English", exact=True).click()
    page.get_by_text("not for diagnosis").first.wait_for(timeout=TIME)
    page.locator(".toolbar [data-act=loupe][title='Loupe (L)']").wait_for(timeout=TIME)
    wait_for_panes(page, 9)
    assert page.locator(".rest figure").evaluate_all("(all) => all.map((one) => one.dataset.pane)") == cases
    page.wait_for_function("document.cookie.includes('icbir_language=en')", timeout=TIME)
