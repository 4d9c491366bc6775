"""Films written without loss, as a grey PNG."""

from __future__ import annotations

import zlib

import cv2
import numpy as np

from icbir_core.errors import RadiographError
from icbir_core.files import PathLike, write_bytes_atomically
from icbir_core.radiograph.levels import pixels_to_levels
from icbir_core.types import Radiograph

_HEADER_END = 33  # a PNG's signature and its first chunk
_ALL_BITS_COUNT = b"\0\0\0\1sBIT\x10" + zlib.crc32(b"sBIT\x10").to_bytes(4, "big")
_STEP = 257  # 65535 / 255: every level of an 8-bit film is a multiple


def encode_lossless(radiograph: Radiograph) -> bytes:
    """The film as a grey PNG: 8 bit where its levels are those of an 8-bit film, else 16 bit; no header facts. A PNG of
    16 bits says that all of them count, so that a dark film is not taken for one of fewer bits."""
    levels = pixels_to_levels(radiograph.pixels)
    eight_bit = not (levels % _STEP).any()
    done, encoded = cv2.imencode(".png", (levels // _STEP).astype(np.uint8) if eight_bit else levels)
    if not done:
        raise RadiographError(f"A film of the shape {levels.shape} cannot be written as PNG; reduce it.")
    data = encoded.tobytes()
    return data if eight_bit else data[:_HEADER_END] + _ALL_BITS_COUNT + data[_HEADER_END:]


def write_lossless(radiograph: Radiograph, path: PathLike) -> None:
    """Write the film to `path`, whole or not at all; reading it back gives equal pixels and an equal `pixel_sha256`.
    View, age, sex and spacing are not written: the pixels carry no header."""
    write_bytes_atomically(path, encode_lossless(radiograph))
