"""From stored values to levels, in the order of PS3.4 N.2: modality, value of interest, presentation."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from pydicom.dataset import Dataset

from icbir_core.errors import RadiographError
from icbir_core.radiograph.dicom_header import (
    get_items,
    get_numbers,
    get_text,
    get_texts,
    read_number,
    read_with_thousands,
)
from icbir_core.radiograph.levels import MAX_LEVEL
from icbir_core.radiograph.lookup_tables import BrokenTable, read_lookup_table
from icbir_core.radiograph.pixel_format import PixelFormat
from icbir_core.radiograph.polarity import looks_right_as_it_is

_BROKEN = "the header's value-of-interest table is broken"


def apply_grey_pipeline(
    stored: np.ndarray, dataset: Dataset, pixel_format: PixelFormat, facts: dict[str, str]
) -> np.ndarray:
    """Stored values (H, W) as display levels uint16, in the order of PS3.4 N.2; `facts` learns what was applied.

    Every step is computed once for each value between the smallest and the largest and then looked up.
    Raises `RadiographError` where the header's modality table or rescale cannot be read.
    """
    low, high = int(stored.min()), int(stored.max())
    index = stored.astype(np.int32) - low
    table = np.arange(low, high + 1)
    counted = np.bincount(index.ravel(), minlength=table.size) > 0
    padding = _find_padding(table, dataset, pixel_format)
    if padding.any() and (counted & ~padding).any():
        facts["padding"] = "pixels marked as padding shown black"
        counted &= ~padding
    else:
        padding[:] = False
    output = _apply_window(_apply_rescale(table, counted, dataset, facts), counted, dataset, facts)
    levels = np.rint(output * MAX_LEVEL).astype(np.uint16)
    if _is_inverted(levels, index, dataset, pixel_format, facts):
        levels = MAX_LEVEL - levels
    levels[padding] = 0
    return np.asarray(levels[index])


def compute_window(values: np.ndarray, centre: float, width: float, function: str = "LINEAR") -> np.ndarray:
    """Values through one window: float64 in [0, 1] (PS3.3 C.11.2.1.2 and C.11.2.1.3)."""
    if function == "SIGMOID":
        return np.asarray(1.0 / (1.0 + np.exp(np.clip(-4.0 * (values - centre) / width, -700.0, 700.0))))
    if function == "LINEAR_EXACT":
        return np.clip((values - centre) / width + 0.5, 0.0, 1.0)
    if width == 1.0:
        return np.asarray((values > centre - 0.5).astype(np.float64))
    return np.clip((values - (centre - 0.5)) / (width - 1.0) + 0.5, 0.0, 1.0)


def _find_padding(table: np.ndarray, dataset: Dataset, pixel_format: PixelFormat) -> np.ndarray:
    """Which stored values are padding. The header may write them with a sign or without, as words or as their grey."""
    ends = get_numbers(dataset, "PixelPaddingValue")[:1]
    if not ends:
        return np.zeros(table.shape, dtype=bool)
    ends += get_numbers(dataset, "PixelPaddingRangeLimit")[:1] or ends
    words = [int(end) & 0xFFFF for end in ends]
    values = [_add_sign(word, 16) if pixel_format.signed else word for word in words]
    half = 1 << (pixel_format.stored - 1)
    lowest, highest = (-half, half - 1) if pixel_format.signed else (0, 2 * half - 1)
    if pixel_format.shift and not all(lowest <= value <= highest for value in values):
        words = [word >> pixel_format.shift for word in words]
        values = [_add_sign(word, pixel_format.stored) if pixel_format.signed else word for word in words]
    elif pixel_format.signed and not all(lowest <= value <= highest for value in values):
        values = [_add_sign(word, pixel_format.stored) for word in words]
    return np.asarray((table >= min(values)) & (table <= max(values)))


def _add_sign(word: int, bits: int) -> int:
    """The number that the lower `bits` bits of a word stand for in two's complement."""
    word &= (1 << bits) - 1
    return word - (1 << bits) if word >> (bits - 1) else word


def _apply_rescale(table: np.ndarray, counted: np.ndarray, dataset: Dataset, facts: dict[str, str]) -> np.ndarray:
    """Modality table or rescale slope and intercept: float64. One that leaves a single value is ignored, and said."""
    seen = table[counted]
    holders = get_items(dataset, "ModalityLUTSequence")
    if holders:
        try:
            values = read_lookup_table(holders[0], seen.min(), seen.max()).look_up(table).astype(np.float64)
        except BrokenTable as error:
            raise RadiographError("The DICOM's modality table is broken; export the film again.") from error
    elif "RescaleSlope" in dataset and "RescaleIntercept" in dataset:
        slope, intercept = _read_factor(dataset, "RescaleSlope", 1.0), _read_factor(dataset, "RescaleIntercept", 0.0)
        values = table * slope + intercept
    else:
        return table.astype(np.float64)
    if seen.size > 1 and values[counted].min() == values[counted].max():
        facts["rescale"] = "the header's rescale leaves one value; ignored"
        return table.astype(np.float64)
    return values


