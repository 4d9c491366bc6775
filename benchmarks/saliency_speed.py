"""Each saliency method in milliseconds a film and in forward passes of the same network, cold and warm.

    python benchmarks/saliency_speed.py [--rounds 5] [--batches 1,8] [--peer PYTHON] [--threads 2] [--slow]

DenseNet-121 at 224 × 224, random weights (the work does not depend on them). In each round a forward pass and every
method run one after the other on the same films, so that another load on the machine falls on all of them; the unit is
the forward pass of the same round. "passes" by wall clock, and by processor time, which other processes disturb less.
--peer: a Python with torch and zennit, asked in the same rounds (see saliency_peer.py).
The last rows are the similarity maps of one pair of films, for the methods that rank by features and by grey levels.
--slow: also SmoothGrad, integrated gradients and occlusion, one round each.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import time
from pathlib import Path

import numpy as np
from processor import describe_processor

QUICK = ("deep_taylor", "lrp_composite", "grad_cam", "gradients_inputs")
SLOW = ("smooth_grad", "integrated_gradients", "occlusion")


def measure(call) -> tuple[float, float]:
    """Wall and processor seconds of one call."""
    wall, processor = time.perf_counter(), time.process_time()
    call()
    return time.perf_counter() - wall, time.process_time() - processor


class Peer:
    """zennit in its own process; `ask` gives wall and processor times of a forward pass and of an attribution."""

    def __init__(self, python: str, threads: int):
        script = str(Path(__file__).with_name("saliency_peer.py"))
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
        self.process = subprocess.Popen([python, script, str(threads)], text=True, **pipes)

    def ask(self, films: int) -> list[float]:
        print(films, file=self.process.stdin, flush=True)
        return [float(value) for value in self.process.stdout.readline().split()]

    def close(self) -> None:
        self.process.stdin.close()
        self.process.wait()


def show(name: str, films: int, cold: float, times: np.ndarray, units: np.ndarray) -> str:
    """A table row; times, units : (rounds, 2) of wall and processor seconds."""
    ratios = times / units
    spread = f"{ratios[:, 0].min():.2f}–{ratios[:, 0].max():.2f}"
    return (
        f"| {name} | {films} | {cold:.1f} | {1000 * np.median(times[:, 0]) / films:.0f} | "
        f"{np.median(ratios[:, 0]):.2f} ({spread}) | {np.median(ratios[:, 1]):.2f} |"
    )


def time_similarity(method: str, model, rounds: int) -> str:
    """A table row of the similarity maps of one pair of films; the unit is the forward pass of both."""
    import tensorflow as tf

    from icbir_core.model.classifier import Classifier
    from icbir_core.radiograph.network_input import standardise
    from icbir_core.retrieval.embedding import Embedder
    from icbir_core.retrieval.methods import SEARCH_METHODS
    from icbir_core.retrieval.pair_explanation import FilmPair, explain_pair

    films = np.random.default_rng(0).random((2, 224, 224), np.float32)
    classifier = Classifier(model, {"findings": [str(i) for i in range(8)], "input": {"size": 224, "equalise": True}})
    run, inputs = tf.function(lambda x: model(x, training=False)), standardise(films)
    pair = FilmPair(films, SEARCH_METHODS[method], Embedder(classifier, None, classifier.findings[0]))
    calls = (lambda: explain_pair(pair)), (lambda: run(inputs).numpy())
    cold = [measure(call)[0] for call in calls][0]
    times = np.array([[measure(call) for call in calls] for _ in range(rounds)])
    return show(f"similarity, {method}, a pair", 2, cold, times[:, 0], times[:, 1])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--batches", default="1,8")
    parser.add_argument("--peer")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--slow", action="store_true")
    options = parser.parse_args()
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    import tensorflow as tf

    from icbir_core.model.network import build_network
    from icbir_core.saliency.registry import attribute_output

    tf.config.threading.set_intra_op_parallelism_threads(options.threads)
    peer = Peer(options.peer, options.threads) if options.peer else None
    print(f"{describe_processor()}, {options.threads} threads\n")
    print("| method | batch | first call, s | ms a film | passes, wall (range) | passes, processor |")
    print("|---|---|---|---|---|---|")
    for films in (int(part) for part in options.batches.split(",")):
        model = build_network("densenet121", 8, 224)
        run = tf.function(lambda x, model=model: model(x, training=False))
        inputs = np.random.default_rng(0).normal(size=(films, 224, 224, 3)).astype("f4")
        calls = {"forward pass": lambda run=run, inputs=inputs: run(inputs).numpy()}
        for name in QUICK:
            calls[name] = lambda name=name, model=model, x=inputs: attribute_output(model, x, 0, name)
        cold = {name: measure(call)[0] for name, call in calls.items()}
        times = {name: [] for name in calls}
        peer_times = []
        if peer:
            first = peer.ask(films)
        for _ in range(options.rounds):
            for name, call in calls.items():
                times[name].append(measure(call))
            if peer:
                peer_times.append(peer.ask(films))
        units = np.array(times["forward pass"])
        for name, values in times.items():
            print(show(name, films, cold[name], np.array(values), units), flush=True)
        if peer:
            found = np.array(peer_times)
            print(show("zennit: forward pass (torch)", films, first[0], found[:, :2], found[:, :2]))
            print(show("zennit: EpsilonPlus, its own passes", films, first[2], found[:, 2:], found[:, :2]))
            ratio = found[:, 2] / np.array(times["lrp_composite"])[:, 0]
            by_processor = found[:, 3] / np.array(times["lrp_composite"])[:, 1]
            print(
                f"\nbatch {films}: zennit's EpsilonPlus over lrp_composite: {np.median(ratio):.2f} by wall clock, "
                f"{np.median(by_processor):.2f} by processor time\n"
            )
        if options.slow:
            for name in SLOW:
                compute = lambda name=name, model=model, x=inputs: attribute_output(model, x, 0, name)  # noqa: E731
                compiled = measure(compute)[0]
                pair = np.array([measure(compute)]), np.array([measure(calls["forward pass"])])
                print(show(name, films, compiled, *pair), flush=True)
    for name in ("cnn", "ssim"):
        print(time_similarity(name, model, options.rounds), flush=True)
    if peer:
        peer.close()


if __name__ == "__main__":
    main()
