"""The search "this finding": what the classifier saw, weighed by how much each feature says for or against one finding.

The logit of a finding is a weighted sum of the penultimate features. A difference between two films in a feature that
the finding does not use should not part them when the reader asks about that finding, and one that decides it should
part them far: so each coordinate is multiplied by the size of its weight. The weights are those of the classifier's own
head, so that every finding that it knows can be asked for, with nothing trained or indexed for it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from icbir_core.model.classifier import Classifier


def weigh_features(classifier: Classifier, finding: str) -> np.ndarray:
    """float32 (D,), not negative, mean 1: the size of each feature's weight in the finding's logit, so that distances
    keep about the size that they have without weights. Raises `UnknownNameError` for a finding that it does not know.
    """
    column = classifier.output_index(finding)
    sizes = np.abs(np.asarray(classifier.head[0], np.float64)[:, column])
    mean = sizes.mean()
    return (sizes / mean if mean > 0 else np.ones_like(sizes)).astype(np.float32)
