"""From nothing to the first answer: a query on the command line in a process of its own, against TensorFlow's import.

    python benchmarks/first_answer.py WORKSPACE FILM [--rounds 5] [--methods cnn_centred ig_cbir] [--former DIR]

In each round, in turns: a process that imports TensorFlow and nothing else, the query by the default method, by each of
`--methods`, and, with `--former`, the default query by the checkout of an earlier version in that folder, with the same
packages and the same workspace. Processor seconds of the process and all that it starts are compared, since another
program on the machine changes them least; seconds on the clock stand beside them. The first round warms the disk and
does not count.
"""

from __future__ import annotations

import argparse
import os
import resource
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
from processor import describe_processor

ROOT = Path(__file__).resolve().parents[1]
IMPORT = "TensorFlow's import"


def run(command: list[str], folder: Path) -> tuple[float, float]:
    """Processor seconds and seconds on the clock of a process that must succeed."""
    environment = {**os.environ, "PYTHONPATH": str(folder), "TF_CPP_MIN_LOG_LEVEL": "3"}
    before, began = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    subprocess.run(command, cwd=folder, env=environment, check=True, capture_output=True)
    after, spent = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter() - began
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime, spent


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("workspace", type=Path)
    parser.add_argument("film", type=Path)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--methods", nargs="*", default=[], help="beside the default method")
    parser.add_argument("--former", type=Path, help="the checkout of an earlier version")
    options = parser.parse_args()
    query = [sys.executable, "-m", "icbir_core", "query", str(options.workspace.resolve()), str(options.film.resolve())]
    ways = {IMPORT: ([sys.executable, "-c", "import tensorflow"], ROOT), "query": (query, ROOT)}
    ways |= {f"query by {name}": ([*query, "--method", name], ROOT) for name in options.methods}
    if options.former:
        ways["query, former version"] = (query, options.former.resolve())
    spent: dict[str, list[tuple[float, float]]] = {name: [] for name in ways}
    for number in range(options.rounds + 1):
        for name, (command, folder) in ways.items():
            found = run(command, folder)
            if number:
                spent[name].append(found)
    print(f"{describe_processor()}, {options.rounds} rounds, load average {os.getloadavg()[0]:.1f}")
    imports = np.array(spent[IMPORT])
    for name, values in spent.items():
        (processor, clock), ratios = np.median(values, axis=0), np.array(values)[:, 0] / imports[:, 0]
        print(
            f"{name}: {processor:.1f} processor seconds, {clock:.1f} s on the clock (medians); processor time / "
            f"TensorFlow's import in the same round: {np.median(ratios):.2f} ({ratios.min():.2f} to {ratios.max():.2f})"
        )


if __name__ == "__main__":
    main()
