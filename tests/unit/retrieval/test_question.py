"""Which finding stands out, and which the neighbours carry beyond chance."""

from __future__ import annotations

from math import comb

import pytest

from icbir_core.findings import FindingState
from icbir_core.retrieval.question import count_findings, find_interval, find_question, place_probability
from icbir_core.types import Case, Hit, Prediction, Ranking

PRESENT, ABSENT, UNKNOWN = FindingState.PRESENT, FindingState.ABSENT, FindingState.UNKNOWN


def make_ranking(states: dict[str, list[FindingState]], base_rates: dict[str, float], target: str) -> Ranking:
    count = len(next(iter(states.values())))
    cases = [
        Case(row, f"c{row}", "", "", "", {name: held[row] for name, held in states.items()}) for row in range(count)
    ]
    hits = tuple(Hit(row + 1, float(row), case) for row, case in enumerate(cases))
    return Ranking("q", "cnn", target, "euclidean", "exact", count, count, hits,
                   base_rate=base_rates.get(target), base_rates=base_rates)  # fmt: skip


def at_least(carrying: int, known: int, share: float) -> float:
    """The chance of so many or more, added up."""
    return sum(comb(known, some) * share**some * (1 - share) ** (known - some) for some in range(carrying, known + 1))


def test_three_of_eight_is_beyond_a_twentieth_and_two_of_eight_not_beyond_a_sixth():
    states = {"Mass": [PRESENT] * 3 + [ABSENT] * 5, "Effusion": [PRESENT] * 2 + [ABSENT] * 6, "Hernia": [ABSENT] * 8}
    mass, effusion = count_findings(make_ranking(states, {"Mass": 0.05, "Effusion": 0.16}, "Effusion"))
    assert (mass.finding, mass.carrying, mass.known, mass.beyond_chance) == ("Mass", 3, 8, True)
    assert (effusion.finding, effusion.carrying, effusion.beyond_chance) == ("Effusion", 2, False)


@pytest.mark.parametrize("carrying, known", [(1, 8), (3, 8), (8, 8), (2, 3)])
def test_the_interval_begins_where_chance_gives_so_many_in_one_of_forty(carrying, known):
    low, high = find_interval(carrying, known)
    assert at_least(carrying, known, low) == pytest.approx(0.025, abs=1e-6)
    assert carrying == known or at_least(carrying + 1, known, high) == pytest.approx(0.975, abs=1e-6)


def test_what_is_asked_is_told_though_nobody_carries_it_and_unknown_counts_for_nothing():
    states = {"Mass": [UNKNOWN] * 4, "Nodule": [PRESENT, UNKNOWN, UNKNOWN, ABSENT]}
    nodule, mass = count_findings(make_ranking(states, {"Nodule": 0.3}, "Mass"))
    assert (nodule.carrying, nodule.known) == (1, 2) and (mass.carrying, mass.known) == (0, 0)
    assert not mass.beyond_chance and (mass.low, mass.high) == (0.0, 1.0)


def test_the_operating_point_is_the_middle_and_the_ends_stay():
    assert place_probability(0.12, 0.12) == 0.5
    assert [place_probability(value, 0.12) for value in (0.0, 1.0)] == [0.0, 1.0]
    assert place_probability(0.06, 0.12) == pytest.approx(0.25) and place_probability(0.56, 0.12) == pytest.approx(0.75)
    assert place_probability(0.3, None) == 0.3 and place_probability(0.3, 0.0) == 0.3


def test_the_finding_farthest_above_its_point_is_asked_about_or_none():
    points = {"Effusion": 0.5, "Mass": 0.04, "Pneumonia": 0.3, "No Finding": 0.2}
    seen = Prediction({"Effusion": 0.02, "Mass": 0.37, "Pneumonia": 0.91, "No Finding": 1.0, "Hernia": 0.99}, points)
    assert find_question(seen) == "Pneumonia"
    assert find_question(Prediction({"Effusion": 0.49, "Mass": 0.03, "No Finding": 0.9}, points)) is None
    assert find_question(None) is None
