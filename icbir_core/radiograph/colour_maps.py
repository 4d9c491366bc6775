"""Colour maps for overlays: perceptually uniform and safe for the colour blind; no rainbow."""

from __future__ import annotations

from functools import cache

import cv2
import numpy as np

from icbir_core.errors import UnknownNameError

_OPENCV_MAPS = {
    "inferno": cv2.COLORMAP_INFERNO,
    "magma": cv2.COLORMAP_MAGMA,
    "viridis": cv2.COLORMAP_VIRIDIS,
    "cividis": cv2.COLORMAP_CIVIDIS,
}
# "berlin" of Crameri's Scientific colour maps (2018, MIT licence), every 15th of its 256 colours: blue – black – red.
# Its middle is dark, so that "no attribution" is no bright veil on the film.
_BERLIN = (
    "9eb0ff 7bacee 56a2d7 398bb4 2b6f8f 20546c 173a4b 11232c 121214 "
    "210b03 330f00 481502 63210c 843924 a25544 c07165 df8f89 ffadad"
)

SEQUENTIAL_MAPS: tuple[str, ...] = tuple(_OPENCV_MAPS)
DIVERGING_MAPS: tuple[str, ...] = ("berlin",)


@cache
def colour_table(name: str) -> np.ndarray:
    """The 256 colours of a map, low to high: uint8 (256, 3) in the order red, green, blue; read-only. Raises
    `UnknownNameError` for a name outside `SEQUENTIAL_MAPS` and `DIVERGING_MAPS`."""
    if name in _OPENCV_MAPS:
        steps = np.arange(256, dtype=np.uint8)[:, None]
        table = np.ascontiguousarray(cv2.applyColorMap(steps, _OPENCV_MAPS[name])[:, 0, ::-1])  # OpenCV answers BGR
    elif name in DIVERGING_MAPS:
        anchors = np.array([list(bytes.fromhex(colour)) for colour in _BERLIN.split()], dtype=np.float64)
        places = np.linspace(0, 255, len(anchors))
        table = np.rint(np.stack([np.interp(np.arange(256), places, channel) for channel in anchors.T], axis=1))
        table = table.astype(np.uint8)
    else:
        raise UnknownNameError("colour map", name, SEQUENTIAL_MAPS + DIVERGING_MAPS)
    table.setflags(write=False)
    return table
