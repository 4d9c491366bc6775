"""PNG: fewer bits of grey than 16, with and without a word of the file about it; orientation; opacity."""

from __future__ import annotations

import io
import struct
import zlib

import cv2
import numpy as np
import pytest
from PIL import Image

from icbir_core.errors import RadiographError
from icbir_core.radiograph import read_radiograph, write_lossless
from tests.helpers.pictures import turn_back

FILM = (200 + np.add.outer(np.arange(40) * 40, np.arange(64) * 20)).astype(np.uint16)  # 200 … 3020


def add_chunk(png: bytes, name: bytes, content: bytes, behind_pixels: bool = False) -> bytes:
    chunk = struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))
    place = png.index(b"IEND") - 4 if behind_pixels else 33
    return png[:place] + chunk + png[place:]


def encode(array: np.ndarray, significant: bytes = b"") -> bytes:
    data = cv2.imencode(".png", array)[1].tobytes()
    return add_chunk(data, b"sBIT", significant) if significant else data


def spread(values: np.ndarray) -> np.ndarray:
    return (values - values.min()) / (values.max() - values.min())


def assert_film(radiograph, expected: np.ndarray) -> None:
    assert radiograph.pixels.shape == expected.shape
    assert np.abs(radiograph.pixels - expected).max() <= 0.51 / 65535


@pytest.mark.parametrize("bits", [8, 9, 10, 12, 13, 14, 15])
def test_the_file_says_how_many_bits_count(bits):
    values = FILM >> max(0, 12 - bits)
    film = read_radiograph(encode(values, bytes([bits])))
    assert_film(film, values / (2**bits - 1))
    assert film.stored_bits == bits
    assert film.facts["levels"] == f"{bits} bits of grey in 16, as the file says"


@pytest.mark.parametrize("bits", [8, 10, 12, 14, 15])
def test_without_a_word_a_film_that_would_be_nearly_black_is_spread(bits):
    values = FILM >> 4 if bits == 8 else FILM >> 2 if bits == 10 else FILM << (bits - 12)
    film = read_radiograph(encode(values.astype(np.uint16)))
    assert_film(film, spread(values.astype(float)))
    assert film.stored_bits == bits
    assert f"taken for {bits} bits of grey in 16" in film.facts["levels"]
    assert f"{values.min()} to {values.max()}" in film.facts["levels"]


@pytest.mark.parametrize("offset", [1 << 15, 60000])
def test_levels_with_an_offset_are_spread(offset):
    film = read_radiograph(encode(FILM + np.uint16(offset)))
    assert_film(film, spread(FILM.astype(float)))
    assert (
        f"taken for 12 bits of grey in 16; shown from the smallest to the largest, {200 + offset} to"
        in (film.facts["levels"])
    )
    wide = (FILM * 3 + np.uint16(1 << 15)).astype(np.uint16)  # a little more than an eighth of the range
    assert_film(read_radiograph(encode(wide)), wide / 65535)


@pytest.mark.parametrize("significant", [b"\x00", b"\x01", b"\x07", b"\x08", b"\x0a", b"\x20"])
def test_a_word_that_the_levels_contradict_is_no_word(significant):
    film = read_radiograph(encode(FILM, significant))
    assert_film(film, spread(FILM.astype(float)))
    assert film.stored_bits == 12 and "taken for 12 bits" in film.facts["levels"]


def test_levels_that_are_spread_already_stay():
    values = (FILM << 4).astype(np.uint16)
    for significant in (b"", b"\x0c", b"\x10", b"\x08", b"\x01"):
        film = read_radiograph(encode(values, significant))
        assert_film(film, values / 65535)
        assert "levels" not in film.facts and film.stored_bits == 16
    dim = (FILM * 11).astype(np.uint16)  # the brightest point a little above half of the range
    assert_film(read_radiograph(encode(dim)), dim / 65535)
    assert_film(read_radiograph(encode(FILM, b"\x10")), FILM / 65535)  # the file says that it is dark
    assert read_radiograph(encode(np.full((40, 40), 300, np.uint16))).pixels.max() == 0.0


