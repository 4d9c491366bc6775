"""A number with its noun, and several names in one sentence."""

from __future__ import annotations

from collections.abc import Sequence


def count_of(number: int, noun: str, plural: str = "") -> str:
    """ "1 reader", "2 readers"; plural : the form that does not end in a mere s ("queries")."""
    return f"{number:,} {noun if number == 1 else plural or noun + 's'}"


def join_words(words: Sequence[str], last: str = "and") -> str:
    """ "A", "A and B", "A, B and C"."""
    return f" {last} ".join([", ".join(words[:-1]), words[-1]] if len(words) > 1 else words)
