"""Intervals cover, p-values are fair, corrections are Holm's."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score
from statsmodels.stats.multitest import multipletests

from icbir_core.errors import EvaluationError
from icbir_core.evaluation import metrics, statistics


def test_an_interval_covers_the_truth_about_as_often_as_it_says():
    generator = np.random.default_rng(0)
    covered = 0
    for trial in range(150):
        patients = np.repeat(np.arange(40), 3)
        values = generator.normal(0, 1, 40)[patients] + generator.normal(0, 0.2, 120)
        interval = statistics.bootstrap_mean(values, patients, repeats=400, seed=trial)
        covered += interval.low <= 0 <= interval.high
    assert 0.87 <= covered / 150 <= 0.99


def test_films_of_one_patient_make_an_interval_wider_than_independent_films_would():
    generator = np.random.default_rng(1)
    patients = np.repeat(np.arange(20), 10)
    values = generator.normal(0, 1, 20)[patients]
    by_patient = statistics.bootstrap_mean(values, patients)
    as_if_alone = statistics.bootstrap_mean(values, np.arange(200))
    assert by_patient.high - by_patient.low > 2 * (as_if_alone.high - as_if_alone.low)
    assert (by_patient.queries, by_patient.patients) == (200, 20)


def test_a_film_without_a_patient_stands_alone():
    assert statistics.group_patients(["a", None, "a", None]).tolist() == [0, 1, 0, 2]


def test_unknown_values_are_left_out_and_nothing_gives_nothing():
    interval = statistics.bootstrap_mean(np.array([1.0, np.nan, 3.0]), np.arange(3))
    assert interval.value == 2 and interval.queries == 2
    assert np.isnan(statistics.bootstrap_mean(np.array([np.nan]), np.arange(1)).value)
    with pytest.raises(EvaluationError, match="needs its patient"):
        statistics.bootstrap_mean(np.zeros(3), np.arange(2))


def test_paired_p_values_are_uniform_without_a_difference_and_small_with_one():
    generator = np.random.default_rng(2)
    p_values = []
    for trial in range(120):
        first, second = generator.normal(0, 1, (2, 30))
        compared = statistics.compare_paired(first, second, np.arange(30), ("a", "b"), "m", repeats=299, seed=trial)
        p_values.append(compared.p_value)
    assert 0.0 <= np.mean(np.array(p_values) < 0.05) <= 0.11 and 0.4 <= np.mean(p_values) <= 0.6
    first = generator.normal(0, 1, 30)
    compared = statistics.compare_paired(first + 1, first, np.arange(30), ("a", "b"), "m")
    assert compared.p_value < 0.001 and compared.difference.value == pytest.approx(1)


def test_the_area_under_the_curve_is_that_of_scikit_learn_and_so_are_its_resamples():
    generator = np.random.default_rng(5)
    scores, states = generator.integers(0, 11, 80) / 10, generator.integers(0, 2, 80)
    groups = np.repeat(np.arange(40), 2)
    found = statistics.bootstrap_auroc(scores, states, groups, repeats=2000)
    assert found.value == pytest.approx(roc_auc_score(states, scores))

    def area(chosen):
        return roc_auc_score(states[chosen], scores[chosen])

    slow = statistics.bootstrap_statistic(area, groups, repeats=400)
    assert (found.low, found.high) == pytest.approx((slow.low, slow.high), abs=0.02)
    assert np.isnan(statistics.bootstrap_auroc(scores, np.ones(80), groups).value)


def test_the_correction_is_the_step_down_method_of_holm():
    interval = statistics.Interval(0, 0, 0, 1, 1)
    entries = [statistics.PairedDifference("a", "b", "m", interval, p) for p in (0.01, 0.04, 0.03, np.nan)]
    corrected = [entry.p_corrected for entry in statistics.correct_for_comparisons(entries)]
    np.testing.assert_allclose(corrected, [0.03, 0.06, 0.06, np.nan])  # 3 × 0.01, max(2 × 0.03, 1 × 0.04)
    drawn = np.random.default_rng(0).random(9) ** 3
    found = statistics.correct_for_comparisons([replace(entries[0], p_value=p) for p in drawn])
    expected = multipletests(drawn, method="holm")[1]
    np.testing.assert_allclose([entry.p_corrected for entry in found], expected)
    assert expected.max() == 1 and not statistics.correct_for_comparisons([])


def test_chance_of_precision_is_the_base_rate_and_its_p_value_sees_a_real_effect():
    generator = np.random.default_rng(3)
    lists = [np.array([1.0] * 10 + [0.0] * 30) for _ in range(25)]
    chance = statistics.permute_chance(lists, lambda values: metrics.precision_at(values, 5), 300)
    assert chance.shape == (300, 25) and chance.mean() == pytest.approx(0.25, abs=0.01)
    assert statistics.chance_p_value(0.45, chance.mean(axis=1)) < 0.01
    assert statistics.chance_p_value(0.25, chance.mean(axis=1)) > 0.2
    with_unknown = [np.where(generator.random(40) < 0.3, np.nan, row) for row in lists]
    known_rate = np.mean([np.nanmean(row) for row in with_unknown])
    chance = statistics.permute_chance(with_unknown, lambda values: metrics.precision_at(values, 5), 300)
    assert chance.mean() == pytest.approx(known_rate, abs=0.015)
    with pytest.raises(EvaluationError, match="There is no query"):
        statistics.permute_chance([], metrics.average_precision)
