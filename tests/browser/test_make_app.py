"""`make app` as a newcomer types it: the demonstration with the starter models, then a real film of one's own."""

from __future__ import annotations

import os
import signal
import subprocess

import pytest

from scripts.chromium import find_port, remember_reader, wait_for_server
from tests.browser.conftest import ROOT
from tests.browser.test_application import wait_for_panes

pytestmark = pytest.mark.browser
TIME = 180_000


@pytest.fixture(scope="module")
def made(chromium):
    """The address that `make app` serves; its demonstration is built where there is none yet, and kept."""
    port = find_port()
    environment = {**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3"}
    process = subprocess.Popen(["make", "app", f"PORT={port}"], cwd=ROOT, env=environment, start_new_session=True)
    address = f"http://127.0.0.1:{port}"
    wait_for_server(process, address, 400)
    yield address
    os.killpg(process.pid, signal.SIGTERM)
    process.wait(30)


def read_viewer(page) -> dict:
    """Titles, lines and probabilities of the panes as they stand on the page."""
    return page.evaluate(
        """() => [...document.querySelectorAll('[data-testid=stBidiComponentIsolated]')].map(host => {
          const found = host.shadowRoot?.querySelector('.viewer')?.viewer;
          return found && { panes: found.data.panes.map(p => ({ lead: p.lead, lines: p.lines, bars: p.bars, map: !!p.map })) };
        }).find(one => one && one.panes.length > 2)"""  # noqa: E501
    )


def check_answer(page) -> dict[str, float]:
    """Eight simulated cases with their maps and the starter's probabilities, which are returned."""
    wait_for_panes(page, 9)
    page.locator("[data-act=case-maps][aria-pressed=false]").click(timeout=TIME)  # drawn when asked for
    page.locator("[data-act=case-maps][aria-pressed=true]").wait_for(timeout=TIME)
    panes = read_viewer(page)["panes"]
    cases = [pane for pane in panes if not pane["lead"]]
    assert len(cases) == 8 and all(pane["map"] for pane in panes[1:])
    assert all("simulated" in " ".join(pane["lines"]) for pane in cases)
    page.get_by_text("These neighbours are simulated films").wait_for(timeout=TIME)
    probabilities = {bar["name"]: bar["value"] for bar in panes[0]["bars"]}
    assert {"Effusion", "Cardiomegaly", "Pneumothorax", "Consolidation", "No Finding"} <= set(probabilities)
    assert all(0 < value < 1 for value in probabilities.values())
    return probabilities


def test_make_app_answers_a_demonstration_film_and_a_real_one(page, made, nih_directory):
    remember_reader(page.context, made, "R1")
    page.goto(made)
    page.locator(".st-key-demonstration_sim_7100000 button").click(timeout=TIME)
    drawn = check_answer(page)
    film = sorted((nih_directory / "images").glob("*.png"))[-1]
    page.goto(made)  # a new session
    page.locator("input[type=file]").first.set_input_files(str(film), timeout=TIME)
    assert check_answer(page) != drawn, "another film has other probabilities"
