"""A real Chromium; every test fails on a console error and on any request that leaves this machine."""

from __future__ import annotations

import os
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


@pytest.fixture
def page(chromium):
    """A window of 1,280 × 720 that is watched."""
    context = chromium.new_context(viewport={"width": 1280, "height": 720})
    opened = context.new_page()
    faults: list[str] = []
    opened.on("console", lambda said: faults.append(said.text) if said.type == "error" else None)
    opened.on("pageerror", lambda error: faults.append(str(error)))
    opened.on("request", lambda one: faults.append(f"left: {one.url}") if not one.url.startswith(LOCAL) else None)
    yield opened
    context.close()
    assert not faults, faults


def find_port() -> int:
    """A free port of this machine."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def start_server(workspace: Path, *flags: str) -> tuple[subprocess.Popen, str]:
    """The application in a process of its own: (process, address), once it answers."""
    port = find_port()
    command = [sys.executable, str(Path(__file__).with_name("serve.py")), str(workspace), str(port), *flags]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "TF_CPP_MIN_LOG_LEVEL": "3"}
    with (Path(tempfile.gettempdir()) / f"icbir-server-{port}.log").open("wb") as log:  # what a failed test needs
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
