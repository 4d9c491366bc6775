"""The first frame of a DICOM's pixel data as stored values: which decoder, and which bits of its words are grey."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from pydicom.dataset import Dataset
from pydicom.encaps import encapsulate, generate_fragments
from pydicom.pixels.decoders.base import get_decoder
from pydicom.pixels.processing import convert_color_space
from pydicom.uid import (
    UID,
    ExplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEG2000TransferSyntaxes,
    JPEGBaseline8Bit,
    JPEGExtended12Bit,
    JPEGLossless,
    JPEGLosslessSV1,
    JPEGLSLossless,
    JPEGLSNearLossless,
    RLELossless,
)

from icbir_core.errors import RadiographError
from icbir_core.radiograph.codestream import JPEG, JPEG_2000, JPEG_LOSSLESS, JPEG_LS, DeclaredFrame, read_declared_frame
from icbir_core.radiograph.pixel_format import LUMA_CHROMA, PixelFormat

DAMAGED = "The pixel data are damaged; export the film again."
CUT_SHORT = "The DICOM is cut short or damaged; copy or export it again."
_ITEM = b"\xfe\xff\x00\xe0"
_CAREFUL = {RLELossless: "pydicom", JPEGBaseline8Bit: "pillow", JPEGExtended12Bit: "pillow"}
_STREAM_STARTS = (b"\xff\xd8\xff", b"\xff\x4f\xff\x51", b"\x00\x00\x00\x0cjP")


@dataclass(frozen=True, eq=False)
class EncodedFrame:
    """The first of `count` frames as the file holds it. declared : what a compressed picture says of itself, else None.

    decoder : the transfer syntax of the decoder that reads it, which need not be the one that the header names.
    order : of the bytes in an uncompressed word, "<" or ">".
    """

    data: bytes
    count: int
    decoder: UID
    declared: DeclaredFrame | None = None
    order: str = "<"


def holds_items(dataset: Dataset, uid: UID) -> bool:
    """True where the pixel data lie in items, as compressed ones do; a header may name the wrong transfer syntax."""
    data = dataset.PixelData
    return bool(data[:4] == _ITEM and (uid.is_encapsulated or dataset["PixelData"].is_undefined_length))


def find_frame(dataset: Dataset, uid: UID, pixel_format: PixelFormat) -> EncodedFrame:
    """The first frame of a film's pixel data, undecoded. Raises `RadiographError` where they do not hold one."""
    data = dataset.PixelData
    if not holds_items(dataset, uid):
        needed = (pixel_format.frame_bits + 7) // 8
        if len(data) < needed:
            raise RadiographError(CUT_SHORT)
        uid = ExplicitVRLittleEndian if uid.is_encapsulated else uid
        order = "<" if uid.is_little_endian else ">"
        data, count = data[: needed + needed % 2], len(data) // needed
        if order == ">" and dataset["PixelData"].VR == "OW" and pixel_format.allocated not in (16, 32):
            data, order = np.frombuffer(data[: len(data) // 2 * 2], ">u2").astype("<u2").tobytes(), "<"
        return EncodedFrame(data, count, uid, order=order)
    try:
        fragments = list(generate_fragments(data))[1:]
    except Exception as error:  # broken fragments raise nearly anything
        raise RadiographError(DAMAGED) from error
    if not any(fragments):
        raise RadiographError("The DICOM holds no pixels: its pixel data are empty; export the film again.")
    if uid == RLELossless or (_is_rle(fragments[0]) and not uid.is_encapsulated):
        count = len(fragments) if all(map(_is_rle, fragments)) else 1
        return EncodedFrame(fragments[0] if count > 1 else b"".join(fragments), count, RLELossless)
    starts = [i for i, fragment in enumerate(fragments) if fragment.startswith(_STREAM_STARTS)] or [0]
    end = starts[1] if len(starts) > 1 else len(fragments)
    frame = b"".join(fragments[:end])
    try:
        declared = read_declared_frame(frame)
    except Exception as error:  # as above
        raise RadiographError(DAMAGED) from error
    if declared is None:
        raise RadiographError("The compressed pixel data hold no picture; export the film again.")
    return EncodedFrame(frame, len(starts), _choose_decoder(uid, declared), declared)


def _is_rle(fragment: bytes) -> bool:
    """True where a fragment begins as an RLE frame does: how many segments, the first right after the header."""
    return len(fragment) >= 64 and 1 <= int.from_bytes(fragment[:4], "little") <= 15 and fragment[4:8] == b"\x40\0\0\0"


def _choose_decoder(uid: UID, declared: DeclaredFrame) -> UID:
    """The picture itself says how it is compressed; the header's transfer syntax counts where it is of that kind."""
    if declared.process == JPEG:
        return JPEGBaseline8Bit if declared.bits <= 8 else JPEGExtended12Bit
    kinds: dict[str, list[UID]] = {
        JPEG_LOSSLESS: [JPEGLosslessSV1, JPEGLossless],
        JPEG_LS: [JPEGLSNearLossless, JPEGLSLossless],
        JPEG_2000: [JPEG2000Lossless, *JPEG2000TransferSyntaxes],
    }
    kind = kinds.get(declared.process, [uid])
    return uid if uid in kind else kind[0]


def decode_frame(frame: EncodedFrame, pixel_format: PixelFormat) -> np.ndarray:
    """Stored values of a frame: integers (H, W), signed or not, or RGB (H, W, 3), without the bits that hold no grey.
    Raises `RadiographError` where the decoder fails."""
    try:
        if frame.declared is not None:
            words = _decompress(frame, frame.declared, pixel_format)
        elif frame.decoder == RLELossless:
            plain = replace(pixel_format, stored=pixel_format.allocated, signed=False)
            words = align_bits(_ask_library(frame, plain, raw=True), pixel_format)
        else:
            words = align_bits(_read_native(frame, pixel_format), pixel_format)
    except Exception as error:  # decoders of damaged pixel data raise nearly anything
        raise RadiographError(DAMAGED) from error
    if frame.declared is None and pixel_format.photometric in LUMA_CHROMA:
        words = _convert_to_rgb(words, pixel_format)
    shape = (pixel_format.rows, pixel_format.columns)
    if words.shape != (shape if pixel_format.samples == 1 else (*shape, 3)):
        raise RadiographError(DAMAGED)
    return words


def align_bits(words: np.ndarray, pixel_format: PixelFormat) -> np.ndarray:
    """The grey of words (unsigned, of 8, 16 or 32 bits): bits above and below it dropped, its sign spread upwards."""
    if words.dtype.itemsize > 2:
        words = (words >> pixel_format.shift & 0xFFFF).astype(np.uint16)
        pixel_format = replace(pixel_format, high_bit=pixel_format.stored - 1)
    size = 8 * words.dtype.itemsize
    if size < pixel_format.stored:
        words, size = words.astype(np.uint16), 16
    above = size - pixel_format.high_bit - 1
    if pixel_format.signed:
        spread = np.left_shift(words, above).view(f"i{words.dtype.itemsize}")
        return np.asarray(np.right_shift(spread, size - pixel_format.stored))
    if pixel_format.shift:
        words = np.right_shift(words, pixel_format.shift)
    return np.bitwise_and(words, 2**pixel_format.stored - 1) if above else words


def _read_native(frame: EncodedFrame, pixel_format: PixelFormat) -> np.ndarray:
    """Words of an uncompressed frame: unsigned (H, W) or (H, W, 3)."""
    rows, columns, samples = pixel_format.rows, pixel_format.columns, pixel_format.samples
    bits, data = pixel_format.allocated, frame.data
    count = pixel_format.frame_bits // bits
    if bits in (8, 16, 32):
        words = np.frombuffer(data, dtype=f"{frame.order}u{bits // 8}", count=count).astype(f"u{bits // 8}", copy=False)
    else:
        words = _unpack_bits(data, bits, count)
    if pixel_format.photometric == "YBR_FULL_422":  # luma of two pixels, then the chroma that both share
        pairs = words.reshape(-1, 4)
        words = np.stack([pairs[:, [0, 2, 3]], pairs[:, [1, 2, 3]]], axis=1)
    elif pixel_format.planes:
        return np.ascontiguousarray(words.reshape(samples, rows, columns).transpose(1, 2, 0))
    return words.reshape((rows, columns) if samples == 1 else (rows, columns, samples))


def _unpack_bits(data: bytes, bits: int, count: int) -> np.ndarray:
    """Words of `bits` bits that lie one after another, lowest bit first: uint16 or uint32 (count,)."""
    kind = np.dtype(np.uint32 if bits > 16 else np.uint16)
    words: np.ndarray = np.zeros(count, dtype=kind)
    step = 8 * 65536  # a multiple of 8, so that each part begins with a byte
    for start in range(0, count, step):
        part = min(step, count - start)
        stream = np.frombuffer(data, np.uint8, -(-part * bits // 8), start * bits // 8)
        places = np.unpackbits(stream, bitorder="little", count=part * bits).reshape(part, bits)
        for place in range(bits):
            words[start : start + part] += places[:, place].astype(kind) << place
    return words


def _convert_to_rgb(words: np.ndarray, pixel_format: PixelFormat) -> np.ndarray:
    """RGB (H, W, 3) of luma and chroma, through 8 bits: more of them lose the lower ones, as no film has them."""
    if pixel_format.stored == 8:
        return np.asarray(convert_color_space(words, "YBR_FULL", "RGB"))
    maximum = 2**pixel_format.stored - 1
    eight = np.rint(words * (255 / maximum)).astype(np.uint8)
    return np.asarray(np.rint(convert_color_space(eight, "YBR_FULL", "RGB") * (maximum / 255)), dtype=words.dtype)


def _decompress(frame: EncodedFrame, declared: DeclaredFrame, pixel_format: PixelFormat) -> np.ndarray:
    """Stored values of a compressed frame, which knows its bits better than the header does."""
    bits = declared.bits
    own = replace(pixel_format, allocated=8 if bits <= 8 else 16, stored=bits, high_bit=bits - 1, planes=False)
    left = pixel_format.high_bit < bits  # words that were compressed with the empty bits below their grey
    masked = pixel_format if left else replace(pixel_format, high_bit=pixel_format.stored - 1)
    if declared.process in (JPEG_2000, JPEG_LS):
        # These say whether they are signed; bits above the header's are grey all the same.
        if not (left and pixel_format.shift):
            return _ask_library(frame, own)
        return align_bits(_ask_library(frame, replace(own, signed=False)), masked)
    own = replace(own, signed=False)
    words = _ask_gdcm(frame, own) if frame.decoder == JPEGExtended12Bit else _ask_library(frame, own)
    return align_bits(words, masked) if pixel_format.samples == 1 or bits > pixel_format.stored else words


def _ask_library(frame: EncodedFrame, pixel_format: PixelFormat, raw: bool = False) -> np.ndarray:
    """A compressed frame through the most careful decoder that there is: GDCM ends the process on some damaged files,
    where the others raise an error. raw : colours as they are, else RGB."""
    decoder = get_decoder(frame.decoder)
    careful = "pylibjpeg" if frame.decoder in JPEG2000TransferSyntaxes else _CAREFUL.get(frame.decoder, "")
    options: dict[str, Any] = {
        "rows": pixel_format.rows,
        "columns": pixel_format.columns,
        "samples_per_pixel": pixel_format.samples,
        "bits_allocated": pixel_format.allocated,
        "bits_stored": pixel_format.stored,
        "pixel_representation": int(pixel_format.signed),
        "photometric_interpretation": pixel_format.photometric,
        "planar_configuration": 0,
        "number_of_frames": 1,
        "pixel_keyword": "PixelData",
        "pixel_vr": "OB",
    }
    plugin = careful if careful in decoder.available_plugins else ""
    data = encapsulate([frame.data], has_bot=False)
    words, _ = decoder.as_array(data, index=0, raw=raw, decoding_plugin=plugin, **options)
    return np.asarray(words)


def _ask_gdcm(frame: EncodedFrame, pixel_format: PixelFormat) -> np.ndarray:
    """A grey JPEG of 12 bits: GDCM reads it, though pydicom does not ask it to. uint16 (H, W)."""
    import gdcm

    fragment = gdcm.Fragment()
    fragment.SetByteStringValue(frame.data)
    fragments = gdcm.SequenceOfFragments.New()
    fragments.AddFragment(fragment)
    element = gdcm.DataElement(gdcm.Tag(0x7FE0, 0x0010))
    element.SetValue(fragments.__ref__())
    image = gdcm.Image()
    image.SetNumberOfDimensions(2)
    image.SetDimensions((pixel_format.columns, pixel_format.rows, 1))
    image.SetDataElement(element)
    image.SetPhotometricInterpretation(gdcm.PhotometricInterpretation(gdcm.PhotometricInterpretation.MONOCHROME2))
    image.SetTransferSyntax(gdcm.TransferSyntax(gdcm.TransferSyntax.JPEGExtendedProcess2_4))
    image.SetPixelFormat(gdcm.PixelFormat(1, 16, pixel_format.stored, pixel_format.high_bit, 0))
    decoded = image.GetBuffer().encode("utf-8", "surrogateescape")  # the binding hands the bytes over as text
    return np.frombuffer(decoded, "<u2").astype(np.uint16).reshape(pixel_format.rows, pixel_format.columns)
