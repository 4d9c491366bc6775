"""The quality gate: the right doubt for the right reason, silence on ordinary films, and its limit on real ones."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
import skimage.data

from icbir_core.errors import ManifestMismatch
from icbir_core.files import sha256_of_file
from icbir_core.phantom import simulate_film
from icbir_core.radiograph import read_radiograph
from icbir_core.radiograph.quality import (
    FEATURES,
    FINE,
    MODEL_PATH,
    assess_quality,
    describe_grey,
    load_quality_model,
    transform_features,
)
from icbir_core.types import Radiograph


def make_radiograph(pixels: np.ndarray, **fields) -> Radiograph:
    return Radiograph(np.ascontiguousarray(pixels, np.float32), "", "", "PNG", **fields)


@pytest.fixture(scope="module")
def ordinary_film() -> np.ndarray:
    """A simulated film that the gate was not taught."""
    return simulate_film(7_500_001, 256).pixels.astype(np.float32) / 255


def test_the_distance_is_the_mahalanobis_distance():
    model = load_quality_model()
    assert np.allclose(model.precision, model.precision.T) and np.all(np.linalg.eigvalsh(model.precision) > 0)
    features = model.mean + np.random.default_rng(1).standard_normal(FEATURES)
    slow = sum(
        (features[i] - model.mean[i]) * model.precision[i, j] * (features[j] - model.mean[j])
        for i in range(FEATURES)
        for j in range(FEATURES)
    )
    assert model.measure(features)[0] == pytest.approx(slow / model.limit)
    assert model.measure(model.mean)[0] == 0.0


def test_the_score_is_the_mean_log_odds_of_the_networks_over_their_limit():
    model, features = load_quality_model(), np.random.default_rng(3).standard_normal(FINE * FINE + 3)
    odds = []
    for one, offsets, two, last in model.networks:
        hidden = [max(0.0, sum(features * one[:, unit]) + offsets[unit]) for unit in range(len(offsets))]
        odds.append(sum(value * two[unit] for unit, value in enumerate(hidden)) + last)
    assert len(odds) == 3
    assert model.score_ordinary(features)[0] == pytest.approx(sum(odds) / 3 - model.ordinary_limit)


def test_features_of_a_turned_and_inverted_film_are_turned_and_inverted(ordinary_film):
    features = describe_grey(ordinary_film)
    assert features.shape == (FEATURES,)
    for turns in range(4):
        made = describe_grey(np.rot90(ordinary_film, turns))
        assert np.corrcoef(made, transform_features(features, False, turns))[0, 1] > 0.99
        # Equalisation clips histograms from one side, so inversion is not exact.
        made = describe_grey(np.rot90(1.0 - ordinary_film, turns))
        assert np.corrcoef(made, transform_features(features, True, turns))[0, 1] > 0.98


def test_size_and_window_do_not_matter(ordinary_film):
    features = describe_grey(ordinary_film)
    assert np.abs(describe_grey(np.kron(ordinary_film, np.ones((2, 2)))) - features).max() < 0.05
    assert np.abs(describe_grey(0.3 + 0.4 * ordinary_film) - features).max() < 0.05


def test_header_shape_and_colour_speak_first(ordinary_film):
    lateral = assess_quality(make_radiograph(ordinary_film, view="LATERAL"))
    assert lateral.kinds == ("lateral",) and "header" in lateral.warnings[0].text
    hand = assess_quality(make_radiograph(ordinary_film, facts={"body_part": "HAND"}))
    assert hand.kinds == ("not_chest",) and "HAND" in hand.warnings[0].text
    colour = assess_quality(make_radiograph(ordinary_film, facts={"colour": "colour picture, read as grey"}))
    assert colour.kinds == ("not_chest",) and "colour" in colour.warnings[0].text, (
        "one doubt, and its grey is a chest's"
    )
    assert assess_quality(make_radiograph(ordinary_film[:60])).kinds == ("not_chest",)
    (coarse,) = assess_quality(make_radiograph(cv2.resize(ordinary_film, (40, 40)))).warnings
    assert coarse.kind == "not_chest" and "only 40 × 40 pixels" in coarse.text
    assert assess_quality(make_radiograph(np.full((50, 50), 0.4))).kinds == ("not_chest",)


def draw_house() -> np.ndarray:
    """A drawing in colour, float (H, W, 3) in [0, 1]: sky, meadow, house, roof, door and sun."""
    picture = np.full((240, 320, 3), (235, 206, 135), np.uint8)
    picture[170:] = (60, 160, 80)
    cv2.rectangle(picture, (90, 100), (230, 210), (200, 220, 240), -1)
    cv2.fillPoly(picture, [np.array([(75, 100), (160, 40), (245, 100)], np.int32)], (40, 40, 180))
    cv2.rectangle(picture, (145, 150), (180, 210), (40, 70, 110), -1)
    cv2.circle(picture, (285, 35), 20, (60, 230, 250), -1)
    return picture[..., ::-1] / 255


def test_a_picture_in_colour_is_judged_by_its_grey_as_well(ordinary_film):
    colour = {"colour": "colour picture, read as grey"}
    grey = draw_house() @ np.array([0.2126, 0.7152, 0.0722])
    plain, coloured = (assess_quality(make_radiograph(grey, facts=facts)) for facts in ({}, colour))
    assert plain.warnings and "colour" in coloured.warnings[0].text
    assert coloured.warnings[1:] == plain.warnings and coloured.distance == plain.distance > 1.0
    inverted = assess_quality(make_radiograph(1.0 - ordinary_film, facts=colour))
    assert inverted.kinds == ("not_chest", "inverted"), "a photograph of an inverted film is told both"
    narrow = assess_quality(make_radiograph(ordinary_film[:60], facts=colour))
    assert narrow.kinds == ("not_chest", "not_chest") and "too narrow" in narrow.warnings[1].text


@pytest.mark.parametrize("seed", range(5))
def test_noise_is_no_chest(seed):
    report = assess_quality(make_radiograph(np.random.default_rng(seed).random((128, 128))))
    assert report.kinds == ("not_chest",) and report.distance > 1.0 and report.warnings[0].score == report.distance


def test_photographs_are_refused_and_simulated_films_are_not():
    folder = Path(skimage.data.__file__).parent
    names = (
        "astronaut.png",
        "camera.png",
        "chelsea.png",
        "coins.png",
        "moon.png",
        "page.png",
        "rocket.jpg",
        "text.png",
    )
    pictures = [cv2.imread(str(folder / name), cv2.IMREAD_GRAYSCALE).astype(np.float32) / 255 for name in names]
    assert sum(bool(assess_quality(make_radiograph(one)).warnings) for one in pictures) >= len(names) - 1
    films = [simulate_film(seed, 192).pixels.astype(np.float32) / 255 for seed in range(7_500_010, 7_500_030)]
    assert sum(bool(assess_quality(make_radiograph(one)).warnings) for one in films) <= 2


def test_an_altered_model_is_refused(tmp_path):
    content = json.loads(MODEL_PATH.read_text())
    content["model"]["limit"] *= 2
    path = tmp_path / "gate.json"
    path.write_text(json.dumps(content))
    with pytest.raises(ManifestMismatch, match="gate.json"):
        load_quality_model(path)
    assert "--fit" in content["manifest"]["command"]


def test_the_result_page_is_about_this_model():
    page = MODEL_PATH.parents[1] / "benchmarks" / "quality_gate.md"
    assert sha256_of_file(MODEL_PATH)[:16] in page.read_text(encoding="utf-8")


def test_real_dicom_films(dicom_directory):
    assert assess_quality(read_radiograph(dicom_directory / "RG1_J2KI.dcm")).kinds == ()
    assert assess_quality(read_radiograph(dicom_directory / "rsna_jpeg_baseline.dcm")).kinds == ()
    twin = assess_quality(read_radiograph(dicom_directory / "monochrome1_twin.dcm"))
    assert twin.kinds == ("inverted",) and twin.warnings[0].score > 1.0


def test_real_films_upright_inverted_and_turned(nih_directory):
    films = [read_radiograph(path) for path in sorted((nih_directory / "images").glob("*.png"))[::15]]
    assert len(films) > 100
    assert np.mean([bool(assess_quality(film).warnings) for film in films]) <= 0.05
    inverted = [assess_quality(replace(film, pixels=1.0 - film.pixels)).kinds for film in films]
    assert np.mean([kinds == ("inverted",) for kinds in inverted]) >= 0.95
    for turns, advice in ((1, "90° clockwise"), (2, "180°"), (3, "90° counter-clockwise")):
        reports = [assess_quality(replace(film, pixels=np.rot90(film.pixels, turns))) for film in films]
        named = [advice in report.warnings[0].text for report in reports if report.kinds == ("rotated",)]
        assert len(named) >= 0.95 * len(films) and np.mean(named) >= 0.98
