"""A small network, a classifier around it, and films for it: everything here runs in seconds on one core."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np
import pytest

from icbir_core.errors import UnknownNameError
from icbir_core.settings import InputSettings

REFERENCE = Path(__file__).resolve().parents[2] / "reference"


@dataclass(frozen=True, eq=False)
class SmallClassifier:
    """What the rooms above ask of a classifier, around a small network."""

    model: object
    findings: tuple[str, ...] = ("Effusion", "Cardiomegaly", "Edema")
    input_settings: InputSettings = InputSettings(size=32, equalise=False)
    title: str = "small"
    network: None = None

    def output_index(self, finding: str) -> int:
        if finding not in self.findings:
            raise UnknownNameError("finding", finding, self.findings)
        return self.findings.index(finding)


@pytest.fixture(scope="session")
def reference_directory() -> Path:
    """Stored values and what made them."""
    return REFERENCE


@pytest.fixture(scope="session")
def small_model():
    """A DenseNet with two blocks and random weights, biases and shifts, sigmoid outputs."""
    import keras

    from tests.reference.small_densenet import build, random_weights

    model = build(keras)
    model.set_weights(random_weights(model, seed=5))
    return model


@pytest.fixture(scope="session")
def small_classifier(small_model) -> SmallClassifier:
    return SmallClassifier(small_model)


@pytest.fixture(scope="session")
def films() -> np.ndarray:
    """float32 (3, 32, 32) in [0, 1], smooth."""
    import cv2

    noise = np.random.default_rng(0).random((3, 32, 32)).astype(np.float32)
    smooth = np.stack([cv2.GaussianBlur(one, (0, 0), 2.0) for one in noise])
    low, high = smooth.min(axis=(1, 2), keepdims=True), smooth.max(axis=(1, 2), keepdims=True)
    return (smooth - low) / (high - low)
