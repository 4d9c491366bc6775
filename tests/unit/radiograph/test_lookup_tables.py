"""Lookup tables as files hold them, through the one reader: modality, value of interest and palette."""

from __future__ import annotations

import numpy as np
import pytest
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence

from icbir_core.errors import RadiographError
from icbir_core.radiograph import read_radiograph
from icbir_core.radiograph.lookup_tables import BrokenTable, measure_depth, read_lookup_table
from tests.helpers.dicom_files import encode_dataset, make_dataset, make_table, pack_bytes, to_words

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning")
IMPLICIT, EXPLICIT, BIG = "1.2.840.10008.1.2", "1.2.840.10008.1.2.1", "1.2.840.10008.1.2.2"
FILM = np.add.outer(np.arange(40) * 60, np.arange(64) * 27).astype(np.uint16)  # 0 … 4041
SIGNED = (FILM.astype(int) - 2000).astype(np.int16)
WINDOW = {"WindowCenter": 2000, "WindowWidth": 3600}


def curve(entries: int, top: int) -> np.ndarray:
    """A table that bends as a film's does: 0 … top."""
    return np.rint(top * np.sqrt(np.arange(entries) / (entries - 1))).astype(int)


def read_with(sequence: str, item: Dataset, film: np.ndarray = FILM, uid: str = EXPLICIT, **elements):
    dataset = make_dataset(film, uid, **elements)
    setattr(dataset, sequence, Sequence([item]))
    return read_radiograph(encode_dataset(dataset))


def look_up(values: np.ndarray, table: np.ndarray, first: int = 0) -> np.ndarray:
    """The standard's rule in one line, for comparison (PS3.3 C.11.2.1.1)."""
    return table[np.clip(values.astype(int) - first, 0, len(table) - 1)]


def assert_film(radiograph, expected: np.ndarray) -> None:
    assert np.abs(radiograph.pixels - expected).max() <= 0.51 / 65535


@pytest.mark.parametrize(
    "largest, bits",
    [(1, 8), (255, 8), (256, 8), (300, 10), (1023, 10), (3901, 12), (4095, 12), (4096, 12), (65535, 16)],
)
def test_bits_that_entries_use(largest, bits):
    assert measure_depth(largest) == bits


@pytest.mark.parametrize("uid", [IMPLICIT, EXPLICIT, BIG])
@pytest.mark.parametrize(
    "top, stated", [(4095, 16), (1023, 16), (255, 16), (4095, 14), (65535, 12), (4095, 12), (511, 9)]
)
def test_a_table_is_scaled_by_what_it_holds(uid, top, stated):
    table = curve(4096, top)
    film = read_with("VOILUTSequence", make_table([4096, 0, stated], to_words(table, uid)), uid=uid)
    assert_film(film, look_up(FILM, table) / top)
    assert ("as its entries are" in film.facts["window"]) == (2**stated - 1 != top)


@pytest.mark.parametrize("uid", [IMPLICIT, EXPLICIT, BIG])
@pytest.mark.parametrize("entries", [4096, 4095])
@pytest.mark.parametrize("form", ["packed", "words", "numbers", "packed numbers", "doubled"])
def test_entries_of_8_bits_in_every_form(uid, entries, form):
    table = curve(entries, 255)
    item = {
        "packed": lambda: make_table([entries, 0, 8], pack_bytes(table, uid)),
        "words": lambda: make_table([entries, 0, 8], to_words(table, uid)),
        "numbers": lambda: make_table([entries, 0, 8], table.tolist()),
        "packed numbers": lambda: make_table([entries, 0, 8], np.frombuffer(pack_bytes(table), "<u2").tolist()),
        "doubled": lambda: make_table([entries, 0, 8], to_words(table * 257, uid)),
    }[form]()
    assert_film(read_with("VOILUTSequence", item, uid=uid), look_up(FILM, table) / 255)
    if form != "doubled":  # a modality table's entries are values, not brightness
        modality = read_with("ModalityLUTSequence", item, uid=uid, WindowCenter=128, WindowWidth=256)
        assert_film(modality, look_up(FILM, table) / 255)


def test_entries_of_8_bits_as_plain_bytes_are_not_swapped():
    table = curve(4096, 255)
    item = make_table([4096, 0, 8], bytes(table.tolist()))
    item["LUTData"].VR = "OB"
    assert_film(read_with("VOILUTSequence", item, uid=BIG), look_up(FILM, table) / 255)


