"""Indexing and search among many generated vectors: Annoy with exact ranking, and pgvector, beside exact search.

    python benchmarks/scale.py --count 100000 --latent 14 --engines annoy,pgvector

Vectors as in `search_libraries.py`: 500 Gaussian clusters in `latent` dimensions laid into 1,024, with noise of a
hundredth; the intrinsic dimension that a maximum-likelihood estimate finds among them is printed. Queries are new.
Each query is asked exactly (BLAS over the mapped file, one thread) and then of the engine, so that both meet the same
machine: read the ratios. Building is counted in processor time, also of the database server. pgvector runs on a server
of its own, started for this run, whose commits wait for no disk.

    python benchmarks/scale.py --count 100000 --engines annoy --rounds 3

says whether the cost of a case is the same in a large index as in ten small ones of the same vectors, built in turn.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

for variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ[variable] = "1"

import numpy as np  # noqa: E402
from processor import describe_processor  # noqa: E402
from search_libraries import make_data  # noqa: E402

from icbir_core.retrieval.index import Index  # noqa: E402
from icbir_core.retrieval.search_index import Eligible, StoredIndex  # noqa: E402
from scripts.postgres import Postgres, run_postgres  # noqa: E402

K = 10
SHARES = (1.0, 0.1, 0.01, 0.001)
MADE_FROM = {"model": "benchmark", "catalogue": "benchmark"}
TICKS = os.sysconf("SC_CLK_TCK")
SERVER = ("shared_buffers=2GB", "max_wal_size=4GB", "max_parallel_maintenance_workers=1", "jit=off")


def read_server_seconds(server: Postgres) -> float:
    """Processor time of a server's processes, of those that have ended too."""
    main = (server.folder / "data" / "postmaster.pid").read_text().split()[0]
    total = 0
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = path.read_text().rpartition(")")[2].split()
        except OSError:
            continue
        if path.parent.name == main:
            total += sum(map(int, fields[11:15]))
        elif fields[1] == main:
            total += sum(map(int, fields[11:13]))
    return total / TICKS


@contextmanager
def serve(engine: str) -> Iterator[Postgres | None]:
    """A database server where the engine needs one."""
    if engine != "pgvector":
        yield None
        return
    with run_postgres(SERVER) as server:
        os.environ["ICBIR_DATABASE_URL"] = server.get_url()
        yield server


def build(engine: str, folder: Path, vectors: np.ndarray) -> StoredIndex:
    told = [0.0]

    def tell(done: int, total: int, text: str) -> None:
        if time.monotonic() - told[0] > 30:
            told[0] = time.monotonic()
            print(f"  {text} {done}/{total}", file=sys.stderr, flush=True)

    rows, nothing = np.arange(len(vectors)), np.empty(0, np.int64)
    if engine == "annoy":
        return Index.update(folder, vectors, rows, nothing, MADE_FROM, tell)
    from icbir_core.retrieval.vector_index import VectorIndex

    return VectorIndex.update(folder, vectors, rows, nothing, MADE_FROM, tell)


def measure(engine: StoredIndex, exact: Exact, queries: np.ndarray, share: float) -> dict:
    """Recall at 10, answers shorter than asked, and the median time of a search beside that of exact search."""
    number = len(engine.rows)
    allowed = np.sort(np.random.default_rng(11).permutation(number)[: max(int(share * number), K)])
    eligible = None if share == 1.0 else Eligible(allowed, number, filtered=True)
    ours, theirs, hits, short, routes = [], [], 0, 0, set()
    for query in queries:
        begin = time.perf_counter()
        best = exact.search(query, allowed if eligible else None)
        middle = time.perf_counter()
        found = engine.search(query, K, eligible)
        ours.append(time.perf_counter() - middle)
        theirs.append(middle - begin)
        hits += int((found.distances <= best[-1] * (1 + 1e-6)).sum())
        short += len(found.rows) < K
        routes.add(found.route)
    ratios = np.array(ours) / np.array(theirs)
    medians = np.median(np.random.default_rng(0).choice(ratios, (1000, len(ratios))), axis=1)
    low, high = np.percentile(medians, [2.5, 97.5])
    return {
        "share": share, "recall": hits / (K * len(queries)), "short": int(short), "routes": sorted(routes),
        "p50_ms": float(1000 * np.median(ours)), "exact_ms": float(1000 * np.median(theirs)),
        "ratio": float(np.median(ratios)), "ratio_low": float(low), "ratio_high": float(high),
    }  # fmt: skip


