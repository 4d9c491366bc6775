"""What the benchmarks of indexing and querying share: a workspace of films with DenseNet-121, and the forward pass."""

from __future__ import annotations

import argparse
import shutil
import time
from collections.abc import Callable
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf

from icbir_core.catalogue import IngestOptions, Workspace, ingest
from icbir_core.model.classifier import Classifier, save_classifier
from icbir_core.model.network import build_network
from icbir_core.phantom import write_simulated
from icbir_core.retrieval.model_choice import Models

TARGET = "Effusion"


def read_options(purpose: str, **counts: int) -> argparse.Namespace:
    """What the command was given. purpose : of the benchmark; counts : its options that are numbers, with their
    defaults."""
    parser = argparse.ArgumentParser(description=purpose.splitlines()[0])
    parser.add_argument("--images", type=Path, default=None, help="folder of PNG films (default: simulated ones)")
    for name, number in counts.items():
        parser.add_argument(f"--{name}", type=int, default=number)
    return parser.parse_args()


def make_models(folder: Path) -> Models:
    """DenseNet-121 at 224 with random weights, twice: speed does not depend on what was learnt."""
    made = []
    for seed, more in ((1, {}), (2, {"target": TARGET})):
        keras.utils.set_random_seed(seed)
        manifest = {"findings": [TARGET], "input": {"size": 224, "equalise": True}, "network": "densenet121"}
        if made:
            manifest["classifier"] = made[0].sha256
        made.append(save_classifier(build_network("densenet121", 1, 224), folder / f"{seed}.keras", manifest | more))
    return Models(made[0], made[1], TARGET, starter=False)


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


def make_forward_pass(classifier: Classifier) -> Callable[[np.ndarray], None]:
    """The network's plain forward pass, compiled: the unit in which the benchmarks count."""
    run = tf.function(
        lambda inputs: classifier.model(inputs, training=False),
        input_signature=[tf.TensorSpec((None, 224, 224, 3), tf.float32)],
    )
    return lambda inputs: run(tf.constant(inputs)).numpy()


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
