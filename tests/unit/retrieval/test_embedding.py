"""The one path: shared pass against the rooms' own functions, batch against single, catalogue against query."""

from __future__ import annotations

import gc
import weakref
from concurrent.futures import ThreadPoolExecutor

import keras
import numpy as np
import pytest

from icbir_core.errors import RetrievalError, UnknownNameError
from icbir_core.model.classifier import Classifier
from icbir_core.phantom import simulate_film
from icbir_core.radiograph.network_input import fit_to_network, standardise
from icbir_core.retrieval.embedding import Embedder
from icbir_core.retrieval.regions import summarise_features
from icbir_core.retrieval.tensorflow_passes import find_shared_pass
from icbir_core.saliency.encoding import encode_map
from icbir_core.saliency.registry import attribute
from tests.helpers.small_workspace import FINDINGS, make_classifier


@pytest.fixture(scope="module")
def images(models):
    settings = models.classifier.input_settings
    return np.stack([fit_to_network(simulate_film(s, 128).pixels / np.float32(255), settings) for s in range(5)])


@pytest.fixture(scope="module")
def embedder(models) -> Embedder:
    return models.make_embedder("deep_taylor")


def test_shared_pass_equals_the_separate_functions(embedder, models, images):
    found = embedder.embed(images)
    np.testing.assert_allclose(found.probabilities, models.classifier.predict(images), atol=1e-5)
    np.testing.assert_allclose(found.cnn, models.classifier.features(images), rtol=1e-4, atol=1e-5)
    maps = attribute(models.classifier, images, "Effusion", "deep_taylor")
    np.testing.assert_allclose(found.maps, maps, rtol=1e-3, atol=1e-6 * np.abs(maps).max())
    np.testing.assert_allclose(
        found.ig_cbir, models.saliency_classifier.features(encode_map(maps)), rtol=1e-3, atol=1e-4
    )
    last = keras.Model(models.classifier.model.input, models.classifier.model.get_layer("relu").output)
    spatial = summarise_features(np.asarray(last(standardise(images), training=False)))
    np.testing.assert_allclose(found.spatial.astype("f4"), spatial, rtol=2e-3, atol=1e-3)
    assert found.spatial.dtype == np.float16
    assert np.ptp(found.maps) > 0 and np.abs(found.ig_cbir[0] - found.ig_cbir[1]).max() > 1e-4


def test_one_image_alone_gives_what_it_gives_in_a_batch(embedder, images):
    together = embedder.embed(images)
    for number in range(len(images)):
        alone = embedder.embed(images[number : number + 1])
        for name in ("cnn", "ig_cbir", "probabilities"):
            np.testing.assert_allclose(getattr(alone, name)[0], getattr(together, name)[number], rtol=1e-4, atol=1e-5)


def test_targets_share_the_compiled_pass_and_get_their_own_maps(images, models):
    """Also where two readers ask for the first time at once; and nothing holds what is no longer used."""
    classifier = make_classifier(FINDINGS, 4)
    both = [Embedder(classifier, None, target) for target in FINDINGS]
    with ThreadPoolExecutor(2) as pool:
        found = list(pool.map(lambda one: one.embed(images[:2]), both))
    for target, embeddings in zip(FINDINGS, found, strict=True):
        maps = attribute(classifier, images[:2], target, "deep_taylor")
        np.testing.assert_allclose(embeddings.maps, maps, rtol=1e-3, atol=1e-6 * np.abs(maps).max())
    assert np.abs(found[0].maps - found[1].maps).max() > 0.01 * np.abs(found[0].maps).max()
    assert find_shared_pass(classifier) is find_shared_pass(classifier)
    assert find_shared_pass(classifier) is not find_shared_pass(models.classifier)
    weak = weakref.ref(find_shared_pass(classifier))
    del both, classifier
    gc.collect()
    assert weak() is None


def test_the_saliency_classifier_is_needed_by_those_alone_who_ask_for_its_features(images, models):
    built = []

    def build():
        built.append(True)
        return models.saliency_classifier.model

    lazy = Classifier(build, models.saliency_classifier.manifest)
    found = Embedder(models.classifier, lazy, "Effusion").embed(images[:2])
    assert found.read("cnn") is found.cnn and np.ptp(found.maps) > 0 and not built
    expected = models.saliency_classifier.features(encode_map(found.maps))
    np.testing.assert_allclose(found.read("ig_cbir"), expected, rtol=1e-4, atol=1e-5)
    assert built == [True] and "ig_cbir" in found.to_fields()
    alone = Embedder(models.classifier, None, "Effusion").embed(images[:1])
    assert alone.ig_cbir is None and "ig_cbir" not in alone.to_fields()
    with pytest.raises(RetrievalError, match="'ig_cbir'"):
        alone.read("ig_cbir")


def test_another_map_method_takes_the_same_path(models, images):
    found = Embedder(models.classifier, models.saliency_classifier, "Effusion", "grad_cam").embed(images[:2])
    maps = attribute(models.classifier, images[:2], "Effusion", "grad_cam")
    np.testing.assert_allclose(found.maps, maps, rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(found.cnn, models.classifier.features(images[:2]), rtol=1e-4, atol=1e-5)


def test_refusals(embedder, models, images):
    with pytest.raises(RetrievalError, match="images"):
        embedder.embed(images[:, :32])
    with pytest.raises(RetrievalError, match="finite"):
        embedder.embed(np.full_like(images, np.nan))
    with pytest.raises(UnknownNameError, match="Hernia"):
        Embedder(models.classifier, None, "Hernia")
