"""Padding, rescale, windows, functional groups and presentation, as files write them; against values worked by hand."""

from __future__ import annotations

import numpy as np
import pytest
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence

from icbir_core.errors import RadiographError
from icbir_core.phantom import simulate_film
from icbir_core.radiograph import describe_facts, read_radiograph
from icbir_core.radiograph.dicom_header import read_number
from icbir_core.radiograph.identity import read_film_header
from icbir_core.radiograph.polarity import looks_right_as_it_is
from tests.helpers.dicom_files import encode_dataset, make_dataset, make_dicom

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning")
IMPLICIT, EXPLICIT, BIG = "1.2.840.10008.1.2", "1.2.840.10008.1.2.1", "1.2.840.10008.1.2.2"
FILM = np.add.outer(np.arange(40) * 60, np.arange(64) * 27).astype(np.uint16)  # 0 … 4041
WINDOW = {"WindowCenter": 2000, "WindowWidth": 3600}


def through_window(values: np.ndarray, centre: float = 2000, width: float = 3600) -> np.ndarray:
    return np.clip((values - (centre - 0.5)) / (width - 1) + 0.5, 0, 1)


def assert_film(radiograph, expected: np.ndarray) -> None:
    assert np.abs(radiograph.pixels - expected).max() <= 0.51 / 65535


def write_number(data: bytes, keyword: str, text: str) -> bytes:
    """A file whose element of the value 1111 holds another text, which no library would write."""
    tag = {"WindowCenter": 0x1050, "WindowWidth": 0x1051, "RescaleIntercept": 0x1052, "RescaleSlope": 0x1053}[keyword]
    start = b"\x28\0" + tag.to_bytes(2, "little")
    value = text.encode() + b" " * (len(text) % 2)
    for kind in (b"DS", b""):  # explicit and implicit
        size = 2 if kind else 4
        old = start + kind + (4).to_bytes(size, "little") + b"1111"
        if old in data:
            return data.replace(old, start + kind + len(value).to_bytes(size, "little") + value)
    raise AssertionError("no element to write")


def write_numbers(uid: str, texts: dict[str, str], **elements) -> bytes:
    data = make_dicom(FILM, uid, **dict.fromkeys(texts, "1111"), **elements)
    for keyword, text in texts.items():
        data = write_number(data, keyword, text)
    return data


@pytest.mark.parametrize(
    "text, number",
    [
        ("0,50", 0.5),
        ("-10,0", -10),
        ("2.0E3", 2000),
        (" 7 ", 7),
        ("", None),
        ("1.800,5", 1800.5),
        ("1,800.5", 1800.5),
        ("-1.800.500,25", -1800500.25),
        ("1,800,500", 1800500),
        ("1 800", 1800),
        ("1\N{NO-BREAK SPACE}800,5", 1800.5),
        ("1'800.5", 1800.5),
        ("1800 \0", 1800),
        ("1.800.5", None),
        ("1,80.5", None),
        ("18 00", None),
        ("x", None),
        ("inf", None),
    ],
)
def test_numbers_with_a_decimal_point_or_a_decimal_comma(text, number):
    assert read_number(text) == number


@pytest.mark.parametrize("uid", [IMPLICIT, EXPLICIT])
@pytest.mark.parametrize(
    "centre, width",
    [
        ("2000,0", "3600,0"),
        ("2,000", "3,600"),
        ("2 000", "3.600,0"),
        ("2000,0\\9,0", "3600,0\\9,0"),
        ("\\2000", "\\3600"),
        ("x\\2000", "1\\3600"),
    ],
)
def test_windows_with_decimal_commas_and_gaps(uid, centre, width):
    film = read_radiograph(write_numbers(uid, {"WindowCenter": centre, "WindowWidth": width}))
    assert_film(film, through_window(FILM.astype(float)))


