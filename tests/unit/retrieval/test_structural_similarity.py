"""The vectorised structural similarity is scikit-image's, case by case."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter
from skimage.metrics import structural_similarity

from icbir_core.errors import IndexMismatch, RetrievalError
from icbir_core.retrieval.search_index import Eligible
from icbir_core.retrieval.structural_similarity import (
    StructuralSimilarityIndex,
    compare,
    describe_windows,
    reduce_images,
)

MADE_FROM = {"model": "m", "catalogue": "c"}


@pytest.fixture(scope="module")
def reduced() -> np.ndarray:
    generator = np.random.default_rng(4)
    images = np.stack([gaussian_filter(generator.random((96, 96)), 2.0) for _ in range(30)])
    images = (images - images.min()) / (images.max() - images.min())
    images[3] = 0.0
    return reduce_images(images)


def compare_slowly(first, second):
    return structural_similarity(
        first.astype("f8"),
        second.astype("f8"),
        gaussian_weights=True,
        sigma=1.5,
        use_sample_covariance=False,
        data_range=1,
    )


def test_equals_scikit_image(reduced):
    values = compare(reduced[0], reduced, *describe_windows(reduced))
    np.testing.assert_allclose(values, [compare_slowly(reduced[0], other) for other in reduced], atol=2e-5)
    assert values[0] == pytest.approx(1.0, abs=1e-6)


def test_index_ranks_as_scikit_image_does(tmp_path, reduced):
    rows = np.arange(30) * 2
    StructuralSimilarityIndex.update(tmp_path, reduced, rows, np.array([58]), MADE_FROM)
    index = StructuralSimilarityIndex.open(tmp_path, MADE_FROM)
    assert len(index) == 29
    found = index.search(reduced[5], 4, Eligible(rows[(rows != 12) & (rows != 58)], 29))
    slow = sorted((1 - compare_slowly(reduced[5], reduced[n]), rows[n]) for n in range(29) if rows[n] != 12)[:4]
    assert found.rows.tolist() == [row for _, row in slow] and found.route == "exact"
    np.testing.assert_allclose(found.distances, [distance for distance, _ in slow], atol=2e-5)
    np.testing.assert_array_equal(index.measure(reduced[5], found.rows[::-1]), found.distances[::-1])
    assert found.rows[0] == 10
    np.testing.assert_array_equal(index.get_vectors(np.array([10, 2])), reduced[[5, 1]])
    assert sorted(index.search(reduced[5], 4, Eligible(np.array([2, 4]), 29)).rows) == [2, 4]
    with pytest.raises(RetrievalError, match="row 58"):
        index.get_vectors(np.array([2, 58]))


def test_refusals(tmp_path, reduced):
    index = StructuralSimilarityIndex.update(tmp_path, reduced, np.arange(30), np.empty(0, np.int64), MADE_FROM)
    with pytest.raises(RetrievalError, match="ssim"):
        index.search(reduced[0], 3, route="annoy")
    with pytest.raises(IndexMismatch, match="reduced image"):
        index.search(np.zeros(4), 3)
    with pytest.raises(IndexMismatch, match="model"):
        StructuralSimilarityIndex.open(tmp_path, {"model": "other"})
