"""Indexing a film (decode, map, embeddings, store) as a multiple of four forward passes of the same network.

    python benchmarks/indexing.py --images DIR [--rounds 5] [--films 24] [--tensorflow]

The starter models and the encoder that comes with them: of each film the map, and the embeddings of all three networks.
Each round times forward passes in batches of eight and then the indexing of fresh films, so that another load on the
machine falls on both. The memory of the process is read after each round: it must not grow with the films indexed.
"""

from __future__ import annotations

import os
import resource
import tempfile
from pathlib import Path

import numpy as np
from processor import describe_processor
from retrieval_setting import describe_ratios, make_forward_pass, make_workspace, read_options, time_call

from icbir_core.catalogue import Workspace
from icbir_core.model.device import choose_device
from icbir_core.retrieval.filling import Filling, open_encoder_stores
from icbir_core.retrieval.model_choice import load_with_encoders
from icbir_core.retrieval.store import BATCH, CaseStore


def main() -> None:
    options = read_options(__doc__, rounds=5, films=24)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        models = load_with_encoders(Workspace.create(folder / "none"))
        forward = make_forward_pass(models.classifier, options.tensorflow)
        embedder = models.make_embedder(models.map_method)

        def compute(images: np.ndarray) -> None:
            embedder.embed(images).to_fields()
            for encoder in models.encoders:
                encoder.features(images)

        inputs = np.random.default_rng(0).normal(size=(BATCH, 224, 224, 3)).astype("f4")
        forward(inputs)
        compute(np.zeros((BATCH, 224, 224), "f4") + np.linspace(0, 1, 224, dtype="f4"))
        ratios, computing, memory = [], [], []
        for number in range(options.rounds):
            workspace = make_workspace(folder / f"w{number}", options.films, number * options.films, options.images)
            store = CaseStore.create(folder / f"s{number}.zarr", {}, embedder.fields)
            sides = open_encoder_stores(workspace, models.encoders)
            filling = Filling(workspace, embedder, store, sides, choose_device("auto").as_dict())
            batches = options.films // BATCH
            before = [time_call(lambda: forward(inputs)) for _ in range(2 * batches)]
            spent = time_call(lambda one=filling: one.fill_all(lambda *_: None))
            images = np.random.default_rng(number).random((BATCH, 224, 224), dtype="f4")
            alone = time_call(lambda im=images: compute(im))
            after = [time_call(lambda: forward(inputs)) for _ in range(2 * batches)]
            unit = np.mean(before + after, axis=0) / BATCH
            ratios.append(spent / options.films / (4 * unit))
            computing.append(alone / BATCH / (4 * unit))
            memory.append(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)
        print(f"{describe_processor()}, load average {os.getloadavg()[0]:.1f}")
        print(f"one forward pass in batches of {BATCH}: {1000 * unit[0]:.0f} ms a film (last round)")
        print(f"indexing a film / four forward passes: {describe_ratios(ratios)}")
        print(f"  of it map and embeddings alone:      {describe_ratios(computing)}")
        print("largest resident memory after each round, MB: " + ", ".join(f"{value:.0f}" for value in memory))


if __name__ == "__main__":
    main()