def test_a_comma_in_a_window_of_small_values_is_a_decimal_sign():
    header = {"RescaleSlope": "0.001", "RescaleIntercept": "0", "WindowCenter": "2,000", "WindowWidth": "3,600"}
    assert_film(read_radiograph(write_numbers(EXPLICIT, header)), through_window(FILM * 0.001, 2.0, 3.6))


@pytest.mark.parametrize(("function", "told"), [("LINEAR EXACT", ", linear exact"), ("none", ""), ("linear ", "")])
def test_names_of_functions_in_other_letters(function, told):
    window = {"WindowCenter": 2000, "WindowWidth": 3600, "VOILUTFunction": function}
    film = read_radiograph(make_dicom(FILM, BitsStored=12, **window))
    exact = np.clip((FILM - 2000.0) / 3600 + 0.5, 0, 1)
    assert_film(film, exact if told else through_window(FILM.astype(float)))
    assert film.facts["window"] == f"window 1 of 1: centre 2000, width 3600{told}"


def test_a_window_that_is_no_number_is_told_so():
    film = read_radiograph(write_numbers(EXPLICIT, {"WindowCenter": "wide", "WindowWidth": "open"}))
    assert_film(film, FILM / FILM.max())
    assert film.facts["window"] == "smallest to largest value, 0 to 4041 (the header's window is no number)"
    film = read_radiograph(write_numbers(EXPLICIT, {"WindowCenter": "", "WindowWidth": ""}))
    assert film.facts["window"] == "smallest to largest value, 0 to 4041 (the header has no window)"


@pytest.mark.parametrize("uid", [IMPLICIT, EXPLICIT])
@pytest.mark.parametrize(
    "slope, intercept, factor, summand",
    [
        ("0,50", "-10,0", 0.5, -10),
        ("1,000", "-1,024", 1, -1024),
        ("0,500", "-1.024,0", 0.5, -1024),
        ("", "", 1, 0),
        ("2", "", 2, 0),
        ("", "-100", 1, -100),
        ("-1", "4000", -1, 4000),
    ],
)
def test_rescale_with_decimal_commas_and_without_values(uid, slope, intercept, factor, summand):
    film = read_radiograph(write_numbers(uid, {"RescaleSlope": slope, "RescaleIntercept": intercept}, **WINDOW))
    assert_film(film, through_window(FILM * float(factor) + summand))


def test_a_rescale_that_is_no_number_is_refused():
    with pytest.raises(RadiographError, match="RescaleSlope is no number"):
        read_radiograph(write_numbers(EXPLICIT, {"RescaleSlope": "one", "RescaleIntercept": "0"}))


def spread(values: np.ndarray, outside: np.ndarray) -> np.ndarray:
    """Smallest to largest of what is no padding; padding black."""
    inside = values[~outside]
    return np.where(outside, 0.0, (values - inside.min()) / (inside.max() - inside.min()))


def make_padded(
    values: np.ndarray, stored: int, signed: bool, uid: str, padding: dict[str, tuple[str, int]], **elements
):
    words = values.astype(np.int64) & ((1 << stored) - 1)
    dataset = make_dataset(words.astype(np.uint16), uid, BitsStored=stored, PixelRepresentation=int(signed), **elements)
    for keyword, (kind, number) in padding.items():
        dataset.add_new(keyword, kind, number)
    return encode_dataset(dataset)


@pytest.mark.parametrize("uid", [IMPLICIT, EXPLICIT, BIG])
@pytest.mark.parametrize(
    "stored, signed, value, written",
    [
        (16, True, -2000, ("SS", -2000)),
        (16, True, -2000, ("US", 63536)),
        (12, True, -2000, ("SS", -2000)),
        (12, True, -2000, ("US", 63536)),
        (12, True, -2000, ("US", 2096)),
        (16, False, 63536, ("US", 63536)),
        (16, False, 63536, ("SS", -2000)),
        (12, False, 4095, ("US", 4095)),
        (12, False, 4095, ("SS", 4095)),
    ],
)
def test_padding_with_the_sign_of_the_pixels_or_with_the_other(uid, stored, signed, value, written):
    values = FILM.astype(int) // 3 + (-1000 if signed else 1000)
    values[:, :10] = value
    film = read_radiograph(make_padded(values, stored, signed, uid, {"PixelPaddingValue": written}))
    assert_film(film, spread(values, values == value))
    inverted = make_padded(
        values, stored, signed, uid, {"PixelPaddingValue": written}, PhotometricInterpretation="MONOCHROME1"
    )
    expected = np.where(values == value, 0.0, 1 - spread(values, values == value))
    assert_film(read_radiograph(inverted), expected)


