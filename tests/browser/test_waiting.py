"""Several readers want the networks at once: one is served, the others see the queue, each gets her own answer."""

from __future__ import annotations

import pytest

from tests.browser.conftest import start_server
from tests.browser.test_application import TIME, VIEWER, accept, choose_count, make_dicom, order, wait_for_panes

pytestmark = pytest.mark.browser
SEEDS = (4, 7, 9)
ALONE = "() => { const v = (VIEWER)(); return v && v.panes.length === 1 && v.panes[0].pixels; }"


@pytest.fixture
def slow(chromium, tmp_path):
    """The application over a stand-in whose search takes three seconds and each map two."""
    from tests.helpers import fakes

    workspace = fakes.make_workspace(tmp_path / "workspace")
    process, address = start_server(workspace.path, "--fake", "--pause", "3", "--map-pause", "2")
    yield address, workspace
    process.terminate()
    process.wait(20)


def test_the_cases_stay_while_another_setting_is_searched(slow, page):
    address, _ = slow
    accept(page, address)
    page.get_by_role("button", name="Effusion 1").click()
    page.wait_for_function(ALONE.replace("VIEWER", VIEWER), timeout=TIME)
    page.evaluate(f"() => {{ globalThis.first = ({VIEWER})(); }}")
    viewer = f"const v = ({VIEWER})(), mapped = Boolean(v?.panes[0]?.steps)"
    told = "document.body.innerText.includes('computing map 1 of 1')"
    page.wait_for_function(f"() => {{ {viewer}; return v?.panes.length === 9 && !mapped && {told}; }}", timeout=TIME)
    page.wait_for_function(f"() => {{ {viewer}; return mapped; }}", timeout=TIME)
    assert page.evaluate(f"first === ({VIEWER})()"), "one viewer, which is given more to show"
    choose_count(page, 12)
    page.get_by_text("Searching …").wait_for(timeout=TIME)
    page.wait_for_timeout(800)
    seen = page.evaluate(
        f"() => {{ const v = ({VIEWER})(); return [v.panes.length, v.root.getClientRects().length]; }}"
    )
    assert seen == [9, 1], "the former cases are still on the screen"
    wait_for_panes(page, 13)


@pytest.fixture
def windows(open_window):
    """Three readers, each with a browser context of her own."""
    return [open_window() for _ in SEEDS]


def test_one_who_waits_sees_her_film_and_the_queue_and_everyone_gets_her_own_ranking(slow, windows):
    from icbir_core.radiograph.reading import read_radiograph
    from icbir_core.settings import SearchSettings
    from icbir_core.types import Query
    from tests.helpers import fakes

    address, workspace = slow
    films = [make_dicom(seed) for seed in SEEDS]
    for page in windows:
        accept(page, address)
    for page, film in zip(windows, films, strict=True):
        page.locator("input[type=file]").set_input_files(
            {"name": "IM000001", "mimeType": "application/octet-stream", "buffer": film}
        )
    last = windows[-1]
    last.get_by_text("You are in a queue:").wait_for(timeout=TIME)
    last.wait_for_function(ALONE.replace("VIEWER", VIEWER), timeout=TIME)
    alone = fakes.FakeRetriever(workspace)
    for page, film in zip(windows, films, strict=True):
        wait_for_panes(page, 9)
        expected = alone.search(Query("film", read_radiograph(film)), SearchSettings(top_k=8, target="Effusion"))
        assert order(page) == [hit.case.case_id for hit in expected.hits]
