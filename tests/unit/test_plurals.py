"""A number with its noun."""

from __future__ import annotations

from icbir_core.plurals import count_of


def test_one_is_singular_and_all_else_plural():
    assert [count_of(number, "reader") for number in (0, 1, 2)] == ["0 readers", "1 reader", "2 readers"]
    assert count_of(1, "query", "queries") == "1 query" and count_of(1200, "query", "queries") == "1,200 queries"
