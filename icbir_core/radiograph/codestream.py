"""The size that a compressed picture itself declares, read from its first bytes: a DICOM header can promise a small
film around a picture that decodes to gigabytes."""

from __future__ import annotations

import struct

# Start-of-frame markers of JPEG (all processes but the tables C4, C8, CC) and of JPEG-LS (F7).
_FRAME_MARKERS = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC} | {0xF7}
_STANDALONE_MARKERS = frozenset(range(0xD0, 0xD9)) | {0x01}


def read_declared_shape(data: bytes) -> tuple[int, int] | None:
    """(rows, columns) declared by a JPEG, JPEG-LS or JPEG 2000 codestream (bare or in its box format), else None."""
    if data[:2] == b"\xff\xd8":
        return _read_jpeg_shape(data)
    start = data.find(b"\xff\x4f\xff\x51", 0, 4096)
    return _read_jpeg2000_shape(data, start) if start >= 0 else None


def _read_jpeg_shape(data: bytes) -> tuple[int, int] | None:
    position = 2
    while position + 9 <= len(data):
        if data[position] != 0xFF:
            return None
        marker = data[position + 1]
        if marker == 0xFF:
            position += 1
        elif marker in _STANDALONE_MARKERS:
            position += 2
        elif marker in _FRAME_MARKERS:
            return struct.unpack_from(">HH", data, position + 5)
        else:
            position += 2 + struct.unpack_from(">H", data, position + 2)[0]
    return None


def _read_jpeg2000_shape(data: bytes, start: int) -> tuple[int, int] | None:
    if start + 24 > len(data):
        return None
    right, bottom, left, top = struct.unpack_from(">IIII", data, start + 8)
    return bottom - top, right - left
