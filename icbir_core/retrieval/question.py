"""What the answer to a film says of each finding: which one stands out, and which the neighbours carry beyond chance.

Importing it loads nothing heavy.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from icbir_core.findings import NO_FINDING, FindingState
from icbir_core.types import Prediction, Ranking

LEVEL = 0.95
"""Of the interval around the neighbours' share."""
MIDDLE = 0.5
"""Where the operating point lies on the scale of `place_probability`."""


@dataclass(frozen=True)
class NeighbourShare:
    """How many of the neighbours whose state is known carry a finding.

    base_rate : part of the eligible cases with a known state that carry it, in [0, 1], or None. low, high : the exact
    95 % interval (Clopper and Pearson 1934) of the share that `carrying` of `known` speaks for. It takes neighbours for
    independent draws, which two films of one patient are not, and each finding for the only one that is looked at.
    """

    finding: str
    carrying: int
    known: int
    base_rate: float | None
    low: float
    high: float

    @property
    def beyond_chance(self) -> bool:
        """True where even the lower end of the interval lies above the base rate."""
        return self.base_rate is not None and self.low > self.base_rate


def count_findings(ranking: Ranking) -> tuple[NeighbourShare, ...]:
    """The share of each finding that a neighbour carries, or that the ranking asks about; first those beyond chance,
    then by how far the share lies above the base rate."""
    names = dict.fromkeys((ranking.target, *(name for hit in ranking.hits for name in hit.case.present)))
    shares = [_count(ranking, name) for name in names]
    return tuple(sorted(shares, key=lambda one: (not one.beyond_chance, -_exceed(one), one.finding)))


def _count(ranking: Ranking, finding: str) -> NeighbourShare:
    states = [hit.case.findings.get(finding, FindingState.UNKNOWN) for hit in ranking.hits]
    known = sum(state.known for state in states)
    carrying = sum(state is FindingState.PRESENT for state in states)
    base_rate = ranking.base_rate if finding == ranking.target else ranking.base_rates.get(finding)
    return NeighbourShare(finding, carrying, known, base_rate, *find_interval(carrying, known))


def find_interval(carrying: int, known: int) -> tuple[float, float]:
    """The exact binomial interval at `LEVEL` of a share of `carrying` of `known`; (0, 1) where nothing is known."""
    from scipy.stats import binomtest  # takes a while to import, and only an answer needs it

    if not known:
        return 0.0, 1.0
    found = binomtest(carrying, known).proportion_ci(LEVEL, "exact")
    return float(found.low), float(found.high)


def _exceed(share: NeighbourShare) -> float:
    return share.carrying / share.known - (share.base_rate or 0.0) if share.known else -1.0


def place_probability(probability: float, point: float | None) -> float:
    """Where a probability lies on a scale from 0 to 1 whose middle is the finding's operating point.

    Straight from 0 to the point and from the point to 1, so that findings with different points can be compared. The
    probability itself where there is no point, or one of 0 or 1.
    """
    if point is None or not 0.0 < point < 1.0:
        return probability
    if probability < point:
        return MIDDLE * probability / point
    return MIDDLE + (1.0 - MIDDLE) * (probability - point) / (1.0 - point)


def find_question(prediction: Prediction | None) -> str | None:
    """The finding whose probability lies farthest above its operating point; None where none reaches its own. "No
    Finding" is no answer to this question, and neither is a finding without an operating point."""
    if prediction is None:
        return None
    points: Mapping[str, float] = prediction.operating_points
    above = {
        name: place_probability(value, points[name])
        for name, value in prediction.probabilities.items()
        if name in points and name != NO_FINDING and value >= points[name]
    }
    return max(above, key=lambda name: above[name]) if above else None
