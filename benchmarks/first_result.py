"""The first result in Chromium: from a click on a film until all panes are painted, compared with the retriever alone.

python benchmarks/first_result.py WORKSPACE [--films 10] [--servers 5] [--former CHECKOUT]

Cold, once for each of `--servers`: a fresh server that has loaded no network, from the address entered in a browser
with an empty cache, a film clicked as soon as it is offered, until its panes are painted; compared with a fresh process
from the import of the `Retriever` to the answer. Warm, once for each of `--films`: each film is searched once by a new
reader on the page and once by the `Retriever` in this process, in turns; both have their networks loaded and have
answered one film before. Both read the film's file, rank it, and take its map, as the page does; cases have maps once
she asks for them. No film is searched twice by either. With `--former` the page of another checkout is asked for each
warm film too, in turns with this one. *Ranking* is when the cases stand with their captions, before their films are
painted.
"""

from __future__ import annotations

import os
import random
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
from first_page import ROOT, read_arguments, start, stop
from playwright.sync_api import Browser, sync_playwright
from processor import describe_processor

from icbir_core.catalogue import Workspace
from icbir_core.radiograph.reading import read_radiograph
from icbir_core.saliency.methods import FIRST_MAP
from icbir_core.settings import SearchSettings
from icbir_core.types import Query
from icbir_ui.films import list_demonstration
from icbir_ui.search.welcome import SHOWN
from scripts.chromium import ARGUMENTS, CHROMIUM, find_port, remember_reader

CASES = 8
RANKED = """(least) => [...document.querySelectorAll('[data-testid=stBidiComponentIsolated]')].some(host => {
  const v = host.shadowRoot?.querySelector('.viewer')?.viewer;
  return v && v.panes.filter(p => p.openable).length >= least; })"""
PAINTED = """(least) => [...document.querySelectorAll('[data-testid=stBidiComponentIsolated]')].some(host => {
  const v = host.shadowRoot?.querySelector('.viewer')?.viewer;
  return v && v.panes.filter(p => p.openable).length >= least && v.panes[0].steps && !v.pending
    && v.panes.every(p => p.pixels && p.rect && (p.steps || !p.map)); })
"""


def ask_page(browser: Browser, address: str, name: str, cold: bool = False) -> tuple[float, float]:
    """Seconds from a new reader's click on a film until the ranking stands, and until every pane is painted; cold: from
    her entering the address."""
    context = browser.new_context(viewport={"width": 1280, "height": 720})
    remember_reader(context, address, "R1")
    page = context.new_page()
    before = time.perf_counter()
    page.goto(address)
    button = page.locator(f".st-key-demonstration_{name} button")
    button.wait_for(timeout=120_000)
    if not cold:
        page.get_by_text("networks are loading").wait_for(state="detached", timeout=120_000)
        page.wait_for_timeout(1000)
        before = time.perf_counter()
    button.click()
    page.wait_for_function(RANKED, arg=CASES, timeout=120_000, polling=10)
    ranked = time.perf_counter() - before
    page.wait_for_function(PAINTED, arg=CASES, timeout=120_000, polling=10)
    spent = time.perf_counter() - before
    context.close()
    return ranked, spent


def ask_retriever(retriever, path: Path) -> float:
    """Seconds for the same question, from the film's file to its map."""
    before = time.perf_counter()
    query = Query(path.stem, read_radiograph(path))
    ranking = retriever.search(query, SearchSettings(top_k=CASES, target=retriever.default_target))
    retriever.map_of(query, FIRST_MAP, ranking.target)
    return time.perf_counter() - before


def ask_cold_page(browser: Browser, workspace: Path, film: Path) -> float:
    """Seconds of the first reader's first film on a server that was just started."""
    port = find_port()
    process = start([sys.executable, "-m", "icbir_ui.serving", str(port)], workspace, port)
    try:
        return ask_page(browser, f"http://127.0.0.1:{port}/", film.stem, cold=True)[1]
    finally:
        stop(process)


