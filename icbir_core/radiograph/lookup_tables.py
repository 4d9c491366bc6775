"""Lookup tables of a DICOM header: modality, value of interest and palette are read by the same few lines.

A table is its descriptor (how many entries, the value that the first stands for, bits of an entry) and its data. What
files get wrong is decided by what the table holds: entries of 8 bits lie one in a word or two; the bits of an entry are
overstated; the first value is signed or not whatever its value representation says.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from pydicom.dataset import Dataset

_ALL_ENTRIES = 65536


class BrokenTable(ValueError):
    """The header's table does not hold what its descriptor promises."""


@dataclass(frozen=True, eq=False)
class LookupTable:
    """entries : uint16 (N,). first : the value that the first entry stands for. depth : bits that the entries use.

    stated : bits that the descriptor says.
    """

    entries: np.ndarray
    first: int
    depth: int
    stated: int

    @property
    def largest(self) -> int:
        """The entry that means full brightness."""
        return int(2**self.depth - 1)

    def look_up(self, values: np.ndarray) -> np.ndarray:
        """The entries of values, uint16; below the first value the first entry, beyond the last the last."""
        index = np.clip(np.rint(values) - self.first, 0, self.entries.size - 1).astype(np.intp)
        return np.asarray(self.entries[index])


def read_lookup_table(
    holder: Dataset, low: float, high: float, descriptor: str = "LUTDescriptor", data: str = "LUTData"
) -> LookupTable:
    """The table that `holder` holds in the elements `descriptor` and `data`, for input values from `low` to `high`.
    Raises `BrokenTable` where an element is missing or the data hold fewer entries than promised."""
    count, (first, stated) = count_entries(holder, descriptor), map(int, read_words(holder, descriptor)[1:3])
    if f"Segmented{data}" in holder and data not in holder:
        entries = _expand_segments(read_words(holder, f"Segmented{data}"), count, stated)
    else:
        entries = _unpack(read_words(holder, data), count)
    return LookupTable(
        entries, _choose_first(first, count, low, high), measure_depth(int(entries.max()), stated), stated
    )


def count_entries(holder: Dataset, descriptor: str) -> int:
    """How many entries a descriptor promises. Raises `BrokenTable` where it is missing or too short."""
    words = read_words(holder, descriptor)
    if words.size < 3:
        raise BrokenTable(descriptor)
    return int(words[0]) or _ALL_ENTRIES


def measure_depth(largest: int, stated: int = 16) -> int:
    """Bits of the entries of a table whose largest entry is given: 8, or 10 to 16 (PS3.3 C.11.2.1.1 and C.8.11.3.1.5);
    9 only where they are stated.

    Some writers state the bits in which an entry is stored, not those that it uses. A power of two counts as the end of
    the range below it: tables that run one step too far are common.
    """
    bits = max(8, (largest - 1).bit_length())
    return 10 if bits == 9 != stated else min(bits, 16)


def _choose_first(first: int, count: int, low: float, high: float) -> int:
    """The first value with or without sign: whichever brings more of the values low … high onto the table."""

    def count_covered(start: int) -> float:
        return min(high, start + count - 1) - max(low, start)

    return max((first, first - 65536), key=count_covered) if first >= 32768 else first


def _unpack(words: np.ndarray, count: int) -> np.ndarray:
    """Exactly `count` entries, one in a word, or two of 8 bits in a word, the lower half first."""
    if words.size >= count:
        return words[:count]
    if words.size == (count + 1) // 2:
        return words.astype("<u2").view(np.uint8)[:count].astype(np.uint16)
    raise BrokenTable(f"{words.size} words for {count} entries")


def read_words(holder: Dataset, keyword: str) -> np.ndarray:
    """An element's value as 16-bit words, uint16 (N,), whatever its value representation. Raises `BrokenTable` where it
    is missing or holds other things than numbers."""
    try:
        element = holder.get_item(keyword)
        value, little = element.value, getattr(element, "is_little_endian", holder.original_encoding[1])
    except (AttributeError, KeyError, TypeError) as error:
        raise BrokenTable(keyword) from error
    if isinstance(value, bytes):
        swapped = little is False and element.VR != "OB"
        return np.frombuffer(value[: len(value) // 2 * 2], dtype=">u2" if swapped else "<u2").astype(np.uint16)
    try:
        return np.atleast_1d(np.asarray(value, dtype=np.int64)).astype(np.uint16)
    except (OverflowError, TypeError, ValueError) as error:
        raise BrokenTable(keyword) from error


def _expand_segments(words: np.ndarray, count: int, stated: int) -> np.ndarray:
    """The `count` entries of a segmented palette (PS3.3 C.7.9.2); its 8-bit numbers lie two in a word, or one."""
    packed = words.astype("<u2").view(np.uint8)
    for numbers, wide in ((packed, False), (words, False)) if stated <= 8 else ((words, True),):
        try:
            entries = _follow_segments(numbers.tolist(), wide, count)
        except (IndexError, BrokenTable):
            continue
        if len(entries) >= count:
            return np.array(entries[:count], dtype=np.uint16)
    raise BrokenTable("segments")


def _follow_segments(numbers: list[int], wide: bool, count: int) -> list[int]:
    """Entries of segments in order. wide : numbers of 16 bits, so that an offset in bytes takes two, else four."""
    entries: list[int] = []

    def follow(position: int, segments: int, indirect: bool) -> None:
        while position + 1 < len(numbers) and segments and len(entries) < count:
            kind, length = numbers[position], numbers[position + 1]
            position, segments = position + 2, segments - 1
            if kind == 0:
                if position + length > len(numbers):
                    raise BrokenTable("segment cut short")
                entries.extend(numbers[position : position + length])
                position += length
            elif kind == 1 and entries and length:
                start, end = entries[-1], numbers[position]
                entries.extend(int(step) for step in np.rint(np.linspace(start, end, length + 1)[1:]))
                position += 1
            elif kind == 2 and entries and not indirect:
                places = numbers[position : position + (2 if wide else 4)]
                offset = sum(place << (16 if wide else 8) * i for i, place in enumerate(places))
                follow(offset // 2 if wide else offset, length, True)
                position += len(places)
            else:
                raise BrokenTable("unknown segment")

    follow(0, len(numbers), False)
    return entries
