"""A real Chromium; every test fails on a console error and on any request that leaves this machine."""

from __future__ import annotations

import os
import re
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT), str(ROOT / "tests" / "ui"), str(Path(__file__).parent)]

CHROMIUM = os.environ.get("CHROMIUM") or shutil.which("chromium") or shutil.which("chromium-browser")
ARGUMENTS = ["--no-sandbox", "--enable-unsafe-swiftshader", "--force-color-profile=srgb"]
LOCAL = ("http://127.0.0.1", "ws://127.0.0.1", "http://localhost", "ws://localhost", "blob:", "data:", "about:")
STREAMLIT_ASKS = re.compile(
    r"http://(127\.0\.0\.1|localhost):\d+/(search|compare|rate|results|catalogue|about)/_stcore/(health|host-config)"
)
"""Opened at a page's own address, Streamlit's script looks for its server below that page first, where nothing answers;
then at the root, where it is. The browser notes both 404s; no setting keeps the script from asking."""


@pytest.fixture(scope="session")
def chromium():
    """The browser; skips with a word where there is none."""
    if not CHROMIUM:
        pytest.skip("no Chromium here: apt-get install chromium, or set CHROMIUM to its path")
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


def remember_reader(context, address: str, reader: str) -> None:
    """Make a browser context one in which `reader` has accepted the notice before."""
    from icbir_ui.notice import COOKIE

    context.add_cookies([{"name": COOKIE, "value": reader, "url": address}])


@pytest.fixture
def open_window(chromium):
    """open_window() is a page in a watched context of its own; a fault in any of them fails the test at its end.

    open_window(width, height, expected="") : its size, and what `watch` takes for no fault.
    """
    held = []

    def open_one(width: int = 1280, height: int = 720, expected: str = ""):
        context = chromium.new_context(viewport={"width": width, "height": height})
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


def find_port() -> int:
    """A free port of this machine."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def find_log(port: int | str) -> Path:
    """Where the server at a port writes what it has to say."""
    return Path(tempfile.gettempdir()) / f"icbir-server-{port}.log"


def start_server(workspace: Path, *flags: str) -> tuple[subprocess.Popen, str]:
    """The application in a process of its own: (process, address), once it answers."""
    port = find_port()
    command = [sys.executable, str(Path(__file__).with_name("serve.py")), str(workspace), str(port), *flags]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "TF_CPP_MIN_LOG_LEVEL": "3"}
    with find_log(port).open("wb") as log:  # what a failed test needs
        process = subprocess.Popen(command, env=environment, stdout=log, stderr=log)
    address = f"http://127.0.0.1:{port}"
    deadline = time.monotonic() + 90
    while time.monotonic() < deadline and process.poll() is None:
        try:
            urllib.request.urlopen(f"{address}/_stcore/health", timeout=2)
            return process, address
        except OSError:
            time.sleep(0.3)
    process.terminate()
    raise RuntimeError("the server did not answer within 90 s")


@pytest.fixture(scope="session")
def served(chromium, tmp_path_factory):
    """The application over drawn films and the stand-in retriever: (address, workspace)."""
    import fakes

    workspace = fakes.make_workspace(tmp_path_factory.mktemp("served") / "workspace")
    process, address = start_server(workspace.path, "--fake")
    yield address, workspace
    process.terminate()
    process.wait(20)