def ask_cold_retriever(workspace: Path, film: Path) -> float:
    """Seconds of the same film in a process of its own, from the import of the retriever."""
    code = (
        "import sys, time; before = time.perf_counter(); import first_result as f; "
        "from pathlib import Path; f.ask_retriever(f.open_retriever(sys.argv[1]), Path(sys.argv[2])); "
        "print(time.perf_counter() - before)"
    )
    command = [sys.executable, "-c", code, str(workspace.absolute()), str(film.absolute())]
    done = subprocess.run(command, check=True, capture_output=True, text=True, cwd=Path(__file__).parent)
    return float(done.stdout.split()[-1])


def open_retriever(workspace: Path | str):
    """The workspace's `Retriever`, imported only here, because the import is a part of a cold start."""
    from icbir_core.retrieval.retriever import Retriever

    return Retriever.open(Workspace.open(Path(workspace)))


def compare(title: str, films: list[Path], ask_one, ask_other) -> None:
    """Ask the page and the retriever each film in turns and print both with their ratio."""
    shown, asked = [], []
    for film in films:
        shown.append(ask_one(film))
        asked.append(ask_other(film))
        print(f"  {title}, {film.stem}: page {shown[-1]:.2f} s, retriever {asked[-1]:.2f} s", flush=True)
    ratios = np.array(shown) / np.array(asked)
    print(f"{title}, {len(films)} films, load average {os.getloadavg()[0]:.1f}: page {np.median(shown):.2f} s, "
          f"retriever {np.median(asked):.2f} s (medians); page / retriever, film by film: "
          f"median {np.median(ratios):.2f} ({ratios.min():.2f} to {ratios.max():.2f})", flush=True)  # fmt: skip


def main() -> None:
    given = read_arguments(__doc__, films=10, servers=5)
    print(describe_processor())
    workspace = Workspace.open(given.workspace)
    first, *films = list_demonstration(workspace)[:SHOWN][: given.films + given.servers + 1]  # those that it can click
    cold, warm = films[: given.servers], films[given.servers :]
    with sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)
        if cold:
            compare("cold", cold, lambda film: ask_cold_page(browser, given.workspace, film),
                    lambda film: ask_cold_retriever(given.workspace, film))  # fmt: skip
        retriever, servers, spent = open_retriever(given.workspace), {}, []
        ask_retriever(retriever, first)
        try:
            for name, root in {"page": ROOT, "former page": given.former}.items():
                if root is not None:
                    port = find_port()
                    command = [sys.executable, "-m", "icbir_ui.serving", str(port)]
                    servers[name] = f"http://127.0.0.1:{port}/", start(command, given.workspace, port, root.resolve())
                    ask_page(browser, servers[name][0], first.stem)
            for film in warm:
                row = {"retriever": ask_retriever(retriever, film)}
                for name in random.Random(film.stem).sample(list(servers), len(servers)):
                    row[f"{name}, ranking"], row[name] = ask_page(browser, servers[name][0], film.stem)
                print("  " + ", ".join(f"{name} {value:.2f} s" for name, value in row.items()), flush=True)
                spent.append(row)
        finally:
            for _, process in servers.values():
                stop(process)
        browser.close()
    held = {name: np.array([row[name] for row in spent]) for name in spent[0]}
    print(f"warm, {len(warm)} films, load average {os.getloadavg()[0]:.1f}; medians in s: "
          + ", ".join(f"{name} {np.median(values):.2f}" for name, values in held.items()))  # fmt: skip
    for name, values in held.items():
        for other in ("retriever", name.replace("page", "former page")):
            if other != name and other in held and not (other != "retriever" and name.startswith("former")):
                ratios = values / held[other]
                print(f"  {name} / {other}: {np.median(ratios):.2f} ({ratios.min():.2f} to {ratios.max():.2f})")


if __name__ == "__main__":
    main()
