"""A number with its noun, and several names in one sentence."""

from __future__ import annotations

from icbir_core.plurals import count_of, join_words


def test_one_is_singular_and_all_else_plural():
    assert [count_of(number, "reader") for number in (0, 1, 2)] == ["0 readers", "1 reader", "2 readers"]
    assert count_of(1, "query", "queries") == "1 query" and count_of(1200, "query", "queries") == "1,200 queries"


def test_several_names_stand_in_one_sentence():
    assert [join_words(list(names)) for names in ("", "A", "AB", "ABC")] == ["", "A", "A and B", "A, B and C"]
    assert join_words(["A", "B", "C"], "or") == "A, B or C"
