"""One door for every film: bytes or a path in, a `Radiograph` out, whatever the file is called."""

from __future__ import annotations

from pathlib import Path

from icbir_core.errors import RadiographError, RadiographTooLarge
from icbir_core.files import PathLike, sha256_of_bytes
from icbir_core.radiograph.decoding_process import get_pool
from icbir_core.radiograph.levels import hash_levels, levels_to_pixels
from icbir_core.settings import ReadLimits
from icbir_core.types import FilmHeader, Radiograph

DEFAULT_LIMITS = ReadLimits()


def read_radiograph(source: bytes | PathLike, limits: ReadLimits = DEFAULT_LIMITS) -> Radiograph:
    """Read a PNG, JPEG or DICOM film, found by its content and never by its name.

    source : the file's bytes, or a path. limits : checked before anything is decoded.
    Returns a `Radiograph` with pixels float32 (H, W) in [0, 1] at full resolution, each a multiple of 1 / 65535.
    Raises `RadiographError` (not a film, damaged, not found) or one of its kinds: `RadiographTooLarge`,
    `MultiFrameError`, `UndecodableTransferSyntax`; and nothing else, whatever the bytes are.
    """
    return read_film(source, limits)[0]


def read_film(source: bytes | PathLike, limits: ReadLimits = DEFAULT_LIMITS) -> tuple[Radiograph, FilmHeader | None]:
    """As `read_radiograph`, and what a DICOM header says of the patient and the film; None where there is none. It
    names a person: its numbers are only to be hashed.
    """
    data = _read_bytes(source, limits)
    digests: list[str] = []
    # Hashed while the child decodes.
    film = get_pool().decode(data, limits, lambda: digests.append(sha256_of_bytes(data)))
    try:
        radiograph = Radiograph(
            pixels=levels_to_pixels(film.levels),
            sha256=digests[-1],
            pixel_sha256=hash_levels(film.levels),
            source_format=film.source_format,
            stored_bits=film.stored_bits,
            facts=film.facts,
            **film.fields,
        )
    except MemoryError:
        raise RadiographTooLarge("There is not enough memory for this film now; try again later.") from None
    return radiograph, film.header


def _read_bytes(source: bytes | PathLike, limits: ReadLimits) -> bytes:
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
