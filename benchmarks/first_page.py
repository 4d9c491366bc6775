"""The first page in Chromium: from its address until it is there, compared with a one-line page of Streamlit's.

python benchmarks/first_page.py WORKSPACE [--servers 5]

Each round starts a fresh server of either kind and opens it with an empty browser cache: first a reader who sees the
notice, then, while the networks load, two more: one who sees the notice, and one who comes back (her address names her
pseudonym) and sees the welcome page with its pictures. The one-line page stands on the same machine, in the same round
and under the same settings: what it takes is the floor.
"""

from __future__ import annotations

import argparse
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from pathlib import Path

import numpy as np
from playwright.sync_api import Browser, sync_playwright
from processor import describe_processor

from icbir_core.settings import make_app_environment
from scripts.chromium import ARGUMENTS, CHROMIUM, NO_CHROMIUM, find_port, remember_reader, wait_for_server

ROOT = Path(__file__).resolve().parents[1]
BARE = 'import streamlit as st\n\nst.button("I understand")\n'
PICTURES = "() => document.querySelectorAll('.stImage img').length && [...document.querySelectorAll('.stImage img')].every(one => one.complete)"  # noqa: E501


def start(command: list[str], workspace: Path, port: int, root: Path = ROOT) -> subprocess.Popen:
    """A server in a process of its own, once it answers; root : the checkout whose program it runs."""
    process = subprocess.Popen(command, cwd=root, env=make_app_environment(workspace), stdout=subprocess.DEVNULL,
                               stderr=subprocess.DEVNULL, start_new_session=True)  # fmt: skip
    try:
        wait_for_server(process, f"http://127.0.0.1:{port}", 120)
    except RuntimeError:
        stop(process)
        raise
    return process


def open_page(browser: Browser, address: str, pictures: bool = False) -> float:
    """Seconds until the page stands, in a window with an empty cache."""
    context = browser.new_context(viewport={"width": 1280, "height": 720})
    if pictures:
        remember_reader(context, address, "R3")
    page = context.new_page()
    before = time.perf_counter()
    page.goto(address, wait_until="commit")
    if pictures:
        page.get_by_text("Find past films").wait_for(timeout=120_000)
        page.wait_for_function(PICTURES, timeout=120_000)
    else:
        page.get_by_role("button", name="I understand").wait_for(timeout=120_000)
    spent = time.perf_counter() - before
    context.close()
    return spent


def stop(process: subprocess.Popen) -> None:
    os.killpg(process.pid, signal.SIGKILL)  # with the server that the command started
    process.wait(30)


def read_arguments(text: str, **counted: int) -> argparse.Namespace:
    """The workspace and how many of each thing that is counted; ends the program where there is no Chromium."""
    parser = argparse.ArgumentParser(description=text, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("workspace", type=Path)
    parser.add_argument("--former", type=Path, help="a checkout of a former version, measured in the same run")
    for name, default in counted.items():
        parser.add_argument(f"--{name}", type=int, default=default)
    given = parser.parse_args()
    if not CHROMIUM:
        raise SystemExit(NO_CHROMIUM)
    return given


def main() -> None:
    given = read_arguments(__doc__, servers=5)
    print(describe_processor())
    times: dict[str, list[float]] = defaultdict(list)
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as driver:
        bare = Path(folder) / "bare.py"
        bare.write_text(BARE)
        browser = driver.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)
        open_page(browser, "data:text/html,<button>I understand</button>")  # the browser itself is warm
        for _ in range(given.servers):
            port = find_port()
            address = f"http://127.0.0.1:{port}/"
            run = [sys.executable, "-m", "streamlit", "run", str(bare), "--server.port", str(port)]
            process = start(run, given.workspace, port)
            times["bare, first"].append(open_page(browser, address))
            times["bare, next"].append(open_page(browser, address))
            stop(process)
            port = find_port()
            address = f"http://127.0.0.1:{port}/"
            run = [sys.executable, "-m", "icbir_core", "app", str(given.workspace), "--port", str(port)]
            process = start(run, given.workspace, port)
            times["notice, fresh server"].append(open_page(browser, address))
            times["notice, next reader"].append(open_page(browser, address))
            times["welcome, third reader"].append(open_page(browser, address, pictures=True))
            stop(process)
            said = ", ".join(f"{name} {values[-1]:.2f}" for name, values in times.items())
            print(f"  load average {os.getloadavg()[0]:.1f}: {said}", flush=True)
        browser.close()
    floors = {"first": np.array(times["bare, first"]), "next": np.array(times["bare, next"])}
    for name, values in times.items():
        floor = floors["first" if name.endswith(("first", "fresh server")) else "next"]
        ratio = np.median(np.array(values) / floor)
        print(f"{name:22} median {np.median(values):.2f} s ({min(values):.2f} to {max(values):.2f}), "
              f"{ratio:.2f} × the one-line page")  # fmt: skip


if __name__ == "__main__":
    main()
