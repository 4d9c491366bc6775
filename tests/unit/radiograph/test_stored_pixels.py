"""How pixels are stored: bits, frames, missing elements, transfer syntaxes that lie; against values worked by hand."""

from __future__ import annotations

import base64
import io

import numpy as np
import pydicom
import pytest
from pydicom.encaps import encapsulate, get_frame
from pydicom.sequence import Sequence

from icbir_core.errors import MultiFrameError, RadiographError
from icbir_core.radiograph import read_radiograph
from scripts.archive_films import transcode
from tests.helpers.dicom_files import encode_dataset, make_dataset, make_dicom, pack_bits

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning")
IMPLICIT, EXPLICIT, BIG = "1.2.840.10008.1.2", "1.2.840.10008.1.2.1", "1.2.840.10008.1.2.2"
JPEG = "1.2.840.10008.1.2.4."
LOSSLESS = (JPEG + "57", JPEG + "70", JPEG + "80", JPEG + "90", "1.2.840.10008.1.2.5")
FILM = np.add.outer(np.arange(40) * 60, np.arange(64) * 27).astype(np.uint16)  # 0 … 4041
WINDOW = {"WindowCenter": 2000, "WindowWidth": 3600}
# 16 × 16, 12 bits, value 200 row + 60 column; made once by dcmcjpeg +ee +q 95 of DCMTK 3.6.7.
JPEG12 = base64.b64decode(
    "/9j/4AAQSkZJRgABAQAAAQABAAD/2wBDAAIBAQEBAQIBAQECAgICAgQDAgICAgUEBAMEBgUGBgYFBgYGBwkIBgcJBwYGCAsICQoKCgoKBggLDAsK"
    "DAkKCgr/wQALDAAQABABAREA/8QAFQABAQAAAAAAAAAAAAAAAAAACw3/xAAcEAAABgMAAAAAAAAAAAAAAAAACwwpNkZUY3H/2gAIAQEAAD8AnG5d"
    "yhwoM0FjUbmsPAF3KHCgzQWNRuaxRgC7lDhQZoLGo3NYeALuUOFBmgsajc1j///Z"
)


def through_window(values: np.ndarray, centre: float = 2000, width: float = 3600) -> np.ndarray:
    return np.clip((values - (centre - 0.5)) / (width - 1) + 0.5, 0, 1)


def assert_film(radiograph, expected: np.ndarray, tolerance: float = 0.51) -> None:
    assert radiograph.pixels.shape == expected.shape
    assert np.abs(radiograph.pixels - expected).max() <= tolerance / 65535


def save(dataset: pydicom.Dataset) -> bytes:
    stream = io.BytesIO()
    dataset["PixelData"].VR = "OW"
    dataset.save_as(stream, enforce_file_format=True)
    return stream.getvalue()


@pytest.mark.parametrize("uid", [IMPLICIT, EXPLICIT, BIG])
@pytest.mark.parametrize("stored, high_bit", [(12, 15), (12, 13), (10, 11), (8, 15)])
def test_grey_that_does_not_lie_at_the_bottom_of_its_word(uid, stored, high_bit):
    grey = FILM >> (12 - stored)
    shift = high_bit + 1 - stored
    words = (grey << shift | (1 << shift) - 1 | (0x8000 if high_bit < 15 else 0)).astype(np.uint16)
    window = {"WindowCenter": 500, "WindowWidth": 900}
    dataset = make_dataset(words, uid, BitsStored=stored, **window)
    dataset.HighBit = high_bit
    assert_film(read_radiograph(encode_dataset(dataset)), through_window(grey.astype(float), 500, 900))
    # Signed, and bright where the values are low.
    signed = grey.astype(int) - (1 << (stored - 1))
    words = (signed << shift).astype(np.int16)
    dataset = make_dataset(words, uid, BitsStored=stored, PhotometricInterpretation="MONOCHROME1", **window)
    dataset.HighBit = high_bit
    assert_film(read_radiograph(encode_dataset(dataset)), 1 - through_window(signed.astype(float), 500, 900))


