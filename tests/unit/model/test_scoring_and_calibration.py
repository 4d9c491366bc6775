"""AUROC, its interval over patients, the operating point and calibration, against slow forms and known answers."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.special import expit

from icbir_core.errors import ModelError
from icbir_core.model.calibration import calibration_error, fit_temperature
from icbir_core.model.evaluation_card import describe_spectrum, mark_diseased
from icbir_core.model.scoring import choose_operating_point, compute_auroc, score_finding


def test_auroc_is_the_chance_of_the_right_order():
    random = np.random.default_rng(0)
    labels = (random.random(60) > 0.6).astype(float)
    scores = np.round(random.random(60) + 0.3 * labels, 1)
    pairs = [(a > b) + 0.5 * (a == b) for a in scores[labels == 1] for b in scores[labels == 0]]
    assert compute_auroc(labels, scores) == pytest.approx(np.mean(pairs))


def test_unknown_labels_take_no_part():
    labels, scores = np.array([1, 0, np.nan, 1, 0]), np.array([0.9, 0.1, 0.0, 0.2, 0.3])
    keep = ~np.isnan(labels)
    assert compute_auroc(labels, scores) == compute_auroc(labels[keep], scores[keep])
    assert np.isnan(compute_auroc(np.array([1.0, 1.0]), np.array([0.1, 0.2])))


def test_interval_resamples_patients_not_films():
    """Ten copies of each film under one patient: the interval must be as wide as without copies."""
    random = np.random.default_rng(1)
    labels = (random.random(40) > 0.5).astype(float)
    scores = random.random(40) + 0.4 * labels
    names = [f"p{i}" for i in range(40)]
    once = score_finding(labels, scores, names, repeats=400)
    copies = score_finding(np.repeat(labels, 10), np.repeat(scores, 10), np.repeat(names, 10).tolist(), repeats=400)
    alone = score_finding(np.repeat(labels, 10), np.repeat(scores, 10), [None] * 400, repeats=400)
    assert copies.value == pytest.approx(once.value)
    assert copies.high - copies.low == pytest.approx(once.high - once.low, rel=0.15)
    assert alone.high - alone.low < 0.5 * (once.high - once.low)
    assert once.low <= once.value <= once.high


def test_the_interval_is_that_of_patients_drawn_again_and_again():
    """The slow way: draw 30 patients with replacement, score their films, 500 times over."""
    random = np.random.default_rng(4)
    labels = (random.random(60) > 0.5).astype(float)
    scores = np.round(random.random(60) + 0.3 * labels, 1)
    patients = np.repeat(np.arange(30), 2)
    drawn = random.integers(0, 30, (500, 30))
    films = [np.concatenate([np.flatnonzero(patients == patient) for patient in one]) for one in drawn]
    low, high = np.nanpercentile([compute_auroc(labels[rows], scores[rows]) for rows in films], [2.5, 97.5])
    found = score_finding(labels, scores, [str(patient) for patient in patients], repeats=2000)
    assert (found.low, found.high) == pytest.approx((low, high), abs=0.03)


def test_one_class_gives_no_score():
    score = score_finding(np.zeros(4), np.arange(4.0), [None] * 4)
    assert np.isnan(score.value) and score.as_dict()["value"] is None and score.absent == 4
    with pytest.raises(ModelError, match="one for each film"):
        score_finding(np.zeros(4), np.arange(4.0), [None])


def test_operating_point_is_youdens():
    random = np.random.default_rng(2)
    labels = (random.random(80) > 0.7).astype(float)
    values = np.round(expit(random.normal(size=80) + 1.5 * labels), 2)

    def youden(threshold):
        called = values >= threshold
        return called[labels == 1].mean() - called[labels == 0].mean()

    best = max(youden(threshold) for threshold in np.linspace(0, 1, 2001))
    assert youden(choose_operating_point(labels, values)) == pytest.approx(best)
    assert choose_operating_point(np.zeros(3), np.zeros(3)) == 0.5


def test_calibration_undoes_a_known_distortion():
    random = np.random.default_rng(3)
    logits = random.normal(size=20000) * 2
    labels = (random.random(20000) < expit(logits)).astype(float)
    distorted = (logits - 0.7) * 3.0
    found = fit_temperature(distorted, labels)
    assert found.fitted
    assert found.temperature == pytest.approx(3.0, rel=0.05)
    assert found.offset == pytest.approx(0.7, abs=0.06)
    assert calibration_error(labels, expit(distorted)) > 3 * calibration_error(labels, found.apply(distorted))


def test_calibration_keeps_order_and_stays_finite():
    logits, labels = np.linspace(-3, 3, 20), (np.linspace(-3, 3, 20) > 0).astype(float)
    found = fit_temperature(logits, labels)
    assert 0 < found.temperature < np.inf
    assert (np.diff(found.apply(logits)) > 0).all()
    few = fit_temperature(logits[:6], np.array([1, 0, 0, 0, 0, np.nan]))
    assert not few.fitted and few.temperature == 1 and few.offset == 0


def test_the_spectrum_says_how_hard_the_films_are():
    findings = ("Effusion", "Mass", "No Finding")
    labels = np.array([[1, 0, 0], [0, 1, 0], [0, np.nan, 0], [0, 0, 1], [0, 0, 1], [np.nan, 0, np.nan]])
    diseased = mark_diseased(labels, findings)
    assert diseased.tolist() == [True, True, True, False, False, False]  # of the last nothing is known to be there
    assert mark_diseased(labels[:, :2], findings[:2]).tolist() == [True, True, False, False, False, False]
    # Told from health, but not from another finding.
    scores = np.array([[2, 0, 0], [3, 0, 0], [1, 0, 0], [0, 0, 1], [0, 0, 1], [0, 0, 0]], float)
    found = describe_spectrum(scores, labels, findings, [f"p{row}" for row in range(6)])
    assert found["auroc"]["Effusion"]["value"] == pytest.approx(3 / 4)
    assert found["auroc_among_findings"]["Effusion"]["value"] == pytest.approx(1 / 2)
    assert found["auroc_among_findings"]["No Finding"]["value"] is None
    assert found["auroc_among_findings"]["Effusion"]["absent"] == 2
    assert found["share_without_finding"] == 0.5
