"""Several readers want the networks at once: one is served, the others see the queue, each gets her own answer."""

from __future__ import annotations

import pytest
from conftest import start_server
from test_application import TIME, VIEWER, accept, make_dicom, order, wait_for_panes

pytestmark = pytest.mark.browser
SEEDS = (4, 7, 9)
ALONE = "() => { const v = (VIEWER)(); return v && v.panes.length === 1 && v.panes[0].pixels; }"


@pytest.fixture
def slow(chromium, tmp_path):
    """The application over a stand-in whose search takes three seconds."""
    import fakes

    workspace = fakes.make_workspace(tmp_path / "workspace")
    process, address = start_server(workspace.path, "--fake", "--pause", "3")
    yield address, workspace
    process.terminate()
    process.wait(20)


@pytest.fixture
def windows(open_window):
    """Three readers, each with a browser context of her own."""
    return [open_window() for _ in SEEDS]


def test_one_who_waits_sees_her_film_and_the_queue_and_everyone_gets_her_own_ranking(slow, windows):
    import fakes

    from icbir_core.radiograph.reading import read_radiograph
    from icbir_core.settings import SearchSettings
    from icbir_core.types import Query

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
        wait_for_panes(page, 10)
        expected = alone.search(Query("film", read_radiograph(film)), SearchSettings(top_k=8, target="Effusion"))
        assert order(page) == [hit.case.case_id for hit in expected.hits]
