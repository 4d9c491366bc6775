"""One warm query, from the file's bytes to the ranking with its map, as a multiple of five forward passes at batch 1.

    python benchmarks/query.py --images DIR [--cases 40] [--queries 10] [--tensorflow]

The starter models and the encoder that comes with them, the default search, the map that is drawn first. Beside it the
published script's way, which recomputes every catalogue map for each query: measured on two batches of eight and scaled
to 1,500 cases. Forward passes of the classifier are timed around each query.
"""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

import numpy as np
from processor import describe_processor
from retrieval_setting import describe_ratios, make_forward_pass, make_workspace, read_options, time_call

from icbir_core.radiograph import read_radiograph
from icbir_core.retrieval.index_workspace import index_workspace
from icbir_core.retrieval.retriever import Retriever
from icbir_core.types import Query

PUBLISHED_CASES = 1500


def main() -> None:
    options = read_options(__doc__, cases=40, queries=10)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        workspace = make_workspace(folder / "catalogue", options.cases, 0, options.images)
        index_workspace(workspace)
        retriever = Retriever.open(workspace)
        asked = make_workspace(
            folder / "queries", options.queries + 2, 10_000 if not options.images else options.cases, options.images
        )
        films = [asked.path / case.path for case in asked.catalogue.cases()]
        opened = retriever.get_target()
        forward = make_forward_pass(opened.models.classifier, options.tensorflow)
        one = np.random.default_rng(0).normal(size=(1, 224, 224, 3)).astype("f4")
        stages: dict[str, list[float]] = {}
        ratios, units = [], []

        def answer(data: bytes) -> None:
            query = Query("query", read_radiograph(data))
            ranking = retriever.search(query)
            drawn = time_call(lambda: retriever.map_of(query))[0]
            for stage, value in {**ranking.timings_ms, "map": 1000 * drawn}.items():
                stages.setdefault(stage, []).append(value)

        for number, film in enumerate(films):
            data = film.read_bytes()
            before = [time_call(lambda: forward(one)) for _ in range(5)]
            spent = time_call(lambda part=data: answer(part))
            after = [time_call(lambda: forward(one)) for _ in range(5)]
            if number >= 2:
                units.append(np.mean(before + after, axis=0))
                ratios.append(spent / (5 * units[-1]))
        images = np.random.default_rng(1).random((8, 224, 224), dtype="f4")
        opened.embedder.embed(images).to_fields()
        batches = [time_call(lambda: opened.embedder.embed(images).to_fields()) for _ in range(2)]
        published = np.mean(batches, axis=0) / 8 * PUBLISHED_CASES
        ours = np.median([ratio * 5 * unit for ratio, unit in zip(ratios, units, strict=True)], axis=0)
        print(f"{describe_processor()}, load average {os.getloadavg()[0]:.1f}")
        print(f"one forward pass at batch 1: {1000 * np.median(units, axis=0)[0]:.0f} ms, of processor "
              f"{1000 * np.median(units, axis=0)[1]:.0f} ms")  # fmt: skip
        print(f"warm query with map / five forward passes: {describe_ratios(ratios)}")
        print("stages, median ms: " + ", ".join(f"{stage} {np.median(v):.1f}" for stage, v in stages.items()))
        print(f"the published way at {PUBLISHED_CASES} cases / our query, processor time: {(published / ours)[1]:.0f}")


if __name__ == "__main__":
    main()
