"""A real Chromium; every test fails on a console error and on any request that leaves this machine."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from scripts.chromium import ARGUMENTS, CHROMIUM, NO_CHROMIUM, find_port, wait_for_server

ROOT = Path(__file__).resolve().parents[2]
LOCAL = ("http://127.0.0.1", "ws://127.0.0.1", "http://localhost", "ws://localhost", "blob:", "data:", "about:")
STREAMLIT_ASKS = re.compile(
    r"http://(127\.0\.0\.1|localhost):\d+/(search|compare|rate|results|catalogue|pacs|about)/_stcore/(health|host-config)"
)
"""Opened at a page's own address, Streamlit's script looks for its server below that page first, where nothing answers;
then at the root, where it is. The browser notes both 404s; no setting keeps the script from asking."""


@pytest.fixture(scope="session")
def chromium():
    """The browser; skips with a word where there is none."""
    if not CHROMIUM:
        pytest.skip(NO_CHROMIUM)
    playwright = pytest.importorskip("playwright.sync_api")
    with playwright.sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)
        yield browser
        browser.close()


def watch(context, expected: str = "") -> list[str]:
    """The faults of all pages of a browser context, a list that grows: console errors, exceptions, requests that leave.

    expected : part of the address of files whose absence a test wants.
    """
    faults: list[str] = []

    def hear(said) -> None:
        address = said.location.get("url", "")
        missing = "404" in said.text and (STREAMLIT_ASKS.fullmatch(address) or (expected and expected in address))
        if said.type == "error" and not missing:
            faults.append(f"{said.text} {address}")

    def see(address: str) -> None:
        if not address.startswith(LOCAL):
            faults.append(f"left: {address}")

    context.on("console", hear)
    context.on("weberror", lambda caught: faults.append(str(caught.error)))
    context.on("request", lambda one: see(one.url))
    context.on("page", lambda page: page.on("websocket", lambda socket: see(socket.url)))
    return faults


@pytest.fixture
def open_window(chromium):
    """open_window() is a page in a watched context of its own; a fault in any of them fails the test at its end.

    open_window(width, height, expected="") : its size, and what `watch` takes for no fault.
    """
    held = []

    def open_one(width: int = 1280, height: int = 720, expected: str = ""):
        context = chromium.new_context(viewport={"width": width, "height": height})
        context.set_default_navigation_timeout(90_000)  # no test depends on how busy the machine is
        held.append((context, watch(context, expected)))
        return context.new_page()

    yield open_one
    for context, _ in held:
        context.close()
    faults = [fault for _, found in held for fault in found]
    assert not faults, faults


@pytest.fixture
def page(open_window):
    """A window of 1,280 × 720 that is watched."""
    return open_window()


def find_log(port: int | str) -> Path:
    """Where the server at a port writes what it has to say."""
    folder = ROOT / "build" / "browser"
    folder.mkdir(parents=True, exist_ok=True)
    return folder / f"icbir-server-{port}.log"


def start_server(workspace: Path, *flags: str, port: int | None = None) -> tuple[subprocess.Popen, str]:
    """The application in a process of its own: (process, address), once it answers."""
    port = port or find_port()
    command = [sys.executable, "-m", "tests.browser.serve", str(workspace), str(port), *flags]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "TF_CPP_MIN_LOG_LEVEL": "3"}
    with find_log(port).open("wb") as log:  # what a failed test needs
        process = subprocess.Popen(command, cwd=ROOT, env=environment, stdout=log, stderr=log)
    address = f"http://127.0.0.1:{port}"
    try:
        wait_for_server(process, address, 90)
    except RuntimeError:
        process.terminate()
        raise
    return process, address


@pytest.fixture(scope="session")
def served(chromium, tmp_path_factory):
    """The application over drawn films and the stand-in retriever: (address, workspace)."""
    from tests.helpers import fakes

    workspace = fakes.make_workspace(tmp_path_factory.mktemp("served") / "workspace")
    process, address = start_server(workspace.path, "--fake")
    yield address, workspace
    process.terminate()
    process.wait(20)
