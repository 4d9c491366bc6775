"""A film's bytes as grey levels, in the process that calls it. Only the decoding process does (see ADR 0012): on
hostile bytes the native decoders below can end a process, hang or swell.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from icbir_core.errors import RadiographError, RadiographTooLarge, UndecodableTransferSyntax
from icbir_core.radiograph.raster import read_jpeg, read_png
from icbir_core.radiograph.signatures import JPEG_SIGNATURE, PNG_SIGNATURE, looks_like_dicom
from icbir_core.settings import ReadLimits
from icbir_core.types import FilmHeader

_LONGEST_TEXT = 290


@dataclass(frozen=True, eq=False)
class DecodedFilm:
    """levels : uint16 (H, W), 0 … 65535. fields : of a `Radiograph`, from the header. header : what it says of the
    patient and the film, None where there is none."""

    levels: np.ndarray
    source_format: str
    stored_bits: int
    facts: Mapping[str, str] = field(default_factory=dict)
    fields: Mapping[str, Any] = field(default_factory=dict)
    header: FilmHeader | None = None


@dataclass(frozen=True, eq=False)
class StoredPicture:
    """values : what a DICOM stores of its picture before any window or table, int8 … uint16, (H, W), or (H, W, 3) in
    RGB. bits : that the header says hold a value. photometric : what the values mean, "MONOCHROME1", "MONOCHROME2",
    "PALETTE COLOR" or "RGB".
    """

    values: np.ndarray
    bits: int
    photometric: str


def decode_film(data: bytes, limits: ReadLimits) -> DecodedFilm:
    """The film in `data`, a PNG, JPEG or DICOM found by its content. Raises `RadiographError` or one of its kinds, in
    one line, and nothing else, whatever the parsers raise."""
    with _naming_errors():
        return _check(decode_unchecked(data, limits), limits)


def decode_stored(data: bytes, limits: ReadLimits) -> StoredPicture:
    """The stored values of a DICOM film. Raises as `decode_film`."""
    with _naming_errors():
        if not looks_like_dicom(data):
            raise RadiographError("This is no DICOM film.")
        from icbir_core.radiograph.dicom import parse_dicom, read_stored  # as below

        values, pixel_format, _ = read_stored(parse_dicom(data, limits), limits)
        photometric = pixel_format.photometric if pixel_format.samples == 1 else "RGB"
        return StoredPicture(np.ascontiguousarray(values), pixel_format.stored, photometric)


@contextmanager
def _naming_errors() -> Iterator[None]:
    try:
        yield
    except UndecodableTransferSyntax as error:
        if not re.fullmatch(r"[0-9.]{1,64}", error.uid):
            raise RadiographError("The DICOM file names no transfer syntax; export the film again.") from None
        raise
    except RadiographError as error:
        _shorten(error)
        raise
    except MemoryError:
        raise RadiographTooLarge("This film takes more memory than a film may; export it with fewer pixels.") from None
    except Exception as error:
        raise RadiographError(f"The film is damaged ({type(error).__name__}); export it again.") from error


def decode_unchecked(data: bytes, limits: ReadLimits) -> DecodedFilm:
    """As `decode_film`, but whatever a parser raises comes through, and the size of the film is not looked at."""
    if data.startswith(PNG_SIGNATURE):
        levels, bits, facts = read_png(data, limits)
        return DecodedFilm(levels, "PNG", bits, facts)
    if data.startswith(JPEG_SIGNATURE):
        levels, bits, facts = read_jpeg(data, limits)
        return DecodedFilm(levels, "JPEG", bits, facts)
    if looks_like_dicom(data):
        # These bring all decoders: only when a film needs them.
        from icbir_core.radiograph.dicom import parse_dicom, read_dicom
        from icbir_core.radiograph.identity import describe_film

        dataset = parse_dicom(data, limits)
        levels, bits, facts, fields = read_dicom(dataset, limits)
        return DecodedFilm(levels, "DICOM", bits, facts, fields, describe_film(dataset))
    raise RadiographError("This is no PNG, JPEG or DICOM film; export it as one of these.")


def _check(film: DecodedFilm, limits: ReadLimits) -> DecodedFilm:
    """The film as promised: one grey level a pixel, no more pixels than allowed."""
    shape = film.levels.shape
    if len(shape) != 2 or min(shape) < 1:
        raise RadiographError(f"The file holds no single grey film, but pixels of the shape {shape}; export it again.")
    if shape[0] * shape[1] > limits.max_pixels:
        raise RadiographTooLarge(f"The film has more than {limits.max_pixels:,} pixels; reduce it.")
    if film.levels.dtype != np.uint16:
        raise RadiographError("The film's grey levels are not of 16 bits; export the film again.")
    return film


def _shorten(error: RadiographError) -> None:
    """One line that can be printed: parts of the message may be the file's own."""
    text = "".join(sign if sign.isprintable() else " " for sign in str(error)).strip()
    error.args = (text if len(text) <= _LONGEST_TEXT else text[: _LONGEST_TEXT - 1] + "…",)