@pytest.mark.parametrize(
    "signed, first, last, written",
    [
        (True, -2000, -1990, (("SS", -2000), ("SS", -1990))),
        (True, -2000, -1990, (("US", 63536), ("US", 63546))),
        (True, -2000, -1990, (("US", 63546), ("US", 63536))),
        (True, -2000, -1990, (("US", 63536), ("SS", -1990))),
        (False, 60000, 60010, (("SS", 60000 - 65536), ("SS", 60010 - 65536))),
        (False, 60000, 60010, (("US", 60000), ("SS", 60010 - 65536))),
    ],
)
def test_a_range_of_padding_with_the_sign_of_the_pixels_or_with_the_other(signed, first, last, written):
    values = FILM.astype(int) // 3 + (-1000 if signed else 1000)
    values[:, :10] = first + np.arange(10)
    padding = dict(zip(("PixelPaddingValue", "PixelPaddingRangeLimit"), written, strict=True))
    film = read_radiograph(make_padded(values, 16, signed, EXPLICIT, padding))
    assert_film(film, spread(values, (values >= first) & (values <= last)))


@pytest.mark.parametrize("written", [0xFFF0, 0xFFF])
def test_padding_of_words_with_empty_bits_below_their_grey(written):
    grey = FILM.astype(int) // 2
    grey[:, :10] = 0xFFF
    dataset = make_dataset((grey << 4).astype(np.uint16), BitsStored=12)
    dataset.HighBit = 15
    dataset.add_new("PixelPaddingValue", "US", written)
    assert_film(read_radiograph(encode_dataset(dataset)), spread(grey, grey == 0xFFF))


def make_groups(**macros: dict) -> Sequence:
    group = Dataset()
    for name, elements in macros.items():
        item = Dataset()
        for keyword, value in elements.items():
            setattr(item, keyword, value)
        setattr(group, f"{name}Sequence", Sequence([item]))
    return Sequence([group])


WINDOW_GROUP = {"FrameVOILUT": {"WindowCenter": 1200, "WindowWidth": 1400}}
RESCALE_GROUP = {"PixelValueTransformation": {"RescaleSlope": 0.5, "RescaleIntercept": 100}}
OTHER_GROUP = {"FrameVOILUT": {"WindowCenter": 9, "WindowWidth": 9}}


@pytest.mark.parametrize(
    "shared, frame",
    [
        (WINDOW_GROUP | RESCALE_GROUP, {}),
        ({}, WINDOW_GROUP | RESCALE_GROUP),
        (RESCALE_GROUP, WINDOW_GROUP),
        (OTHER_GROUP | RESCALE_GROUP, WINDOW_GROUP),
    ],
)
def test_window_and_rescale_of_functional_groups(shared, frame):
    dataset = make_dataset(FILM, BitsStored=12, NumberOfFrames=1)
    dataset.SharedFunctionalGroupsSequence = make_groups(**shared)
    dataset.PerFrameFunctionalGroupsSequence = make_groups(**frame)
    film = read_radiograph(encode_dataset(dataset))
    assert_film(film, through_window(FILM * 0.5 + 100, 1200, 1400))
    dataset.RescaleType = dataset.WindowCenterWidthExplanation = "US"  # names that say nothing alone
    assert_film(read_radiograph(encode_dataset(dataset)), through_window(FILM * 0.5 + 100, 1200, 1400))
    dataset.WindowCenter, dataset.WindowWidth = 2000, 3600  # what the header itself says stays
    assert_film(read_radiograph(encode_dataset(dataset)), through_window(FILM * 0.5 + 100))


