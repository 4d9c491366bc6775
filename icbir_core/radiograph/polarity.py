"""Whether a film's own grey says which end is air. Only asked where a header is known to be wrong in some files."""

from __future__ import annotations

import numpy as np

from icbir_core.radiograph.levels import levels_to_pixels

# Chosen on films that no figure is reported on, of which all pass as they are and none inverted.
_REACH = 1.5
_NEARER = 0.8


def looks_right_as_it_is(levels: np.ndarray) -> bool:
    """True where a film (H, W, uint16 levels) is much more like an ordinary upright chest film as it is than inverted.

    Both are measured by the quality gate's model of ordinary films, whose limit is 1: the film must be nearer than
    `_REACH`, and than `_NEARER` times its inverted copy. A picture that is not is left to its header.
    """
    from icbir_core.radiograph import quality  # reads a model: only where it is asked

    features = quality.describe_grey(levels_to_pixels(levels))
    pair = np.stack([quality.transform_features(features, inverted, 0) for inverted in (False, True)])
    as_it_is, inverted = quality.load_quality_model().measure(pair)
    return bool(as_it_is <= _REACH and as_it_is < _NEARER * inverted)
