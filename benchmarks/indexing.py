"""Indexing a film (decode, map, embeddings, store) as a multiple of four forward passes of the same network.

    python benchmarks/indexing.py --images DIR [--rounds 5] [--films 24]

Each round times forward passes in batches of eight and then the indexing of fresh films, so that another load on the
machine falls on both. The memory of the process is read after each round: it must not grow with the films indexed.
"""

from __future__ import annotations

import resource
import tempfile
from pathlib import Path

import numpy as np
from processor import describe_processor
from retrieval_setting import describe_ratios, make_forward_pass, make_models, make_workspace, read_options, time_call

from icbir_core.model.device import choose_device
from icbir_core.retrieval.filling import Filling
from icbir_core.retrieval.store import BATCH, CaseStore


def main() -> None:
    options = read_options(__doc__, rounds=5, films=24)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        models = make_models(folder)
        forward, embedder = make_forward_pass(models.classifier), models.make_embedder("deep_taylor")
        inputs = np.random.default_rng(0).normal(size=(BATCH, 224, 224, 3)).astype("f4")
        forward(inputs)
        embedder.embed(np.zeros((BATCH, 224, 224), "f4") + np.linspace(0, 1, 224, dtype="f4"))
        ratios, computing, memory = [], [], []
        for number in range(options.rounds):
            workspace = make_workspace(folder / f"w{number}", options.films, number * options.films, options.images)
            store = CaseStore.create(folder / f"s{number}.zarr", {}, embedder.fields)
            filling = Filling(workspace, embedder, store, (), choose_device("auto").as_dict())
            batches = options.films // BATCH
            before = [time_call(lambda: forward(inputs)) for _ in range(2 * batches)]
            spent = time_call(lambda one=filling: one.fill_all(lambda *_: None))
            images = np.random.default_rng(number).random((BATCH, 224, 224), dtype="f4")
            alone = time_call(lambda im=images: embedder.embed(im))
            after = [time_call(lambda: forward(inputs)) for _ in range(2 * batches)]
            unit = np.mean(before + after, axis=0) / BATCH
            ratios.append(spent / options.films / (4 * unit))
            computing.append(alone / BATCH / (4 * unit))
            memory.append(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)
        print(describe_processor())
        print(f"one forward pass in batches of {BATCH}: {1000 * unit[0]:.0f} ms a film (last round)")
        print(f"indexing a film / four forward passes: {describe_ratios(ratios)}")
        print(f"  of it map and embeddings alone:      {describe_ratios(computing)}")
        print("largest resident memory after each round, MB: " + ", ".join(f"{value:.0f}" for value in memory))


if __name__ == "__main__":
    main()
