"""Power against the published table of the paired t test, statsmodels, and simulated studies."""

from __future__ import annotations

import numpy as np
import pytest
from statsmodels.stats.power import TTestPower

from icbir_core.evaluation.planning import Spread, compute_power, find_queries_needed


def test_queries_alone_give_the_published_sizes_of_the_paired_t_test():
    # Cohen, Statistical Power Analysis (1988); G*Power prints 199, 34 and 15 pairs for d = 0.2, 0.5, 0.8 at power 0.8
    assert [find_queries_needed(d, Spread(1.0), readers=3) for d in (0.2, 0.5, 0.8)] == [199, 34, 15]
    reference = TTestPower().power(0.5, 20, 0.05)
    assert compute_power(0.5, Spread(1.0), 1, 20) == pytest.approx(reference, abs=1e-6)


def test_power_is_what_simulated_studies_find():
    generator = np.random.default_rng(0)
    spread, readers, queries = Spread(0.3, 0.1, 0.3), 6, 25
    drawn = (
        0.15
        + generator.normal(0, spread.query, (4000, 1, queries))
        + generator.normal(0, spread.reader, (4000, readers, 1))
        + generator.normal(0, spread.residual, (4000, readers, queries))
    )
    means = drawn.mean(axis=(1, 2))
    deviation = np.sqrt(
        spread.reader**2 / readers + spread.query**2 / queries + spread.residual**2 / (readers * queries)
    )
    found = np.mean(np.abs(means) / deviation > 2.06)  # t with about 20 degrees of freedom, the deviation known
    assert compute_power(0.15, spread, readers, queries) == pytest.approx(found, abs=0.05)


def test_more_readers_cannot_replace_queries():
    spread = Spread(1.0, 0.2, 0.5)
    assert compute_power(0.3, spread, 50, 10) < compute_power(0.3, spread, 5, 100)
    assert find_queries_needed(0.01, spread, 2) is None
