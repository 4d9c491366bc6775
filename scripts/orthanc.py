"""A real Orthanc with its DICOMweb plug-in on this machine: what the tests and the benchmarks use as the archive."""

from __future__ import annotations

import base64
import json
import os
import shutil
import signal
import subprocess
import time
import urllib.request
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from scripts.chromium import find_port

PLUGIN = Path("/usr/share/orthanc/plugins/libOrthancDicomWeb.so")
PROGRAM = shutil.which("Orthanc") or shutil.which("Orthanc", path="/usr/sbin")
NO_ORTHANC = "no Orthanc here: apt-get install orthanc orthanc-dicomweb"
USER, PASSWORD = "reader", "a word of the tests"
AE_TITLE = "ORTHANC"
CLIENT_AE_TITLE = "ICBIR"
SECONDS = 20.0


def has_orthanc() -> bool:
    """Whether Orthanc and its DICOMweb plug-in are installed."""
    return PROGRAM is not None and PLUGIN.is_file()


@dataclass
class Orthanc:
    """An Orthanc that runs. folder : holds its settings, its log and what it stores.

    port : of the web server; dicom_port : where it takes DIMSE; client_port : where it sends what a client of the AE
    title `CLIENT_AE_TITLE` asks it to move.
    """

    folder: Path
    port: int
    dicom_port: int
    client_port: int
    user: str = USER
    password: str = PASSWORD
    process: subprocess.Popen[bytes] | None = None

    @property
    def address(self) -> str:
        """Of the web server."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def dicomweb(self) -> str:
        """The base address of DICOMweb."""
        return f"{self.address}/dicom-web"

    def start(self) -> None:
        """Start it, with what it stored before, and return once it answers. Raises `RuntimeError`."""
        assert PROGRAM is not None, NO_ORTHANC
        settings = self.folder / "orthanc.json"
        settings.write_text(json.dumps(self._settings()))
        with open(self.folder / "orthanc.log", "ab") as log:
            self.process = subprocess.Popen([PROGRAM, str(settings)], stdout=log, stderr=log)
        deadline = time.monotonic() + SECONDS
        while time.monotonic() < deadline and self.process.poll() is None:
            try:
                self.ask("/system")
                return
            except OSError:
                time.sleep(0.05)
        self.kill()
        raise RuntimeError(f"Orthanc did not start: {(self.folder / 'orthanc.log').read_text()[-500:]}")

    def stop(self) -> None:
        """End it in good order."""
        self._end(signal.SIGTERM)

    def kill(self) -> None:
        """End it at once."""
        self._end(signal.SIGKILL)

    def pause(self) -> None:
        """Let it answer nobody, though connections are taken, until `resume`."""
        self._require_process().send_signal(signal.SIGSTOP)

    def resume(self) -> None:
        """Go on after `pause`."""
        self._require_process().send_signal(signal.SIGCONT)

    def ask(self, path: str, data: bytes | None = None, method: str | None = None) -> Any:
        """The answer of Orthanc's own interface (not DICOMweb) as JSON; `data` are posted. Raises OSError."""
        token = base64.b64encode(f"{self.user}:{self.password}".encode()).decode()
        request = urllib.request.Request(self.address + path, data, {"Authorization": f"Basic {token}"}, method=method)
        with urllib.request.urlopen(request, timeout=SECONDS) as answer:
            return json.loads(answer.read() or b"null")

    def store(self, films: Iterable[bytes]) -> list[str]:
        """Store DICOM files; Orthanc's own name for each."""
        return [self.ask("/instances", film)["ID"] for film in films]

    def read_file(self, name: str) -> bytes:
        """The bytes of an instance as they are stored, by Orthanc's own name for it."""
        token = base64.b64encode(f"{self.user}:{self.password}".encode()).decode()
        request = urllib.request.Request(
            f"{self.address}/instances/{name}/file", headers={"Authorization": f"Basic {token}"}
        )
        with urllib.request.urlopen(request, timeout=SECONDS) as answer:
            return bytes(answer.read())

    def _settings(self) -> dict[str, Any]:
        return {
            "Name": "archive of the tests",
            "StorageDirectory": str(self.folder / "store"),
            "IndexDirectory": str(self.folder / "store"),
            "HttpPort": self.port,
            "DicomPort": self.dicom_port,
            "DicomAet": AE_TITLE,
            "DicomModalities": {"client": [CLIENT_AE_TITLE, "127.0.0.1", self.client_port]},
            "RemoteAccessAllowed": False,
            "AuthenticationEnabled": True,
            "RegisteredUsers": {self.user: self.password},
            "Plugins": [str(PLUGIN)],
            "DicomWeb": {"Enable": True, "Root": "/dicom-web/", "EnableWado": False},
            "StableAge": 1,
            "SyncStorageArea": False,
        }

    def _require_process(self) -> subprocess.Popen[bytes]:
        assert self.process is not None, "Orthanc was not started"
        return self.process

    def _end(self, number: int) -> None:
        if self.process is not None and self.process.poll() is None:
            self.process.send_signal(signal.SIGCONT)  # one that was paused could not end
            os.kill(self.process.pid, number)
            self.process.wait(SECONDS)


@contextmanager
def run_orthanc(folder: Path) -> Iterator[Orthanc]:
    """An Orthanc with an empty store in a folder that exists, on ports of its own; ended at the end."""
    archive = Orthanc(folder, find_port(), find_port(), find_port())
    archive.start()
    try:
        yield archive
    finally:
        archive.kill()
