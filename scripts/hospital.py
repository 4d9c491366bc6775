"""An archive and ICBIR beside it on this machine, to try the way from the PACS and back.

python -m scripts.hospital WORKSPACE [--port 8501]

Starts a real Orthanc with thirty simulated films of ten patients (a prior, a frontal and a lateral film of each), lets
ICBIR ask it and send results to it, and prints a link as the menu of a PACS holds it. Ctrl-C ends both, and nothing of
the archive is kept.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
from pathlib import Path

from scripts.archive_films import make_archive_films
from scripts.orthanc import NO_ORTHANC, Orthanc, has_orthanc, run_orthanc


def name_archive(orthanc: Orthanc, sends: bool = True) -> dict[str, str]:
    """The environment in which ICBIR asks this archive, and sends results to it."""
    named = {
        "ICBIR_DICOMWEB": orthanc.dicomweb,
        "ICBIR_DICOMWEB_USER": orthanc.user,
        "ICBIR_DICOMWEB_PASSWORD": orthanc.password,
    }
    return named | ({"ICBIR_RESULTS": "dicomweb"} if sends else {})


def main() -> None:
    """Start both and wait."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("workspace", type=Path)
    parser.add_argument("--port", type=int, default=8501)
    given = parser.parse_args()
    if not has_orthanc():
        sys.exit(NO_ORTHANC)
    films = make_archive_films()
    with tempfile.TemporaryDirectory() as folder, run_orthanc(Path(folder)) as orthanc:
        orthanc.store(film.data for film in films)
        print(f"The archive: {orthanc.address} (user {orthanc.user}, password '{orthanc.password}').")
        print(f"Open a study: http://127.0.0.1:{given.port}/search?StudyInstanceUIDs={films[1].study}")
        command = [sys.executable, "-m", "icbir_core", "app", str(given.workspace), "--port", str(given.port)]
        try:
            subprocess.run(command, env=os.environ | name_archive(orthanc), check=False)
        except KeyboardInterrupt:
            print("Stopped.")


if __name__ == "__main__":
    main()
