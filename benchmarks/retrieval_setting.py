"""What the benchmarks of indexing and querying share: a workspace of films, and the forward pass."""

from __future__ import annotations

import argparse
import shutil
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

from icbir_core.catalogue import IngestOptions, Workspace, ingest
from icbir_core.model.classifier import Classifier
from icbir_core.model.layer_names import LOGITS_LAYER
from icbir_core.phantom import write_simulated


def read_options(purpose: str, **counts: int) -> argparse.Namespace:
    """What the command was given. purpose : of the benchmark; counts : its options that are numbers, with their
    defaults."""
    parser = argparse.ArgumentParser(description=purpose.splitlines()[0])
    parser.add_argument("--images", type=Path, default=None, help="folder of PNG films (default: simulated ones)")
    parser.add_argument("--tensorflow", action="store_true", help="count in forward passes by TensorFlow")
    for name, number in counts.items():
        parser.add_argument(f"--{name}", type=int, default=number)
    return parser.parse_args()


def make_workspace(path: Path, number: int, seed: int, images: Path | None) -> Workspace:
    """A workspace of `number` films: of the folder `images` from the `seed`-th on, or else simulated, 1024 × 1024."""
    if images is None:
        folder = write_simulated(path.with_name(path.name + "_films"), number, seed, size=1024) / "images"
    else:
        folder = path.with_name(path.name + "_films")
        folder.mkdir()
        chosen = sorted(file for file in images.iterdir() if file.suffix == ".png")[seed : seed + number]
        for file in chosen:
            shutil.copy(file, folder)
    workspace = Workspace.create(path)
    ingest(workspace, IngestOptions("folder", folder))
    return workspace


def make_forward_pass(classifier: Classifier, tensorflow: bool = False) -> Callable[[np.ndarray], object]:
    """The classifier's plain forward pass on standardised films (N, 224, 224, 3), the unit in which the benchmarks
    count: by ONNX Runtime, which runs it, or by TensorFlow."""
    network = classifier.network
    if network is not None and not tensorflow:
        return lambda films: network.run(films, (LOGITS_LAYER,))
    from icbir_core.model.device import compile_network

    run = compile_network(classifier.model)
    return lambda films: run(films).numpy()


def time_call(call: Callable[[], object]) -> np.ndarray:
    """(wall, processor) seconds of one call; the second counts all threads and is steadier under other load."""
    wall, processor = time.perf_counter(), time.process_time()
    call()
    return np.array([time.perf_counter() - wall, time.process_time() - processor])


def describe_ratios(ratios: list[np.ndarray]) -> str:
    """Median and range of (wall, processor) ratios that were measured side by side."""
    parts = []
    for name, values in zip(("wall", "processor"), np.array(ratios).T, strict=True):
        parts.append(f"{name} {np.median(values):.2f} ({values.min():.2f} to {values.max():.2f})")
    return f"{', '.join(parts)}, {len(ratios)} rounds"
