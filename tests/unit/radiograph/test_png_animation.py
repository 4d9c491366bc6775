"""Animated PNG: its still picture is read, and OpenCV never sees the animation."""

from __future__ import annotations

import itertools
import struct
import zlib

import cv2
import numpy as np
import pytest

from icbir_core.errors import RadiographError
from icbir_core.radiograph.levels import to_levels
from icbir_core.radiograph.raster import PNG_SIGNATURE, read_png, take_still_picture
from icbir_core.radiograph.writing import encode_lossless
from icbir_core.settings import ReadLimits
from tests.helpers.fakes import make_radiograph


def make_animation(frames: list[np.ndarray], hidden: bool = False, announced: int | None = None) -> bytes:
    """An animated PNG of grey frames (H, W), uint8 or uint16. hidden : the first is the still picture alone.
    announced : the number of frames that it claims."""

    def pack(name: bytes, *content: bytes) -> bytes:
        held = b"".join(content)
        return struct.pack(">I", len(held)) + name + held + struct.pack(">I", zlib.crc32(name + held))

    def compress(frame: np.ndarray) -> bytes:
        return zlib.compress(b"".join(b"\0" + line.astype(line.dtype.newbyteorder(">")).tobytes() for line in frame))

    rows, columns = frames[0].shape
    numbers = itertools.count()

    def control() -> bytes:
        return pack(b"fcTL", struct.pack(">IIIIIHHBB", next(numbers), columns, rows, 0, 0, 1, 10, 0, 0))

    header = struct.pack(">IIBBBBB", columns, rows, 8 * frames[0].itemsize, 0, 0, 0, 0)
    count = len(frames) - hidden if announced is None else announced
    made = [pack(b"IHDR", header), pack(b"acTL", struct.pack(">II", count, 0))]
    made += [] if hidden else [control()]
    made.append(pack(b"IDAT", compress(frames[0])))
    for frame in frames[1:]:
        made += [control(), pack(b"fdAT", struct.pack(">I", next(numbers)), compress(frame))]
    return PNG_SIGNATURE + b"".join([*made, pack(b"IEND")])


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
@pytest.mark.parametrize("hidden", [False, True])
@pytest.mark.parametrize("announced", [None, 0, 1, 2**31 - 1])
def test_of_an_animation_the_still_picture_is_read_by_nothing_that_knows_animations(
    dtype, hidden, announced, monkeypatch
):
    largest = np.iinfo(dtype).max
    first = np.random.default_rng(0).integers(0, largest, (40, 50), dtype=dtype, endpoint=True)
    seen = []
    decode = cv2.imdecode
    monkeypatch.setattr(cv2, "imdecode", lambda data, flags: seen.append(data.tobytes()) or decode(data, flags))
    levels, bits, facts = read_png(make_animation([first, largest - first], hidden, announced), ReadLimits())
    np.testing.assert_array_equal(levels, to_levels(first, largest))
    assert bits == 8 * first.itemsize and "still picture" in facts["animation"]
    assert not any(name in seen[0] for name in (b"acTL", b"fcTL", b"fdAT"))


def test_a_still_png_is_decoded_as_it_is():
    plain = encode_lossless(make_radiograph(1))
    assert take_still_picture(plain) is plain
    texted = plain[:33] + b"\0\0\0\4tEXtacTL\0\0\0\0" + plain[33:]
    assert take_still_picture(texted) is texted, "the name alone, in a text, is no animation"


@pytest.mark.parametrize("end", [20, 60, 100, 200, -20, -3])
def test_a_damaged_animation_is_a_sentence_or_its_still_picture(end):
    first = np.random.default_rng(1).integers(0, 255, (40, 50), dtype=np.uint8)
    try:
        levels, *_ = read_png(make_animation([first, 255 - first])[:end], ReadLimits())
    except RadiographError as error:
        assert str(error).endswith("export the film again.")
    else:
        np.testing.assert_array_equal(levels, to_levels(first, 255))