@pytest.mark.parametrize("uid", LOSSLESS)
@pytest.mark.parametrize("offset", [0, 2048])
def test_compressed_words_with_empty_bits_below_their_grey(uid, offset, tmp_path):
    grey = FILM.astype(int) - offset
    words = (grey << 4).astype(np.int16 if offset else np.uint16)
    dataset = pydicom.dcmread(io.BytesIO(transcode(make_dicom(words), uid, tmp_path)))
    dataset.BitsStored, dataset.HighBit = 12, 15
    dataset.WindowCenter, dataset.WindowWidth = 2000 - offset, 3600
    assert_film(read_radiograph(encode_dataset(dataset)), through_window(FILM.astype(float)))


def test_a_high_bit_that_cannot_be_is_left_out():
    dataset = make_dataset(FILM, BitsStored=12, **WINDOW)
    dataset.HighBit = 3
    assert_film(read_radiograph(encode_dataset(dataset)), through_window(FILM.astype(float)))


@pytest.mark.parametrize("uid", [IMPLICIT, EXPLICIT, BIG])
@pytest.mark.parametrize("bits", [10, 12, 14])
def test_pixels_packed_without_empty_bits(uid, bits):
    grey = FILM >> (12 - min(bits, 12))
    dataset = make_dataset(FILM, uid, BitsStored=min(bits, 12), WindowCenter=500, WindowWidth=900)
    dataset.PixelData, dataset.BitsAllocated = pack_bits(grey, bits, uid), bits
    assert_film(read_radiograph(encode_dataset(dataset)), through_window(grey.astype(float), 500, 900))


def test_twelve_bits_in_words_of_32():
    dataset = make_dataset(FILM, BitsStored=12, PixelData=FILM.astype("<u4").tobytes(), **WINDOW)
    dataset.BitsAllocated = 32
    assert_film(read_radiograph(encode_dataset(dataset)), through_window(FILM.astype(float)))


@pytest.mark.parametrize("uid", [IMPLICIT, EXPLICIT])
@pytest.mark.parametrize("empty", [False, True])
@pytest.mark.parametrize(
    "keyword", ["SamplesPerPixel", "PixelRepresentation", "HighBit", "BitsStored", "BitsAllocated"]
)
def test_an_element_that_is_missing_where_the_data_leave_one_meaning(uid, empty, keyword):
    dataset = make_dataset(FILM, uid, BitsStored=12, **WINDOW)
    if empty:
        setattr(dataset, keyword, None)
    else:
        delattr(dataset, keyword)
    assert_film(read_radiograph(save(dataset)), through_window(FILM.astype(float)))


def test_an_element_that_is_missing_where_the_data_leave_two_meanings():
    dataset = make_dataset(FILM, PixelData=FILM.tobytes() * 3)
    del dataset.SamplesPerPixel
    with pytest.raises(RadiographError, match="does not say SamplesPerPixel"):
        read_radiograph(save(dataset))
    dataset = make_dataset(FILM)
    del dataset.PhotometricInterpretation
    with pytest.raises(RadiographError, match="does not say PhotometricInterpretation"):
        read_radiograph(save(dataset))
    dataset = make_dataset(FILM, PixelData=FILM.tobytes() * 2)
    del dataset.BitsAllocated
    dataset.BitsStored = 12
    with pytest.raises(RadiographError, match="does not say BitsAllocated"):
        read_radiograph(save(dataset))


@pytest.mark.parametrize("text", ["monochrome2", "Monochrome2 ", "MONOCHROME2\0", "MONOCHROME 2"])
def test_the_photometric_interpretation_in_any_letters(text):
    film = read_radiograph(make_dicom(FILM, BitsStored=12, PhotometricInterpretation=text, **WINDOW))
    assert_film(film, through_window(FILM.astype(float)))
    inverted = make_dicom(FILM, BitsStored=12, PhotometricInterpretation=text.replace("2", "1"), **WINDOW)
    assert_film(read_radiograph(inverted), 1 - through_window(FILM.astype(float)))