@pytest.mark.parametrize("uid", [IMPLICIT, EXPLICIT, BIG])
@pytest.mark.parametrize("signed", [False, True])
def test_a_first_value_below_zero_whatever_its_representation(uid, signed):
    table = curve(4096, 65535)
    after_rescale = make_table([4096, -1024, 16], to_words(table, uid), signed)
    film = read_with("VOILUTSequence", after_rescale, uid=uid, RescaleSlope=1, RescaleIntercept=-1024)
    assert_film(film, look_up(FILM, table) / 65535)
    stored = make_table([4096, -2000, 16], to_words(table, uid), signed)
    assert_film(read_with("VOILUTSequence", stored, SIGNED, uid), look_up(SIGNED, table, -2000) / 65535)
    modality = make_table([4096, -2000, 12], to_words(curve(4096, 4095), uid), signed)
    windowed = np.clip((look_up(SIGNED, curve(4096, 4095), -2000) - 1999.5) / 3599 + 0.5, 0, 1)
    assert_film(read_with("ModalityLUTSequence", modality, SIGNED, uid, **WINDOW), windowed)


@pytest.mark.parametrize("uid", [IMPLICIT, EXPLICIT, BIG])
def test_a_first_value_beyond_32767(uid):
    film = (FILM * 4 + 40000).astype(np.uint16)
    table = curve(16384, 65535)
    item = make_table([16384, 40000 - 65536, 16], to_words(table, uid), signed=True)
    assert_film(read_with("VOILUTSequence", item, film, uid), look_up(film, table, 40000) / 65535)


@pytest.mark.parametrize("uid", [IMPLICIT, EXPLICIT, BIG])
def test_65536_entries_are_written_as_none(uid):
    table = curve(65536, 65535)
    film = (FILM * 16).astype(np.uint16)
    item = make_table([0, 0, 16], to_words(table, uid))
    assert_film(read_with("VOILUTSequence", item, film, uid), look_up(film, table) / 65535)
    low = (FILM.astype(int) * 16 - 32768).astype(np.int16)
    item = make_table([0, -32768, 16], to_words(table, uid), signed=True)
    assert_film(read_with("VOILUTSequence", item, low, uid), look_up(low, table, -32768) / 65535)


@pytest.mark.parametrize("depth", [10, 12, 14])
def test_a_modality_table_of_any_depth_comes_before_the_window(depth):
    table = curve(4096, 2**depth - 1)
    item = make_table([4096, 0, depth], to_words(table))
    film = read_with("ModalityLUTSequence", item, WindowCenter=2 ** (depth - 1), WindowWidth=2**depth)
    assert_film(film, look_up(FILM, table) / (2**depth - 1))


@pytest.mark.parametrize("data", [b"", b"\0\0", to_words(curve(100, 4095)), to_words(curve(3000, 4095))])
def test_a_broken_table_leaves_the_window_beside_it(data):
    item = make_table([4096, 0, 16], data)
    film = read_with("VOILUTSequence", item, **WINDOW)
    assert_film(film, np.clip((FILM - 1999.5) / 3599 + 0.5, 0, 1))
    assert film.facts["window"].startswith("window 1 of 1") and "table is broken" in film.facts["window"]
    alone = read_with("VOILUTSequence", item)
    assert_film(alone, FILM / FILM.max())
    assert "table is broken" in alone.facts["window"]
    with pytest.raises(RadiographError, match="modality table is broken"):
        read_with("ModalityLUTSequence", item, **WINDOW)


def test_values_between_two_entries_take_the_nearer():
    table = curve(2048, 65535)
    item = make_table([2048, 0, 16], to_words(table))
    film = read_with("VOILUTSequence", item, RescaleSlope=0.3, RescaleIntercept=0)
    assert_film(film, table[np.rint(FILM * 0.3).astype(int)] / 65535)


def test_the_second_table_where_the_first_is_broken():
    dataset = make_dataset(FILM)
    table = curve(4096, 65535)
    dataset.VOILUTSequence = Sequence([Dataset(), make_table([4096, 0, 16], to_words(table))])
    film = read_radiograph(encode_dataset(dataset))
    assert_film(film, look_up(FILM, table) / 65535)
    assert "table 2 of 2" in film.facts["window"]


