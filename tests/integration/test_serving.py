"""A server as it is started: whom it answers, and that it asks nobody outside."""

from __future__ import annotations

import http.client
import os
import socket
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from icbir_ui import serving
from icbir_ui.serving import Place
from scripts.chromium import find_port, wait_for_server
from tests.helpers import fakes

ROOT = Path(__file__).resolve().parents[2]


class Outside:
    """A listener that stands for everything outside this machine: the proxy of all requests of a process."""

    def __init__(self):
        self.asked = 0
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.address = f"http://127.0.0.1:{self.listener.getsockname()[1]}"
        threading.Thread(target=self._count, daemon=True).start()

    def _count(self) -> None:
        while True:
            try:
                self.listener.accept()[0].close()
            except OSError:
                return
            self.asked += 1


@pytest.fixture(scope="module")
def served(tmp_path_factory):
    """(port, what stands for the outside) of a server under a further name and a base path."""
    outside, port = Outside(), find_port()
    workspace = fakes.make_workspace(tmp_path_factory.mktemp("served") / "w", 2)
    names = ("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY")
    environment = {name: value for name, value in os.environ.items() if name.lower() != "no_proxy"}
    environment |= dict.fromkeys(names, outside.address) | {"ICBIR_WORKSPACE": str(workspace.path)}
    settings = workspace.path.parent / "server.toml"
    settings.write_text('[monitoring]\nmetrics = ["127.0.0.1"]\n')
    settings.chmod(0o600)
    environment["ICBIR_SERVER"] = str(settings)
    words = [str(port), "--allowed-host", "*.ward.example", "--base-path", "icbir"]
    process = subprocess.Popen(
        [sys.executable, "-m", "icbir_ui.serving", *words], cwd=ROOT, env=environment | {"STREAMLIT_SERVER_PORT": "1"},
        stdout=subprocess.DEVNULL, stderr=subprocess.PIPE,
    )  # fmt: skip
    try:
        wait_for_server(process, f"http://127.0.0.1:{port}/icbir", 120)
        yield port, outside, process
    finally:
        process.terminate()
        process.communicate(timeout=30)
        outside.listener.close()


def shake_hands(port: int, host: str, origin: str) -> int:
    """The status that a websocket gets under a name from a page of `origin`: 101 is let in, 403 is refused."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
    headers = {
        "Host": host, "Origin": origin, "Connection": "Upgrade", "Upgrade": "websocket",
        "Sec-WebSocket-Version": "13", "Sec-WebSocket-Key": "MDEyMzQ1Njc4OWFiY2RlZg==",
    }  # fmt: skip
    try:
        connection.request("GET", "/icbir/_stcore/stream", headers=headers)
        return connection.getresponse().status
    finally:
        connection.close()


@pytest.mark.parametrize(
    ("host", "status"),
    [
        ("127.0.0.1", 101), ("localhost", 101), ("[::1]", 101), ("films.ward.example", 101),
        ("evil.example", 403),
        ("ward.example.evil.example", 403), ("127.0.0.1.evil.example", 403), ("ward.example", 403),
    ],
)  # fmt: skip
def test_a_page_that_points_its_own_name_here_is_refused(served, host, status):
    port = served[0]
    assert shake_hands(port, f"{host}:{port}", f"http://{host}:{port}") == status


def test_a_foreign_page_is_refused_and_nobody_is_asked_for_the_address(served):
    port, outside, _ = served
    assert shake_hands(port, f"127.0.0.1:{port}", "http://evil.example") == 403
    assert outside.asked == 0


def test_the_decoding_process_is_there_before_the_first_film(served):
    children = Path(f"/proc/{served[2].pid}/task/{served[2].pid}/children")
    if not children.is_file():
        pytest.skip("the system does not list the children of a process")
    commands = [Path(f"/proc/{number}/cmdline").read_bytes() for number in children.read_text().split()]
    assert any(b"decoding_worker" in command for command in commands)


def test_the_figures_of_a_running_server(served):
    connection = http.client.HTTPConnection("127.0.0.1", served[0], timeout=20)
    connection.request("GET", "/icbir/metrics")
    figures = connection.getresponse().read().decode()
    connection.close()
    held = dict(line.rsplit(" ", 1) for line in figures.splitlines() if not line.startswith("#"))
    assert float(held["icbir_decoding_processes"]) == 1 and float(held["icbir_ready"]) == 0
    assert float(held["icbir_films_held"]) == 0 and float(held["icbir_queue_length"]) == 0
    assert float(held["icbir_sessions"]) >= 0 and float(held["process_resident_memory_bytes"]) > 1e7
    assert any(name.startswith("icbir_index_info{") and 'cases="2"' in name for name in held)


def test_a_variable_that_is_not_read_is_told(served, monkeypatch):
    process = served[2]
    line = process.stderr.readline().decode()
    while line and "Not read" not in line:
        line = process.stderr.readline().decode()
    assert "STREAMLIT_SERVER_PORT" in line and "icbir app" in line
    assert serving.describe_ignored({"PATH": "x", "STREAMLIT_SERVER_COOKIE_SECRET": "y"}) == ""


def test_a_machine_with_an_address_of_its_own_is_asked_for_under_it():
    flags = Place(8501, "192.0.2.7", ("films.example",), "/icbir/").list_flags()
    assert flags["server.allowedHosts"] == ["127.0.0.1", "localhost", "::1", "192.0.2.7", "films.example"]
    assert flags["server.baseUrlPath"] == "icbir"
    assert "0.0.0.0" not in Place(8501, "0.0.0.0").list_flags()["server.allowedHosts"]
