"""Pictures of every page at two sizes: `python -m tests.browser.screenshots FOLDER [--workspace W] [--film NAME]`.

The ratings that the tour gives go to a file of its own, never to those of the workspace.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

from playwright.sync_api import Page, sync_playwright

from scripts.chromium import ARGUMENTS, CHROMIUM, NO_CHROMIUM
from tests.browser.conftest import start_server

SIZES = ((1280, 720), (2560, 1080))
TIME = 400_000


class Camera:
    """One window and the folder that its pictures go to."""

    def __init__(self, page: Page, folder: Path, size: tuple[int, int], film: str):
        self.page, self.folder, self.size, self.film = page, folder, size, film

    def take(self, name: str, wait: int = 1500) -> None:
        """Wait for the page to settle, then write `name-WIDTHxHEIGHT.png`."""
        self.page.wait_for_timeout(wait)
        path = self.folder / f"{name}-{self.size[0]}x{self.size[1]}.png"
        self.page.screenshot(path=str(path))
        print(path)

    def attempt(self, name: str, step: Callable[[], None]) -> None:
        """One picture; a page that fails is told, and the rest goes on."""
        try:
            step()
        except Exception as error:
            print(f"{name}: {str(error).splitlines()[0]}", file=sys.stderr)

    def wait_for_films(self, least: int) -> None:
        """Until the viewer has at least so many panes with their films."""
        self.page.wait_for_function(
            "(least) => [...document.querySelectorAll('[data-testid=stBidiComponentIsolated]')].some(host => {"
            "const v = host.shadowRoot?.querySelector('.viewer')?.viewer;"
            "return v && v.panes.length >= least && v.panes.every(p => p.pixels); })",
            arg=least,
            timeout=TIME,
        )

    def open_page(self, name: str) -> None:
        """By the navigation, so that the session keeps its search."""
        self.page.get_by_role("link", name=name, exact=True).first.click()
        self.page.get_by_text("not for diagnosis").first.wait_for(timeout=TIME)

    def tour(self, address: str) -> None:
        """Every page once."""
        page = self.page
        page.goto(address)
        page.get_by_role("button", name="I understand").wait_for(timeout=TIME)
        self.take("notice")
        page.get_by_role("textbox", name="Pseudonym").fill("R1")
        page.get_by_role("button", name="I understand").click()
        page.get_by_text("Find past films").wait_for(timeout=TIME)
        self.take("welcome", 2500)
        page.locator(f"[class*=st-key-demonstration_{self.film}] button").first.click()
        self.wait_for_films(4)
        self.take("search", 3000)
        self.attempt("filters", self.show_filters)
        self.attempt("compare", self.compare)
        self.attempt("study", self.read_study)
        self.attempt("about", lambda: (self.open_page("About"), self.take("about", 6000)))
        self.attempt("catalogue", self.show_catalogue)
        self.attempt("embeddings", self.show_embeddings)

    def show_filters(self) -> None:
        self.page.get_by_role("button", name="Search settings").click()
        self.take("filters")
        self.page.keyboard.press("Escape")

    def compare(self) -> None:
        self.page.locator("[data-open]").first.click()
        self.page.wait_for_url("**/compare**", timeout=TIME)
        self.wait_for_films(2)
        self.take("compare", 3000)
        self.page.get_by_role("radio", name="Similarity").click()
        self.take("compare-similarity", 6000)

    def read_study(self) -> None:
        """A short study made, read to its end with answers that mean nothing, and its results."""
        page = self.page
        self.open_page("Rate")
        page.get_by_text("New study").first.wait_for(timeout=TIME)
        name = page.get_by_role("textbox", name="Name")
        if not name.is_visible():
            page.get_by_text("New study").first.click()
        name.fill(f"Tour {self.size[0]}")
        page.get_by_role("spinbutton", name="Queries").fill("2")
        self.take("rate-new")
        page.get_by_role("button", name="Make the study").click()
        scale = page.get_by_role("button", name="1 · ")
        scale.wait_for(timeout=TIME)
        self.wait_for_films(2)
        self.take("rate", 3000)
        done = page.get_by_text("items are answered")
        for answer in range(200):
            if done.count():
                break
            self.wait_for_films(2)
            page.keyboard.press(str(1 + answer % 5))
            page.wait_for_timeout(700)
        self.open_page("Results")
        page.get_by_text("Agreement between readers").first.wait_for(timeout=TIME)
        self.take("results", 4000)

    def show_catalogue(self) -> None:
        self.open_page("Catalogue")
        self.page.get_by_role("tab", name="List").wait_for(timeout=TIME)
        self.take("catalogue", 6000)

    def show_embeddings(self) -> None:
        self.page.get_by_role("tab", name="Embeddings").click()
        self.page.locator(".scatterlayer, canvas.gl-canvas").first.wait_for(timeout=TIME)
        self.take("embeddings", 2500)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--workspace", type=Path, default=Path(os.environ.get("WORKSPACE", "workspaces/demo")))
    parser.add_argument("--film", default="", help="the demonstration film to search with; the first without it")
    parser.add_argument("--fake", action="store_true", help="the tests' stand-in retriever instead of the networks")
    given = parser.parse_args()
    if not CHROMIUM:
        raise SystemExit(NO_CHROMIUM)
    if not (given.workspace / "manifest.json").is_file():
        raise SystemExit(f"Expected a workspace at '{given.workspace}', got none; make one with `make app`.")
    given.folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as scratch:
        os.environ["ICBIR_RATINGS"] = str(Path(scratch) / "ratings.db")
        take_tours(given)


def take_tours(given: argparse.Namespace) -> None:
    """The tour at each size, over one server."""
    process, address = start_server(given.workspace, *(["--fake"] if given.fake else []))
    try:
        with sync_playwright() as driver:
            browser = driver.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)
            for size in SIZES:
                context = browser.new_context(viewport={"width": size[0], "height": size[1]})
                Camera(context.new_page(), given.folder, size, given.film).tour(address)
                context.close()
            browser.close()
    finally:
        process.terminate()
        process.wait(20)


if __name__ == "__main__":
    main()
