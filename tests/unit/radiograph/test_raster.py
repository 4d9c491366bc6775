"""PNG and JPEG in all the forms that reach a reader, limits before decoding, and the lossless writer."""

from __future__ import annotations

import io
import struct
import zlib

import cv2
import numpy as np
import pytest
from PIL import Image

from icbir_core.errors import RadiographError, RadiographTooLarge
from icbir_core.radiograph import describe_facts, read_radiograph, write_lossless
from icbir_core.radiograph.levels import levels_to_pixels, pixels_to_levels
from icbir_core.settings import ReadLimits
from tests.helpers.pictures import turn_back

GENERATOR = np.random.default_rng(3)
GREY8 = GENERATOR.integers(0, 256, (12, 20), dtype=np.uint8)
GREY16 = GENERATOR.integers(0, 65536, (12, 20), dtype=np.uint16)


def encode(array: np.ndarray, ending: str = ".png", **options) -> bytes:
    done, data = cv2.imencode(ending, array, **options)
    assert done
    return data.tobytes()


def save(picture: Image.Image, kind: str = "PNG", **options) -> bytes:
    stream = io.BytesIO()
    picture.save(stream, kind, **options)
    return stream.getvalue()


def make_png(width: int, height: int, depth: int, colour: int, rows: bytes) -> bytes:
    """A PNG from its parts, for kinds that no library here writes."""

    def chunk(name: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))

    header = struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")


def test_levels_are_undone_exactly():
    levels = np.arange(65536, dtype=np.uint16).reshape(256, 256)
    assert np.array_equal(pixels_to_levels(levels_to_pixels(levels)), levels)


def test_png_grey_keeps_every_level():
    eight, sixteen = read_radiograph(encode(GREY8)), read_radiograph(encode(GREY16))
    assert eight.pixels.dtype == np.float32
    assert np.array_equal(eight.pixels, GREY8 / np.float32(255)) and eight.stored_bits == 8
    assert np.array_equal(sixteen.pixels, GREY16 / np.float32(65535)) and sixteen.stored_bits == 16
    assert read_radiograph(encode(GREY8.astype(np.uint16) * 257)).pixel_sha256 == eight.pixel_sha256


@pytest.mark.parametrize("depth", [8, 16])
@pytest.mark.parametrize("channels", [3, 4])
def test_png_colour_of_equal_channels_is_exact(depth, channels):
    grey = GREY8 if depth == 8 else GREY16
    colour = np.repeat(grey[..., None], channels, axis=2)
    if channels == 4:
        colour[..., 3] = np.iinfo(grey.dtype).max
    film = read_radiograph(encode(colour))
    assert film.pixel_sha256 == read_radiograph(encode(grey)).pixel_sha256
    assert "colour" not in film.facts


def test_png_colour_becomes_luma_in_the_order_red_green_blue():
    blue_green_red = np.zeros((4, 4, 3), np.uint8)
    blue_green_red[..., 2] = 255
    film = read_radiograph(encode(blue_green_red))
    assert film.pixels == pytest.approx(0.299, abs=0.003)
    assert "colour" in film.facts


