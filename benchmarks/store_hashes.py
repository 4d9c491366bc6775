"""What it costs to seal a store of maps and embeddings, and to check it again.

    python benchmarks/store_hashes.py 1000

A store with the fields of a DenseNet-121 at 224 pixels and made-up values; beside sealing, the time to write them.
"""

from __future__ import annotations

import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from processor import describe_processor

from icbir_core.retrieval.store import BATCH, CaseStore

FIELDS = {
    "maps": ((224, 224), "float16"),
    "scales": ((), "float32"),
    "probabilities": ((15,), "float32"),
    "cnn": ((1024,), "float32"),
    "spatial": ((7, 7, 128), "float16"),
    "ssim": ((64, 64), "float16"),
    "ig_cbir": ((1024,), "float32"),
}


def run(count: int) -> str:
    generator, times = np.random.default_rng(0), {}
    with tempfile.TemporaryDirectory() as folder:
        store = CaseStore.create(Path(folder) / "store.zarr", {}, FIELDS)
        begun = time.perf_counter()
        for start in range(0, count, BATCH):
            rows = np.arange(start, min(start + BATCH, count))
            store.write(rows, {name: generator.random((len(rows), *shape)) for name, (shape, _) in FIELDS.items()})
        for name, step in (("write", None), ("seal", store.seal), ("seal again", store.seal), ("check", store.check)):
            if step is not None:
                begun = time.perf_counter()
                step()
            times[name] = time.perf_counter() - begun
        size = sum(file.stat().st_size for file in store.path.rglob("*") if file.is_file())
    shown = ", ".join(f"{name} {seconds:.2f} s" for name, seconds in times.items())
    return f"{count} cases, {size / 2**20:.0f} MiB: {shown}"


if __name__ == "__main__":
    print(describe_processor())
    print(run(int(sys.argv[1]) if len(sys.argv) > 1 else 1000))
