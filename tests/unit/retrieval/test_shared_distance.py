"""The distance shared out over both films: complete, symmetric, and right on a case worked out by hand."""

from __future__ import annotations

import keras
import numpy as np
import pytest
from skimage.metrics import structural_similarity

from icbir_core.errors import RetrievalError, SaliencyError
from icbir_core.model.layer_names import PENULTIMATE_LAYER
from icbir_core.phantom import simulate_film
from icbir_core.radiograph.network_input import standardise
from icbir_core.radiograph.overlay import shared_scale
from icbir_core.retrieval.centring import Centre
from icbir_core.retrieval.methods import REGION, SEARCH_METHODS
from icbir_core.retrieval.model_choice import Models
from icbir_core.retrieval.pair_explanation import FilmPair, explain_pair, share_distance, share_feature_maps
from icbir_core.rounding import SINGLE
from icbir_core.saliency.encoding import encode_map
from icbir_core.saliency.registry import attribute


@pytest.fixture(scope="module")
def images() -> np.ndarray:
    return np.stack([simulate_film(seed, 64).pixels for seed in (40, 41, 42)]).astype(np.float32) / 255


@pytest.fixture(scope="module")
def explain(models, images):
    """explain(method, two images) by the small networks; the centre is that of three films."""
    embedder = models.make_embedder("deep_taylor")
    centre = Centre.measure([models.classifier.features(images)], {})
    (encoder,) = models.encoders
    other = Centre.measure([encoder.features(images)], {})

    def explain(method: str, pair: np.ndarray):
        beside = ((encoder, pair, other),) if SEARCH_METHODS[method].needs_encoders else ()
        return explain_pair(FilmPair(pair, SEARCH_METHODS[method], embedder, centre, beside))

    return explain


def read_features(classifier, pictures):
    model = classifier.model
    return keras.Model(model.input, model.get_layer(PENULTIMATE_LAYER).output)(standardise(pictures)).numpy()


@pytest.mark.parametrize("method", ["cnn", "ig_cbir", "ssim"])
def test_both_maps_sum_to_the_distance_and_swap_with_the_films(method, images, explain):
    pair = explain(method, images[:2])
    assert pair.total > 0 and abs(pair.residual) < 1e-3 * pair.total
    assert pair.first.values.sum() == pytest.approx(pair.total / 2, rel=1e-3)
    swapped = explain(method, images[1::-1])
    np.testing.assert_allclose(swapped.first.values, pair.second.values, rtol=1e-3, atol=1e-6 * pair.total)
    np.testing.assert_allclose(swapped.second.values, pair.first.values, rtol=1e-3, atol=1e-6 * pair.total)
    assert pair.first.values.shape == (64, 64) and pair.first.values.dtype == np.float32
    assert (pair.first.method, pair.first.finding, pair.first.signed) == ("similarity", "", True)


def test_the_total_is_the_distance_that_the_search_uses(models, images, explain):
    first, second = read_features(models.classifier, images[:2])
    expected = ((first - second) ** 2).sum()
    assert explain("cnn", images[:2]).total == pytest.approx(expected, rel=1e-3)
    maps = encode_map(attribute(models.classifier, images[:2], "Effusion"))
    first, second = read_features(models.saliency_classifier, maps)
    expected = ((first - second) ** 2).sum()
    found = explain("ig_cbir", images[:2]).total
    assert found == pytest.approx(expected, rel=1e-3)
    large = np.random.default_rng(0).random((2, 64, 64)).astype(np.float16).astype(np.float32)
    similarity = structural_similarity(
        large[0], large[1], gaussian_weights=True, sigma=1.5, use_sample_covariance=False, data_range=1.0
    )
    assert explain("ssim", large).total == pytest.approx(1 - similarity, rel=1e-4)


def test_shares_by_hand():
    """Two positions, one channel: means 2 and 1, d = 1, middle 1.5; film one gives 2.5/2 and -1.5/2, film two 0.5/2
    each: together 1, half of it on each film."""
    features = np.array([[[[4.0], [0.0]]], [[[1.0], [1.0]]]])
    np.testing.assert_allclose(share_distance(features), [[[1.25, -0.75]], [[0.25, 0.25]]])


def list_films_that_rounding_parts(film):
    """The film twice, and beside itself after the least step up that single precision knows, in every other pixel."""
    moved = film.copy()
    moved.ravel()[::2] = np.minimum(np.nextafter(moved.ravel()[::2], np.float32(2)), 1)
    return np.stack([film, film]), np.stack([film, moved])


@pytest.mark.parametrize("method", SEARCH_METHODS)
def test_films_that_only_rounding_parts_have_a_named_zero_map(method, images, explain):
    for pair_of_films in list_films_that_rounding_parts(images[0]):
        pair = explain(method, pair_of_films)
        assert (pair.total, pair.explained, pair.residual) == (0.0, 0.0, 0.0)
        assert pair.first.state == pair.second.state == "zero"
        assert shared_scale([pair.first.values, pair.second.values]) == 0.0, "nothing is left that could be coloured"


@pytest.mark.parametrize("method", SEARCH_METHODS)
def test_a_small_change_that_is_no_rounding_keeps_its_map(method, images, explain):
    changed = images[0].copy()
    changed[10:14, 10:14] = np.clip(changed[10:14, 10:14] + 0.1, 0, 1)
    pair = explain(method, np.stack([images[0], changed]))
    assert pair.total > 0 and pair.first.state == pair.second.state == "ok"


@pytest.mark.parametrize(("factor", "state"), [(0.5, "zero"), (2.0, "ok")])
def test_what_counts_as_rounding_is_measured_by_what_was_subtracted(factor, state):
    """Features worked out by hand: |f1|² + |f2|² is 2 · 9² for raw ones; about a centre (0, 8) each film lies at length
    1, so that both lengths and the centre's count in full: 2 · (9² + 8²)."""
    length = (2 * 9.0**2) ** 0.5
    for centre, size in ((None, length), (np.array([0.0, 8.0]), (2 * (9.0**2 + 8.0**2)) ** 0.5)):
        angle = factor * SINGLE * size / (9.0 if centre is None else 1.0)
        other = 9.0 * np.array([np.sin(angle), np.cos(angle)]) if centre is None else centre + np.array(
            [np.sin(angle), np.cos(angle)]
        )  # fmt: skip
        means = np.stack([[0.0, 9.0], other])
        shares, total = share_feature_maps(
            np.tile(means[:, None, None], (1, 2, 2, 1)), SINGLE, None if centre is None else Centre(centre, 1, {})
        )
        assert (total > 0) == bool(shares.any()) == (state == "ok")


def test_errors_are_one_sentence(models, images, explain):
    with pytest.raises(SaliencyError, match="two films"):
        explain("cnn", images)
    embedder = models.make_embedder("deep_taylor")
    with pytest.raises(SaliencyError, match="centre"):
        explain_pair(FilmPair(images[:2], SEARCH_METHODS["cnn_centred"], embedder))
    with pytest.raises(RetrievalError, match="Region"):
        explain_pair(FilmPair(images[:2], REGION, embedder))
    alone = Models(models.classifier, None, "Effusion", starter=False).make_embedder("deep_taylor")
    with pytest.raises(RetrievalError, match="saliency classifier"):
        explain_pair(FilmPair(images[:2], SEARCH_METHODS["ig_cbir"], alone))