def make_palette(film: np.ndarray, uid: str, descriptor: list[int], data: bytes, segmented: bool = False) -> bytes:
    dataset = make_dataset(film, uid, PhotometricInterpretation="PALETTE COLOR")
    for colour in ("Red", "Green", "Blue"):
        dataset.add_new(f"{colour}PaletteColorLookupTableDescriptor", "US", [number & 0xFFFF for number in descriptor])
        dataset.add_new(f"{'Segmented' * segmented}{colour}PaletteColorLookupTableData", "OW", data)
    return encode_dataset(dataset)


@pytest.mark.parametrize("uid", [IMPLICIT, EXPLICIT, BIG])
@pytest.mark.parametrize("form, stated", [("packed", 8), ("words", 8), ("words", 16), ("doubled", 8), ("doubled", 16)])
def test_palettes_of_8_bits_in_every_form(uid, form, stated):
    table = curve(200, 255)[::-1]
    data = {"packed": pack_bytes(table, uid), "words": to_words(table, uid), "doubled": to_words(table * 257, uid)}[
        form
    ]
    index = (FILM >> 4).astype(np.uint8)
    film = read_radiograph(make_palette(index, uid, [200, 30, stated], data))
    assert_film(film, look_up(index, table, 30) / 255)


@pytest.mark.parametrize("uid", [IMPLICIT, EXPLICIT, BIG])
def test_palettes_of_16_bits_with_more_entries_than_a_byte_counts(uid):
    table = curve(3000, 65535)
    film = read_radiograph(make_palette(FILM, uid, [3000, 500, 16], to_words(table, uid)))
    assert_film(film, look_up(FILM, table, 500) / 65535)
    film = read_radiograph(make_palette(SIGNED, uid, [3000, -1500, 16], to_words(table, uid)))
    assert_film(film, look_up(SIGNED, table, -1500) / 65535)


@pytest.mark.parametrize(("held", "stated", "used"), [(12, 16, 12), (10, 14, 10), (12, 12, 12), (11, 12, 12)])
def test_a_palette_that_would_be_nearly_black_is_scaled_by_what_it_holds(held, stated, used):
    table = curve(3000, 2**held - 1)
    film = read_radiograph(make_palette(FILM, EXPLICIT, [3000, 500, stated], to_words(table, EXPLICIT)))
    assert_film(film, look_up(FILM, table, 500) / (2**used - 1))
    assert (f"{used} bits, as its entries are, not {stated}" in film.facts.get("levels", "")) == (used != stated)


@pytest.mark.parametrize("uid", [EXPLICIT, BIG])
def test_segmented_palettes(uid):
    """A discrete, a linear and an indirect segment (PS3.3 C.7.9.2), worked by hand."""
    index = np.arange(12, dtype=np.uint8).reshape(3, 4)
    # 10, 20, 30; in four steps to 70; the linear segment again, which stays there; and 70 once more
    expected = np.array([10, 20, 30, 40, 50, 60, 70, 70, 70, 70, 70, 70])
    eight = [0, 3, 10, 20, 30, 1, 4, 70, 2, 1, 5, 0, 0, 0, 1, 1, 70]
    for data in (pack_bytes(np.array(eight), uid), to_words(np.array(eight), uid)):
        film = read_radiograph(make_palette(index, uid, [12, 0, 8], data, segmented=True))
        assert_film(film, expected.reshape(3, 4) / 255)
    wide = [0, 3, 2570, 5140, 7710, 1, 4, 17990, 2, 1, 10, 0, 1, 1, 17990]  # the offset counts bytes
    film = read_radiograph(make_palette(index, uid, [12, 0, 16], to_words(np.array(wide), uid), segmented=True))
    assert_film(film, expected.reshape(3, 4) / 255)


@pytest.mark.parametrize("data", [b"", b"\x05\0\x01\0", b"\0\0\xff\0"])
def test_a_palette_that_is_broken_is_refused(data):
    index = np.arange(12, dtype=np.uint8).reshape(3, 4)
    for segmented in (False, True):
        with pytest.raises(RadiographError, match="palette is missing or broken"):
            read_radiograph(make_palette(index, EXPLICIT, [12, 0, 8], data, segmented))


def test_a_table_without_its_elements_is_broken():
    with pytest.raises(BrokenTable):
        read_lookup_table(Dataset(), 0, 10)
