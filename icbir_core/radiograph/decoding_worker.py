"""The program of the decoding process: films in by standard input, grey levels out by standard output, until it ends.

    python -m icbir_core.radiograph.decoding_worker

Messages in: {"read": limits, "processor_seconds", "memory", "stored"} with the file's bytes. Messages out: {"film": …}
with the levels, where "stored" is true {"stored": …} with the stored values, or {"error": …}; the first one is
{"ready"}.
"""

from __future__ import annotations

import json
import os
import sys
from dataclasses import asdict
from typing import Any, BinaryIO

import numpy as np

from icbir_core.errors import RadiographError
from icbir_core.radiograph.decoding import DecodedFilm, decode_film, decode_stored
from icbir_core.radiograph.decoding_messages import LENGTHS, OUT_OF_MEMORY, receive_exactly, send_message
from icbir_core.settings import ReadLimits


def main() -> None:
    """Serve films until the other end closes, which is also what happens when it dies."""
    requests, answers = _take_channels()
    _be_modest()
    load_decoders()
    send_message(answers, {"ready": os.getpid()})
    while True:
        try:
            head_size, size = LENGTHS.unpack(receive_exactly(requests, LENGTHS.size))
            head = json.loads(receive_exactly(requests, head_size))
            data = receive_exactly(requests, size)
        except EOFError:
            return
        _limit_film(head["processor_seconds"], head["memory"])
        limits = ReadLimits(**head["read"])
        try:
            answer, body = _answer_stored(data, limits) if head["stored"] else _answer_film(data, limits)
        except MemoryError:
            os._exit(OUT_OF_MEMORY)
        except RadiographError as error:
            answer, body = {"error": _describe_error(error)}, memoryview(b"")
        # From here on nothing foreign is computed; without memory no answer could be written.
        _lift_memory_limit()
        send_message(answers, answer, body)
        del data, body


def _answer_film(data: bytes, limits: ReadLimits) -> tuple[dict[str, Any], memoryview]:
    film = decode_film(data, limits)
    return {"film": describe_film(film)}, np.ascontiguousarray(film.levels).data.cast("B")


def _answer_stored(data: bytes, limits: ReadLimits) -> tuple[dict[str, Any], memoryview]:
    picture = decode_stored(data, limits)
    values = picture.values.astype(picture.values.dtype.newbyteorder("<"), copy=False)
    described = {"shape": list(values.shape), "kind": values.dtype.str, "bits": int(picture.bits)}
    return {"stored": {**described, "photometric": picture.photometric}}, values.data.cast("B")


def _take_channels() -> tuple[BinaryIO, BinaryIO]:
    """The two streams, with standard output turned away: native decoders print there."""
    requests, answers = os.fdopen(os.dup(0), "rb"), os.fdopen(os.dup(1), "wb")
    nowhere = os.open(os.devnull, os.O_RDWR)
    os.dup2(nowhere, 0)
    os.dup2(nowhere, 1)
    sys.stdout = open(os.devnull, "w")  # noqa: SIM115
    return requests, answers


def _be_modest() -> None:
    """No memory dumped to disk, no file written; interrupts of the terminal are for the process that asks."""
    import signal

    signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        import resource
    except ImportError:  # not on Windows
        return
    for name in ("RLIMIT_CORE", "RLIMIT_FSIZE"):
        resource.setrlimit(getattr(resource, name), (0, 0))


def load_decoders() -> None:
    """Everything that a film may need, before its limits begin."""
    import warnings

    import cv2

    from icbir_core.radiograph import dicom  # noqa: F401

    cv2.setNumThreads(1)
    warnings.simplefilter("ignore")
    for name in ("gdcm", "openjpeg"):
        try:
            __import__(name)
        except ImportError:  # pydicom says which decoder is missing, where a film needs it
            continue


def _limit_film(processor_seconds: int, memory: int) -> None:
    """Grant so many more seconds of computing and bytes of memory; beyond them the process ends, or raises."""
    try:
        import resource
    except ImportError:
        return
    used = resource.getrusage(resource.RUSAGE_SELF)
    _set_soft_limit(resource.RLIMIT_CPU, int(used.ru_utime + used.ru_stime) + 1 + processor_seconds)
    if (size := _get_address_space()) is not None:
        _set_soft_limit(resource.RLIMIT_AS, size + memory)


def _lift_memory_limit() -> None:
    try:
        import resource
    except ImportError:
        return
    _set_soft_limit(resource.RLIMIT_AS, resource.RLIM_INFINITY)


def _set_soft_limit(kind: int, value: int) -> None:
    import resource

    hard = resource.getrlimit(kind)[1]
    resource.setrlimit(kind, (hard if value == resource.RLIM_INFINITY else value, hard))


def _get_address_space() -> int | None:
    """Bytes of the process's address space, or None where the system does not tell."""
    try:
        with open("/proc/self/statm", "rb") as file:
            return int(file.read().split()[0]) * os.sysconf("SC_PAGE_SIZE")
    except (OSError, ValueError):
        return None


def describe_film(film: DecodedFilm) -> dict[str, Any]:
    """What the parent is told of a film beside its levels."""
    return {
        "shape": list(film.levels.shape),
        "source_format": film.source_format,
        "stored_bits": int(film.stored_bits),
        "facts": {name: _make_sendable(text) for name, text in film.facts.items()},
        "fields": dict(film.fields),
        "header": film.header and asdict(film.header),
    }


def _make_sendable(text: str) -> str:
    """Without half characters, which no page and no file can hold."""
    return str(text).encode("utf-8", "replace").decode()


def _describe_error(error: RadiographError) -> dict[str, Any]:
    plain = {name: value for name, value in vars(error).items() if isinstance(value, str)}
    return {"kind": type(error).__name__, "text": _make_sendable(str(error)), "values": plain}


if __name__ == "__main__":
    main()
