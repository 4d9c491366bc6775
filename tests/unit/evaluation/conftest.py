"""Film sets and a source of vectors without a network: what is compared is put in by the test."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest

from icbir_core.evaluation.films import FilmSet
from icbir_core.types import Radiograph

FINDINGS = ("Effusion", "Mass", "No Finding")


def make_films(labels, patients=None, prefix="film", names=None, rows=False) -> FilmSet:
    """Films with the given labels (N, 3); each a patient of its own unless said otherwise."""
    labels = np.asarray(labels, dtype=float)
    count = len(labels)
    generator = np.random.default_rng(count)
    pictures = generator.random((count, 24, 20)).astype(np.float32)

    def read(i: int) -> Radiograph:
        return Radiograph(pictures[i], f"{prefix}{i}", f"{prefix}{i}", "png")

    return FilmSet(
        names=tuple(names or (f"{prefix}-{i}" for i in range(count))),
        films=tuple(f"{prefix}{i}" for i in range(count)),
        patients=tuple(patients) if patients is not None else tuple(f"{prefix}-patient-{i}" for i in range(count)),
        views=("PA",) * count,
        findings=FINDINGS,
        labels=labels,
        read=read,
        rows=np.arange(count) if rows else None,
    )


class PlantedSource:
    """Gives the vectors that the test planted: kind → function of the film set."""

    encoders = ()

    def __init__(self, kinds):
        self.kinds = kinds
        models = SimpleNamespace(identity={"model": "m", "saliency_model": "s"})
        self.opened = SimpleNamespace(models=models, map_method="deep_taylor", target="Effusion")

    def get(self, films, kind):
        return self.kinds[kind](films)


@pytest.fixture
def films():
    return make_films


@pytest.fixture
def planted():
    return PlantedSource
