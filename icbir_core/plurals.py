"""A number with its noun."""

from __future__ import annotations


def count_of(number: int, noun: str, plural: str = "") -> str:
    """ "1 reader", "2 readers"; plural : the form that does not end in a mere s ("queries")."""
    return f"{number:,} {noun if number == 1 else plural or noun + 's'}"
