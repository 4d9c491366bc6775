"""The database server of the tests: one whose process was killed is ended by the next that starts one."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

import scripts.postgres
from scripts.postgres import NO_POSTGRES, TESTS, find_programs, run_postgres

ROOT = Path(__file__).resolve().parents[2]
STARTER = """
import sys, time
import scripts.postgres
scripts.postgres._PREFIX = sys.argv[1]
with scripts.postgres.run_postgres() as server:
    print(server.folder, server.port, flush=True)
    time.sleep(600)
"""


def answers(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), timeout=20).close()
    except ConnectionRefusedError:
        return False
    return True


@pytest.mark.skipif(find_programs() is None, reason=NO_POSTGRES)
def test_the_server_of_a_killed_process_ends_when_the_next_one_starts_and_no_other_does(monkeypatch):
    prefix = f"icbir-test-{os.urandom(4).hex()}-"
    monkeypatch.setattr(scripts.postgres, "_PREFIX", prefix)
    of_its_run = tempfile.mkdtemp(prefix=TESTS)
    os.chmod(of_its_run, 0o711)
    command = [sys.executable, "-c", STARTER, prefix]
    starting = {"stdout": subprocess.PIPE, "text": True, "cwd": ROOT, "env": os.environ | {"TMPDIR": of_its_run}}
    with run_postgres() as mine, subprocess.Popen(command, **starting) as killed:
        assert killed.stdout is not None
        folder, port = killed.stdout.readline().split()
        killed.send_signal(signal.SIGKILL)
        killed.wait()
        assert answers(int(port)), "it runs on"
        with run_postgres() as next_one:
            assert not Path(folder).exists() and not answers(int(port))
            assert answers(mine.port) and answers(next_one.port)
