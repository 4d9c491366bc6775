"""Vectors are computed once, kept by the film's grey levels, and read from the index where they are."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest

from icbir_core.errors import EvaluationError
from icbir_core.evaluation.vectors import BATCH, VectorSource
from icbir_core.settings import InputSettings


class CountingTarget:
    """An opened target that counts what it is asked to embed; its embedding is the mean of the image."""

    target, map_method = "Effusion", "deep_taylor"

    def __init__(self, with_saliency=True):
        features = SimpleNamespace(features=lambda maps: maps.reshape(len(maps), -1)[:, :3])
        classifier = SimpleNamespace(input_settings=InputSettings(size=32, equalise=False))
        self.models = SimpleNamespace(
            identity={"model": "a", "saliency_model": "b"},
            encoders=(),
            predictor=SimpleNamespace(encoders=()),
            classifier=classifier,
            saliency_classifier=features if with_saliency else None,
        )
        self.store = SimpleNamespace(names=("cnn", "maps"), read=lambda kind, rows: np.full((len(rows), 2), 7.0))
        self.embedder = self
        self.batches: list[int] = []

    def embed(self, images):
        self.batches.append(len(images))
        means = images.mean(axis=(1, 2))[:, None]
        values = {"cnn": means, "ssim": means, "ig_cbir": means * 2}
        return SimpleNamespace(to_fields=lambda: values)


def test_a_film_is_computed_once_whoever_asks(tmp_path, films):
    opened, queries = CountingTarget(), films([[0, 0, 0]] * (BATCH + 5))
    source = VectorSource(opened, tmp_path)
    first = source.get(queries, "cnn")
    assert opened.batches == [BATCH, 5]
    np.testing.assert_allclose(source.get(queries, "ig_cbir"), 2 * first)
    again = VectorSource(opened, tmp_path)
    np.testing.assert_array_equal(again.get(queries.select([3, 1]), "cnn"), first[[3, 1]])
    assert opened.batches == [BATCH, 5]


def test_a_killed_run_goes_on_after_its_last_batch(tmp_path, films):
    queries = films([[0, 0, 0]] * (BATCH + 5))
    VectorSource(CountingTarget(), tmp_path).get(queries.select(range(BATCH)), "cnn")
    opened = CountingTarget()
    VectorSource(opened, tmp_path).get(queries, "cnn")
    assert opened.batches == [5]


def test_other_models_never_share_vectors(tmp_path, films):
    queries = films([[0, 0, 0]] * 4)
    VectorSource(CountingTarget(), tmp_path).get(queries, "cnn")
    other = CountingTarget()
    other.models.identity["model"] = "another"
    VectorSource(other, tmp_path).get(queries, "cnn")
    assert other.batches == [4]


def test_catalogue_vectors_come_from_the_index(tmp_path, films):
    opened = CountingTarget()
    catalogue = films([[0, 0, 0]] * 3, rows=True)
    assert (VectorSource(opened, tmp_path).get(catalogue, "cnn") == 7).all() and not opened.batches


def test_controls_go_through_the_same_saliency_classifier(tmp_path, films):
    source = VectorSource(CountingTarget(), tmp_path)
    assert source.get(films([[0, 0, 0]] * 3), "edge_maps").shape == (3, 3)
    without = VectorSource(CountingTarget(with_saliency=False), tmp_path)
    for kind in ("ig_cbir", "edge_maps"):
        with pytest.raises(EvaluationError, match="saliency classifier"):
            without.get(films([[0, 0, 0]] * 3), kind)


def test_a_retrained_network_has_vectors_of_its_own(tmp_path, films):
    queries = films([[0, 0, 0]] * 3)
    anew = SimpleNamespace(features=lambda maps: np.full((len(maps), 2), 5.0), sha256="c" * 64)
    source = VectorSource(CountingTarget(), tmp_path, retrained={"edge_maps": anew})
    assert (source.get(queries, "edge_maps_retrained") == 5).all()
    assert source.get(queries, "edge_maps").shape == (3, 3)
    with pytest.raises(EvaluationError, match="--retrain lung_prior"):
        source.get(queries, "lung_prior_retrained")
