"""Every agreement statistic against a published worked example, and on the properties that define it."""

from __future__ import annotations

import numpy as np
import pytest

from icbir_core.errors import EvaluationError
from icbir_core.evaluation import agreement

N = np.nan

# Krippendorff, "Computing Krippendorff's Alpha-Reliability" (2011), section D: 4 observers, 12 units, missing data;
# published: nominal 0.743, ordinal 0.815, interval 0.849.
OBSERVERS = np.array(
    [
        [1, 2, 3, 3, 2, 1, 4, 1, 2, N, N, N],
        [1, 2, 3, 3, 2, 2, 4, 1, 2, 5, N, 3],
        [N, 3, 3, 3, 2, 3, 4, 2, 2, 5, 1, N],
        [1, 2, 3, 3, 2, 4, 4, 1, 2, 5, 1, N],
    ]
)
# Shrout & Fleiss, Psychological Bulletin 86:420 (1979), table 2: 6 targets, 4 judges; ICC(2,1) 0.29, ICC(2,4) 0.62.
JUDGES = np.array([[9, 6, 8, 7, 10, 6], [2, 1, 4, 1, 5, 2], [5, 3, 6, 2, 6, 4], [8, 2, 8, 6, 9, 7]])
# The data set "anxiety" of the R package irr (20 subjects, 3 raters), whose printed results statsmodels also tests on.
ANXIETY = np.array(
    [
        [3, 3, 3, 4, 5, 5, 2, 3, 5, 2, 2, 6, 1, 5, 2, 2, 1, 2, 4, 3],
        [3, 6, 4, 6, 2, 4, 2, 4, 3, 3, 2, 3, 3, 3, 2, 2, 1, 3, 3, 4],
        [2, 1, 4, 4, 3, 2, 1, 6, 1, 1, 1, 2, 3, 3, 1, 1, 3, 3, 2, 2],
    ],
    dtype=float,
)


def expand(table) -> tuple[np.ndarray, np.ndarray]:
    """The pairs of codes behind a table of counts."""
    table = np.asarray(table)
    rows, columns = np.indices(table.shape)
    return np.repeat(rows, table.ravel()).astype(float), np.repeat(columns, table.ravel()).astype(float)


@pytest.mark.parametrize(("level", "published"), [("nominal", 0.743), ("ordinal", 0.815), ("interval", 0.849)])
def test_krippendorff_alpha_is_the_published_one(level, published):
    assert agreement.krippendorff_alpha(OBSERVERS, level) == pytest.approx(published, abs=5e-4)


def test_krippendorff_alpha_by_its_definition_pair_by_pair():
    """1 − D_o / D_e summed over every pair of values within units, and over every pair of all values."""
    values = OBSERVERS[:, (~np.isnan(OBSERVERS)).sum(axis=0) >= 2]
    pooled = values[~np.isnan(values)]
    counts = {v: (pooled == v).sum() for v in np.unique(pooled)}

    def ordinal(a, b):
        low, high = min(a, b), max(a, b)
        between = sum(count for value, count in counts.items() if low <= value <= high)
        return (between - (counts[a] + counts[b]) / 2) ** 2

    observed = 0.0
    for unit in values.T:
        known = unit[~np.isnan(unit)]
        pairs = [ordinal(a, b) for i, a in enumerate(known) for j, b in enumerate(known) if i != j]
        observed += sum(pairs) / (len(known) - 1)
    expected = sum(ordinal(a, b) for i, a in enumerate(pooled) for j, b in enumerate(pooled) if i != j)
    slow = 1 - observed / (expected / (len(pooled) - 1))
    assert agreement.krippendorff_alpha(OBSERVERS) == pytest.approx(slow, abs=1e-12)


def test_krippendorff_alpha_of_perfect_agreement_of_chance_and_of_nothing():
    generator = np.random.default_rng(0)
    scores = generator.integers(1, 6, 400).astype(float)
    assert agreement.krippendorff_alpha(np.stack([scores, scores])) == 1.0
    assert abs(agreement.krippendorff_alpha(generator.integers(1, 6, (3, 4000)).astype(float))) < 0.03
    assert np.isnan(agreement.krippendorff_alpha(np.full((2, 5), N)))
    assert np.isnan(agreement.krippendorff_alpha(np.full((2, 5), 3.0)))
    with pytest.raises(EvaluationError, match="can be nominal, ordinal or interval"):
        agreement.krippendorff_alpha(OBSERVERS, "cardinal")


