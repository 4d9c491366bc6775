"""The decoding process with one change: bytes that begin with an order are obeyed instead of decoded."""

from __future__ import annotations

import os
import signal
import sys
import time

import numpy as np

from icbir_core.errors import UndecodableTransferSyntax
from icbir_core.radiograph import decoding_worker
from icbir_core.radiograph.decoding import DecodedFilm, decode_film

FILM = DecodedFilm(np.full((3, 5), 4321, np.uint16), "PNG", 16, {"process": str(os.getpid())})
poisoned = False


def obey(data: bytes, limits) -> DecodedFilm:
    global poisoned
    order = data[:16].decode("ascii", "replace").strip()
    if poisoned or order == "abort":
        os.abort()
    if order == "fault":
        os.kill(os.getpid(), signal.SIGSEGV)
    if order == "exit":
        os._exit(0)
    if order == "sleep":
        time.sleep(600)
    if order == "spin":
        while True:
            pass
    if order == "swell":
        kept = [np.ones(1 << 24) for _ in range(64)]
        raise AssertionError(f"8 GB were granted: {len(kept)}")
    if order == "write":
        with open(data[16:].decode(), "wb") as file:
            file.write(b"left behind")
    if order == "syntax":
        raise UndecodableTransferSyntax("1.2.3", "Some Syntax", "install it.")
    if order == "poison":
        poisoned = True
    if order == "lie":
        return DecodedFilm(FILM.levels[:, :2], "PNG", 16)
    if order == "babble":
        os.write(ANSWERS, b"\xff" * 4096)
    if order == "print":
        os.write(1, b"a native library prints")
        print("so does Python")
    return decode_film(data, limits) if data[:1] in b"\x89\xff" else FILM


if __name__ == "__main__":
    decoding_worker.decode_film = obey
    ANSWERS = os.dup(1)
    if "--lie" in sys.argv:
        describe = decoding_worker.describe_film
        decoding_worker.describe_film = lambda film: describe(film) | {"shape": [3, 5]}
    decoding_worker.main()
