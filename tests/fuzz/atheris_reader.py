"""The reader under Atheris, which looks for inputs that reach new lines of the parsers.

    python -m tests.fuzz.atheris_reader -max_total_time=60 FOLDER [more folders of inputs]

Decoding runs in this process, so that its lines are seen; a compressed DICOM or a PNG, whose decoders can end it, goes
to the decoding process as everywhere else. Ends with a traceback if anything but a film or a `RadiographError` comes
out.
"""

from __future__ import annotations

import struct
import sys
import warnings
import zlib
from pathlib import Path
from random import Random

import atheris

with atheris.instrument_imports(include=["icbir_core", "pydicom", "PIL"]):
    from icbir_core.errors import RadiographError
    from icbir_core.radiograph import read_radiograph
    from icbir_core.radiograph.decoding import decode_film
    from icbir_core.settings import ReadLimits

from tests.fuzz.mutations import change_bytes, change_dicom, change_jpeg, change_png
from tests.fuzz.seeds import list_seeds

# Small, because libFuzzer's own limit of memory counts here.
LIMITS = ReadLimits(max_pixels=1_000_000)
# Native decoders that can end the process (of compressed DICOM, OpenCV's of animated PNG) must not run in this one.
_BY_DECODERS = (b"1.2.840.10008.1.2.4", b"1.2.840.10008.1.2.5", b"\x89PNG")


def test_one_input(data: bytes) -> None:
    """One film, read as everywhere else."""
    try:
        if any(name in data for name in _BY_DECODERS):
            read_radiograph(data, LIMITS)
        else:
            decode_film(data, LIMITS)
    except RadiographError:
        pass


def change_one(data: bytes, size: int, seed: int) -> bytes:
    """Damage that knows the format, or libFuzzer's own."""
    random = Random(seed)
    if random.random() < 0.3:
        return atheris.Mutate(data, size)
    start = data[:3]
    change = change_png if start == b"\x89PN" else change_jpeg if start == b"\xff\xd8\xff" else change_dicom
    try:
        return change(random, data)[:size]
    except (struct.error, zlib.error, IndexError, ValueError):
        return change_bytes(random, data)[:size]


def main() -> None:
    folder = Path(next(one for one in sys.argv[1:] if not one.startswith("-")))
    folder.mkdir(parents=True, exist_ok=True)
    for number, (kind, data) in enumerate(list_seeds()):
        (folder / f"seed-{number}-{kind}").write_bytes(data)
    warnings.simplefilter("ignore")
    atheris.Setup([*sys.argv, "-max_len=8192"], test_one_input, custom_mutator=change_one)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
