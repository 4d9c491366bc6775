"""Does a map depend on what the labels taught? Two networks that differ in their labels alone, film by film.

The data randomisation test of Adebayo et al., "Sanity checks for saliency maps", NeurIPS 2018: a method whose maps stay
as they are when the network has learnt labels at random cannot be showing what the labels mean. Low similarity is good,
read against its floor, the similarity of maps of different films: two films share their outline, and so do their maps.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from scipy.stats import rankdata

from icbir_core.radiograph.network_input import standardise
from icbir_core.saliency.checks import CheckRow, bootstrap
from icbir_core.saliency.encoding import OK, name_state
from icbir_core.saliency.randomisation import measure_cosine
from icbir_core.saliency.registry import attribute_output
from icbir_core.types import Progress

if TYPE_CHECKING:
    from icbir_core.model.classifier import Classifier

CHECK, FLOOR = "shuffled labels", "different films"


def measure_rank_correlation(first: np.ndarray, second: np.ndarray) -> float:
    """Spearman's rank correlation of two maps of one shape, in [-1, 1], equal values sharing their mean rank; 0 where
    one of them is constant."""
    ranks = [rankdata(np.ravel(one)) for one in (first, second)]
    return measure_cosine(*(one - one.mean() for one in ranks))


SIMILARITIES = {"cosine": measure_cosine, "Spearman": measure_rank_correlation}


def pair_with_another(groups: Sequence[str]) -> np.ndarray:
    """For each film the next one of another group, int64 (N,); itself where all are of one group."""
    count = len(groups)
    return np.array(
        [next((j % count for j in range(i + 1, i + count) if groups[j % count] != groups[i]), i) for i in range(count)]
    )


def compare_networks(
    true: Classifier, shuffled: Classifier, images: np.ndarray, finding: str, groups: Sequence[str],
    methods: Sequence[str], progress: Progress | None = None,
) -> list[CheckRow]:  # fmt: skip
    """Rows for each method: similarity of the two classifiers' maps of the same films ("shuffled labels"), of the true
    one's maps of different films ("different films"), and the share of zero or flat maps of each ("states").

    images : float32 (N, S, S) in [0, 1]; groups : the patient of each. A pair with a zero or flat map is left out,
    since its similarity would be a 0 that says nothing; n counts the pairs left. Raises as `attribute_output`.
    """
    inputs, partner, rows = standardise(images), pair_with_another(groups), []
    patients = np.asarray(groups)
    for done, method in enumerate(methods):
        if progress:
            progress(done, len(methods), f"maps: {method}")
        one, other = (
            attribute_output(each.model, inputs, each.output_index(finding), method) for each in (true, shuffled)
        )
        usable = [np.array([name_state(values) == OK for values in maps]) for maps in (one, other)]
        sides = (
            (CHECK, one, other, usable[0] & usable[1]),
            (FLOOR, one, one[partner], usable[0] & usable[0][partner] & (patients != patients[partner])),
        )
        for check, left, right, kept in sides:
            for name, measure in SIMILARITIES.items():
                values = [measure(left[row], right[row]) for row in np.flatnonzero(kept)]
                found = bootstrap(values, patients[kept])
                rows.append(CheckRow(check, method, name, *found, len(values), "lower" if check == CHECK else ""))
        for label, kept in zip(("true labels", "shuffled labels"), usable, strict=True):
            rows.append(CheckRow("states", method, label, *bootstrap(~kept, patients), len(kept), "lower"))
    if progress:
        progress(len(methods), len(methods), "")
    return rows
