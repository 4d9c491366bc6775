"""The program in a real Chromium: what the browser tests, the benchmarks and the screenshots share."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import time
import urllib.request
from typing import Any

CHROMIUM = os.environ.get("CHROMIUM") or shutil.which("chromium") or shutil.which("chromium-browser")
ARGUMENTS = ["--no-sandbox", "--enable-unsafe-swiftshader", "--force-color-profile=srgb"]
NO_CHROMIUM = "no Chromium here: apt-get install chromium, or set CHROMIUM to its path"


def find_port() -> int:
    """A free port of this machine."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def wait_for_server(process: subprocess.Popen[bytes], address: str, seconds: float) -> None:
    """Return once the server that `process` runs answers. Raises `RuntimeError` if it ends or takes longer."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline and process.poll() is None:
        try:
            urllib.request.urlopen(f"{address}/_stcore/health", timeout=2)
            return
        except OSError:
            time.sleep(0.1)
    raise RuntimeError(f"the server at {address} did not answer within {seconds:.0f} s")


def remember_reader(context: Any, address: str, reader: str) -> None:
    """Make a browser context of Playwright one in which `reader` has accepted the notice before."""
    from icbir_ui.frame.notice import COOKIE

    context.add_cookies([{"name": COOKIE, "value": reader, "url": address}])