@pytest.mark.parametrize("frames", [2, 3, 4])
@pytest.mark.parametrize("declared", [None, 1])
def test_frames_that_the_header_does_not_declare(frames, declared):
    data = FILM.tobytes() + FILM[::-1].tobytes() * (frames - 1)
    elements = {"NumberOfFrames": declared} if declared else {}
    film = read_radiograph(make_dicom(FILM, PixelData=data, **elements, **WINDOW))
    assert_film(film, through_window(FILM.astype(float)))
    assert film.facts["frames"] == f"the file holds {frames} pictures; the first is shown"
    colour = np.repeat((FILM >> 4).astype(np.uint8)[..., None], 3, axis=2)
    film = read_radiograph(make_dicom(colour, PixelData=colour.tobytes() * frames, **elements))
    assert_film(film, (FILM >> 4) / 255)
    with pytest.raises(MultiFrameError):
        read_radiograph(make_dicom(FILM, PixelData=data, NumberOfFrames=frames))


@pytest.mark.parametrize("uid", LOSSLESS)
def test_compressed_frames_that_the_header_does_not_declare(uid, tmp_path):
    streams = []
    for film in (FILM, FILM[::-1]):
        dataset = pydicom.dcmread(io.BytesIO(transcode(make_dicom(np.ascontiguousarray(film)), uid, tmp_path)))
        streams.append(get_frame(dataset.PixelData, 0, number_of_frames=1))
    for offsets in (False, True):
        dataset.PixelData = encapsulate(streams, has_bot=offsets)
        film = read_radiograph(encode_dataset(dataset))
        assert_film(film, FILM / FILM.max())
        assert film.facts["frames"] == "the file holds 2 pictures; the first is shown"
    # One picture in several fragments is one picture.
    dataset.PixelData = encapsulate(streams[:1], fragments_per_frame=3)
    film = read_radiograph(encode_dataset(dataset))
    assert_film(film, FILM / FILM.max())
    assert "frames" not in film.facts


def test_a_few_bytes_behind_the_pixels_are_no_frame():
    assert "frames" not in read_radiograph(make_dicom(FILM, PixelData=FILM.tobytes() + bytes(100))).facts


@pytest.mark.parametrize("uid", [JPEG + "51", JPEG + "50", JPEG + "55"])
@pytest.mark.parametrize("photometric", ["MONOCHROME1", "MONOCHROME2"])
def test_lossy_jpeg_of_twelve_bits(uid, photometric):
    values = np.add.outer(np.arange(16) * 200, np.arange(16) * 60).astype(np.uint16)
    dataset = make_dataset(values, uid, BitsStored=12, PhotometricInterpretation=photometric, **WINDOW)
    dataset.PixelData = encapsulate([JPEG12])
    expected = through_window(values.astype(float))
    film = read_radiograph(encode_dataset(dataset))
    assert_film(film, expected if photometric == "MONOCHROME2" else 1 - expected, tolerance=80)
    assert film.stored_bits == 12


@pytest.mark.parametrize("uid", [JPEG + "50", JPEG + "51", *LOSSLESS])
def test_a_compressed_picture_of_8_bits_under_a_header_of_16(uid, tmp_path):
    grey = (FILM >> 4).astype(np.uint8)
    dataset = pydicom.dcmread(io.BytesIO(transcode(make_dicom(grey), uid, tmp_path)))
    if uid == "1.2.840.10008.1.2.5":  # which knows no bits of its own
        dataset.BitsAllocated = 8
    else:
        dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit = 16, 12, 11
    dataset.WindowCenter, dataset.WindowWidth = 128, 256
    lossy = uid in (JPEG + "50", JPEG + "51")
    assert_film(read_radiograph(encode_dataset(dataset)), grey / 255, tolerance=1500 if lossy else 0.51)


@pytest.mark.parametrize("uid", LOSSLESS[:4])
def test_the_picture_says_how_it_is_compressed(uid, tmp_path):
    data, own = transcode(make_dicom(FILM), uid, tmp_path), uid.encode() + b"\0" * (len(uid) % 2)
    for named in (*LOSSLESS[:4], JPEG + "50", JPEG + "91", EXPLICIT):
        other = named.encode().ljust(len(own), b"\0")
        assert data.count(own) == 1
        assert_film(read_radiograph(data.replace(own, other)), FILM / FILM.max())


