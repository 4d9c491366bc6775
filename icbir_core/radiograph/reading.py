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

    Parameters
    ----------
    source : bytes or path
        The file's bytes, or where it is.
    limits : ReadLimits
        The most that a film may take, and the least; checked before anything is decoded.

    Returns
    -------
    Radiograph
        `pixels` float32 (H, W) in [0, 1] at full resolution, each a multiple of 1 / 65535, air dark and bone bright;
        `facts` say in words what was applied, and where the file is not what its header says.

    Raises
    ------
    RadiographError
        The file is no film, is damaged or cannot be read. Nothing else is raised, whatever the bytes are.
    RadiographTooLarge, MultiFrameError, UndecodableTransferSyntax
        The kinds of it that a caller may want to tell apart.

    Notes
    -----
    A DICOM goes through its modality table or rescale, its value-of-interest table or window and its presentation in
    the order of PS3.4 N.2; without a window from its smallest to its largest value. Where headers are known to be
    wrong, what the file holds decides (docs/adr/0010-what-the-file-holds-decides.md). A film is never flipped; a PNG or
    JPEG is turned as its EXIF orientation asks.
    """
    return read_film(source, limits)[0]


def read_film(source: bytes | PathLike, limits: ReadLimits = DEFAULT_LIMITS) -> tuple[Radiograph, FilmHeader | None]:
    """As `read_radiograph`, and what a DICOM header says of the patient and the film; None where there is none. It
    names a person: its numbers are only to be hashed."""
    data = _read_bytes(source, limits)
    digests: list[str] = []
    # Hashed while the child decodes.
    film = get_pool().decode(data, limits, lambda: digests.append(sha256_of_bytes(data)))
    pixel_sha256 = hash_levels(film.levels)
    fields = {"stored_sha256": pixel_sha256} | dict(film.fields)
    try:
        radiograph = Radiograph(
            pixels=levels_to_pixels(film.levels),
            sha256=digests[-1],
            pixel_sha256=pixel_sha256,
            source_format=film.source_format,
            stored_bits=film.stored_bits,
            facts=film.facts,
            **fields,
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
            raise RadiographError(f"The file '{path.name}' cannot be read ({reason}); check the path.") from None
        size = max(size, len(data))
    if size > limits.max_bytes:
        raise RadiographTooLarge(
            f"The file has {size:,} bytes, more than {limits.max_bytes:,}; reduce it or raise the limit."
        )
    if not data:
        raise RadiographError("The file is empty; export the film again.")
    return data
