"""The mean of several networks' logits, against the networks' own outputs; what is refused, and what is said."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest

from icbir_core.errors import ManifestMismatch, ModelError
from icbir_core.model.encoders import get_shipped_folder, read_encoder_manifest
from icbir_core.model.prediction import CARD, CLASSIFIER, Predictor, read_card
from icbir_core.model.starter import STARTER_DIRECTORY
from tests.helpers.small_workspace import FINDINGS, make_classifier, make_encoder


@pytest.fixture(scope="module")
def networks():
    """A classifier and an encoder of the same findings; the encoder's own logits lie beside it."""
    return make_classifier(FINDINGS, 1), make_encoder("other", 3)


def make_card(networks, **more) -> dict:
    classifier, encoder = networks
    calibration = {"Effusion": {"temperature": 2.0, "offset": 0.5, "fitted": True}, "Cardiomegaly": {}}
    hashes = {CLASSIFIER: classifier.sha256, "other": encoder.sha256}
    return {"findings": list(FINDINGS), "networks": hashes, "calibration": calibration,
            "operating_points": {"Effusion": 0.4}} | more  # fmt: skip


def test_the_prediction_is_the_calibrated_mean_of_both_networks_logits(networks):
    classifier, encoder = networks
    images = np.random.default_rng(0).random((4, 64, 64)).astype(np.float32)
    first, features = classifier.compute(images)
    second, other = encoder.features.__self__.compute(images)  # the encoder's own network, logits and all
    predictor = Predictor(classifier, [encoder], make_card(networks))
    mean = (first.astype(np.float64) + second) / 2
    assert np.abs(first - second).max() > 0.01
    np.testing.assert_allclose(predictor.compute_logits([features, other]), mean, atol=1e-5)
    expected = 1 / (1 + np.exp(-np.stack([mean[:, 0] / 2 + 0.5, mean[:, 1]], axis=1)))
    found = predictor.predict([features, other])
    np.testing.assert_allclose(found, expected, atol=1e-5)
    told = predictor.to_prediction(found[0])
    assert told.probabilities["Cardiomegaly"] == pytest.approx(expected[0, 1], abs=1e-5)
    assert dict(told.operating_points) == {"Effusion": 0.4}
    assert told.source == predictor.title == "the mean of a small DenseNet to try things out and " + told.networks[1]
    turned = make_card(networks, findings=list(reversed(FINDINGS)))
    np.testing.assert_allclose(Predictor(classifier, [encoder], turned).predict([features, other]), found[:, ::-1])


def test_alone_it_is_the_classifiers_own(networks):
    classifier, _ = networks
    images = np.random.default_rng(1).random((3, 64, 64)).astype(np.float32)
    alone = Predictor(classifier)
    np.testing.assert_allclose(alone.predict([classifier.features(images)]), classifier.predict(images), atol=1e-6)
    assert alone.sha256 == classifier.sha256 and alone.title == classifier.title


def test_other_networks_and_lacking_outputs_are_refused(networks):
    classifier, encoder = networks
    card = make_card(networks)
    with pytest.raises(ManifestMismatch, match="not those whose mean was calibrated"):
        Predictor(classifier, [make_encoder("other", 4)], card)
    with pytest.raises(ModelError, match="other has features only"):
        Predictor(classifier, [replace(encoder, head=None)], card)
    with pytest.raises(ModelError, match="classifier does not predict Nodule"):
        Predictor(classifier, [encoder], card | {"findings": ["Effusion", "Nodule"]})


def test_another_calibration_is_another_prediction(networks):
    one, other = (Predictor(*networks[:1], networks[1:], make_card(networks, operating_points={"Effusion": point}))
                  for point in (0.4, 0.5))  # fmt: skip
    assert one.sha256 != other.sha256 != networks[0].sha256


@pytest.mark.parametrize(
    ("among", "whole", "weak"),
    [
        ({"value": 0.6, "low": 0.49}, {"value": 0.8, "low": 0.7}, True),
        ({"value": 0.6, "low": 0.51}, {"value": 0.5, "low": 0.4}, False),
        ({"value": None, "low": None}, {"value": 0.6, "low": 0.5}, True),
        (None, None, False),
    ],
)
def test_a_finding_at_chance_is_named_by_the_harder_number(networks, among, whole, weak):
    scores = {"auroc_among_findings": {"Effusion": among}, "auroc": {"Effusion": whole}}
    card = make_card(networks) | {name: {k: v for k, v in one.items() if v} for name, one in scores.items()}
    assert Predictor(networks[0], networks[1:], card).at_chance == (("Effusion",) if weak else ())


def test_a_search_at_chance_is_known_by_method_and_finding(networks):
    known = {"search_at_chance": {"encoders_centred": ["Effusion"]}}
    predictor = Predictor(networks[0], networks[1:], make_card(networks) | known)
    assert predictor.searches_at_chance("encoders_centred", "Effusion")
    assert not predictor.searches_at_chance("encoders_centred", "Cardiomegaly")
    assert not predictor.searches_at_chance("cnn", "Effusion")


def test_a_search_by_networks_that_were_never_measured_is_not_said_to_be_at_chance(networks):
    classifier, encoder = networks
    predictor = Predictor(
        classifier, [encoder], make_card(networks, search_at_chance={"encoders_centred": ["Effusion"]})
    )
    asked = ("encoders_centred", "Effusion")
    assert predictor.searches_at_chance(*asked, [encoder])
    for compared in ([encoder, make_encoder("further", 4)], [make_encoder("other", 4)], [replace(encoder, name="b")]):
        assert not predictor.searches_at_chance(*asked, compared)


def test_the_card_that_comes_with_the_program_names_its_networks():
    starter = json.loads((STARTER_DIRECTORY / "starter_classifier.json").read_text())
    card = read_card(starter["sha256"])
    assert card is not None and card["findings"] == starter["findings"]
    lite = read_encoder_manifest(get_shipped_folder() / "lite0.json")
    assert card["networks"] == {CLASSIFIER: starter["sha256"], "lite0": lite["sha256"]}
    for entry in ("calibration", "operating_points", "auroc", "auroc_among_findings", "auroc_tune"):
        assert set(card[entry]) == set(card["findings"])
    text = (STARTER_DIRECTORY / CARD).with_suffix(".md").read_text()
    for name, score in card["auroc_among_findings"].items():
        cell = "–" if score["value"] is None else f"{score['value']:.3f} [{score['low']:.2f}, {score['high']:.2f}]"
        assert f"| {name} | {cell} |" in text
    assert card["warning"] in text and card["share_without_finding"] == pytest.approx(118 / 303, abs=1e-3)


def test_another_classifier_predicts_alone_and_a_damaged_card_is_named(tmp_path):
    assert read_card("0" * 64) is None and read_card("0" * 64, tmp_path) is None
    (tmp_path / CARD).write_text("{")
    with pytest.raises(ModelError, match="starter_prediction"):
        read_card("0" * 64, tmp_path)
    (tmp_path / CARD).write_text("{}")
    with pytest.raises(ModelError, match="is damaged"):
        read_card("0" * 64, tmp_path)
