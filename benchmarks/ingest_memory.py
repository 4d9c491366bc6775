"""Time and memory of ingest: does memory grow with the number of films?

    python benchmarks/ingest_memory.py FILMS_FOLDER TABLE [COUNT …]

Ingests the first COUNT films (layout nih) into a new workspace, each in a process of its own, and prints films a second
and the peak resident memory. Beside it: decoding alone with `read_radiograph` in one thread, the floor of the work.
"""

from __future__ import annotations

import json
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from processor import describe_processor


def measure(images: Path, table: Path, count: int) -> dict[str, float]:
    """One ingest in this process: films, seconds, seconds of a second run, peak memory in MiB."""
    from icbir_core.catalogue import IngestOptions, Workspace, ingest, iterate_layout
    from icbir_core.radiograph import read_radiograph

    options = IngestOptions("nih", images, table, limit=count)
    floor_films = [file for _, file in iterate_layout(IngestOptions("nih", images, table, limit=min(count, 200)))]
    start = time.perf_counter()
    for file in floor_films:
        read_radiograph(file)
    floor = (time.perf_counter() - start) / len(floor_films)
    with tempfile.TemporaryDirectory() as folder:
        workspace = Workspace.create(Path(folder) / "workspace")
        start = time.perf_counter()
        report = ingest(workspace, options)
        first = time.perf_counter() - start
        start = time.perf_counter()
        again = ingest(workspace, options)
        second = time.perf_counter() - start
    assert again.added == 0 and again.already == report.added
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return {"films": report.added, "seconds": first, "again": second, "decode": floor, "peak": peak}


def main() -> None:
    """Measure each count in a fresh process and print a table."""
    if sys.argv[1] == "--one":
        print(json.dumps(measure(Path(sys.argv[2]), Path(sys.argv[3]), int(sys.argv[4]))))
        return
    print(describe_processor())
    images, table, counts = sys.argv[1], sys.argv[2], sys.argv[3:] or ["100", "400", "1500"]
    print("films  films/s  per film / decoding alone  second run, s  peak memory, MiB")
    for count in counts:
        run = subprocess.run(
            [sys.executable, __file__, "--one", images, table, count], capture_output=True, text=True, check=True
        )
        found = json.loads(run.stdout)
        ratio = found["seconds"] / found["films"] / found["decode"]
        print(
            f"{found['films']:5d}  {found['films'] / found['seconds']:7.1f}  {ratio:25.2f}  {found['again']:13.2f}  "
            f"{found['peak']:16.0f}"
        )


if __name__ == "__main__":
    main()
