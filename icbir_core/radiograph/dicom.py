"""DICOM films: parsed, checked before a pixel is decoded, decoded, and brought to levels; never flipped or turned."""

from __future__ import annotations

import io
import re
import zlib
from typing import Any

import numpy as np
import pydicom
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.filereader import read_dataset
from pydicom.pixels.decoders.base import get_decoder
from pydicom.uid import (
    UID,
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
)

from icbir_core.errors import MultiFrameError, RadiographError, RadiographTooLarge, UndecodableTransferSyntax
from icbir_core.plurals import count_of
from icbir_core.radiograph.codestream import JPEG, JPEG_LOSSLESS, OTHER, DeclaredFrame, has_whole_headers
from icbir_core.radiograph.colour import read_palette, read_rgb
from icbir_core.radiograph.dicom_header import describe_header, get_numbers, get_text, get_texts
from icbir_core.radiograph.frames import CUT_SHORT, DAMAGED, EncodedFrame, decode_frame, find_frame, holds_items
from icbir_core.radiograph.functional_groups import merge_functional_groups
from icbir_core.radiograph.grey_pipeline import apply_grey_pipeline
from icbir_core.radiograph.levels import hash_stored
from icbir_core.radiograph.pixel_format import PALETTE, PixelFormat, read_pixel_format
from icbir_core.radiograph.raster import check_pixel_count, check_scans
from icbir_core.settings import ReadLimits

_PIXEL_ITEMS = re.compile(rb"\xe0\x7f\x10\x00O[BW]\x00\x00\xff{4}(?=\xfe\xff\x00\xe0)")
_SEQUENCE_END = b"\xfe\xff\xdd\xe0\0\0\0\0"
# A whole DICOM has at least one of these.
_EXPECTED = ("PixelData", "SOPClassUID", "Rows", "DirectoryRecordSequence")
# What decides whether a picture is a film for this catalogue: not to be guessed at where it is damaged.
_DECISIVE = ("Modality", "ViewPosition", "ViewCodeSequence", "PixelData")


def read_dicom(dataset: Dataset, limits: ReadLimits) -> tuple[np.ndarray, int, dict[str, str], dict[str, Any]]:
    """uint16 levels (H, W), stored bits, facts, and the header's fields of a `Radiograph`, of a data set as
    `parse_dicom` gives it."""
    stored, pixel_format, frame = read_stored(dataset, limits)
    uid = dataset.file_meta.TransferSyntaxUID
    fields, facts = describe_header(dataset)
    facts["encoding"] = f"DICOM, {uid.name} ({uid})"
    if frame.count > 1:
        facts["frames"] = f"the file holds {frame.count} pictures; the first is shown"
    bits = pixel_format.stored if frame.declared is None else min(pixel_format.stored, frame.declared.bits)
    if pixel_format.samples > 1:
        levels = read_rgb(stored, bits, facts)
    elif pixel_format.photometric == PALETTE:
        levels = read_palette(stored, dataset, facts)
    else:
        fields["stored_sha256"] = hash_stored(stored)
        levels = apply_grey_pipeline(stored, dataset, pixel_format, facts)
    return levels, bits, facts, fields


def read_stored(dataset: Dataset, limits: ReadLimits) -> tuple[np.ndarray, PixelFormat, EncodedFrame]:
    """Stored values (H, W) or RGB (H, W, 3) of the first frame, before any window or table; how the header says that
    they are stored, and the frame that held them."""
    uid = _find_transfer_syntax(dataset)
    merge_functional_groups(dataset)
    pixel_format, frame = _check_header(dataset, uid, limits)
    return decode_frame(frame, pixel_format), pixel_format, frame


def parse_dicom(data: bytes, limits: ReadLimits) -> Dataset:
    """The data set of a DICOM file, nothing of it decoded yet. Raises `RadiographError` where it is none or damaged."""
    try:
        _check_deflated_size(data, limits)
        dataset = _read_whole(data)
        known = any(keyword in dataset for keyword in _EXPECTED)
    except RadiographTooLarge:
        raise
    except Exception as error:  # a parser of foreign bytes raises nearly anything
        raise RadiographError(CUT_SHORT) from error
    if not known and not any(keyword in dataset for keyword in ("FloatPixelData", "MediaStorageSOPClassUID")):
        if data[128:132] == b"DICM":
            raise RadiographError(CUT_SHORT)
        raise RadiographError("This is no PNG, JPEG or DICOM film; export it as one of these.")
    return dataset


def _read_whole(data: bytes) -> Dataset:
    """pydicom's data set; where it finds no end of the compressed pixel data, once more with the end written in."""
    try:
        dataset = pydicom.dcmread(io.BytesIO(data), force=True)
    except Exception:  # as above
        closed = _close_pixel_items(data)
        if closed is None:
            raise
        return pydicom.dcmread(io.BytesIO(closed), force=True)
    closed = None if "PixelData" in dataset else _close_pixel_items(data)
    return dataset if closed is None else pydicom.dcmread(io.BytesIO(closed), force=True)


def _close_pixel_items(data: bytes) -> bytes | None:
    """The file with the delimiter that its compressed pixel data lack; None where they are whole or cut short."""
    for start in [match.end() for match in _PIXEL_ITEMS.finditer(data)][::-1]:
        position = start
        while data[position : position + 4] == b"\xfe\xff\x00\xe0" and position + 8 <= len(data):
            position += 8 + int.from_bytes(data[position + 4 : position + 8], "little")
        rest = data[position:]
        if position <= len(data) and not rest.startswith(_SEQUENCE_END):
            return data[:position] + _SEQUENCE_END + rest
    return None


