"""A small workspace of simulated films with small networks of random weights: what is tested is the path, not the
skill."""

from __future__ import annotations

import csv
from pathlib import Path

import cv2
import keras
import numpy as np

from icbir_core.catalogue import IngestOptions, Workspace, ingest
from icbir_core.files import sha256_of_bytes
from icbir_core.model.classifier import Classifier
from icbir_core.model.encoders import Encoder
from icbir_core.model.network import build_network, named_weights
from icbir_core.phantom import simulate_film
from tests.helpers.tiny_network import tiny_networks

SIZE, CASES = 64, 30
FINDINGS = ("Effusion", "Cardiomegaly")


def make_classifier(findings: tuple[str, ...], seed: int, **more) -> Classifier:
    """A small network with random weights that are not trivial (also the batch normalisations'), and a manifest."""
    keras.utils.set_random_seed(seed)
    with tiny_networks():
        model = build_network("densenet_small", len(findings), SIZE)
    generator = np.random.default_rng(seed)
    for layer in model.layers:
        if isinstance(layer, keras.layers.BatchNormalization):
            channels = layer.gamma.shape[0]
            layer.set_weights(
                [
                    generator.uniform(low, high, channels)
                    for low, high in ((0.8, 1.2), (-0.1, 0.2), (-0.2, 0.2), (0.5, 1.5))
                ]
            )
    weights = b"".join(values.tobytes() for _, values in sorted(named_weights(model).items()))
    manifest = {
        "findings": list(findings),
        "input": {"size": SIZE, "equalise": True},
        "sha256": sha256_of_bytes(weights),
    }
    return Classifier(model, manifest | {"network": "densenet_small", "format": 1} | more)


def make_encoder(name: str, seed: int, **changes) -> Encoder:
    """A small network of its own, in memory; it sees films without equalisation. changes : to its input."""
    classifier = make_classifier(FINDINGS, seed, input={"size": SIZE, "equalise": False} | changes)
    facts = {"file": f"{name}.npz", "embedding": {"layer": "avg_pool", "width": 64}, "kind": "encoder"}
    return Encoder(name, classifier.manifest | facts, classifier.features, classifier.map_features, classifier.head)


def write_films(folder: Path, seeds: range, patients: int = 0) -> Path:
    """Simulated films of 128 pixels with labels.csv; with `patients`, so many patients share the films in turn."""
    (folder / "images").mkdir(parents=True, exist_ok=True)
    with open(folder / "labels.csv", "w", newline="") as handle:
        writer = csv.writer(handle)
        writer.writerow(["image", "patient", "view", "age", "sex", *FINDINGS])
        for number, seed in enumerate(seeds):
            film = simulate_film(seed, 128)
            cv2.imwrite(str(folder / "images" / f"sim_{seed}.png"), film.pixels)
            patient = f"p{number % patients}" if patients else f"sim{seed}"
            present = [int(name in film.truth.names) for name in FINDINGS]
            writer.writerow([f"sim_{seed}.png", patient, film.truth.view, film.truth.age, film.truth.sex, *present])
    return folder


def ingest_films(workspace: Workspace, folder: Path) -> None:
    ingest(workspace, IngestOptions("folder", folder / "images", folder / "labels.csv"))
