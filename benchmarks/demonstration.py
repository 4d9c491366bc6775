"""How long the demonstration takes to build from what is shipped, against an earlier version.

    python benchmarks/demonstration.py --former CHECKOUT [--rounds 2]

In each round, in turns: `icbir demo` in an empty folder by this version and by that of the checkout, with the same
packages. Most of it is the simulation of its films, which is timed apart.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
from pathlib import Path

import numpy as np
from first_answer import ROOT, run
from processor import describe_processor

FILMS = (
    "from icbir_core.pipeline.demonstration import DEFAULT as d; from icbir_core.phantom import write_simulated as w; "
    "p = d.plan; w('catalogue', p.films, p.catalogue_seed, p.pixels); w('queries', p.queries, p.query_seed, p.pixels)"
)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--former", type=Path, required=True, help="the checkout of an earlier version")
    parser.add_argument("--rounds", type=int, default=2)
    options = parser.parse_args()
    spent: dict[str, list[tuple[float, float]]] = {"now": [], "former": [], "its films alone": []}
    for _ in range(options.rounds):
        for name, folder in (("now", ROOT), ("former", options.former.resolve())):
            with tempfile.TemporaryDirectory() as place:
                command = [sys.executable, "-m", "icbir_core", "demo", f"{place}/demo"]
                spent[name].append(run(command, folder))
        with tempfile.TemporaryDirectory() as place:
            command = [sys.executable, "-c", f"import os; os.chdir('{place}'); {FILMS}"]
            spent["its films alone"].append(run(command, ROOT))
    print(f"{describe_processor()}, {options.rounds} rounds, load average {os.getloadavg()[0]:.1f}")
    for name, values in spent.items():
        processor, clock = np.array(values).T
        ratios = processor / np.array(spent["former"])[:, 0]
        print(f"{name}: {np.median(processor):.1f} processor seconds, {np.median(clock):.1f} on the clock; of the "
              f"former {np.median(ratios):.2f} ({ratios.min():.2f} to {ratios.max():.2f})")  # fmt: skip


if __name__ == "__main__":
    main()
