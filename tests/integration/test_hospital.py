"""One command starts an archive and ICBIR beside it, and one signal ends both."""

from __future__ import annotations

import re
import signal
import subprocess
import sys
import urllib.request
from pathlib import Path

import pytest

from scripts.chromium import find_port, wait_for_server
from scripts.orthanc import NO_ORTHANC, has_orthanc
from tests.helpers import fakes

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.slow
def test_one_command_starts_the_hospital_and_its_link_opens_a_study(tmp_path):
    if not has_orthanc():
        pytest.skip(NO_ORTHANC)
    workspace, port = fakes.make_workspace(tmp_path / "workspace"), find_port()
    command = [sys.executable, "-u", "-m", "scripts.hospital", str(workspace.path), "--port", str(port)]
    process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True)
    try:
        said = [process.stdout.readline() for _ in range(2)]
        archive = re.search(r"http://\S+:\d+", said[0])[0]
        link = re.search(r"http://\S+StudyInstanceUIDs=[0-9.]+", said[1])[0]
        wait_for_server(process, f"http://127.0.0.1:{port}", 120)
        with urllib.request.urlopen(link, timeout=60) as answer:
            assert answer.status == 200 and "StudyInstanceUIDs" not in answer.url
        with pytest.raises(OSError, match="401"):
            urllib.request.urlopen(f"{archive}/instances", timeout=10)
    finally:
        process.send_signal(signal.SIGINT)
        process.wait(60)
    assert process.returncode == 0
    for address in (archive, f"http://127.0.0.1:{port}"):
        with pytest.raises(OSError, match="refused"):
            urllib.request.urlopen(address, timeout=10)
