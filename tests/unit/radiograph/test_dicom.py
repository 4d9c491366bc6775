"""DICOM: every transfer syntax, the order of the grey pipeline, the header's facts, and what is refused by name."""

from __future__ import annotations

import base64
import io
import warnings

import numpy as np
import pydicom
import pytest
from pydicom.dataset import Dataset
from pydicom.encaps import encapsulate, get_frame
from pydicom.pixels import apply_windowing
from pydicom.sequence import Sequence

from icbir_core.errors import MultiFrameError, RadiographError, RadiographTooLarge, UndecodableTransferSyntax
from icbir_core.radiograph import describe_facts, read_radiograph, write_lossless
from icbir_core.radiograph.ages import parse_age
from icbir_core.radiograph.codestream import DeclaredFrame, read_declared_frame
from icbir_core.radiograph.decoding import decode_film
from icbir_core.settings import ReadLimits
from scripts.archive_films import GDCM_SYNTAXES, transcode
from tests.helpers.dicom_files import encode_dataset, make_dataset, make_dicom, make_table

FILM12 = (np.add.outer(np.arange(40) * 50, np.arange(64) * 30) % 4096).astype(np.uint16)
FILM8 = (FILM12 // 16).astype(np.uint8)
UNCOMPRESSED = ("1.2.840.10008.1.2", "1.2.840.10008.1.2.1", "1.2.840.10008.1.2.2", "1.2.840.10008.1.2.1.99")
# 16 × 16, 16 bit, value (250 row + 16 column) mod 4096; made once by htj2k_encode of imagecodecs 2026.3.6.
HTJ2K = base64.b64decode(
    "/0//UQApQAAAAAAQAAAAEAAAAAAAAAAAAAAAEAAAABAAAAAAAAAAAAABDwEB/1AACAACAAAACv9SAAwAAgABAAUEBEAB/1wAEyCIkJCQkJCQkJCQ"
    "kJCQiIiI/2QAFwABT3BlbkpQSCBWZXIgMC4yNi4zLv+QAAoAAAAAAH4AAf+TwAAmf/YFB3QAAMAAEsAAEwAiAYd0ANjxA4d0AMAAE0AAE4AQyAEC"
    "dADoiI4Aw1QAwAAVEAAFYIZhGKpwgnUAZCSDDDL+wFKB7LYAwAArIAAWkO7u7u7nwKenp8J4APLl5eXl5eXl/Yxge/Yxgey6AP/Z"
)


def stretch(values: np.ndarray) -> np.ndarray:
    return (values - values.min()) / (values.max() - values.min())


def assert_levels(pixels: np.ndarray, expected: np.ndarray) -> None:
    assert pixels.dtype == np.float32
    assert np.abs(pixels - expected).max() <= 0.51 / 65535


@pytest.fixture(autouse=True)
def quiet_pydicom():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        yield


@pytest.mark.parametrize("uid", UNCOMPRESSED)
@pytest.mark.parametrize("film", [FILM8, FILM12, FILM12.astype(np.int16) - 2000], ids=["uint8", "uint16", "int16"])
def test_uncompressed(uid, film):
    radiograph = read_radiograph(make_dicom(film, uid))
    assert_levels(radiograph.pixels, stretch(film.astype(float)))
    assert radiograph.source_format == "DICOM" and uid in radiograph.facts["encoding"]


@pytest.mark.parametrize("uid", GDCM_SYNTAXES)
def test_compressed(uid, tmp_path):
    lossy = uid.endswith((".50", ".51"))
    film = FILM8 if lossy else FILM12
    data = transcode(make_dicom(film, **({} if lossy else {"BitsStored": 12})), uid, tmp_path)
    radiograph = read_radiograph(data)
    assert np.abs(radiograph.pixels - stretch(film.astype(float))).max() < (0.02 if lossy else 0.51 / 65535)
    assert uid in radiograph.facts["encoding"] and radiograph.stored_bits == (8 if lossy else 12)
    if uid != "1.2.840.10008.1.2.5":
        frame = read_declared_frame(get_frame(pydicom.dcmread(io.BytesIO(data)).PixelData, 0, number_of_frames=1))
        assert (frame.rows, frame.columns, frame.samples) == (*film.shape, 1) and 8 <= frame.bits <= 16


def test_high_throughput_jpeg_2000():
    film = np.add.outer(np.arange(16) * 250, np.arange(16) * 16) % 4096
    dataset = make_dataset(film.astype(np.uint16), "1.2.840.10008.1.2.4.201", PixelData=encapsulate([HTJ2K]))
    assert_levels(read_radiograph(encode_dataset(dataset)).pixels, stretch(film.astype(float)))
    assert read_declared_frame(HTJ2K) == DeclaredFrame(16, 16, 1, 16)


@pytest.mark.parametrize("uid", UNCOMPRESSED[:3])
def test_without_preamble_and_meta(uid):
    data = encode_dataset(make_dataset(FILM12, uid), whole_file=False)
    assert data[128:132] != b"DICM"
    assert_levels(read_radiograph(data).pixels, stretch(FILM12.astype(float)))


def test_without_preamble_but_with_meta_and_without_ending(tmp_path):
    path = tmp_path / "IM000001"
    path.write_bytes(make_dicom(FILM12)[132:])
    assert_levels(read_radiograph(path).pixels, stretch(FILM12.astype(float)))


def test_bits_above_the_stored_ones_are_no_grey():
    overlaid = FILM12 | np.uint16(0x8000)
    assert_levels(read_radiograph(make_dicom(overlaid, BitsStored=12)).pixels, stretch(FILM12.astype(float)))


def test_monochrome1_is_inverted_exactly_and_last():
    window = {"WindowCenter": 1500, "WindowWidth": 900}
    plain = read_radiograph(make_dicom(FILM12, **window)).pixels
    inverted = read_radiograph(make_dicom(FILM12, PhotometricInterpretation="MONOCHROME1", **window))
    assert np.allclose(inverted.pixels, 1.0 - plain, atol=1e-6)
    assert "inverted" in inverted.facts["photometric"]


@pytest.mark.parametrize("function", ["LINEAR", "LINEAR_EXACT", "SIGMOID"])
@pytest.mark.parametrize("centre, width", [(2000, 1500), (1500.5, 1), (3000, 6000)])
@pytest.mark.parametrize("slope, intercept", [(1, 0), (2.5, -800), (-1, 4095)])
def test_rescale_then_window_agrees_with_the_library(function, centre, width, slope, intercept):
    dataset = make_dataset(
        FILM12,
        BitsStored=12,
        RescaleSlope=slope,
        RescaleIntercept=intercept,
        WindowCenter=centre,
        WindowWidth=width,
        VOILUTFunction=function,
    )
    rescaled = FILM12 * float(slope) + intercept
    with np.errstate(over="ignore"):
        windowed = apply_windowing(rescaled, dataset)
        smallest, largest = apply_windowing(np.array([-1e15, 1e15]), dataset)
    assert_levels(read_radiograph(encode_dataset(dataset)).pixels, (windowed - smallest) / (largest - smallest))


def test_the_first_usable_of_several_windows():
    data = make_dicom(FILM12, WindowCenter=["1000", "2000"], WindowWidth=["0", "1500"])
    radiograph = read_radiograph(data)
    alone = read_radiograph(make_dicom(FILM12, WindowCenter=2000, WindowWidth=1500))
    assert np.array_equal(radiograph.pixels, alone.pixels)
    assert radiograph.facts["window"] == "window 2 of 2: centre 2000, width 1500"
    first = read_radiograph(make_dicom(FILM12, WindowCenter=[1000, 2000], WindowWidth=[800, 1500]))
    assert first.facts["window"].startswith("window 1 of 2") and not np.array_equal(first.pixels, alone.pixels)


def test_a_window_that_hides_everything_falls_back_and_says_so():
    radiograph = read_radiograph(make_dicom(FILM12, WindowCenter=60000, WindowWidth=10))
    assert_levels(radiograph.pixels, stretch(FILM12.astype(float)))
    assert "leaves nothing to see" in radiograph.facts["window"]


def test_value_of_interest_table_comes_before_windows():
    entries = np.rint(65535 * (np.arange(1000) / 999.0) ** 2).astype(int)
    dataset = make_dataset(FILM12, BitsStored=12, WindowCenter=10, WindowWidth=20)
    dataset.VOILUTSequence = Sequence([make_table([1000, 1000, 16], entries.tolist())])
    radiograph = read_radiograph(encode_dataset(dataset))
    expected = entries[np.clip(FILM12.astype(int) - 1000, 0, 999)] / 65535
    assert_levels(radiograph.pixels, expected)
    assert radiograph.facts["window"] == "value-of-interest table 1 of 1"


def test_modality_table_comes_before_the_window():
    entries = 3 * np.arange(4096)
    dataset = make_dataset(FILM12, BitsStored=12, WindowCenter=6000.5, WindowWidth=12001)
    dataset.ModalityLUTSequence = Sequence([make_table([4096, 0, 16], entries.tolist())])
    assert_levels(read_radiograph(encode_dataset(dataset)).pixels, np.clip(FILM12 * 3.0 / 12000, 0, 1))


def test_padding_is_black_and_outside_the_smallest_and_largest_value():
    film = FILM12.copy()
    film[:, :10] = 0
    film[:, 10:] = np.maximum(film[:, 10:], 500)
    radiograph = read_radiograph(make_dicom(film, PixelPaddingValue=0, PhotometricInterpretation="MONOCHROME1"))
    assert np.all(radiograph.pixels[:, :10] == 0.0)
    inside = film[:, 10:].astype(float)
    assert_levels(radiograph.pixels[:, 10:], 1.0 - stretch(inside))


def test_a_narrow_window_keeps_every_stored_level():
    film = np.arange(4096, dtype=np.uint16).reshape(64, 64) * 16
    assert np.unique(read_radiograph(make_dicom(film)).pixels).size == 4096
    assert read_radiograph(make_dicom(np.full((4, 4), 7, np.uint16))).pixels.max() == 0.0


def test_colour_secondary_capture(tmp_path):
    grey = read_radiograph(make_dicom(np.repeat(FILM8[..., None], 3, axis=2)))
    assert np.array_equal(grey.pixels, FILM8 / np.float32(255)) and "colour" not in grey.facts
    red = np.zeros((8, 8, 3), np.uint8)
    red[..., 0] = 255
    assert read_radiograph(make_dicom(red)).pixels == pytest.approx(0.299, abs=0.003)


@pytest.mark.parametrize(
    "text, years",
    [
        ("057Y", 57),
        ("62", 62),
        ("018M", 1),
        ("011M", 0),
        ("052W", 0),
        ("006D", 0),
        ("", None),
        ("999Y", None),
        ("?", None),
    ],
)
def test_ages(text, years):
    assert parse_age(text) == years


def test_header_facts():
    data = make_dicom(
        FILM12,
        PatientAge="057Y",
        PatientSex="F",
        ViewPosition="AP",
        PixelSpacing=[0.2, 0.2],
        ImagerPixelSpacing=[0.143, 0.15],
        PatientOrientation=["L", "F"],
        PatientName="Doe^Jane",
        PatientID="12345",
    )
    radiograph = read_radiograph(data)
    assert (radiograph.age, radiograph.sex, radiograph.view) == (57, "F", "AP")
    assert radiograph.spacing == (0.143, 0.15) and radiograph.orientation_verified
    text = " ".join(f"{label} {value}" for label, value in describe_facts(radiograph))
    assert "57 years" in text and "female" in text and "0.143 × 0.150 mm (row × column), at the detector" in text
    assert "Doe" not in text and "12345" not in text
    silent = read_radiograph(make_dicom(FILM12, PatientSex="O", PixelSpacing=[0.0, 0.0]))
    assert (silent.age, silent.sex, silent.view, silent.spacing) == (None, "unknown", "unknown", None)
    assert not silent.orientation_verified


def test_a_mirrored_film_is_named_and_never_flipped():
    radiograph = read_radiograph(make_dicom(FILM12, PatientOrientation=["R", "F"]))
    assert not radiograph.orientation_verified and "MIRRORED" in radiograph.facts["orientation"]
    assert_levels(radiograph.pixels, stretch(FILM12.astype(float)))


def test_view_from_the_code_and_from_the_orientation():
    dataset = make_dataset(FILM12)
    code = Dataset()
    code.CodeMeaning = "postero-anterior"
    dataset.ViewCodeSequence = Sequence([code])
    assert read_radiograph(encode_dataset(dataset)).view == "PA"
    assert read_radiograph(make_dicom(FILM12, PatientOrientation=["A", "F"])).view == "LATERAL"


def test_multi_frame_is_refused_by_name():
    two = np.stack([FILM12, FILM12]).reshape(80, 64)
    with pytest.raises(MultiFrameError, match="multi-frame DICOM holds 2 frames"):
        read_radiograph(make_dicom(two, Rows=40, NumberOfFrames=2))


@pytest.mark.parametrize(
    "uid, advice", [("1.2.840.10008.1.2.4.92", "uncompressed"), ("1.2.840.10008.1.2.4.100", "uncompressed")]
)
def test_undecodable_transfer_syntax_is_named(uid, advice):
    data = encode_dataset(make_dataset(FILM8, uid, PixelData=encapsulate([b"\0" * 64])))
    with pytest.raises(UndecodableTransferSyntax, match=f"{uid}.*{advice}") as caught:
        read_radiograph(data)
    assert caught.value.uid == uid


@pytest.mark.parametrize("uid, package", [("1.2.840.10008.1.2.4.70", "python-gdcm"), ("…4.201", "pylibjpeg-openjpeg")])
def test_a_missing_decoder_is_named(uid, package, monkeypatch):
    uid = uid.replace("…", "1.2.840.10008.1.2.")

    class Missing:
        is_available = False

    monkeypatch.setattr("icbir_core.radiograph.dicom.get_decoder", lambda uid: Missing())
    data = encode_dataset(make_dataset(FILM8, uid, PixelData=encapsulate([b"\0" * 64])))
    with pytest.raises(UndecodableTransferSyntax, match=f"{uid}.*install .*{package}"):
        decode_film(data, ReadLimits())  # here, where the decoder was taken away


def test_limits_hold_for_headers_codestreams_and_deflation():
    with pytest.raises(RadiographTooLarge, match="60000 × 60000"):
        read_radiograph(make_dicom(FILM12, Rows=60000, Columns=60000))
    huge = HTJ2K.replace(b"\x00\x00\x00\x10\x00\x00\x00\x10", b"\x00\x01\x00\x00\x00\x01\x00\x00")
    dataset = make_dataset(np.zeros((16, 16), np.uint16), "1.2.840.10008.1.2.4.201", PixelData=encapsulate([huge]))
    with pytest.raises(RadiographTooLarge, match="65536 × 65536"):
        read_radiograph(encode_dataset(dataset))
    bomb = make_dicom(np.zeros((2000, 2000), np.uint16), "1.2.840.10008.1.2.1.99")
    assert len(bomb) < 100_000
    with pytest.raises(RadiographTooLarge, match="deflated"):
        read_radiograph(bomb, ReadLimits(max_bytes=100_000))


def without_pixels() -> bytes:
    dataset = make_dataset(FILM12)
    stream = io.BytesIO()
    del dataset.PixelData
    dataset.save_as(stream, enforce_file_format=True)
    return stream.getvalue()


@pytest.mark.parametrize(
    "make",
    [
        without_pixels,
        lambda: make_dicom(FILM12)[:-500],
        lambda: make_dicom(FILM12)[:140],
        lambda: bytes(128) + b"DICM" + bytes(40),
        lambda: bytes(128) + b"DICM" + np.random.default_rng(0).bytes(400),
        lambda: b"\x08\x00" + np.random.default_rng(1).bytes(400),
        lambda: make_dicom(FILM12, Rows=None),
        lambda: make_dicom(FILM12.astype(np.uint32)),
        lambda: encode_dataset(make_dataset(FILM8, "1.2.840.10008.1.2.4.70", PixelData=encapsulate([b"\1" * 99]))),
    ],
)
def test_damaged_files_give_one_sentence(make):
    with pytest.raises(RadiographError) as caught:
        read_radiograph(make())
    text = str(caught.value)
    assert text.endswith(".") and text.count(". ") == 0 and "\n" not in text and len(text) < 300


@pytest.mark.filterwarnings("ignore::UserWarning")
@pytest.mark.parametrize("share", [0.1, 0.3, 0.5, 0.9, 0.999])
def test_a_file_that_is_cut_short_is_told_so(share):
    data = make_dicom(np.zeros((8, 8), np.uint16))
    with pytest.raises(RadiographError, match="is cut short or damaged"):
        read_radiograph(data[: 132 + int(share * (len(data) - 132))])


def test_a_picture_of_another_size_than_the_header_says_is_refused(tmp_path):
    data = transcode(make_dicom(FILM12, BitsStored=12), "1.2.840.10008.1.2.4.80", tmp_path)
    dataset = pydicom.dcmread(io.BytesIO(data))
    dataset.Rows = 10
    with pytest.raises(RadiographError, match="64 × 40 pixels"):
        read_radiograph(encode_dataset(dataset))


def test_errors_never_repeat_a_header(tmp_path):
    dataset = make_dataset(FILM12, PatientName="Doe^Jane", SOPClassUID="Doe^Jane")
    del dataset.PixelData
    stream = io.BytesIO()
    dataset.save_as(stream, enforce_file_format=True)
    with pytest.raises(RadiographError) as caught:
        read_radiograph(stream.getvalue())
    assert "Doe" not in str(caught.value)


@pytest.mark.parametrize("kind", ["plain", "big endian", "deflated", "JPEG lossless", "JPEG-LS", "JPEG 2000", "RLE"])
def test_damaged_bytes_end_in_a_film_or_in_one_sentence(kind, tmp_path):
    data = make_dicom(FILM12, BitsStored=12, WindowCenter=["2000", "900"], WindowWidth=["900", "90"], RescaleSlope=1)
    encoded = {"JPEG lossless": ".4.70", "JPEG-LS": ".4.80", "JPEG 2000": ".4.90", "RLE": ".5"}
    if kind in encoded:
        data = transcode(data, "1.2.840.10008.1.2" + encoded[kind], tmp_path)
    elif kind != "plain":
        data = make_dicom(FILM12, UNCOMPRESSED[2 if kind == "big endian" else 3])
    generator = np.random.default_rng(5)
    for turn in range(60):
        damaged = bytearray(data)
        reach = len(data) if turn % 2 else min(len(data), 1000)
        for _ in range(generator.integers(1, 6)):
            damaged[generator.integers(reach)] = generator.integers(256)
        try:
            pixels = read_radiograph(
                bytes(damaged[: generator.integers(1, len(data))] if turn % 7 == 0 else damaged)
            ).pixels
        except RadiographError as error:
            assert "\n" not in str(error) and len(str(error)) < 300
        else:
            assert pixels.ndim == 2 and pixels.min() >= 0.0 and pixels.max() <= 1.0


def test_a_dicom_goes_to_png_and_back(tmp_path):
    radiograph = read_radiograph(make_dicom(FILM12, WindowCenter=2000, WindowWidth=3000))
    write_lossless(radiograph, tmp_path / "film.png")
    again = read_radiograph(tmp_path / "film.png")
    assert np.array_equal(again.pixels, radiograph.pixels) and again.pixel_sha256 == radiograph.pixel_sha256


def test_real_film_with_window_and_inversion(dicom_directory):
    path = dicom_directory / "RG1_J2KI.dcm"
    radiograph = read_radiograph(path)
    stored = pydicom.dcmread(path).pixel_array.astype(float)
    assert radiograph.pixels.shape == (1955, 1841) and radiograph.stored_bits == 15
    assert_levels(radiograph.pixels, 1.0 - np.clip((stored - 14999.5) / 29999.0 + 0.5, 0, 1))
    assert (radiograph.view, radiograph.sex, radiograph.orientation_verified) == ("PA", "F", True)
    assert radiograph.spacing is None and radiograph.age == 64, "from the dates of birth and of the study"
    # Air outside the body is dark, the spine bright.
    assert radiograph.pixels[:, 900:940].mean() > radiograph.pixels[400:900, 400:700].mean()


def test_the_inverted_twin_shows_inverted(dicom_directory):
    film = read_radiograph(dicom_directory / "rsna_jpeg_baseline.dcm")
    twin = read_radiograph(dicom_directory / "monochrome1_twin.dcm")
    assert film.pixels.shape == (1024, 1024) and film.spacing == (0.168, 0.168) and film.age == 62
    assert np.allclose(twin.pixels, 1.0 - film.pixels, atol=1e-6)
    assert film.pixel_sha256 != twin.pixel_sha256 and film.sha256 != twin.sha256
    assert not film.orientation_verified
