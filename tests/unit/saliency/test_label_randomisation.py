"""Similarity of the maps of two networks: right on cases worked out by hand, 1 for a network and itself."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import spearmanr

from icbir_core.saliency.label_randomisation import compare_networks, measure_rank_correlation, pair_with_another


def test_rank_correlation_is_spearmans():
    one = np.array([[3.0, 1.0], [2.0, 2.0]])
    assert measure_rank_correlation(one, np.exp(one)) == pytest.approx(1.0)
    assert measure_rank_correlation(one, -one) == pytest.approx(-1.0)
    assert measure_rank_correlation(one, np.ones((2, 2))) == 0.0
    random = np.random.default_rng(0)
    first, second = random.integers(0, 5, (8, 8)), random.integers(0, 5, (8, 8))
    assert measure_rank_correlation(first, second) == pytest.approx(spearmanr(first.ravel(), second.ravel()).statistic)


def test_the_floor_pairs_films_of_different_patients():
    assert pair_with_another(["a", "a", "b", "c"]).tolist() == [2, 2, 3, 0]
    assert pair_with_another(["a", "a"]).tolist() == [0, 1]


def find(rows, check, method, subject):
    (row,) = [row for row in rows if (row.check, row.method, row.subject) == (check, method, subject)]
    return row


def test_a_network_agrees_with_itself_and_less_so_across_films(small_classifier, films):
    rows = compare_networks(small_classifier, small_classifier, films, "Edema", ("a", "b", "c"), ("deep_taylor",))
    for subject in ("cosine", "Spearman"):
        same, floor = (find(rows, check, "deep_taylor", subject) for check in ("shuffled labels", "different films"))
        assert (same.value, same.films, same.direction) == (pytest.approx(1.0), 3, "lower")
        assert floor.value < 0.999 and floor.films == 3
    assert find(rows, "states", "deep_taylor", "shuffled labels").value == 0.0


def test_an_empty_map_is_left_out_and_counted(small_classifier, films, monkeypatch):
    """Grad-CAM of a network that sees nothing is zero: no similarity of 0 that would look like a passed test."""
    from icbir_core.saliency import label_randomisation

    maps = np.stack([np.zeros((32, 32)), *np.random.default_rng(0).random((2, 32, 32))]).astype(np.float32)
    monkeypatch.setattr(label_randomisation, "attribute_output", lambda *_: maps)
    rows = compare_networks(small_classifier, small_classifier, films, "Edema", ("a", "b", "c"), ("grad_cam",))
    assert find(rows, "shuffled labels", "grad_cam", "cosine").films == 2
    assert find(rows, "different films", "grad_cam", "cosine").films == 1
    assert find(rows, "states", "grad_cam", "true labels").value == pytest.approx(1 / 3)