def _read_factor(dataset: Dataset, keyword: str, empty: float) -> float:
    """The number of an element; `empty` where it is there without a value."""
    texts = [text for text in get_texts(dataset, keyword) if text]
    # An intercept "-1,024" is no fraction; slopes such as "1,250" are.
    read = read_with_thousands if keyword == "RescaleIntercept" else read_number
    numbers = [number for number in map(read, texts) if number is not None]
    if len(numbers) < len(texts):
        raise RadiographError(f"The DICOM's {keyword} is no number; export the film again.")
    return numbers[0] if numbers else empty


def _apply_window(values: np.ndarray, counted: np.ndarray, dataset: Dataset, facts: dict[str, str]) -> np.ndarray:
    """Rescaled values as display values in [0, 1] by the first table, else the first usable window, else min–max.

    counted : which values occur in the film outside its padding.
    """
    refused: list[str] = []
    for output, text in _list_displays(values, counted, dataset, refused):
        seen = output[counted]
        if seen.size < 2 or seen.min() < seen.max():
            facts["window"] = f"{text}; {_BROKEN}" if _BROKEN in refused else text
            return output
        refused.append(f"the header's {'window' if text.startswith('window') else 'table'} leaves nothing to see")
    low, high = values[counted].min(), values[counted].max()
    reason = "; ".join(dict.fromkeys(refused)) or "the header has no window"
    facts["window"] = f"smallest to largest value, {low:g} to {high:g} ({reason})"
    return np.clip((values - low) / (high - low), 0.0, 1.0) if high > low else np.zeros_like(values)


def _list_displays(
    values: np.ndarray, counted: np.ndarray, dataset: Dataset, refused: list[str]
) -> Iterator[tuple[np.ndarray, str]]:
    """Yields (display values in [0, 1], what they are in words): tables before windows, in the header's order.

    refused : learns what cannot be used.
    """
    holders, seen = get_items(dataset, "VOILUTSequence"), values[counted]
    for position, holder in enumerate(holders):
        try:
            table = read_lookup_table(holder, seen.min(), seen.max())
        except BrokenTable:
            refused.append(_BROKEN)
            continue
        text = f"value-of-interest table {position + 1} of {len(holders)}"
        if table.depth != table.stated:
            text += f", {table.depth} bits as its entries are, not {table.stated} as the header says"
        yield np.clip(table.look_up(values) / table.largest, 0.0, 1.0), text
    named = get_text(dataset, "VOILUTFunction").upper().replace(" ", "_")
    function = named if named in ("SIGMOID", "LINEAR_EXACT") else "LINEAR"
    centres, widths = get_texts(dataset, "WindowCenter"), get_texts(dataset, "WindowWidth")
    for position, pair in enumerate(zip(centres, widths, strict=False)):
        window = _read_window(*pair, seen)
        if window is None:
            refused.append("the header's window is no number")
            continue
        centre, width = window
        if width >= 1.0 or (width > 0.0 and function != "LINEAR"):
            shape = "" if function == "LINEAR" else f", {function.lower().replace('_', ' ')}"
            text = f"window {position + 1} of {len(centres)}: centre {centre:g}, width {width:g}{shape}"
            yield compute_window(values, centre, width, function), text
        else:
            refused.append("the header's window leaves nothing to see")


def _read_window(centre: str, width: str, seen: np.ndarray) -> tuple[float, float] | None:
    """Centre and width; None where one is no number. Of "1,800", which may be 1.8 or 1800, the reading is taken whose
    window lies more on the film's values."""
    readings = [(read(centre), read(width)) for read in (read_number, read_with_thousands)]
    windows = [(place, size) for place, size in readings if place is not None and size is not None]

    def measure_overlap(window: tuple[float, float]) -> float:
        ends = sorted((window[0] - window[1] / 2, window[0] + window[1] / 2))
        shared = min(ends[1], seen.max()) - max(ends[0], seen.min())
        return float(shared / max(ends[1] - ends[0], seen.max() - seen.min(), 1e-9))

    return max(windows, key=measure_overlap, default=None)


def _is_inverted(
    levels: np.ndarray, index: np.ndarray, dataset: Dataset, pixel_format: PixelFormat, facts: dict[str, str]
) -> bool:
    """Whether dark and bright are to be exchanged: always for MONOCHROME1; for a presentation of the shape INVERSE
    unless the film's own grey says that the header is wrong."""
    if pixel_format.photometric == "MONOCHROME1":
        facts["photometric"] = "MONOCHROME1, inverted for display"
        return True
    if get_text(dataset, "PresentationLUTShape").upper() != "INVERSE":
        return False
    if looks_right_as_it_is(levels[index]):
        facts["photometric"] = (
            "the header says INVERSE, but the film would then look inverted (bone dark, air bright): shown as stored"
        )
        return False
    facts["photometric"] = "presentation INVERSE, inverted for display"
    return True
