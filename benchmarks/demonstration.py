"""How long the demonstration takes to build from what is shipped, against an earlier version.

    python benchmarks/demonstration.py --former CHECKOUT --kept DIR [--rounds 2]

Its films are simulated into DIR, once, because both versions simulate them alike and that is most of the time. Then, in
turns, each version builds the demonstration around these films in an empty folder, with the same packages. Processor
seconds of the process and all that it starts.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
from first_answer import ROOT, run
from processor import describe_processor

from icbir_core.phantom import write_simulated
from icbir_core.pipeline.demonstration import CATALOGUE_FOLDER, DEFAULT, FOLDER, SIMULATED_QUERIES

CREATE = "import sys; from icbir_core.catalogue import Workspace; Workspace.create(sys.argv[1])"


def simulate(folder: Path) -> None:
    plan = DEFAULT.plan
    write_simulated(folder / CATALOGUE_FOLDER, plan.films, plan.catalogue_seed, plan.pixels)
    write_simulated(folder / SIMULATED_QUERIES, plan.queries, plan.query_seed, plan.pixels)


def build(version: Path, films: Path) -> tuple[float, float]:
    """(processor, clock) seconds of a version's `demo` in a workspace that holds the films and nothing else."""
    with tempfile.TemporaryDirectory() as name:
        workspace = Path(name) / "demo"
        command = [sys.executable, "-c", CREATE, str(workspace)]
        subprocess.run(command, cwd=version, env={**os.environ, "PYTHONPATH": str(version)}, check=True)
        shutil.copytree(films, workspace / FOLDER)
        return run([sys.executable, "-m", "icbir_core", "demo", str(workspace)], version)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--former", type=Path, required=True, help="the checkout of an earlier version")
    parser.add_argument("--kept", type=Path, required=True)
    parser.add_argument("--rounds", type=int, default=2)
    options = parser.parse_args()
    simulate(options.kept)
    versions = {"now": ROOT, "former": options.former.resolve()}
    spent = {name: [] for name in versions}
    for _ in range(options.rounds):
        for name, folder in versions.items():
            spent[name].append(build(folder, options.kept))
            print(f"{name}: {spent[name][-1][0]:.1f} processor seconds", file=sys.stderr, flush=True)
    print(f"{describe_processor()}, {options.rounds} rounds, load average {os.getloadavg()[0]:.1f}")
    now, former = (np.array(values)[:, 0] for values in spent.values())
    ratios = now / former
    print(f"around its films, processor seconds: {np.median(now):.1f} now, {np.median(former):.1f} formerly")
    print(f"now / former: {np.median(ratios):.2f} ({ratios.min():.2f} to {ratios.max():.2f})")


if __name__ == "__main__":
    main()
