"""Whatever the bytes are, `read_radiograph` gives a grey film or a `RadiographError` of one line; bombs cost little."""

from __future__ import annotations

import io

import numpy as np
import pydicom
import pytest
from PIL import Image

from icbir_core.errors import RadiographError, RadiographTooLarge
from icbir_core.radiograph import read_radiograph
from icbir_core.radiograph.codestream import count_scans
from scripts.archive_films import transcode
from tests.helpers.dicom_files import encode_dataset, make_dataset, make_dicom
from tests.unit.radiograph.test_raster import make_png

FILM8 = (np.add.outer(np.arange(40) * 3, np.arange(48) * 2) % 256).astype(np.uint8)


def read_or_refuse(data: bytes) -> str:
    """ "film", or the sentence of the refusal; anything else fails the test."""
    try:
        pixels = read_radiograph(data).pixels
    except RadiographError as error:
        text = str(error)
        assert text and "\n" not in text and len(text) < 300
        return text
    assert pixels.ndim == 2 and pixels.dtype == np.float32 and pixels.size
    assert 0.0 <= pixels.min() <= pixels.max() <= 1.0
    return "film"


def split_transfer_syntax() -> bytes:
    data = make_dicom(FILM8)
    return data.replace(b"1.2.840.10008.1.2.1\0", b"1.2.840\\10008.1.2.1\0", 1)


def odd_view_code() -> bytes:
    """A view code that is no sequence but a double of four bytes."""
    dataset = make_dataset(FILM8)
    dataset.add_new(0x00540220, "LO", "abcd")
    return encode_dataset(dataset).replace(b"\x54\x00\x20\x02LO", b"\x54\x00\x20\x02FD")


def rows_in_powers_of_ten() -> bytes:
    data = make_dicom(FILM8)
    place = data.index(b"\x28\x00\x10\x00US\x02\x00")
    return data[:place] + b"\x28\x00\x10\x00SH\x04\x00" + b"4e1 " + data[place + 10 :]


def png_without_pixels() -> bytes:
    data = make_png(20, 12, 8, 0, bytes(12 * 21))
    place = data.index(b"IDAT") - 4
    return data[:place] + data[data.index(b"IEND") - 4 :]


def jpeg_with_bad_exif() -> bytes:
    stream = io.BytesIO()
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.fromarray(FILM8).save(stream, "JPEG", exif=exif)
    data = bytearray(stream.getvalue())
    place = data.index(b"MM\x00*") if b"MM\x00*" in data else data.index(b"II*\x00")
    # The orientation as three rationals that lie outside the header.
    data[place + 10 : place + 22] = b"\x01\x12\x00\x05\x00\x00\x00\x03\x00\x00\xff\xff"
    return bytes(data)


def two_frames_that_are_called_one() -> bytes:
    film = np.repeat(FILM8[..., None], 3, axis=2)
    dataset = make_dataset(film, NumberOfFrames=1)
    dataset.PixelData = dataset.PixelData * 2
    return encode_dataset(dataset)


def lossless_jpeg_of_fewer_bits(folder) -> bytes:
    dataset = pydicom.dcmread(io.BytesIO(transcode(make_dicom(FILM8), "1.2.840.10008.1.2.4.70", folder)))
    dataset.BitsStored, dataset.HighBit = 6, 5
    return encode_dataset(dataset)


@pytest.mark.parametrize(
    "make",
    [
        split_transfer_syntax, odd_view_code, rows_in_powers_of_ten, png_without_pixels, jpeg_with_bad_exif,
        two_frames_that_are_called_one,
    ],
)  # fmt: skip
def test_odd_films_end_in_a_film_or_a_sentence(make):
    read_or_refuse(make())


def test_a_film_that_ends_the_decoder_is_refused_or_read(tmp_path):
    read_or_refuse(lossless_jpeg_of_fewer_bits(tmp_path))
    assert read_or_refuse(make_dicom(FILM8)) == "film"


def test_the_known_hostile_films(hostile_directory):
    files = sorted(hostile_directory.glob("*.bin"))
    assert len(files) >= 10
    for file in files:
        read_or_refuse(file.read_bytes())


@pytest.mark.parametrize("seed", range(4))
def test_random_bytes_behind_every_signature(seed):
    generator = np.random.default_rng(seed)
    for start in (b"", b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff", bytes(128) + b"DICM", b"\x08\x00\x05\x00CS", b"\x02\x00"):
        for length in (0, 1, 3, 30, 3000):
            assert read_or_refuse(start + generator.bytes(length)) != "film"


def test_a_jpeg_of_many_scans_is_refused_before_it_is_decoded(tmp_path):
    stream = io.BytesIO()
    Image.fromarray(np.zeros((64, 64), np.uint8)).save(stream, "JPEG", progressive=True)
    data = stream.getvalue()
    assert 2 <= count_scans(data) <= 12 and read_or_refuse(data) == "film"
    last = data.rindex(b"\xff\xda")
    bomb = data[:last] + data[last:-2] * 500 + data[-2:]
    with pytest.raises(RadiographTooLarge, match="scans"):
        read_radiograph(bomb)
    wrapped = make_dataset(np.zeros((64, 64), np.uint8), "1.2.840.10008.1.2.4.50")
    wrapped.PixelData = pydicom.encaps.encapsulate([bomb + bytes(len(bomb) % 2)])
    with pytest.raises(RadiographTooLarge, match="scans"):
        read_radiograph(encode_dataset(wrapped))


def test_a_png_of_many_bytes_a_pixel_is_refused_before_it_is_decoded():
    with pytest.raises(RadiographTooLarge, match="in grey"):
        read_radiograph(make_png(7900, 7900, 16, 6, b""))


@pytest.mark.parametrize("letters", [b"\xef\x1b\xad\xa0\x80\xff nombre\n 1  ", b"Doe^Jane born 1931\0\0"])
def test_a_transfer_syntax_that_is_none_is_not_repeated(letters):
    data = make_dicom(FILM8).replace(b"1.2.840.10008.1.2.1\0", letters.ljust(20, b"\0")[:20], 1)
    told = read_or_refuse(data)
    assert told != "film" and told.isprintable() and "Doe" not in told and "nombre" not in told
