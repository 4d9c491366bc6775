"""Search among many embeddings: this project's index, exact search, hnswlib and faiss, each in its own process.

    python benchmarks/search_libraries.py --count 1000000 --latent 16 --peers /path/to/python/with/hnswlib/and/faiss-cpu

Vectors: a mixture of 500 Gaussian clusters in `latent` dimensions, laid into 1024 by a random matrix, plus isotropic
noise of a hundredth; the intrinsic dimension that a maximum-likelihood estimate (Levina and Bickel 2004) finds is
printed. Queries are new draws. All libraries use one thread. The approximate peers are opened up until their recall at
10 reaches this project's. Latencies are those of single queries, warm; compare them as ratios within one run.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

for variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ[variable] = "1"

import numpy as np  # noqa: E402
from processor import describe_processor  # noqa: E402

DIMENSION, CLUSTERS, BLOCK, K = 1024, 500, 20_000, 10
LIBRARIES = ("exact", "icbir", "hnswlib", "faiss_ivf")


def make_data(folder: Path, count: int, queries: int, latent: int) -> None:
    """Write vectors.npy, queries.npy and the true tenth distances, block by block."""
    generator = np.random.default_rng(0)
    centres = 2.0 * generator.normal(size=(CLUSTERS, latent))
    basis = generator.normal(size=(latent, DIMENSION)) / np.sqrt(DIMENSION)

    def draw(number: int) -> np.ndarray:
        places = centres[generator.integers(CLUSTERS, size=number)] + generator.normal(size=(number, latent))
        noise = 0.01 * generator.normal(size=(number, DIMENSION)) / np.sqrt(DIMENSION)
        return (places @ basis + noise).astype(np.float32)

    vectors = np.lib.format.open_memmap(folder / "vectors.npy", "w+", np.float32, (count, DIMENSION))
    for start in range(0, count, BLOCK):
        vectors[start : start + BLOCK] = draw(min(BLOCK, count - start))
    vectors.flush()
    asked = draw(queries)
    np.save(folder / "queries.npy", asked)
    nearest = np.full((queries, 21), np.inf, np.float64)
    for start in range(0, count, BLOCK):
        block = vectors[start : start + BLOCK].astype(np.float64)
        squares = (asked.astype(np.float64) ** 2).sum(1)[:, None] + (block**2).sum(1)[None] - 2 * asked @ block.T
        nearest = np.partition(np.concatenate([nearest, np.maximum(squares, 0)], axis=1), 20, axis=1)[:, :21]
    distances = np.sqrt(np.sort(nearest, axis=1))
    np.save(folder / "tenth.npy", distances[:, K - 1])
    logs = np.log(distances[:, 19:20] / np.maximum(distances[:, :19], 1e-9))
    np.save(folder / "intrinsic.npy", np.float64(1.0 / np.mean(logs.mean(axis=1))))


def read_memory() -> dict[str, int]:
    """Resident bytes of this process: its own (anonymous) and mapped from files."""
    lines = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines() if ":" in line)
    return {
        "anonymous_bytes": int(lines["RssAnon"].split()[0]) * 1024,
        "mapped_bytes": int(lines["RssFile"].split()[0]) * 1024,
    }


def time_queries(search, queries: np.ndarray, vectors: np.ndarray, tenth: np.ndarray) -> dict[str, float]:
    """p50 and p95 in milliseconds and recall at 10 (a proposal counts if it is no farther than the true tenth)."""
    for query in queries[:20]:
        search(query)
    seconds, hits = [], 0
    for query, limit in zip(queries, tenth, strict=True):
        start = time.perf_counter()
        found = np.asarray(search(query), dtype=np.int64)
        seconds.append(time.perf_counter() - start)
        measured = np.linalg.norm(vectors[found].astype(np.float64) - query, axis=1)
        hits += int((measured <= limit * (1 + 1e-6)).sum())
    p50, p95 = np.percentile(np.array(seconds) * 1000, [50, 95])
    return {"p50_ms": float(p50), "p95_ms": float(p95), "recall_at_10": hits / (K * len(queries))}


def run_icbir(folder: Path, vectors: np.ndarray, measure, wanted: float) -> dict:
    from icbir_core.retrieval.index import Index

    directory = folder / "icbir"
    start = time.perf_counter()
    if not (directory / "manifest.json").is_file():
        Index.build(directory, vectors, np.arange(len(vectors)), {"model": "benchmark", "catalogue": "benchmark"})
        return {"build_s": time.perf_counter() - start, "again": True}
    index = Index.open(directory)
    opened = time.perf_counter() - start
    result = measure(lambda query: index.search(query, K).rows)
    sizes = {name: entry["bytes"] for name, entry in index.manifest["files"].items()}
    setting = {name: index.manifest[name] for name in ("trees", "search_k", "recall_at_10", "recall_at_10_between")}
    return result | {"open_s": opened, "file_bytes": sum(sizes.values()), "setting": setting}


def run_exact(folder: Path, vectors: np.ndarray, measure, wanted: float) -> dict:
    from icbir_core.retrieval.exact import compute_squared_norms, find_nearest

    start = time.perf_counter()
    norms = compute_squared_norms(vectors)
    built = time.perf_counter() - start
    result = measure(lambda query: find_nearest(vectors, norms, query, K)[0])
    return result | {"build_s": built, "file_bytes": vectors.nbytes, "setting": {}}


def run_hnswlib(folder: Path, vectors: np.ndarray, measure, wanted: float) -> dict:
    import hnswlib

    path = folder / "hnswlib.bin"
    index = hnswlib.Index(space="l2", dim=DIMENSION)
    start = time.perf_counter()
    if not path.is_file():
        index.init_index(max_elements=len(vectors), ef_construction=100, M=16, random_seed=0)
        for first in range(0, len(vectors), BLOCK):
            index.add_items(vectors[first : first + BLOCK], num_threads=1)
        index.save_index(str(path))
        return {"build_s": time.perf_counter() - start, "again": True}
    index.load_index(str(path))
    opened = time.perf_counter() - start
    index.set_num_threads(1)
    for width in (16, 32, 64, 128, 256, 512, 1024):
        index.set_ef(width)
        result = measure(lambda query: index.knn_query(query, K)[0][0])
        if result["recall_at_10"] >= wanted:
            break
    return result | {"open_s": opened, "file_bytes": path.stat().st_size, "setting": {"M": 16, "ef": width}}


def run_faiss_ivf(folder: Path, vectors: np.ndarray, measure, wanted: float) -> dict:
    import faiss

    faiss.omp_set_num_threads(1)
    path, lists = folder / "faiss.bin", int(4 * np.sqrt(len(vectors)))
    start = time.perf_counter()
    if not path.is_file():
        index = faiss.IndexIVFFlat(faiss.IndexFlatL2(DIMENSION), DIMENSION, lists)
        index.cp.niter, index.cp.max_points_per_centroid = 10, 64
        chosen = np.sort(np.random.default_rng(0).choice(len(vectors), min(len(vectors), 50 * lists), replace=False))
        index.train(vectors[chosen])
        for first in range(0, len(vectors), BLOCK):
            index.add(np.asarray(vectors[first : first + BLOCK]))
        faiss.write_index(index, str(path))
        return {"build_s": time.perf_counter() - start, "again": True}
    index = faiss.read_index(str(path))
    opened = time.perf_counter() - start
    for probes in (1, 2, 4, 8, 16, 32, 64, 128, 256, 512):
        index.nprobe = probes
        result = measure(lambda query: index.search(query[None], K)[1][0])
        if result["recall_at_10"] >= wanted:
            break
    return result | {"open_s": opened, "file_bytes": path.stat().st_size, "setting": {"lists": lists, "probes": probes}}


def run_library(folder: Path, library: str, wanted: float) -> dict:
    """Build, or measure what was built, in this process; prints JSON."""
    vectors = np.load(folder / "vectors.npy", mmap_mode="r")
    queries, tenth = np.load(folder / "queries.npy"), np.load(folder / "tenth.npy")
    result = globals()[f"run_{library}"](
        folder, vectors, lambda search: time_queries(search, queries, vectors, tenth) | read_memory(), wanted
    )
    return result | {"library": library}


def call_library(folder: Path, library: str, interpreter: str, wanted: float) -> dict | None:
    """Run a library in processes of its own: one builds and ends, the next opens the file and measures."""
    command = [interpreter, __file__, "--folder", str(folder), "--library", library, "--wanted", str(wanted)]
    built = None
    while True:
        done = subprocess.run(command, capture_output=True, text=True)
        if done.returncode:
            print(f"{library}: {done.stderr.strip().splitlines()[-1]}", file=sys.stderr)
            return None
        result = json.loads(done.stdout.splitlines()[-1])
        if not result.pop("again", False):
            return {"build_s": built} | result if built is not None else result
        built = result["build_s"]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--count", type=int, default=1_000_000)
    parser.add_argument("--latent", type=int, default=16)
    parser.add_argument("--queries", type=int, default=200)
    parser.add_argument("--peers", default=sys.executable, help="python that has hnswlib and faiss-cpu")
    parser.add_argument("--libraries", default=",".join(LIBRARIES))
    parser.add_argument("--scratch", default=None, help="folder for the vectors (4 kB each) and index files")
    parser.add_argument("--json", type=Path, default=None)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--library", help=argparse.SUPPRESS)
    parser.add_argument("--wanted", type=float, default=0.99, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.library:
        print(json.dumps(run_library(options.folder, options.library, options.wanted)))
        return
    with tempfile.TemporaryDirectory(dir=options.scratch) as name:
        folder = Path(name)
        make_data(folder, options.count, options.queries, options.latent)
        intrinsic = float(np.load(folder / "intrinsic.npy"))
        print(describe_processor())
        print(
            f"{options.count} × {DIMENSION}, latent {options.latent}, estimated intrinsic dimension {intrinsic:.1f}\n"
        )
        results, wanted = [], 0.99
        for library in options.libraries.split(","):
            interpreter = sys.executable if library in ("icbir", "exact") else options.peers
            result = call_library(folder, library, interpreter, wanted)
            if result is not None:
                results.append(result)
                wanted = result["recall_at_10"] if library == "icbir" else wanted
            for extra in ("hnswlib.bin", "faiss.bin"):
                (folder / extra).unlink(missing_ok=True)
        print_table(results)
        if options.json:
            facts = {"count": options.count, "latent": options.latent, "intrinsic": intrinsic, "results": results}
            options.json.write_text(json.dumps(facts, indent=1))


def print_table(results: list[dict]) -> None:
    base = next((result["p50_ms"] for result in results if result["library"] == "exact"), float("nan"))
    names = "library, setting, build s, file GB, own memory GB, mapped GB, p50 ms, p95 ms, p50 / exact, recall at 10"
    print(f"| {names.replace(', ', ' | ')} |")
    print("|---|---|---|---|---|---|---|---|---|---|")
    for result in results:
        setting = ", ".join(f"{name} {value}" for name, value in result["setting"].items())
        print(
            f"| {result['library']} | {setting} | {result['build_s']:.0f} | {result['file_bytes'] / 1e9:.2f} | "
            f"{result['anonymous_bytes'] / 1e9:.2f} | {result['mapped_bytes'] / 1e9:.2f} | {result['p50_ms']:.2f} | "
            f"{result['p95_ms']:.2f} | {result['p50_ms'] / base:.3f} | {result['recall_at_10']:.3f} |"
        )


if __name__ == "__main__":
    main()
