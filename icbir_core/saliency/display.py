"""How a saliency map is prepared for the eye: smoothed, and shown from a threshold on. Numbers are never made from it.

A map that is handed back pixel by pixel carries the steps of the network: convolution and pooling with a stride of two
give one pixel in two, and one in four, more than its neighbours. On a film that looks like a grid. A Gaussian of
`BLUR` of the side takes both away (a period of two or four pixels keeps less than a thousandth of its height) and
nothing that is wider than a rib at 224 pixels.
"""

from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np

from icbir_core.saliency.methods import SALIENCY_METHODS
from icbir_core.types import SaliencyMap

BLUR = 2.5 / 224
SHOWN = 0.1
"""The part of a map's pixels that is shown unless the reader asks for more: its strongest tenth."""
LARGEST_THRESHOLD = 0.9
SMOOTHED = "smoothed for display"


def is_smoothed(method: str) -> bool:
    """Whether maps of a method are smoothed before they are drawn: those of a finding that are made pixel by pixel, and
    therefore carry the grid of strides."""
    known = SALIENCY_METHODS.get(method)
    return known is not None and not known.coarse


def smooth_for_display(found: SaliencyMap) -> SaliencyMap:
    """The map as it is drawn: its values smoothed where the method works pixel by pixel, else the map itself. The sum
    of the values stays, but for what crosses the border; a map that marks no place goes on marking none."""
    if found.state != "ok" or not is_smoothed(found.method):
        return found
    width = BLUR * found.values.shape[0]
    values = cv2.GaussianBlur(np.asarray(found.values, np.float32), (0, 0), width, borderType=cv2.BORDER_REFLECT)
    return replace(found, values=values)


def find_threshold(values: np.ndarray, scale: float, signed: bool = False, shown: float = SHOWN) -> float:
    """The strength in [0, 0.9], in parts of the scale, from which on the strongest part `shown` of the values lies.

    0 where fewer values than that are above zero: then every one of them is shown. The threshold is a whole number of
    hundredths, as the reader's slider has it.
    """
    strength = np.abs(values) if signed else np.maximum(values, 0)
    if not scale > 0:
        return 0.0
    found = float(np.quantile(strength, 1 - shown)) / scale
    return round(min(found, LARGEST_THRESHOLD), 2)


def name_strength(found: SaliencyMap, scale: float, threshold: float = 0.0) -> str:
    """ "empty" for a map that marks no place (all zero, or one value everywhere), "faint" for one of which nothing
    reaches the threshold on the common scale, else ""."""
    if found.state != "ok":
        return "empty"
    strength = float((np.abs(found.values) if found.signed else np.maximum(found.values, 0)).max())
    return "faint" if scale > 0 and strength < threshold * scale else ""
