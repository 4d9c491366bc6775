"""What a training step costs on this machine, a film, in forward passes of the same network, from every kind of start.

    python benchmarks/training_speed.py [--steps 3] [--batch 32] [--starts starter lite0 …]

Each start is found as `train --weights` finds it and trained by `icbir_core.model.training.train` on films of noise:
speed does not depend on what is learnt. The first step compiles and does not count. Beside it the preparation of the
batches alone, which one thread does: no device trains faster than that. Processor time counts all threads.
"""

from __future__ import annotations

import argparse
import os
import tempfile
import time
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
from processor import describe_processor
from retrieval_setting import time_call

from icbir_core.catalogue import Workspace
from icbir_core.model.backbones import BACKBONES, name_backbone
from icbir_core.model.device import compile_network
from icbir_core.model.network import build_network
from icbir_core.model.recipes import find_recipe
from icbir_core.model.training import NetworkStart, train
from icbir_core.model.training_set import Batches, TrainingSet
from icbir_core.training.starts import find_start

SIDE = 224
ALL_FILMS, EPOCHS = 112_120, 20
"""Films of NIH ChestX-ray14, and epochs of the default recipe."""


def make_films(count: int) -> TrainingSet:
    random = np.random.default_rng(0)
    images = random.integers(0, 256, (count, SIDE, SIDE), dtype=np.uint8)
    labels = (np.arange(count)[:, None] % 2).astype(np.float32)
    return TrainingSet(images, labels, ("Effusion",), [None] * count, np.zeros(count, bool))


def time_steps(network: str, weights: str, films: TrainingSet, batch: int, folder: Path) -> np.ndarray:
    """(wall, processor) seconds a film, float (steps - 1, 2)."""
    moments = []

    def progress(done: int, total: int, text: str) -> None:
        moments.append((time.perf_counter(), time.process_time()))

    recipe = replace(find_recipe("default"), epochs=1, batch_size=batch)
    train(films, recipe, folder, NetworkStart(network, SIDE, weights), progress)
    return np.diff(np.array(moments), axis=0) / batch


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--steps", type=int, default=3, help="that count")
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--starts", nargs="*", default=["starter", "lite0", "densenet169", "resnet50"])
    options = parser.parse_args()
    films = make_films((options.steps + 1) * options.batch)
    drawn = Batches(films, SIDE, options.batch, 0, find_recipe("default").augmentation)
    prepared = np.median([time_call(lambda: drawn[0]) for _ in range(5)], axis=0) / options.batch
    print(f"{describe_processor()}, batches of {options.batch}, side {SIDE}", flush=True)
    print(f"preparing a film, with augmentation: {1000 * prepared[1]:.1f} ms of processor")
    print("Processor time a film; the last two columns are reckoned for two cores.\n")
    print("| start | network | forward, ms | step, ms | step / forward | films a second | days for NIH |")
    print("|---|---|---|---|---|---|---|")
    with tempfile.TemporaryDirectory() as name:
        workspace = Workspace.create(Path(name) / "w")
        for given in options.starts:
            is_network = given in BACKBONES
            start = find_start(workspace, "none" if is_network else given)
            network, weights = given if is_network else start.network, str(start.weights)
            run = compile_network(build_network(network, 1, SIDE, weights))
            inputs = np.random.default_rng(1).normal(size=(options.batch, SIDE, SIDE, 3)).astype("f4")
            run(inputs)
            passes = [time_call(partial(run, inputs))]
            steps = time_steps(network, weights, films, options.batch, Path(name) / given.replace("/", "_"))
            passes += [time_call(partial(run, inputs)) for _ in range(2)]
            forward = np.median(passes, axis=0)[1] / options.batch
            step = np.median(steps[:, 1])
            speed = 2 / step
            title = "random weights" if is_network else Path(given).name
            costs = f"{1000 * forward:.0f} | {1000 * step:.0f} | {step / forward:.1f} | {speed:.1f}"
            days = ALL_FILMS * EPOCHS / speed / 86400
            print(f"| {title} | {name_backbone(network)} | {costs} | {days:.1f} |", flush=True)
    print(f"load average {os.getloadavg()[0]:.1f}")


if __name__ == "__main__":
    main()