def test_png_palette_and_one_bit():
    picture = Image.fromarray((GREY8 // 64 * 64).astype(np.uint8)).convert("P")
    film = read_radiograph(save(picture))
    assert np.array_equal(film.pixels, np.asarray(picture.convert("L")) / np.float32(255))
    bits = Image.fromarray(GREY8 > 128)
    assert np.array_equal(read_radiograph(save(bits)).pixels, np.asarray(bits, dtype=np.float32))


def test_png_grey_with_alpha_8_and_16_bit():
    alpha = np.full_like(GREY8, 255)
    alpha[:, :5] = 0
    film = read_radiograph(save(Image.fromarray(np.dstack([GREY8, alpha]), "LA")))
    assert np.array_equal(film.pixels[:, 5:], (GREY8 / np.float32(255))[:, 5:])
    assert np.all(film.pixels[:, :5] == 0.0) and "transparency" in film.facts
    opaque = np.dstack([GREY16, np.full_like(GREY16, 65535)]).astype(">u2")
    rows = b"".join(b"\0" + row.tobytes() for row in opaque)
    film = read_radiograph(make_png(20, 12, 16, 4, rows))
    assert np.array_equal(film.pixels, GREY16 / np.float32(65535))


def smooth_film() -> np.ndarray:
    return np.add.outer(np.arange(32) * 4, np.arange(48) * 2).astype(np.uint8)


def test_jpeg_grey_colour_and_cmyk_agree():
    film = smooth_film()
    grey = read_radiograph(encode(film, ".jpg"))
    colour = read_radiograph(encode(np.repeat(film[..., None], 3, axis=2), ".jpg"))
    cmyk = read_radiograph(save(Image.fromarray(film).convert("RGB").convert("CMYK"), "JPEG", quality=95))
    for radiograph in (grey, colour, cmyk):
        assert radiograph.source_format == "JPEG"
        assert np.abs(radiograph.pixels - film / 255.0).max() < 0.03
        assert "colour" not in radiograph.facts


@pytest.mark.parametrize("orientation", range(1, 9))
def test_jpeg_exif_orientation_is_undone(orientation):
    film = smooth_film()
    tags = Image.Exif()
    tags[0x0112] = orientation
    data = save(Image.fromarray(turn_back(film, orientation)), "JPEG", quality=95, exif=tags)
    radiograph = read_radiograph(data)
    assert np.abs(radiograph.pixels - film / 255.0).max() < 0.03
    assert ("exif" in radiograph.facts) == (orientation != 1)


def test_the_name_of_a_file_means_nothing(tmp_path):
    path = tmp_path / "film.dcm"
    path.write_bytes(encode(GREY8))
    assert read_radiograph(path).source_format == "PNG"
    assert np.array_equal(read_radiograph(str(path)).pixels, read_radiograph(path.read_bytes()).pixels)


def test_limits_come_before_decoding(tmp_path):
    with pytest.raises(RadiographTooLarge, match="bytes"):
        read_radiograph(encode(GREY8), ReadLimits(max_bytes=20))
    path = tmp_path / "film.png"
    path.write_bytes(encode(GREY8))
    with pytest.raises(RadiographTooLarge, match="bytes"):
        read_radiograph(path, ReadLimits(max_bytes=20))
    # The header alone promises 4 gigapixels; nothing follows that could be decoded.
    with pytest.raises(RadiographTooLarge, match="60000 × 70000"):
        read_radiograph(make_png(60000, 70000, 8, 0, b""))
    with pytest.raises(RadiographTooLarge, match="pixels"):
        read_radiograph(encode(smooth_film(), ".jpg"), ReadLimits(max_pixels=100))


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"GIF89a" + bytes(50),
        b"%PDF-1.4 a report",
        bytes(500),
        encode(GREY8)[:60],
        encode(GREY16)[:-20],
        encode(GREY8)[:20],
        encode(smooth_film(), ".jpg")[:300],
        make_png(0, 5, 8, 0, b""),
        make_png(20, 12, 8, 0, bytes(40)),
    ],
)
def test_wrong_input_gives_one_sentence(data):
    with pytest.raises(RadiographError) as caught:
        read_radiograph(data)
    text = str(caught.value)
    assert text.endswith(".") and text.count(". ") == 0 and "\n" not in text and len(text) < 250


def test_missing_file_and_folder(tmp_path):
    with pytest.raises(RadiographError, match="absent.png"):
        read_radiograph(tmp_path / "absent.png")
    with pytest.raises(RadiographError, match="check the path"):
        read_radiograph(tmp_path)


@pytest.mark.parametrize("array", [GREY8, GREY16])
def test_written_films_read_back_equal(tmp_path, array):
    radiograph = read_radiograph(encode(array))
    path = tmp_path / "folder" / "film.png"
    write_lossless(radiograph, path)
    again = read_radiograph(path)
    assert np.array_equal(again.pixels, radiograph.pixels) and again.pixel_sha256 == radiograph.pixel_sha256
    assert again.stored_bits == radiograph.stored_bits
    assert [entry.name for entry in path.parent.iterdir()] == ["film.png"]


def test_facts_say_unknown():
    facts = dict(describe_facts(read_radiograph(encode(GREY16))))
    assert facts["View"] == facts["Age"] == facts["Sex"] == facts["Pixel spacing"] == "unknown"
    assert facts["Right / left"] == "orientation unverified"
    assert facts["Grey depth"] == "16 bits" and facts["Size"] == "20 × 12 pixels"


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "CMYK JPEG"])
def test_damaged_bytes_end_in_a_film_or_in_one_sentence(kind):
    """Bytes changed, cut out and put in, mostly in the first two hundred, where the headers are."""
    picture = Image.fromarray(GREY8).convert("CMYK" if "CMYK" in kind else "L")
    whole, refused, random = save(picture, kind.split()[-1]), 0, np.random.default_rng(0)
    for _ in range(200):
        data = bytearray(whole)
        place = int(random.integers(3, min(len(data), 200) if random.random() < 0.6 else len(data)))
        data[place : place + int(random.integers(0, 30))] = random.bytes(int(random.integers(0, 8)))
        try:
            pixels = read_radiograph(bytes(data)).pixels
            assert 0 <= pixels.min() <= pixels.max() <= 1
        except RadiographError as error:
            assert "\n" not in str(error)
            refused += 1
    assert refused > 50
