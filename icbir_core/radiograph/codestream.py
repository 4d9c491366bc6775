"""What a compressed picture itself declares, read from its first bytes. A DICOM header can promise a small film around
a picture that decodes to gigabytes, and a native decoder whose buffer has the header's size does not survive that."""

from __future__ import annotations

import struct
from dataclasses import dataclass

# Start-of-frame markers of JPEG (all processes; C4, C8 and CC are something else) and of JPEG-LS (F7).
_FRAME_MARKERS = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC} | {0xF7}
_STANDALONE_MARKERS = frozenset(range(0xD0, 0xD9)) | {0x01}


@dataclass(frozen=True)
class DeclaredFrame:
    """Size of a compressed picture as its codestream declares it; bits of one sample."""

    rows: int
    columns: int
    samples: int
    bits: int


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


def _read_jpeg(data: bytes) -> DeclaredFrame | None:
    position = 2
    while position + 10 <= len(data):
        if data[position] != 0xFF:
            return None
        marker = data[position + 1]
        if marker == 0xFF:
            position += 1
        elif marker in _STANDALONE_MARKERS:
            position += 2
        elif marker in _FRAME_MARKERS:
            bits, rows, columns, samples = struct.unpack_from(">BHHB", data, position + 4)
            return DeclaredFrame(rows, columns, samples, bits)
        else:
            position += 2 + struct.unpack_from(">H", data, position + 2)[0]
    return None


def _read_jpeg2000(data: bytes, start: int) -> DeclaredFrame | None:
    if start + 43 > len(data):
        return None
    right, bottom, left, top = struct.unpack_from(">IIII", data, start + 8)
    samples, depth = struct.unpack_from(">HB", data, start + 40)
    return DeclaredFrame(bottom - top, right - left, samples, (depth & 0x7F) + 1)
