"""The first result in Chromium: a click on a film until all panes are painted, beside the engine asked directly.

python benchmarks/first_result.py WORKSPACE [--films 10]

Each film is searched once by a new reader on the page and once by the `Retriever` in this process, the one while the
other is idle, in turns; both have their networks loaded and have answered one film before. Both read the film's file,
rank it, and take the same maps of the film and of its eight cases. No film is asked twice of either.
"""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path

import numpy as np

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "tests" / "browser"), str(ROOT / "benchmarks")]

from conftest import ARGUMENTS, CHROMIUM, find_port  # noqa: E402
from first_page import read_arguments, start, stop  # noqa: E402
from playwright.sync_api import Browser, sync_playwright  # noqa: E402

from icbir_core.catalogue import Workspace  # noqa: E402
from icbir_core.radiograph.reading import read_radiograph  # noqa: E402
from icbir_core.retrieval.retriever import Retriever  # noqa: E402
from icbir_core.settings import SearchSettings  # noqa: E402
from icbir_core.types import Query  # noqa: E402
from icbir_ui.films import list_demonstration  # noqa: E402

CASES, MAP = 8, "deep_taylor"
PAINTED = """(least) => [...document.querySelectorAll('[data-testid=stBidiComponentIsolated]')].some(host => {
  const v = host.shadowRoot?.querySelector('.viewer')?.viewer;
  return v && v.panes.length >= least && !v.pending && v.panes.every(p => p.pixels && p.rect && (p.steps || !p.map)); })
"""


def ask_page(browser: Browser, address: str, name: str) -> float:
    """Seconds from a new reader's click on a film until every pane is painted."""
    context = browser.new_context(viewport={"width": 1280, "height": 720})
    page = context.new_page()
    page.goto(f"{address}?reader=R1")
    button = page.locator(f".st-key-demonstration_{name} button")
    button.wait_for(timeout=120_000)
    page.get_by_text("networks are loading").wait_for(state="detached", timeout=120_000)
    page.wait_for_timeout(1000)
    before = time.perf_counter()
    button.click()
    page.wait_for_function(PAINTED, arg=CASES + 2, timeout=120_000, polling=10)
    spent = time.perf_counter() - before
    context.close()
    return spent


def ask_engine(retriever: Retriever, path: Path) -> float:
    """Seconds for the same question, from the film's file to the last map."""
    before = time.perf_counter()
    query = Query(path.stem, read_radiograph(path))
    ranking = retriever.search(query, SearchSettings(top_k=CASES, target=retriever.default_target))
    for item in (query, *(hit.case for hit in ranking.hits)):
        retriever.map_of(item, MAP, ranking.target)
    return time.perf_counter() - before


def main() -> None:
    given = read_arguments(__doc__, "films", 10)
    workspace = Workspace.open(given.workspace)
    first, *films = list_demonstration(workspace)[: given.films + 1]
    retriever = Retriever.open(workspace)
    ask_engine(retriever, first)
    port = find_port()
    process = start([sys.executable, "-m", "icbir_ui.serving", str(port)], given.workspace, port)
    shown, asked = [], []
    try:
        with sync_playwright() as driver:
            browser = driver.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)
            address = f"http://127.0.0.1:{port}/"
            ask_page(browser, address, first.stem)
            for film in films:
                shown.append(ask_page(browser, address, film.stem))
                asked.append(ask_engine(retriever, film))
                print(f"  {film.stem}: page {shown[-1]:.2f} s, engine {asked[-1]:.2f} s", flush=True)
            browser.close()
    finally:
        stop(process)
    ratios = np.array(shown) / np.array(asked)
    print(f"{len(films)} films, load average {os.getloadavg()[0]:.1f}: page {np.median(shown):.2f} s, engine "
          f"{np.median(asked):.2f} s (medians); page / engine, film by film: median {np.median(ratios):.2f} "
          f"({ratios.min():.2f} to {ratios.max():.2f})")  # fmt: skip


if __name__ == "__main__":
    main()
