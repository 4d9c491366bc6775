"""Films and maps as the bytes that the viewer reads: lossless, at full resolution and depth.

Container: b"ICF2", header length (uint32, little endian), header as JSON, then one part for the horizontally
differenced grey levels, for 16 bits two: all high bytes and all low bytes. A part is a zlib stream where that makes it
smaller, else the bytes themselves: the low bytes of a noisy film do not shrink, and trying takes longer than the rest.
Differencing makes a film compress about as well as in a PNG, and a browser can undo it without a decoder of its own, at
16 bits.
"""

from __future__ import annotations

import json
import struct
import zlib
from typing import Any

import numpy as np

MAGIC = b"ICF2"
WORTH = 0.85
"""A part is compressed where a sample of its rows shrinks to this share or less."""
SAMPLED = 32


def _pack(levels: np.ndarray, header: dict[str, Any]) -> bytes:
    """The container of `levels` (uint8 or uint16, (H, W))."""
    differences = np.diff(levels, axis=1, prepend=levels.dtype.type(0))
    planes = [differences]
    if levels.dtype == np.uint16:
        planes = [(differences >> 8).astype(np.uint8), (differences & 0xFF).astype(np.uint8)]
    parts, told = [], []
    for plane in planes:
        packed = _shrinks(plane)
        parts.append(zlib.compress(plane.tobytes(), 1) if packed else plane.tobytes())
        told.append({"size": len(parts[-1]), "packed": packed})
    height, width = levels.shape
    whole = {"width": width, "height": height, "bits": levels.dtype.itemsize * 8, "parts": told, **header}
    text = json.dumps(whole).encode()
    return b"".join([MAGIC, struct.pack("<I", len(text)), text, *parts])


def _shrinks(plane: np.ndarray) -> bool:
    sample = plane[:: max(1, len(plane) // SAMPLED)].tobytes()
    return len(zlib.compress(sample, 1)) <= WORTH * len(sample)


def pack_film(pixels: np.ndarray, stored_bits: int, identity: str, secret: str = "") -> bytes:
    """The film as the viewer reads it.

    pixels : float32 (H, W) in [0, 1]. Kept at 8 bits where the source held 8 or fewer, else at 16.
    identity : the film's own hash; it stands in the first bytes, because the server names large files by a part of
        their bytes only, and two films with equal borders must never share a name.
    secret : random text that keeps the file's address from being guessed by one who has the film.
    """
    top, kind = (255, np.uint8) if stored_bits <= 8 else (65535, np.uint16)
    levels = np.rint(np.clip(pixels, 0.0, 1.0) * top).astype(kind)
    return _pack(levels, {"low": 0.0, "high": 1.0, "identity": identity, "secret": secret})


def pack_map(values: np.ndarray, identity: str, secret: str = "") -> bytes:
    """A saliency map (float32 (H, W), any range) in 65,536 steps between its own extremes, which the header names."""
    values = np.nan_to_num(np.asarray(values, np.float32))
    low, high = float(values.min()), float(values.max())
    span = high - low if high > low else 1.0
    levels = np.rint((values - low) / span * 65535).astype(np.uint16)
    return _pack(levels, {"low": low, "high": low + span, "identity": identity, "secret": secret})


def unpack(data: bytes) -> tuple[np.ndarray, dict[str, Any]]:
    """What `pack_film` and `pack_map` wrote: (levels, header). The steps of unpacking.js, to prove them."""
    if data[:4] != MAGIC:
        raise ValueError(f"A film container starts with {MAGIC!r}, not with {data[:4]!r}.")
    (length,) = struct.unpack("<I", data[4:8])
    header = json.loads(data[8 : 8 + length])
    shape, at, planes = (header["height"], header["width"]), 8 + length, []
    for part in header["parts"]:
        held = data[at : at + part["size"]]
        at += part["size"]
        planes.append(np.frombuffer(zlib.decompress(held) if part["packed"] else held, np.uint8).reshape(shape))
    if header["bits"] == 8:
        return np.cumsum(planes[0], axis=1, dtype=np.uint8), header
    high, low = (plane.astype(np.uint16) for plane in planes)
    return np.cumsum((high << 8) | low, axis=1, dtype=np.uint16), header
