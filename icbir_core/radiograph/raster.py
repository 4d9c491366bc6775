"""PNG and JPEG: 8 and 16 bit, grey, colour, palette, CMYK, EXIF orientation. The header is checked before decoding."""

from __future__ import annotations

import io
import struct
from collections.abc import Iterator, Sequence

import cv2
import numpy as np
from PIL import Image, ImageOps

from icbir_core.errors import RadiographError, RadiographTooLarge
from icbir_core.radiograph.codestream import count_scans
from icbir_core.radiograph.levels import MAX_LEVEL, to_levels
from icbir_core.radiograph.signatures import PNG_SIGNATURE
from icbir_core.settings import ReadLimits

_PNG_COLOURS = {0: "grey", 2: "RGB", 3: "palette", 4: "grey with alpha", 6: "RGB with alpha"}
_PNG_SAMPLES = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}
_ORIENTATION = 0x0112
_EXIF_TEXTS = (b"Raw profile type exif\0", b"Raw profile type APP1\0", b"XML:com.adobe.xmp\0")
_ANIMATION = (b"acTL", b"fcTL", b"fdAT")
# Depths of detectors and of exports: what a PNG of 16 bits may hold instead.
_USUAL_BITS = (8, 10, 12, 14, 15)


def check_pixel_count(rows: int, columns: int, limits: ReadLimits) -> None:
    """Raises `RadiographTooLarge` where the header promises more pixels than allowed, `RadiographError` on too few."""
    if min(rows, columns) < limits.min_side:
        raise RadiographError(f"The film has {columns} × {rows} pixels; it needs at least {limits.min_side} a side.")
    if rows * columns > limits.max_pixels:
        raise RadiographTooLarge(
            f"The film has {columns} × {rows} pixels, more than {limits.max_pixels:,}; reduce it or raise the limit."
        )


def check_scans(data: bytes, limits: ReadLimits) -> None:
    """Raises `RadiographTooLarge` for a JPEG of more scans than any camera writes: each costs a pass over the film."""
    if (scans := count_scans(data)) > limits.max_scans:
        raise RadiographTooLarge(f"The JPEG has {scans} scans, more than {limits.max_scans}; export the film again.")


