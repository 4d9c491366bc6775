"""What the viewer is sent: every grey level, exactly."""

from __future__ import annotations

import numpy as np
import pytest

from icbir_ui.viewer.payload import pack_film, pack_map, unpack


@pytest.mark.parametrize(("bits", "top"), [(8, 255), (12, 65535), (16, 65535)])
def test_every_grey_level_survives(bits, top):
    levels = np.random.default_rng(bits).integers(0, top + 1, (37, 53))
    read, header = unpack(pack_film((levels / top).astype(np.float64), bits, "film"))
    assert np.array_equal(read, levels) and (header["width"], header["height"]) == (53, 37)


def test_twelve_bits_kept_at_sixteen_lose_no_level():
    levels = np.arange(4096).reshape(64, 64)
    read, _ = unpack(pack_film((levels / 4095).astype(np.float32), 12, "film"))
    assert np.array_equal(np.rint(read / 65535 * 4095), levels)


def test_noise_is_sent_as_it_is_and_everything_else_packed():
    rows, columns = np.mgrid[0:200, 0:300]
    smooth = (rows + columns) / 1000
    noisy = smooth + np.random.default_rng(0).normal(0, 0.001, smooth.shape).clip(-0.01, 0.5)
    for picture, packed in ((smooth, [True, True]), (noisy.clip(0, 1), [True, False])):
        data = pack_film(picture, 16, "film")
        read, header = unpack(data)
        assert np.array_equal(read, np.rint(picture * 65535)) and [one["packed"] for one in header["parts"]] == packed
        assert len(data) < picture.size * 2


def test_films_with_equal_borders_differ_in_their_first_bytes():
    """The server names a large file by its length and parts of its bytes; the identity must be in the first of them."""
    first, second = (pack_film(np.zeros((2000, 2000), np.float32), 16, name) for name in ("one", "two"))
    assert len(first) == len(second) and first[:300] != second[:300]


def test_map_keeps_its_range_and_sign():
    values = np.random.default_rng(0).normal(size=(20, 20)).astype(np.float32)
    read, header = unpack(pack_map(values, "map"))
    back = header["low"] + read / 65535 * (header["high"] - header["low"])
    assert np.abs(back - values).max() <= (header["high"] - header["low"]) / 65535


def test_flat_map_is_no_division_by_zero():
    read, header = unpack(pack_map(np.zeros((4, 4)), "map"))
    assert not read.any() and header["low"] == 0


def test_other_bytes_are_refused():
    with pytest.raises(ValueError, match="ICF2"):
        unpack(b"something else")
