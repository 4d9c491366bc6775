"""Metrics of one ranked list: by hand, by definition, and what must hold for any list."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics import average_precision_score, ndcg_score

from icbir_core.errors import EvaluationError
from icbir_core.evaluation import metrics

LIST = np.array([1, 0, 1, 1, 0, 0, 1, 0])


def test_a_list_scored_by_hand():
    assert metrics.precision_at(LIST, 3) == pytest.approx(2 / 3)
    assert metrics.r_precision(LIST) == pytest.approx(3 / 4)
    assert metrics.average_precision(LIST) == pytest.approx((1 + 2 / 3 + 3 / 4 + 4 / 7) / 4)
    assert metrics.hit_rate(np.array([0, 0, 1]), 2) == 0 and metrics.hit_rate(np.array([0, 0, 1]), 3) == 1
    assert metrics.vote_share(LIST, 4) == 0.75
    assert metrics.majority_vote(LIST, 4) == 1 and metrics.majority_vote(LIST, 2) == 0.5


def test_unknown_cases_are_taken_out_and_never_negative():
    with_unknown = np.array([np.nan, 1, np.nan, np.nan, 0, 1, 1, np.nan, 0, 0, 1, 0])
    known = metrics.drop_unknown(with_unknown)
    np.testing.assert_array_equal(known, LIST)
    with pytest.raises(EvaluationError, match="unknown"):
        metrics.precision_at(with_unknown, 3)


def test_what_cannot_be_said_is_not_a_number():
    assert np.isnan(metrics.precision_at(LIST, 9)) and np.isnan(metrics.hit_rate(LIST, 9))
    assert np.isnan(metrics.average_precision(np.zeros(5))) and np.isnan(metrics.r_precision(np.zeros(5)))
    assert np.isnan(metrics.normalised_gain(np.zeros(5)))
    with pytest.raises(EvaluationError):
        metrics.precision_at(LIST, 0)


def test_average_precision_and_gain_agree_with_scikit_learn():
    generator = np.random.default_rng(0)
    for _ in range(20):
        values = generator.integers(0, 2, 30)
        values[0] = 1
        order = -np.arange(30)
        assert metrics.average_precision(values) == pytest.approx(average_precision_score(values, order))
        grades = generator.random(30) * 4
        reference = ndcg_score([2**grades - 1], [order], k=10)
        assert metrics.normalised_gain(grades, 10) == pytest.approx(reference)


def grade_ranks(ranks: np.ndarray, count: int) -> np.ndarray:
    """The paper's grade of the case that a reader put at a rank 1 … N: ((N + 1) − rank)/2 + 0.5."""
    return ((count + 1) - ranks) / 2 + 0.5


def test_the_gain_of_the_paper_has_its_published_values():
    """N = 10: DCG 90.909 in perfect order, 45.988 reversed; random nDCG 0.698, 0.560 for 20, 0.487 for 30."""
    ranks = np.arange(1, 11)
    assert metrics.discounted_gain(grade_ranks(ranks, 10)) == pytest.approx(90.909, abs=5e-4)
    assert metrics.discounted_gain(grade_ranks(ranks[::-1], 10)) == pytest.approx(45.988, abs=5e-4)
    generator = np.random.default_rng(0)
    for count, mean in ((10, 0.698), (20, 0.560), (30, 0.487)):
        orders = generator.permuted(np.tile(np.arange(1, count + 1), (6000, 1)), axis=1)
        assert metrics.normalised_gain(grade_ranks(orders, count)).mean() == pytest.approx(mean, abs=0.006)


def test_many_orders_at_once_score_as_one_by_one():
    generator = np.random.default_rng(1)
    lists = generator.integers(0, 2, (7, 12))
    for metric in (metrics.average_precision, metrics.r_precision, lambda v: metrics.precision_at(v, 5)):
        np.testing.assert_allclose(metric(lists), [metric(row) for row in lists])


def test_grades_by_the_jaccard_index_of_findings():
    # columns: Effusion, Edema, Mass, No Finding
    query = np.array([1, 1, 0, 0])
    cases = np.array([[1, 1, 0, 0], [1, 0, 0, 0], [1, 0, 1, 0], [0, 0, 1, 0], [0, 0, 0, 1]])
    np.testing.assert_allclose(metrics.jaccard_grades(query, cases), [1, 1 / 2, 1 / 3, 0, 0])
    normal = np.array([0, 0, 0, 1])
    np.testing.assert_allclose(metrics.jaccard_grades(normal, cases), [0, 0, 0, 0, 1])
    np.testing.assert_allclose(metrics.jaccard_grades(normal, cases, no_finding=3), np.zeros(5))


def test_an_unknown_finding_is_left_out_of_both_sets():
    query = np.array([1, np.nan, 0])
    cases = np.array([[1, 1, 0], [np.nan, 1, 0], [1, 1, np.nan], [np.nan, 1, np.nan]])
    np.testing.assert_allclose(metrics.jaccard_grades(query, cases), [1, 0, 1, np.nan])
