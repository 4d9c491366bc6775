"""Servers of a test, each a process of its own that ends with it."""

from __future__ import annotations

import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from scripts.chromium import find_port

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def processes(tmp_path) -> Iterator:
    """start(name, word, …) starts a process whose output goes into a file of that name; all end with the test."""
    running: list[subprocess.Popen[bytes]] = []

    def start(name: str, *words: str) -> subprocess.Popen[bytes]:
        with open(tmp_path / f"{name}.log", "wb") as log:
            running.append(subprocess.Popen(words, cwd=ROOT, stdout=log, stderr=subprocess.STDOUT))
        return running[-1]

    yield start
    for process in running:
        process.kill()
        process.wait()


@pytest.fixture
def store(processes, monkeypatch) -> str:
    """The URL of an empty bucket of an S3 server on loopback."""
    port = find_port()
    processes("s3", sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port))
    for name, value in (("ACCESS_KEY_ID", "test"), ("SECRET_ACCESS_KEY", "test"), ("DEFAULT_REGION", "us-east-1")):
        monkeypatch.setenv(f"AWS_{name}", value)
    monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{port}")
    wait_for(f"http://127.0.0.1:{port}/moto-api/data.json")
    request = urllib.request.Request(f"http://127.0.0.1:{port}/films", method="PUT")
    assert urllib.request.urlopen(request, timeout=60).status == 200
    return "s3://films"


def wait_for(address: str, seconds: float = 240.0) -> None:
    deadline = time.monotonic() + seconds
    while True:
        try:
            urllib.request.urlopen(address, timeout=10)
            return
        except OSError:
            assert time.monotonic() < deadline, address
            time.sleep(0.2)
