"""How many simulated films a second: python benchmarks/simulation_speed.py [--workers 2] [--films 120]

Prints, for each size, films a second over the wall clock with `workers` processes, and the processor time a film
takes in one process (which a busy machine changes less). Starting the processes is not counted.
"""

from __future__ import annotations

import argparse
import os
import time

from processor import describe_processor

from icbir_core.phantom import simulate_film, simulate_films


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--films", type=int, default=120)
    parser.add_argument("--sizes", type=int, nargs="+", default=[256, 512])
    arguments = parser.parse_args()
    load = os.getloadavg()[0]
    print(f"{arguments.workers} processes on: {describe_processor()}; load average at the start {load:.1f}")
    for size in arguments.sizes:
        began = time.process_time()
        for seed in range(20):
            simulate_film(seed, size)
        alone = (time.process_time() - began) / 20
        warm = 8 * arguments.workers
        films = simulate_films(range(warm + arguments.films), size, arguments.workers)
        for _ in range(warm):
            next(films)
        began = time.perf_counter()
        count = sum(1 for _ in films)
        rate = count / (time.perf_counter() - began)
        print(f"{size} x {size}: {rate:.1f} films a second; {1000 * alone:.0f} ms of processor time a film")


if __name__ == "__main__":
    main()