def read_png(data: bytes, limits: ReadLimits) -> tuple[np.ndarray, int, dict[str, str]]:
    """uint16 levels (H, W), bits of grey and facts of a PNG, turned upright as its EXIF orientation says.

    Colour becomes luma, transparent becomes black; of an animation the still picture is read. Fewer bits than 16 in a
    PNG of 16 bits are told from what the file says (sBIT), or from its levels where the film would else be nearly
    black.
    """
    try:
        columns, rows, depth, kind = struct.unpack(">IIBB", data[16:26])
        if data[12:16] != b"IHDR":
            raise ValueError
    except (struct.error, ValueError):
        raise RadiographError("The PNG's header is damaged; export the film again.") from None
    check_pixel_count(rows, columns, limits)
    decoded_bytes = rows * columns * _PNG_SAMPLES.get(kind, 4) * (2 if depth == 16 else 1)
    if decoded_bytes > 4 * limits.max_pixels:
        raise RadiographTooLarge(
            f"This PNG holds {decoded_bytes:,} bytes of pixels, more than {4 * limits.max_pixels:,}; save it in grey."
        )
    still = take_still_picture(data)
    try:
        Image.open(io.BytesIO(still)).verify()
        decoded = cv2.imdecode(np.frombuffer(still, np.uint8), cv2.IMREAD_UNCHANGED)
    except Exception:  # decoders of damaged bytes raise nearly anything
        decoded = None
    if decoded is None or decoded.shape[:2] != (rows, columns):
        raise RadiographError("The PNG is cut short or damaged; export the film again.")
    facts = {"encoding": f"PNG, {depth} bit, {_PNG_COLOURS.get(kind, 'unknown colour')}"}
    if still is not data:
        facts["animation"] = "animated PNG, its still picture is read"
    chunks = list(list_chunks(data))
    significant = next((content for name, content in chunks if name == b"sBIT"), b"")
    colour, alpha = _split_alpha(decoded)
    largest = int(colour.max())
    stated = _read_stated_bits(significant, largest)
    bits = max(8, depth) if decoded.dtype == np.uint8 else stated or _guess_bits(int(colour.min()), largest)
    maximum = 2**bits - 1
    grey = colour if colour.ndim == 2 else reduce_to_grey(colour, maximum, facts)
    if decoded.dtype == np.uint16 and bits < 16 and not stated:
        levels = _stretch(grey, bits, facts)
    else:
        levels = to_levels(grey, maximum)
        if decoded.dtype == np.uint16 and bits < 16:
            facts["levels"] = f"{bits} bits of grey in 16, as the file says"
    if alpha is not None:
        opaque = maximum if int(alpha.max()) <= maximum else int(np.iinfo(alpha.dtype).max)
        if alpha.min() < opaque:
            opacity = to_levels(alpha, opaque).astype(np.uint32)
            levels = ((levels * opacity + MAX_LEVEL // 2) // MAX_LEVEL).astype(np.uint16)
            facts["transparency"] = "transparent parts read as black"
    return turn_upright(levels, _read_png_orientation(data, chunks), facts), bits, facts


def list_chunks(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    """(name, content) of each chunk of a PNG but its pixels."""
    position = len(PNG_SIGNATURE)
    while position + 12 <= len(data):
        length = int.from_bytes(data[position : position + 4], "big")
        name = data[position + 4 : position + 8]
        if name != b"IDAT":
            yield name, data[position + 8 : position + 8 + length]
        position += length + 12


def take_still_picture(data: bytes) -> bytes:
    """The PNG without an animation: what a program shows that knows of none. The same bytes if it has none. OpenCV
    decodes animations by code of its own, which damaged ones can end; the still picture needs none of it."""
    if not any(name in data for name in _ANIMATION):
        return data
    kept, position = [data[: len(PNG_SIGNATURE)]], len(PNG_SIGNATURE)
    left_out = False
    while position + 12 <= len(data):
        end = position + 12 + int.from_bytes(data[position : position + 4], "big")
        if data[position + 4 : position + 8] in _ANIMATION:
            left_out = True
        else:
            kept.append(data[position:end])
        position = end
    return b"".join([*kept, data[position:]]) if left_out else data


def _split_alpha(decoded: np.ndarray) -> tuple[np.ndarray, np.ndarray | None]:
    """Grey (H, W) or RGB (H, W, 3), and the opacity (H, W) or None, of what OpenCV decodes (blue first)."""
    if decoded.ndim == 2:
        return decoded, None
    if decoded.shape[2] == 2:
        return decoded[..., 0], decoded[..., 1]
    return decoded[..., 2::-1], decoded[..., 3] if decoded.shape[2] == 4 else None


def _read_stated_bits(significant: bytes, largest: int) -> int:
    """Bits of grey in a PNG of 16 bits as its sBIT chunk says; 0 without it, or where the largest level contradicts it.

    significant : the significant bits of each channel. Levels within that many bits were not spread over the 16, as
    the format asks.
    """
    stated = max(significant[:1] if len(significant) == 2 else significant[:3], default=0)
    return stated if 8 <= stated <= 16 and largest < 2**stated else 0


def _guess_bits(smallest: int, largest: int) -> int:
    """Bits of grey in a PNG of 16 bits that does not say them: fewer only where its brightest point is below half of
    the range, or where all its levels lie in an eighth of it, since no display shows a chest film like that on
    purpose."""
    span = largest - smallest
    used = largest if largest < 1 << 15 else span if 0 < span < 1 << 13 else MAX_LEVEL
    return next((bits for bits in _USUAL_BITS if used < 2**bits), 16)


def _stretch(grey: np.ndarray, bits: int, facts: dict[str, str]) -> np.ndarray:
    """Levels from the smallest to the largest value, as of a DICOM that names no window."""
    low, high = int(grey.min()), int(grey.max())
    facts["levels"] = f"taken for {bits} bits of grey in 16; shown from the smallest to the largest, {low} to {high}"
    return to_levels(grey - grey.min(), high - low) if high > low else np.zeros_like(grey)


def _read_png_orientation(data: bytes, chunks: Sequence[tuple[bytes, bytes]]) -> int:
    """The EXIF orientation of a PNG, 1 (upright) where none is given. It stands in its own chunk, before the pixels or
    behind them, or in a text of older programs."""
    if not any(name == b"eXIf" or content.startswith(_EXIF_TEXTS) for name, content in chunks):
        return 1
    try:
        with Image.open(io.BytesIO(data)) as picture:
            return int(picture.getexif().get(_ORIENTATION, 1))
    except Exception as error:  # a damaged chunk raises nearly anything
        raise RadiographError("The PNG's EXIF data are damaged; export the film again.") from error


def turn_upright(levels: np.ndarray, orientation: int, facts: dict[str, str]) -> np.ndarray:
    """An array (H, W) turned and mirrored as its EXIF orientation, 1 to 8, asks for; another number asks nothing."""
    if orientation not in range(2, 9):
        return levels
    facts["exif"] = f"turned upright from EXIF orientation {orientation}"
    if orientation in (5, 6, 7, 8):
        levels = levels.T
    if orientation in (2, 3, 6, 7):
        levels = levels[:, ::-1]
    if orientation in (3, 4, 7, 8):
        levels = levels[::-1]
    return np.ascontiguousarray(levels)


def read_jpeg(data: bytes, limits: ReadLimits) -> tuple[np.ndarray, int, dict[str, str]]:
    """uint16 levels (H, W), stored bits and facts of a JPEG, turned upright as its EXIF orientation says."""
    try:
        picture = Image.open(io.BytesIO(data), formats=("JPEG",))
    except Image.DecompressionBombError as error:
        raise RadiographTooLarge(f"The JPEG has more than {limits.max_pixels:,} pixels; reduce the film.") from error
    except Exception:  # as above
        raise RadiographError(
            "The JPEG is damaged, or of a kind that only medical software reads; export the film as PNG or DICOM."
        ) from None
    check_pixel_count(picture.height, picture.width, limits)
    check_scans(data, limits)
    facts = {"encoding": f"JPEG, {picture.mode}"}
    try:
        picture.load()
    except Exception:  # as above
        raise RadiographError("The JPEG is cut short or damaged; export the film again.") from None
    try:
        orientation = int(picture.getexif().get(_ORIENTATION, 1))
        upright = ImageOps.exif_transpose(picture)
        if upright.mode not in ("L", "RGB"):
            upright = upright.convert("RGB")
        decoded = np.asarray(upright)
    except Exception:  # as above
        raise RadiographError("The JPEG's EXIF data are damaged; export the film again.") from None
    if orientation in range(2, 9):
        facts["exif"] = f"turned upright from EXIF orientation {orientation}"
    grey = decoded if decoded.ndim == 2 else reduce_to_grey(decoded, 255, facts)
    return to_levels(grey, 255), 8, facts


def reduce_to_grey(colour: np.ndarray, maximum: int, facts: dict[str, str]) -> np.ndarray:
    """Luma (ITU-R BT.601) of RGB (H, W, 3), unsigned, 0 … maximum; exact where the three channels are equal, else the
    facts say so."""
    red, green, blue = (colour[..., channel] for channel in range(3))
    if np.array_equal(red, green) and np.array_equal(green, blue):
        return np.ascontiguousarray(red)
    spread = colour.max(axis=2).astype(np.float32) - colour.min(axis=2)
    # Chroma compression leaves faint tints in a grey film: only a visible tint is called colour.
    if float(spread.mean()) > 0.02 * maximum:
        facts["colour"] = "colour picture, read as grey"
    return np.asarray(cv2.cvtColor(np.ascontiguousarray(colour), cv2.COLOR_RGB2GRAY))