def test_plain_pixels_under_a_compressed_transfer_syntax():
    data = make_dicom(FILM).replace(b"1.2.840.10008.1.2.1\0\x02\0", b"1.2.840.10008.1.2.5\0\x02\0")
    assert data != make_dicom(FILM)
    assert_film(read_radiograph(data), FILM / FILM.max())


@pytest.mark.parametrize("lost", [1, 4, 7, 8])
@pytest.mark.parametrize("uid", LOSSLESS)
def test_the_end_of_compressed_pixel_data_may_be_missing(uid, lost, tmp_path):
    whole = transcode(make_dicom(FILM), uid, tmp_path)
    assert whole[-8:] == b"\xfe\xff\xdd\xe0\0\0\0\0"
    assert_film(read_radiograph(whole[:-lost]), FILM / FILM.max())
    dataset = pydicom.dcmread(io.BytesIO(whole))
    dataset.DataSetTrailingPadding = bytes(20)
    stream = io.BytesIO()
    dataset.save_as(stream, enforce_file_format=True)
    without = stream.getvalue().replace(b"\xfe\xff\xdd\xe0\0\0\0\0", b"")
    assert_film(read_radiograph(without), FILM / FILM.max())
    with pytest.raises(RadiographError, match="cut short or damaged"):
        read_radiograph(whole[: -8 - lost])


@pytest.mark.parametrize("uid", [EXPLICIT, JPEG + "70"])
def test_empty_pixel_data_are_told_in_plain_words(uid):
    empty = b"" if uid == EXPLICIT else b"\xfe\xff\0\xe0\0\0\0\0" * 2
    with pytest.raises(RadiographError, match="its pixel data are empty"):
        read_radiograph(encode_dataset(make_dataset(FILM, uid, PixelData=empty)))


def test_the_directory_of_a_disk_is_named_for_what_it_is():
    dataset = make_dataset(FILM, SOPClassUID=None)
    for keyword in ("Rows", "Columns", "PixelData"):
        delattr(dataset, keyword)
    dataset.file_meta.MediaStorageSOPClassUID = "1.2.840.10008.1.3.10"
    dataset.DirectoryRecordSequence = Sequence([])
    stream = io.BytesIO()
    dataset.save_as(stream, enforce_file_format=True)
    with pytest.raises(RadiographError, match=r"holds no pixels \(Media Storage Directory Storage\)"):
        read_radiograph(stream.getvalue())


@pytest.mark.parametrize("uid", [EXPLICIT, BIG, JPEG + "70", JPEG + "80", JPEG + "90", "1.2.840.10008.1.2.5"])
@pytest.mark.parametrize("stored", [10, 12])
def test_colour_is_scaled_by_the_bits_stored(uid, stored, tmp_path):
    grey = FILM >> (12 - stored)
    colour = np.repeat(grey[..., None], 3, axis=2)
    if uid in (EXPLICIT, BIG):
        films = [make_dicom(colour, uid, BitsStored=stored)]
        planes = colour.transpose(2, 0, 1).astype(">u2" if uid == BIG else "<u2").tobytes()
        films.append(make_dicom(colour, uid, BitsStored=stored, PlanarConfiguration=1, PixelData=planes))
        left = make_dataset((colour << (16 - stored)).astype(np.uint16), uid, BitsStored=stored)
        left.HighBit = 15
        films.append(encode_dataset(left))
        luma = np.dstack([grey, np.full_like(grey, 1 << (stored - 1)), np.full_like(grey, 1 << (stored - 1))])
        films.append(make_dicom(luma, uid, BitsStored=stored, PhotometricInterpretation="YBR_FULL"))
    else:
        films = [transcode(make_dicom(colour, BitsStored=stored), uid, tmp_path)]
    for data in films[:3]:
        assert_film(read_radiograph(data), grey / (2**stored - 1))
    for data in films[3:]:
        assert_film(read_radiograph(data), grey / (2**stored - 1), tolerance=150)  # through 8 bits


