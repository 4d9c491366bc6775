"""What the decoding process and its parent say to each other: two lengths (4 and 8 bytes, big endian), a JSON head and
a body of bytes.
"""

from __future__ import annotations

import json
import struct
from typing import Any, BinaryIO

LENGTHS = struct.Struct(">IQ")
MAX_HEAD = 1 << 20
OUT_OF_MEMORY = 77
"""Exit code where even the refusal found no memory."""


def send_message(stream: BinaryIO, head: dict[str, Any], body: bytes | memoryview = b"") -> None:
    """Write one message."""
    text = json.dumps(head).encode()
    stream.write(LENGTHS.pack(len(text), len(body)) + text)
    stream.write(body)
    stream.flush()


def receive_exactly(stream: BinaryIO, size: int) -> bytes:
    """`size` bytes. Raises `EOFError` where the stream ends before."""
    parts, missing = [], size
    while missing:
        part = stream.read(missing)
        if not part:
            raise EOFError
        parts.append(part)
        missing -= len(part)
    return parts[0] if len(parts) == 1 else b"".join(parts)
