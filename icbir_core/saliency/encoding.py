"""From a raw attribution to the picture that the saliency classifier reads, and the names of empty maps."""

from __future__ import annotations

import numpy as np

from icbir_core.errors import SaliencyError
from icbir_core.rounding import SINGLE

OK, FLAT, ZERO = "ok", "flat", "zero"


def require_maps(attributions: np.ndarray) -> np.ndarray:
    """`attributions` as float32 (N, H, W); raises SaliencyError on another number of axes, NaN or infinity."""
    maps = np.asarray(attributions, dtype=np.float32)
    if maps.ndim != 3:
        raise SaliencyError(f"Expected maps of shape (N, H, W), got {maps.shape}; stack single maps first.")
    if not np.isfinite(maps).all():
        rows = np.flatnonzero(~np.isfinite(maps).all(axis=(1, 2)))
        raise SaliencyError(f"Map {rows[0]} of {len(maps)} holds NaN or infinity; check the network's weights.")
    return maps


def name_state(values: np.ndarray) -> str:
    """ "zero" for a map (H, W) of zeros, "flat" for one that is constant but for rounding, else "ok"."""
    low, high = float(np.min(values)), float(np.max(values))
    largest = max(abs(low), abs(high))
    return ZERO if largest == 0 else FLAT if high - low <= SINGLE * largest else OK


def encode_map(attributions: np.ndarray) -> np.ndarray:
    """Maps as input of the saliency classifier: float32 (N, H, W) in [0, 1].

    Each map is divided by its own largest absolute value (Silva et al., MICCAI 2020), so that a faint map and a strong
    one look alike, and negative values, which mean evidence against the finding, then become 0. Deep Taylor has
    none, except where a strongly negative bias of the last layer turns a whole map, which then gives an empty picture.
    A map of zeros stays zeros.
    """
    maps = require_maps(attributions)
    peak = np.abs(maps).max(axis=(1, 2), keepdims=True, initial=0.0)
    return np.asarray(np.clip(np.divide(maps, peak, out=np.zeros_like(maps), where=peak > 0), 0.0, 1.0))