@pytest.mark.parametrize("used", [8, 10, 12])
def test_colour_of_fewer_bits_than_the_header_says(used):
    grey = FILM >> (12 - used)
    film = read_radiograph(make_dicom(np.repeat(grey[..., None], 3, axis=2), BitsStored=16))
    assert_film(film, grey / (2**used - 1))
    assert film.facts["levels"] == f"{used} bits of colour, as the brightest point is, not 16 as the header says"


@pytest.mark.parametrize(
    "elements",
    [
        {"BitsStored": 17, "BitsAllocated": 16},
        {"BitsStored": 0, "HighBit": 15},
        {"SamplesPerPixel": 3},
        {"PhotometricInterpretation": "HSV"},
        {"PhotometricInterpretation": "RGB"},
        {"Columns": 65},
    ],
)
def test_headers_that_contradict_themselves_are_refused(elements):
    with pytest.raises(RadiographError) as caught:
        read_radiograph(make_dicom(FILM, **elements))
    assert "pydicom" not in str(caught.value) and "(0028" not in str(caught.value)


@pytest.mark.parametrize("uid", [JPEG + "57", JPEG + "70"])
@pytest.mark.parametrize("stored", [1, 2, 4, 7])
def test_headers_on_which_a_decoder_ends_the_process_are_refused_before_it(uid, stored, tmp_path):
    dataset = pydicom.dcmread(io.BytesIO(transcode(make_dicom((FILM >> 4).astype(np.uint8)), uid, tmp_path)))
    dataset.BitsStored, dataset.HighBit = stored, 7
    with pytest.raises(RadiographError, match="not the one that the header describes"):
        read_radiograph(encode_dataset(dataset))


@pytest.mark.parametrize("uid", [JPEG + "57", JPEG + "70"])
def test_a_jpeg_for_gdcm_whose_headers_are_broken_is_refused_before_a_decoder_sees_it(uid, tmp_path):
    dataset = pydicom.dcmread(io.BytesIO(transcode(make_dicom((FILM >> 4).astype(np.uint8)), uid, tmp_path)))
    stream = get_frame(dataset.PixelData, 0, number_of_frames=1)
    assert b"\xff\xc4" in stream
    lossy = make_dataset(np.zeros((16, 16), np.uint16), JPEG + "51", BitsStored=12)
    for film, whole in ((dataset, stream), (lossy, JPEG12)):
        for broken in (whole.replace(b"\xff\xc4", b"\xff\xff"), whole.replace(b"\xff\xc4", b"\xff\xfe")):
            film.PixelData = encapsulate([broken])
            with pytest.raises(RadiographError, match="pixel data are damaged"):
                read_radiograph(encode_dataset(film))


@pytest.mark.parametrize("keyword, kind", [("Modality", b"UV"), ("ViewPosition", b"FD"), ("ViewCodeSequence", b"FD")])
def test_what_decides_on_a_film_must_be_readable(keyword, kind):
    tag = pydicom.datadict.tag_for_keyword(keyword)
    dataset = make_dataset(FILM)
    dataset.add_new(tag, "LO", "CR")
    mark = (tag >> 16).to_bytes(2, "little") + (tag & 0xFFFF).to_bytes(2, "little")
    data = encode_dataset(dataset)
    assert mark + b"LO" in data
    with pytest.raises(RadiographError, match=f"{keyword} is damaged|cut short or damaged"):
        read_radiograph(data.replace(mark + b"LO", mark + kind))


def test_a_transfer_syntax_that_is_none_is_refused():
    data = make_dicom(FILM).replace(b"1.2.840.10008.1.2.1\0", b"1.2.840.10008.1.1.1\0", 1)
    with pytest.raises(RadiographError, match="transfer syntax that is none"):
        read_radiograph(data)
    kind = make_dicom(FILM).replace(b"\xe0\x7f\x10\0OW", b"\xe0\x7f\x10\0Ox")
    with pytest.raises(RadiographError, match="PixelData is damaged|cut short or damaged"):
        read_radiograph(kind)


def test_a_transfer_syntax_of_several_values_is_refused():
    data = make_dicom(FILM).replace(b"1.2.840.10008.1.2.1\0", b"1.2.840\\10008.1.2.1\0", 1)
    with pytest.raises(RadiographError, match="does not name one transfer syntax"):
        read_radiograph(data)