def test_function_tables_and_spacing_of_functional_groups():
    dataset = make_dataset(FILM, NumberOfFrames=1)
    sigmoid = {"FrameVOILUT": {"WindowCenter": [2000, 9], "WindowWidth": [3000, 9], "VOILUTFunction": "SIGMOID"}}
    dataset.SharedFunctionalGroupsSequence = make_groups(
        **sigmoid,
        FramePixelDataProperties={"ImagerPixelSpacing": [0.2, 0.3]},
        PatientOrientationInFrame={"PatientOrientation": ["L", "F"]},
    )
    film = read_radiograph(encode_dataset(dataset))
    assert_film(film, 1 / (1 + np.exp(-4 * (FILM - 2000.0) / 3000)))
    assert film.spacing == (0.2, 0.3) and film.orientation_verified
    dataset.SharedFunctionalGroupsSequence = make_groups(PatientOrientationInFrame={"PatientOrientation": ["A", "F"]})
    data = encode_dataset(dataset)
    header = read_film_header(data)
    assert header is not None and header.view == read_radiograph(data).view == "LATERAL", "one answer at every door"


def make_film(inverted: bool = False, **elements) -> tuple[np.ndarray, bytes]:
    """The levels of a simulated chest film, air dark, and a DICOM of it or of its inverted copy."""
    grey = simulate_film(3, 256).pixels.astype(np.uint16) << 4
    data = make_dicom(4080 - grey if inverted else grey, BitsStored=12, **elements)
    return (grey - grey.min()) / (grey.max() - grey.min()), data


@pytest.mark.parametrize("text", ["INVERSE", "inverse "])
def test_a_presentation_of_the_shape_inverse_is_inverted_and_told(text):
    expected, data = make_film(inverted=True, PresentationLUTShape=text)
    film = read_radiograph(data)
    assert_film(film, expected)
    assert film.facts["photometric"] == "presentation INVERSE, inverted for display"
    assert ("Grey scale", film.facts["photometric"]) in describe_facts(film)


def test_a_presentation_of_the_shape_inverse_that_is_wrong_is_told_and_not_followed():
    expected, data = make_film(PresentationLUTShape="INVERSE")
    film = read_radiograph(data)
    assert_film(film, expected)
    assert "the header says INVERSE" in film.facts["photometric"] and "shown as stored" in film.facts["photometric"]


def test_a_presentation_of_the_shape_inverse_on_what_is_no_chest_film_follows_the_header():
    noise = np.random.default_rng(0).permutation(4096).reshape(64, 64).astype(np.uint16)
    film = read_radiograph(make_dicom(noise, PresentationLUTShape="INVERSE"))
    assert_film(film, 1 - noise / 4095)


@pytest.mark.parametrize("shape", [None, "IDENTITY", "INVERSE"])
def test_monochrome1_is_inverted_once_whatever_the_presentation_says(shape):
    elements = {"PresentationLUTShape": shape} if shape else {}
    expected, data = make_film(inverted=True, PhotometricInterpretation="MONOCHROME1", **elements)
    film = read_radiograph(data)
    assert_film(film, expected)
    assert film.facts["photometric"] == "MONOCHROME1, inverted for display"
    assert "photometric" not in read_radiograph(make_film(PresentationLUTShape="IDENTITY")[1]).facts


def test_a_films_own_grey_says_which_end_is_air(nih_directory):
    levels = [read_radiograph(path).pixels for path in sorted((nih_directory / "images").glob("*.png"))[:40]]
    levels = [np.rint(pixels * 65535).astype(np.uint16) for pixels in levels]
    assert np.mean([looks_right_as_it_is(film) for film in levels]) > 0.9
    assert not any(looks_right_as_it_is(65535 - film) for film in levels)
