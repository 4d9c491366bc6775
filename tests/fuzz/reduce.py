"""The smallest input found that comes to the same end as a given one: pieces are cut out as long as it does.

    python -m tests.fuzz.reduce INPUT OUTPUT

What counts as its end: the exception that the decoders raised (its type and the line of this project's code), or the
signal that ended the decoding process.
"""

from __future__ import annotations

import sys
import traceback
from collections.abc import Callable
from pathlib import Path

from icbir_core.errors import RadiographError
from icbir_core.radiograph import decoding
from icbir_core.radiograph.decoding_process import get_pool
from icbir_core.settings import ReadLimits


def find_end(data: bytes) -> str:
    """What becomes of an input, in words that stay equal while it is reduced; "" for a film."""
    try:
        get_pool().decode(data, ReadLimits())
    except RadiographError as error:
        if "its decoder stops" in str(error):
            return "decoder ended"
    try:
        decoding.decode_unchecked(data, ReadLimits())
    except Exception as error:
        own = [frame for frame in traceback.extract_tb(error.__traceback__) if "icbir_core" in frame.filename]
        return f"{type(error).__name__} at {Path(own[-1].filename).name}:{own[-1].lineno}"
    return ""


def reduce_input(data: bytes, judge: Callable[[bytes], str]) -> bytes:
    """`data` without what can be cut out: halves first, then ever smaller pieces."""
    wanted, size = judge(data), len(data) // 2
    while size:
        place = 0
        while place < len(data):
            shorter = data[:place] + data[place + size :]
            if shorter and judge(shorter) == wanted:
                data = shorter
            else:
                place += size
        size //= 2
    return data


if __name__ == "__main__":
    whole = Path(sys.argv[1]).read_bytes()
    small = reduce_input(whole, find_end)
    Path(sys.argv[2]).write_bytes(small)
    print(f"{len(whole)} bytes became {len(small)}: {find_end(small)}")