def test_intraclass_correlations_are_the_published_ones():
    single, average = agreement.intraclass_correlations(JUDGES)
    assert (round(single, 2), round(average, 2)) == (0.29, 0.62)
    # R, irr::icc(anxiety, model = "twoway", type = "agreement") prints ICC(A,1) = 0.198
    assert agreement.intraclass_correlations(ANXIETY)[0] == pytest.approx(0.198, abs=5e-4)


def test_intraclass_correlation_punishes_a_reader_who_scores_everything_higher():
    generator = np.random.default_rng(1)
    truth = generator.normal(0, 1, 300)
    fair = np.stack([truth + generator.normal(0, 0.3, 300) for _ in range(3)])
    shifted = fair + np.array([[0.0], [0.0], [2.0]])
    assert agreement.intraclass_correlations(fair)[0] > agreement.intraclass_correlations(shifted)[0] + 0.2


def test_kendall_w_is_the_published_one():
    # NAG Library, g08da, example program (3 comparisons of 10 objects, tied): W = 0.828, significance 0.0078
    ranks = np.array(
        [
            [1.0, 4.5, 2.0, 4.5, 3.0, 7.5, 6.0, 9.0, 7.5, 10.0],
            [2.5, 1.0, 2.5, 4.5, 4.5, 8.0, 9.0, 6.5, 10.0, 6.5],
            [2.0, 1.0, 4.5, 4.5, 4.5, 4.5, 8.0, 8.0, 8.0, 10.0],
        ]
    )
    concordance, p_value = agreement.kendall_w(ranks)
    assert (round(concordance, 3), round(p_value, 4)) == (0.828, 0.0078)
    # R, irr::kendall(anxiety, TRUE) prints Wt = 0.54, p-value = 0.0429
    concordance, p_value = agreement.kendall_w(ANXIETY)
    assert (round(concordance, 2), round(p_value, 4)) == (0.54, 0.0429)
    assert agreement.kendall_w(np.tile(np.arange(6.0), (4, 1)))[0] == pytest.approx(1)


def test_kendall_tau_is_the_published_one():
    # Agresti, Categorical Data Analysis (2002), table 2.8, income by job satisfaction: τ-b = 0.1524
    first, second = expand([[1, 3, 10, 6], [2, 3, 10, 7], [1, 6, 14, 12], [0, 1, 9, 11]])
    assert agreement.kendall_tau(first, second) == pytest.approx(0.1524, abs=5e-5)
    assert agreement.kendall_tau(np.array([1, 2, N, 3]), np.array([2, 4, 9, 8])) == pytest.approx(1)
    assert np.isnan(agreement.kendall_tau(np.array([1.0]), np.array([1.0])))


def test_weighted_kappa_is_the_published_one():
    # R, irr::kappa2(anxiety[, 1:2], "equal" | "squared"): 0.189, 0.297; of raters 2 and 3: 0.1459075, 0.2520325
    pairs = {(0, 1): (0.189, 0.297, range(1, 7)), (1, 2): (0.1459075, 0.2520325, None)}
    for (one, other), (linear, squared, categories) in pairs.items():
        for weights, published in (("linear", linear), ("quadratic", squared)):
            found = agreement.weighted_kappa(ANXIETY[one], ANXIETY[other], weights, categories)
            assert found == pytest.approx(published, abs=5e-4)
    assert np.isnan(agreement.weighted_kappa(np.full(5, 3.0), np.full(5, 3.0)))


def test_chance_corrected_gain_is_zero_for_random_orders_and_one_for_perfect_ones():
    generator = np.random.default_rng(2)
    grades = [generator.permuted(np.arange(1, 11) / 2) for _ in range(60)]
    random = agreement.chance_corrected_gain(grades, permutations=400)
    assert abs(random.corrected) < 0.12 and random.p_value > 0.01
    assert random.chance == pytest.approx(0.698, abs=0.01)  # published mean of random orders for N = 10
    perfect = agreement.chance_corrected_gain([np.sort(row)[::-1] for row in grades], permutations=400)
    assert perfect.corrected == pytest.approx(1) and perfect.p_value == pytest.approx(1 / 401)
    assert np.isnan(agreement.chance_corrected_gain([np.zeros(4), np.array([N, N])]).value)


def test_pairwise_goes_over_every_pair_of_readers():
    assert len(agreement.pairwise(OBSERVERS, agreement.kendall_tau)) == 6
