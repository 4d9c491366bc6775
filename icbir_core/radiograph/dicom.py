"""DICOM films: decode, rescale, value-of-interest table or window, MONOCHROME1 last; never flipped or turned."""

from __future__ import annotations

import io
import re
import zlib
from typing import Any

import numpy as np
import pydicom
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.encaps import get_frame
from pydicom.filereader import read_dataset
from pydicom.pixels import apply_color_lut, apply_modality_lut, apply_voi, get_decoder, pixel_array
from pydicom.uid import (
    UID,
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    JPEG2000TransferSyntaxes,
    JPEGBaseline8Bit,
    JPEGExtended12Bit,
    RLELossless,
)

from icbir_core.errors import (
    MultiFrameError,
    RadiographError,
    RadiographTooLarge,
    UndecodableTransferSyntax,
)
from icbir_core.radiograph.codestream import read_declared_frame
from icbir_core.radiograph.dicom_header import describe_header, get_numbers, get_text
from icbir_core.radiograph.levels import MAX_LEVEL, to_levels
from icbir_core.radiograph.raster import check_pixel_count, check_scans, reduce_to_grey
from icbir_core.settings import ReadLimits

_CUT_SHORT = "Expected a whole DICOM, got one that is cut short or damaged; copy or export the film again."


def read_dicom(data: bytes, limits: ReadLimits) -> tuple[np.ndarray, int, dict[str, str], dict[str, Any]]:
    """uint16 levels (H, W), stored bits, facts, and the header's fields of a `Radiograph`."""
    dataset = _parse(data, limits)
    uid = _find_transfer_syntax(dataset)
    _check_header(dataset, uid, limits)
    try:
        stored = pixel_array(dataset, decoding_plugin=_choose_plugin(uid))
    except Exception as error:  # decoders of damaged pixel data raise nearly anything
        if "less than expected" in str(error):
            raise RadiographError(_CUT_SHORT) from error
        reason = (str(error).strip() or type(error).__name__).splitlines()[-1].strip()
        reason = re.sub(r"[^ -~]+", "?", reason)[:120]
        raise RadiographError(
            f"Expected whole pixel data in {uid.name}, got damaged ones ({reason}); export the film again."
        ) from error
    fields, facts = describe_header(dataset)
    facts["encoding"] = f"DICOM, {uid.name} ({uid})"
    bits = int(dataset.BitsStored)
    colour = stored.ndim == 3 or dataset.PhotometricInterpretation == "PALETTE COLOR"
    try:
        levels = (_read_colour if colour else apply_grey_pipeline)(stored, dataset, facts)
    except RadiographError:
        raise
    except Exception as error:  # malformed elements surface wherever they are first used
        raise RadiographError(
            f"Expected a readable grey scale, got malformed elements ({type(error).__name__}); export the film again."
        ) from error
    return levels, bits, facts, fields


def apply_grey_pipeline(stored: np.ndarray, dataset: Dataset, facts: dict[str, str]) -> np.ndarray:
    """Stored values (H, W) as display levels uint16, in the order of PS3.4 N.2; `facts` learns what was applied.

    Every step is computed once for each value between the smallest and the largest and then looked up.
    """
    low, high = int(stored.min()), int(stored.max())
    if high - low > MAX_LEVEL:
        raise RadiographError("Expected at most 16 bits of grey, got more; export the film with 16 bits or fewer.")
    index = stored.astype(np.int32) - low
    table = np.arange(low, high + 1)
    counted = np.bincount(index.ravel(), minlength=table.size) > 0
    padding = _find_padding(table, dataset)
    if padding.any() and (counted & ~padding).any():
        facts["padding"] = "pixels marked as padding shown black"
        counted &= ~padding
    else:
        padding[:] = False
    output = _apply_window(_apply_rescale(table, dataset, facts), counted, dataset, facts)
    levels = np.rint(output * MAX_LEVEL).astype(np.uint16)
    if dataset.PhotometricInterpretation == "MONOCHROME1":
        levels = MAX_LEVEL - levels
        facts["photometric"] = "MONOCHROME1, inverted for display"
    levels[padding] = 0
    return levels[index]


