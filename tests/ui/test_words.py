"""Numbers and names in words."""

from __future__ import annotations

import pytest

from icbir_core.settings import SearchFilter
from icbir_ui.words import describe_filter


@pytest.mark.parametrize(
    ("low", "high", "words"),
    [(0, 0, "0–0 years"), (None, 0, "0–0 years"), (40, None, "40–any years"), (None, None, "no filter")],
)
def test_a_filter_says_its_ages(low, high, words):
    assert describe_filter(SearchFilter(age_min=low, age_max=high)) == words
