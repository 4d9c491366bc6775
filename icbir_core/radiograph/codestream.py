"""What a compressed picture itself declares, read from its first bytes. A DICOM header can promise a small film around
a picture that decodes to gigabytes, and a native decoder whose buffer has the header's size does not survive that."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass

# Start-of-frame markers of JPEG (all processes; C4, C8 and CC are something else) and of JPEG-LS (F7).
_FRAME_MARKERS = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC} | {0xF7}
# What a start-of-frame marker says of the coding, as far as a decoder here reads it.
JPEG, JPEG_LOSSLESS, JPEG_LS, JPEG_2000, OTHER = "JPEG", "lossless JPEG", "JPEG-LS", "JPEG 2000", "another JPEG"
_PROCESSES = {0xC0: JPEG, 0xC1: JPEG, 0xC2: JPEG, 0xC3: JPEG_LOSSLESS, 0xF7: JPEG_LS}
_HUFFMAN_TABLE, _START_OF_SCAN, _END = 0xC4, 0xDA, 0xD9
_STANDALONE_MARKERS = frozenset(range(0xD0, 0xD9)) | {0x01}


@dataclass(frozen=True)
class DeclaredFrame:
    """Size of a compressed picture as its codestream declares it. bits : of one sample. process : a name from above."""

    rows: int
    columns: int
    samples: int
    bits: int
    process: str = JPEG_2000


def read_declared_frame(data: bytes) -> DeclaredFrame | None:
    """The frame of a JPEG, JPEG-LS or JPEG 2000 codestream (bare or in its box format); None where there is none."""
    if data[:2] == b"\xff\xd8":
        return _read_jpeg(data)
    start = data.find(b"\xff\x4f\xff\x51", 0, 4096)
    return _read_jpeg2000(data, start) if start >= 0 else None


def count_scans(data: bytes) -> int:
    """How many scans a JPEG holds: its start-of-scan markers, which cannot occur within coded data. A thumbnail in a
    header may add a few."""
    return data.count(b"\xff\xda")


def has_whole_headers(data: bytes) -> bool:
    """True for a JPEG whose segments follow each other without a gap up to a scan, a Huffman table among them."""
    markers = [marker for marker, _ in _walk_segments(data)]
    return bool(markers) and markers[-1] == _START_OF_SCAN and _HUFFMAN_TABLE in markers


def _walk_segments(data: bytes) -> Iterator[tuple[int, int]]:
    """(marker, its place) of each segment of a JPEG up to the first scan; ends early where no marker follows."""
    position = 2
    while position + 4 <= len(data) and data[position] == 0xFF:
        marker = data[position + 1]
        if marker == 0xFF:
            position += 1
        elif marker in _STANDALONE_MARKERS:
            position += 2
        elif marker in (0x00, _END):
            return
        else:
            yield marker, position
            if marker == _START_OF_SCAN:
                return
            position += 2 + int(struct.unpack_from(">H", data, position + 2)[0])


def _read_jpeg(data: bytes) -> DeclaredFrame | None:
    for marker, position in _walk_segments(data):
        if marker in _FRAME_MARKERS and position + 10 <= len(data):
            bits, rows, columns, samples = struct.unpack_from(">BHHB", data, position + 4)
            return DeclaredFrame(rows, columns, samples, bits, _PROCESSES.get(marker, OTHER))
    return None


def _read_jpeg2000(data: bytes, start: int) -> DeclaredFrame | None:
    if start + 43 > len(data):
        return None
    right, bottom, left, top = struct.unpack_from(">IIII", data, start + 8)
    samples, depth = struct.unpack_from(">HB", data, start + 40)
    return DeclaredFrame(bottom - top, right - left, samples, (depth & 0x7F) + 1)
