"""Whether a film's own grey says which end is air. Only asked where a header is known to be wrong in some files."""

from __future__ import annotations

import numpy as np

from icbir_core.radiograph.levels import levels_to_pixels


def looks_right_as_it_is(levels: np.ndarray) -> bool:
    """True where a film (H, W, uint16 levels) is an ordinary upright chest film as it is and much less so inverted.

    Both are measured by the quality gate's model of ordinary films: the film must be within its limit, and much nearer
    than its inverted copy by the gate's own margin. A picture that is neither is left to its header.
    """
    from icbir_core.radiograph import quality  # reads a model: only where it is asked

    features = quality.describe_grey(levels_to_pixels(levels))
    pair = np.stack([quality.transform_features(features, inverted, 0) for inverted in (False, True)])
    as_it_is, inverted = quality.load_quality_model().measure(pair)
    return bool(as_it_is <= 1.0 and as_it_is < quality.MUCH_NEARER * inverted)