def compute_window(values: np.ndarray, centre: float, width: float, function: str = "LINEAR") -> np.ndarray:
    """Values through one window: float64 in [0, 1] (PS3.3 C.11.2.1.2 and C.11.2.1.3)."""
    if function == "SIGMOID":
        return 1.0 / (1.0 + np.exp(np.clip(-4.0 * (values - centre) / width, -700.0, 700.0)))
    if function == "LINEAR_EXACT":
        return np.clip((values - centre) / width + 0.5, 0.0, 1.0)
    if width == 1.0:
        return (values > centre - 0.5).astype(np.float64)
    return np.clip((values - (centre - 0.5)) / (width - 1.0) + 0.5, 0.0, 1.0)


def _parse(data: bytes, limits: ReadLimits) -> Dataset:
    try:
        _check_deflated_size(data, limits)
        dataset = pydicom.dcmread(io.BytesIO(data), force=True)
        known = "PixelData" in dataset or "SOPClassUID" in dataset or "Rows" in dataset
    except RadiographTooLarge:
        raise
    except Exception as error:  # a parser of foreign bytes raises nearly anything
        raise RadiographError(_CUT_SHORT) from error
    if not known and not any(keyword in dataset for keyword in ("FloatPixelData", "MediaStorageSOPClassUID")):
        if data[128:132] == b"DICM":
            raise RadiographError(_CUT_SHORT)
        raise RadiographError("Expected a PNG, JPEG or DICOM film, got something else; export it as one of these.")
    return dataset


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
            f"Expected at most {limits.max_bytes:,} bytes, got a deflated DICOM that holds more; reduce the film."
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
    return UID(meta.TransferSyntaxUID)


def _check_header(dataset: Dataset, uid: UID, limits: ReadLimits) -> None:
    """Everything that can be refused before a single pixel is decoded."""
    if "PixelData" not in dataset:
        # Only a registered name: the text of a damaged element may hold half the header.
        named = get_text(dataset, "SOPClassUID") or get_text(dataset.file_meta, "MediaStorageSOPClassUID")
        kind = UID(named[:64]).name if UID(named[:64]).type else "object of unknown kind"
        if "Rows" not in dataset and "Image Storage" in kind:
            raise RadiographError(_CUT_SHORT)
        raise RadiographError(
            f"Expected a DICOM film, got one without pixels ({kind}); choose the file that holds them."
        )
    frames = get_numbers(dataset, "NumberOfFrames")
    if frames and frames[0] > 1:
        raise MultiFrameError(
            f"Expected one film, got a multi-frame DICOM of {frames[0]:.0f} frames; export the frame you want alone."
        )
    for keyword in ("Rows", "Columns", "SamplesPerPixel", "BitsAllocated", "BitsStored"):
        if len(get_numbers(dataset, keyword)) != 1:
            raise RadiographError(f"Expected a DICOM with {keyword}, got none; export the film again.")
    if not get_text(dataset, "PhotometricInterpretation"):
        raise RadiographError("Expected a DICOM with PhotometricInterpretation, got none; export the film again.")
    check_pixel_count(int(dataset.Rows), int(dataset.Columns), limits)
    if int(dataset.BitsAllocated) > 16:
        raise RadiographError(
            f"Expected at most 16 bits a pixel, got {dataset.BitsAllocated}; export the film with 16 bits or fewer."
        )
    _check_decoder(uid, int(dataset.BitsStored))
    if uid.is_encapsulated and uid != RLELossless:
        _check_codestream(dataset, limits)


def _check_codestream(dataset: Dataset, limits: ReadLimits) -> None:
    """The compressed picture must be the one that the header describes: native decoders trust the header."""
    try:
        stream = get_frame(dataset.PixelData, 0, number_of_frames=1)
        frame = read_declared_frame(stream)
    except Exception as error:  # broken fragments raise nearly anything
        raise RadiographError("Expected whole pixel data, got damaged ones; export the film again.") from error
    if frame is None:
        raise RadiographError("Expected a compressed picture, got something else; export the film again.")
    check_pixel_count(frame.rows, frame.columns, limits)
    check_scans(stream, limits)
    promised = (int(dataset.Rows), int(dataset.Columns), int(dataset.SamplesPerPixel))
    if (frame.rows, frame.columns, frame.samples) != promised or frame.bits > int(dataset.BitsAllocated):
        raise RadiographError(
            f"Expected the picture that the header describes, got one of {frame.columns} × {frame.rows} pixels, "
            f"{frame.samples} samples and {frame.bits} bits; export the film again."
        )


