"""Queries with a known true answer, by which the builder of an index measures its recall and chooses its settings."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from icbir_core.retrieval.exact import find_nearest_of_many
from icbir_core.rounding import SINGLE

RECALL_AT = 10
RECALL_TARGET = 0.99
SAMPLE = 200


@dataclass(frozen=True, eq=False)
class Probe:
    """A query with its true answer: vector (D,), position of the case that it is (−1: none), true distances, sorted."""

    vector: np.ndarray
    position: int
    distances: np.ndarray


@dataclass(frozen=True)
class Recall:
    """How good an index is on probes that took no part in choosing its settings.

    own, lower : mean recall at 10 on `checked` cases of the catalogue, each left out of its own answer, and the
    lower end of its 95 % interval (normal approximation over the cases). between : the same for points
    halfway between a case and one of its neighbours, which, as a new film, are no case: the harder question.
    """

    own: float
    lower: float
    between: float
    checked: int

    def as_dict(self) -> dict[str, float]:
        """As it stands in an index's manifest."""
        return {
            "recall_at_10": round(self.own, 5),
            "recall_at_10_lower": round(self.lower, 5),
            "recall_at_10_between": round(self.between, 5),
            "recall_checked_on": self.checked,
        }


Measure = Callable[[Sequence[Probe]], np.ndarray]
"""Recall float64 (P,) of each of some probes."""


@dataclass(frozen=True, eq=False)
class Probes:
    """Cases as queries, and points halfway between two cases. Half of either chooses, the other half checks."""

    own: Sequence[Probe]
    between: Sequence[Probe]

    def reach(self, measure: Measure, target: float) -> Recall | None:
        """What `measure` finds on the half that checks, if cases and halfway points reach `target` on both halves."""
        choosing = [half for half in (self.own[::2], self.between[::2]) if half]
        if any(measure(part).mean() < target for part in choosing):
            return None
        found = self.check(measure)
        return found if min(found.own, found.between) >= target else None

    def check(self, measure: Measure) -> Recall:
        """What `measure` finds on the half that checks."""
        own, between = (measure(part[1::2] or part) for part in (self.own, self.between))
        mean = float(own.mean()) if len(own) else 1.0
        error = 1.96 * float(own.std(ddof=1)) / np.sqrt(len(own)) if len(own) > 1 else 0.0
        return Recall(mean, max(mean - error, 0.0), float(between.mean()) if len(between) else 1.0, len(own))


def make_probes(vectors: Any, number: int, generator: np.random.Generator) -> Probes:
    """Up to `number` cases of `vectors` (N, D), any array with slices, and as many points halfway between such a case
    and one of its ten nearest. Two passes over the vectors."""
    chosen = generator.choice(len(vectors), size=min(len(vectors), number), replace=False)
    queries = _take(vectors, chosen)
    own, middles = [], []
    answers = find_nearest_of_many(vectors, queries, RECALL_AT + 1)
    for position, vector, (others, distances) in zip(chosen, queries, answers, strict=True):
        others, distances = others[others != position][:RECALL_AT], distances[others != position][:RECALL_AT]
        own.append(Probe(vector, int(position), distances))
        if len(others):
            middles.append(0.5 * (vector + _take(vectors, [int(generator.choice(others))])[0]))
    truths = find_nearest_of_many(vectors, np.array(middles, np.float32), RECALL_AT) if middles else []
    between = [Probe(middle, -1, distances) for middle, (_, distances) in zip(middles, truths, strict=True)]
    return Probes(own, between)


def score_recall(probe: Probe, distances: np.ndarray) -> float:
    """Recall at 10 of a probe's answer: the share that is no farther than the true tenth. distances : of what was found
    without the case itself. Ties count, also those of single precision: an index that measures in it may take
    either of two cases that are equally far but for rounding."""
    if not len(probe.distances):
        return 1.0
    tenth = probe.distances[-1] * (1 + SINGLE)
    return float((distances[:RECALL_AT] <= tenth).sum() / len(probe.distances))


def _take(vectors: Any, positions: Iterable[int]) -> np.ndarray:
    """Vectors float32 (n, D), one slice each."""
    return np.concatenate([np.asarray(vectors[int(at) : int(at) + 1], np.float32) for at in positions])
