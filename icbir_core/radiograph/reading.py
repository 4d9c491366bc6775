"""One door for every film: bytes or a path in, a `Radiograph` out, whatever the file is called."""

from __future__ import annotations

import hashlib
from pathlib import Path

from icbir_core.errors import RadiographError, RadiographTooLarge
from icbir_core.radiograph.levels import hash_levels, levels_to_pixels
from icbir_core.radiograph.raster import JPEG_SIGNATURE, PNG_SIGNATURE, read_jpeg, read_png
from icbir_core.settings import ReadLimits
from icbir_core.types import Radiograph

DEFAULT_LIMITS = ReadLimits()
# First element of a DICOM file without preamble: group 0002 or 0008, in either byte order.
_FIRST_GROUPS = (b"\x02\x00", b"\x08\x00", b"\x00\x02", b"\x00\x08")


def read_radiograph(source: bytes | str | Path, limits: ReadLimits = DEFAULT_LIMITS) -> Radiograph:
    """Read a PNG, JPEG or DICOM film, found by its content and never by its name.

    source : the file's bytes, or a path. limits : checked before anything is decoded.
    Returns a `Radiograph` with pixels float32 (H, W) in [0, 1] at full resolution, each a multiple of 1 / 65535.
    Raises `RadiographError` (not a film, damaged, not found) or one of its kinds: `RadiographTooLarge`,
    `MultiFrameError`, `UndecodableTransferSyntax`.
    """
    data = _read_bytes(source, limits)
    if data.startswith(PNG_SIGNATURE):
        source_format, (levels, bits, facts), fields = "PNG", read_png(data, limits), {}
    elif data.startswith(JPEG_SIGNATURE):
        source_format, (levels, bits, facts), fields = "JPEG", read_jpeg(data, limits), {}
    elif looks_like_dicom(data):
        from icbir_core.radiograph.dicom import read_dicom  # brings all decoders: only when a film needs them

        source_format, (levels, bits, facts, fields) = "DICOM", read_dicom(data, limits)
    else:
        raise RadiographError(
            "Expected a PNG, JPEG or DICOM film, got something else; export the film as one of these."
        )
    return Radiograph(
        pixels=levels_to_pixels(levels),
        sha256=hashlib.sha256(data).hexdigest(),
        pixel_sha256=hash_levels(levels),
        source_format=source_format,
        stored_bits=bits,
        facts=facts,
        **fields,
    )


def looks_like_dicom(data: bytes) -> bool:
    """True for the DICM mark at byte 128, or a first element of the groups with which a bare data set starts."""
    return data[128:132] == b"DICM" or (len(data) > 132 and data[:2] in _FIRST_GROUPS and data[2:4] != b"\xff\xff")


def _read_bytes(source: bytes | str | Path, limits: ReadLimits) -> bytes:
    if isinstance(source, bytes | bytearray | memoryview):
        data, size = bytes(source), len(source)
    else:
        path = Path(source)
        try:
            size = path.stat().st_size
            # One byte more than allowed is enough to see that a growing or special file is too long.
            with path.open("rb") as file:
                data = file.read(limits.max_bytes + 1) if size <= limits.max_bytes else b""
        except OSError as error:
            reason = error.strerror or type(error).__name__
            raise RadiographError(f"Expected a readable file, got '{path.name}' ({reason}); check the path.") from None
        size = max(size, len(data))
    if size > limits.max_bytes:
        raise RadiographTooLarge(
            f"Expected at most {limits.max_bytes:,} bytes, got {size:,}; reduce the file or raise the limit."
        )
    if not data:
        raise RadiographError("Expected a film, got an empty file; export the film again.")
    return data