def _check_decoder(uid: UID, bits: int) -> None:
    try:
        if uid == JPEGExtended12Bit and bits > 8:
            raise NotImplementedError
        if get_decoder(uid).is_available:
            return
        advice = "pylibjpeg and pylibjpeg-openjpeg" if uid.name.startswith("High-Throughput") else "python-gdcm"
        advice = f"install {advice}."
    except NotImplementedError:
        advice = f"no permissive decoder reads it at {bits} bits: export the film uncompressed or as lossless JPEG."
    raise UndecodableTransferSyntax(str(uid), uid.name, advice)


def _choose_plugin(uid: UID) -> str:
    """The most careful decoder that there is; "" leaves the choice, which for the rest is GDCM, to pydicom.

    GDCM ends the process on some damaged files, where the others raise an error.
    """
    careful = {RLELossless: "pydicom", JPEGBaseline8Bit: "pillow", JPEGExtended12Bit: "pillow"}
    plugin = "pylibjpeg" if uid in JPEG2000TransferSyntaxes else careful.get(uid, "")
    return plugin if uid.is_encapsulated and plugin in get_decoder(uid).available_plugins else ""


def _read_colour(stored: np.ndarray, dataset: Dataset, facts: dict[str, str]) -> np.ndarray:
    if dataset.PhotometricInterpretation == "PALETTE COLOR":
        stored = apply_color_lut(stored, dataset)
    maximum = int(np.iinfo(stored.dtype).max)
    facts["window"] = "none (colour picture)"
    return to_levels(reduce_to_grey(stored[..., :3], facts), maximum)


def _find_padding(table: np.ndarray, dataset: Dataset) -> np.ndarray:
    value = get_numbers(dataset, "PixelPaddingValue")
    if not value:
        return np.zeros(table.shape, dtype=bool)
    limit = get_numbers(dataset, "PixelPaddingRangeLimit") or value
    return (table >= min(value[0], limit[0])) & (table <= max(value[0], limit[0]))


def _apply_rescale(table: np.ndarray, dataset: Dataset, facts: dict[str, str]) -> np.ndarray:
    """Modality table or rescale slope and intercept: float64. One that leaves a single value is ignored, and said."""
    values = np.asarray(apply_modality_lut(table, dataset), dtype=np.float64)
    if table.size > 1 and values.min() == values.max():
        facts["rescale"] = "the header's rescale leaves one value; ignored"
        return table.astype(np.float64)
    return values


def _apply_window(values: np.ndarray, counted: np.ndarray, dataset: Dataset, facts: dict[str, str]) -> np.ndarray:
    """Rescaled values as display values in [0, 1] by the first table, else the first usable window, else min–max.

    counted : which values occur in the film outside its padding.
    """
    for output, text in _list_displays(values, dataset):
        seen = output[counted]
        if seen.size < 2 or seen.min() < seen.max():
            facts["window"] = text
            return output
    low, high = values[counted].min(), values[counted].max()
    refused = "; the header's window leaves nothing to see" if "WindowCenter" in dataset else ""
    facts["window"] = f"smallest to largest value, {low:g} to {high:g}" + (refused or " (the header has no window)")
    return np.clip((values - low) / (high - low), 0.0, 1.0) if high > low else np.zeros_like(values)


def _list_displays(values: np.ndarray, dataset: Dataset):
    """Yields (display values in [0, 1], what they are in words): tables before windows, in the header's order."""
    tables = dataset.get("VOILUTSequence") or []
    for position in range(len(tables)):
        try:
            output = np.asarray(apply_voi(np.rint(values).astype(np.int64), dataset, position), dtype=np.float64)
            largest = 2.0 ** int(tables[position].LUTDescriptor[2]) - 1.0
        except (AttributeError, IndexError, KeyError, NotImplementedError, TypeError, ValueError):
            continue
        yield np.clip(output / largest, 0.0, 1.0), f"value-of-interest table {position + 1} of {len(tables)}"
    function = get_text(dataset, "VOILUTFunction").upper() or "LINEAR"
    centres, widths = get_numbers(dataset, "WindowCenter"), get_numbers(dataset, "WindowWidth")
    for position, (centre, width) in enumerate(zip(centres, widths, strict=False)):
        if width >= 1.0 or (width > 0.0 and function != "LINEAR"):
            shape = "" if function == "LINEAR" else f", {function.lower().replace('_', ' ')}"
            text = f"window {position + 1} of {len(centres)}: centre {centre:g}, width {width:g}{shape}"
            yield compute_window(values, centre, width, function), text