@pytest.mark.parametrize("channels", [3, 4])
@pytest.mark.parametrize("stated", [True, False])
def test_colour_of_fewer_bits(channels, stated):
    colour = np.repeat(FILM[..., None], channels, axis=2)
    if channels == 4:
        colour[..., 3] = 4095
    film = read_radiograph(encode(colour, bytes([12] * channels) if stated else b""))
    assert_film(film, FILM / 4095 if stated else spread(FILM.astype(float)))
    assert "colour" not in film.facts and "transparency" not in film.facts


def make_grey_with_opacity(opacity: np.ndarray) -> bytes:
    rows = b"".join(b"\0" + row.tobytes() for row in np.dstack([FILM, opacity]).astype(">u2"))
    header = struct.pack(">IIBBBBB", FILM.shape[1], FILM.shape[0], 16, 4, 0, 0, 0)
    png = b"\x89PNG\r\n\x1a\n\0\0\0\0IEND" + struct.pack(">I", zlib.crc32(b"IEND"))
    png = add_chunk(png, b"IDAT", zlib.compress(rows), behind_pixels=True)
    return (
        png[:8] + struct.pack(">I", 13) + b"IHDR" + header + struct.pack(">I", zlib.crc32(b"IHDR" + header)) + png[8:]
    )


@pytest.mark.parametrize("opaque", [4095, 65535])
def test_opacity_of_fewer_bits_or_of_all(opaque):
    opacity = np.full_like(FILM, opaque)
    film = read_radiograph(add_chunk(make_grey_with_opacity(opacity), b"sBIT", b"\x0c\x0c"))
    assert_film(film, FILM / 4095)
    assert "transparency" not in film.facts
    opacity[:, :20] = 0
    film = read_radiograph(add_chunk(make_grey_with_opacity(opacity), b"sBIT", b"\x0c\x0c"))
    assert_film(film, np.where(opacity > 0, FILM / 4095, 0))
    assert film.facts["transparency"] == "transparent parts read as black"


def test_a_written_film_that_is_dark_is_read_back_as_it_was(tmp_path):
    film = read_radiograph(encode(FILM, b"\x10"))
    write_lossless(film, tmp_path / "film.png")
    again = read_radiograph(tmp_path / "film.png")
    assert again.pixel_sha256 == film.pixel_sha256 and np.array_equal(again.pixels, film.pixels)
    assert Image.open(tmp_path / "film.png").mode == "I;16"
    Image.open(tmp_path / "film.png").verify()


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("behind", [False, True])
@pytest.mark.parametrize("depth", [8, 16])
def test_exif_orientation_is_undone(orientation, behind, depth):
    values = (FILM >> 4).astype(np.uint8) if depth == 8 else (FILM << 4).astype(np.uint16)
    tags = Image.Exif()
    tags[0x0112] = orientation
    png = encode(turn_back(values, orientation))
    film = read_radiograph(add_chunk(png, b"eXIf", tags.tobytes()[6:], behind))
    assert_film(film, values / (2**depth - 1))
    assert ("exif" in film.facts) == (orientation != 1)
    stream = io.BytesIO()
    Image.fromarray(turn_back(values, orientation)).save(stream, "PNG", exif=tags)
    assert read_radiograph(stream.getvalue()).pixel_sha256 == film.pixel_sha256


def test_the_orientation_in_a_text_of_older_programs():
    tags = Image.Exif()
    tags[0x0112] = 3
    profile = b"\nexif\n%8d\n" % len(tags.tobytes()) + tags.tobytes().hex().encode() + b"\n"
    text = b"Raw profile type exif\0\0" + zlib.compress(profile)
    film = read_radiograph(add_chunk(encode((FILM << 4).astype(np.uint16)), b"zTXt", text))
    assert_film(film, (FILM << 4)[::-1, ::-1] / 65535)


def test_an_orientation_that_is_none_asks_for_nothing():
    tags = Image.Exif()
    tags[0x0112] = 9
    film = read_radiograph(add_chunk(encode(FILM << 4), b"eXIf", tags.tobytes()[6:]))
    assert_film(film, (FILM << 4) / 65535)
    with pytest.raises(RadiographError, match="EXIF data are damaged"):
        read_radiograph(add_chunk(encode(FILM << 4), b"eXIf", b"II*\0\xff\xff"))


def test_a_png_without_pixels_is_refused():
    whole = encode(FILM)
    start = whole.index(b"IDAT") - 4
    with pytest.raises(RadiographError, match="cut short or damaged"):
        read_radiograph(whole[:start] + whole[whole.index(b"IEND") - 4 :])