class Exact:
    """Exact search as this project does it on one machine."""

    def __init__(self, vectors: np.ndarray):
        from icbir_core.retrieval.exact import compute_squared_norms

        self.vectors, self.norms = vectors, compute_squared_norms(vectors)

    def search(self, query: np.ndarray, allowed: np.ndarray | None) -> np.ndarray:
        """The ten smallest distances."""
        from icbir_core.retrieval.exact import find_nearest

        return find_nearest(self.vectors, self.norms, query, K, allowed)[1]


def run(options: argparse.Namespace, folder: Path) -> Iterator[dict]:
    make_data(folder, options.count, options.queries, options.latent)
    vectors, queries = np.load(folder / "vectors.npy", mmap_mode="r"), np.load(folder / "queries.npy")
    facts = {"count": options.count, "latent": options.latent, "intrinsic": float(np.load(folder / "intrinsic.npy"))}
    exact = Exact(vectors)
    for engine in options.engines.split(","):
        with serve(engine) as server:
            began, own = time.monotonic(), time.process_time()
            index = build(engine, folder / engine, vectors)
            built = {"build_wall_s": time.monotonic() - began, "build_own_s": time.process_time() - own}
            size = sum(file.stat().st_size for file in (folder / engine).glob("*"))
            if server is not None:
                built["build_server_s"] = read_server_seconds(server)
                size += read_size(index)
            names = ("trees", "search_k", "reach", "ef_search", "recall_at_10", "recall_at_10_between")
            setting = {name: index.manifest[name] for name in names if name in index.manifest}
            yield facts | built | {"engine": engine, "bytes_per_vector": size / options.count, "setting": setting,
                                   "search": [measure(index, exact, queries, share) for share in SHARES]}  # fmt: skip


def compare_sizes(options: argparse.Namespace, folder: Path) -> Iterator[dict]:
    """A round: ten indexes of a tenth of the vectors each, then one of all; processor time of a case there, of building
    and of a search, by that of a case here. Each query is asked of a small one and of the large one in turn."""
    make_data(folder, options.count, options.queries, options.latent)
    vectors, queries = np.load(folder / "vectors.npy", mmap_mode="r"), np.load(folder / "queries.npy")
    parts = np.array_split(np.arange(options.count), 10)
    for number in range(options.rounds):
        for engine in options.engines.split(","):
            with serve(engine) as server:

                def spend(name: str, some: np.ndarray, server=server, engine=engine, number=number):
                    began, there = time.process_time(), read_server_seconds(server) if server else 0.0
                    index = build(engine, folder / f"{engine}-{number}-{name}", some)
                    there = read_server_seconds(server) - there if server else 0.0
                    return index, time.process_time() - began + there

                small = [spend(str(at), vectors[part]) for at, part in enumerate(parts)]
                large, seconds = spend("all", vectors)
                apart = sum(cost for _, cost in small)
                searches = [[spend_search(one, query) for one in (small[0][0], large)] for query in queries]
                ratio = float(np.median([there / here for here, there in searches]))
                yield {"engine": engine, "round": number, "count": options.count, "latent": options.latent,
                       "small_ms": 1000 * apart / options.count, "large_ms": 1000 * seconds / options.count,
                       "build_of_a_case": seconds / apart, "search": ratio, "search_of_a_case": ratio / 10}  # fmt: skip


def spend_search(engine: StoredIndex, query: np.ndarray) -> float:
    """Wall time of the quickest of three searches."""
    times = []
    for _ in range(3):
        began = time.perf_counter()
        engine.search(query, K, None)
        times.append(time.perf_counter() - began)
    return min(times)


def read_size(index: StoredIndex) -> int:
    from icbir_core.database import find_engine

    with find_engine().connect() as connection:
        table = f"icbir_vectors.{index.manifest['table']}"
        return int(connection.exec_driver_sql("SELECT pg_total_relation_size(%s)", (table,)).scalar_one())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--count", type=int, default=100_000)
    parser.add_argument("--latent", type=int, default=14)
    parser.add_argument("--queries", type=int, default=100)
    parser.add_argument("--engines", default="annoy,pgvector")
    parser.add_argument("--rounds", type=int, default=0, help="compare the cost of a case in large and small indexes")
    parser.add_argument("--scratch", default=None, help="folder for the vectors (4 kB each) and the index files")
    options = parser.parse_args()
    print(f"# {describe_processor()}")
    with tempfile.TemporaryDirectory(dir=options.scratch) as name:
        for result in (compare_sizes if options.rounds else run)(options, Path(name)):
            print(json.dumps(result), flush=True)


if __name__ == "__main__":
    main()