def _check_deflated_size(data: bytes, limits: ReadLimits) -> None:
    """pydicom inflates a deflated data set whole; so see first that it does not grow beyond the limit."""
    if data[128:132] != b"DICM":
        return
    stream = io.BytesIO(data)
    stream.seek(132)
    meta = read_dataset(stream, False, True, stop_when=lambda tag, representation, length: tag.group != 2)
    if meta.get("TransferSyntaxUID") != DeflatedExplicitVRLittleEndian:
        return
    inflated = zlib.decompressobj(-zlib.MAX_WBITS).decompress(data[stream.tell() :], limits.max_bytes + 1)
    if len(inflated) > limits.max_bytes:
        raise RadiographTooLarge(
            f"This deflated DICOM holds more than {limits.max_bytes:,} bytes; reduce the film or raise the limit."
        )


def _find_transfer_syntax(dataset: Dataset) -> UID:
    """The named transfer syntax; for a bare data set the one that pydicom recognised while reading."""
    meta = getattr(dataset, "file_meta", None) or FileMetaDataset()
    if "TransferSyntaxUID" not in meta:
        implicit, little = dataset.original_encoding
        meta.TransferSyntaxUID = (
            ImplicitVRLittleEndian if implicit else ExplicitVRLittleEndian if little else ExplicitVRBigEndian
        )
        dataset.file_meta = meta
    named = get_texts(meta, "TransferSyntaxUID")
    if len(named) != 1:
        raise RadiographError("The DICOM does not name one transfer syntax; export the film again.")
    uid = UID(named[0])
    if not uid.is_transfer_syntax:
        raise RadiographError("The DICOM names a transfer syntax that is none; export the film again.")
    return uid


def _check_header(dataset: Dataset, uid: UID, limits: ReadLimits) -> tuple[PixelFormat, EncodedFrame]:
    """How the pixels are stored, and the first frame. Refuses all that can be refused before a pixel is decoded."""
    if "PixelData" not in dataset:
        # Only a registered name: the text of a damaged element may hold half the header.
        named = get_text(dataset, "SOPClassUID") or get_text(dataset.file_meta, "MediaStorageSOPClassUID")
        kind = UID(named[:64]).name if UID(named[:64]).type else "object of unknown kind"
        if "Rows" not in dataset and "Image Storage" in kind:
            raise RadiographError(CUT_SHORT)
        raise RadiographError(f"This DICOM holds no pixels ({kind}); choose the file that holds them.")
    for keyword in _DECISIVE:
        try:
            dataset.get(keyword)
        except Exception as error:  # pydicom raises nearly anything on a malformed element
            raise RadiographError(f"The DICOM's {keyword} is damaged; export the film again.") from error
    frames = get_numbers(dataset, "NumberOfFrames")
    if frames and frames[0] > 1:
        raise MultiFrameError(f"This multi-frame DICOM holds {frames[0]:.0f} frames; export the one you want alone.")
    if not dataset.PixelData:
        raise RadiographError("The DICOM holds no pixels: its pixel data are empty; export the film again.")
    compressed = holds_items(dataset, uid)
    pixel_format = read_pixel_format(dataset, None if compressed else len(dataset.PixelData))
    check_pixel_count(pixel_format.rows, pixel_format.columns, limits)
    try:
        frame = find_frame(dataset, uid, pixel_format)
    except RadiographError:
        if uid.is_encapsulated:
            _check_decoder(uid)  # first say whether any decoder reads this kind of film
        raise
    if frame.declared is not None:
        _check_codestream(frame.data, frame.declared, pixel_format, limits)
        _check_decoder(frame.decoder)
    return pixel_format, frame


def _check_codestream(data: bytes, declared: DeclaredFrame, pixel_format: PixelFormat, limits: ReadLimits) -> None:
    """The compressed picture must be the one that the header describes: native decoders trust the header."""
    check_pixel_count(declared.rows, declared.columns, limits)
    check_scans(data, limits)
    promised = (pixel_format.rows, pixel_format.columns, pixel_format.samples)
    lossless = declared.process == JPEG_LOSSLESS
    # GDCM ends the process where a header of 8 bits promises fewer bits than the picture has.
    fewest = pixel_format.stored if lossless and pixel_format.allocated == 8 else pixel_format.allocated
    if (declared.rows, declared.columns, declared.samples) != promised or declared.bits > fewest:
        raise RadiographError(
            f"The compressed picture is not the one that the header describes: it has {declared.columns} × "
            f"{declared.rows} pixels, {count_of(declared.samples, 'sample')} and {count_of(declared.bits, 'bit')}; "
            "export the film again."
        )
    if declared.process == OTHER or (declared.process == JPEG and min(declared.bits, pixel_format.stored) > 12):
        raise RadiographError("The film is a JPEG of a rare kind that cannot be read; export it uncompressed.")
    # GDCM, which reads these two, ends the process on some broken headers too.
    if (lossless or declared.bits > 8 and declared.process == JPEG) and not has_whole_headers(data):
        raise RadiographError(DAMAGED)


def _check_decoder(uid: UID) -> None:
    try:
        if get_decoder(uid).is_available:
            return
        advice = "pylibjpeg and pylibjpeg-openjpeg" if uid.name.startswith("High-Throughput") else "python-gdcm"
        advice = f"install {advice}."
    except NotImplementedError:
        advice = "export the film uncompressed or as lossless JPEG."
    raise UndecodableTransferSyntax(str(uid), uid.name, advice)
