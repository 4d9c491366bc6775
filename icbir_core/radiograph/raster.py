"""PNG and JPEG: 8 and 16 bit, grey, colour, palette, CMYK, EXIF orientation. The header is checked before decoding."""

from __future__ import annotations

import io
import struct

import cv2
import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from icbir_core.errors import RadiographError, RadiographTooLarge
from icbir_core.radiograph.codestream import count_scans
from icbir_core.radiograph.levels import MAX_LEVEL, to_levels
from icbir_core.settings import ReadLimits

PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"
JPEG_SIGNATURE = b"\xff\xd8\xff"

_PNG_COLOURS = {0: "grey", 2: "RGB", 3: "palette", 4: "grey with alpha", 6: "RGB with alpha"}
_PNG_SAMPLES = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}


def check_pixel_count(rows: int, columns: int, limits: ReadLimits) -> None:
    """Raises `RadiographTooLarge` where the header promises more pixels than allowed, `RadiographError` on too few."""
    if min(rows, columns) < limits.min_side:
        raise RadiographError(
            f"Expected a film of at least {limits.min_side} pixels a side, got {columns} × {rows}; choose a whole one."
        )
    if rows * columns > limits.max_pixels:
        raise RadiographTooLarge(
            f"Expected at most {limits.max_pixels:,} pixels, got {columns} × {rows}; "
            "reduce the film or raise the limit."
        )


def check_scans(data: bytes, limits: ReadLimits) -> None:
    """Raises `RadiographTooLarge` for a JPEG of more scans than any camera writes: each costs a pass over the film."""
    if (scans := count_scans(data)) > limits.max_scans:
        raise RadiographTooLarge(
            f"Expected a JPEG of at most {limits.max_scans} scans, got {scans}; export the film again."
        )


def read_png(data: bytes, limits: ReadLimits) -> tuple[np.ndarray, int, dict[str, str]]:
    """uint16 levels (H, W), stored bits and facts of a PNG. Colour becomes luma, transparent becomes black."""
    try:
        columns, rows, depth, kind = struct.unpack(">IIBB", data[16:26])
        if data[12:16] != b"IHDR":
            raise ValueError
    except (struct.error, ValueError):
        raise RadiographError("Expected a whole PNG, got a damaged header; export the film again.") from None
    check_pixel_count(rows, columns, limits)
    decoded_bytes = rows * columns * _PNG_SAMPLES.get(kind, 4) * (2 if depth == 16 else 1)
    if decoded_bytes > 4 * limits.max_pixels:
        raise RadiographTooLarge(
            f"Expected at most {4 * limits.max_pixels:,} bytes of pixels, got {decoded_bytes:,}; save the film in grey."
        )
    try:
        Image.open(io.BytesIO(data)).verify()
        decoded = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError, cv2.error):
        decoded = None
    if decoded is None or decoded.shape[:2] != (rows, columns):
        raise RadiographError("Expected a whole PNG, got a damaged or truncated one; export the film again.")
    maximum = np.iinfo(decoded.dtype).max
    facts = {"encoding": f"PNG, {depth} bit, {_PNG_COLOURS.get(kind, 'unknown colour')}"}
    if decoded.ndim == 2:
        return to_levels(decoded, maximum), max(8, depth), facts
    if decoded.shape[2] == 2:
        grey, alpha = decoded[..., 0], decoded[..., 1]
    else:
        grey, alpha = reduce_to_grey(decoded[..., 2::-1], facts), decoded[..., 3] if decoded.shape[2] == 4 else None
    levels = to_levels(grey, maximum)
    if alpha is not None and alpha.min() < maximum:
        opacity = to_levels(alpha, maximum).astype(np.uint32)
        levels = ((levels * opacity + MAX_LEVEL // 2) // MAX_LEVEL).astype(np.uint16)
        facts["transparency"] = "transparent parts read as black"
    return levels, max(8, depth), facts


def read_jpeg(data: bytes, limits: ReadLimits) -> tuple[np.ndarray, int, dict[str, str]]:
    """uint16 levels (H, W), stored bits and facts of a JPEG, turned upright as its EXIF orientation says."""
    try:
        picture = Image.open(io.BytesIO(data), formats=("JPEG",))
    except Image.DecompressionBombError as error:
        raise RadiographTooLarge(
            f"Expected at most {limits.max_pixels:,} pixels, got more; reduce the film."
        ) from error
    except (UnidentifiedImageError, OSError, SyntaxError, ValueError):
        raise RadiographError(
            "Expected a baseline or progressive 8-bit JPEG, got one that cannot be read; export it as PNG or DICOM."
        ) from None
    check_pixel_count(picture.height, picture.width, limits)
    check_scans(data, limits)
    facts = {"encoding": f"JPEG, {picture.mode}"}
    try:
        orientation = picture.getexif().get(0x0112, 1)
        upright = ImageOps.exif_transpose(picture)
        if upright.mode not in ("L", "RGB"):
            upright = upright.convert("RGB")
        decoded = np.asarray(upright)
    except (OSError, SyntaxError, ValueError, struct.error):
        raise RadiographError("Expected a whole JPEG, got a damaged or truncated one; export the film again.") from None
    if orientation in range(2, 9):
        facts["exif"] = f"turned upright from EXIF orientation {orientation}"
    grey = decoded if decoded.ndim == 2 else reduce_to_grey(decoded, facts)
    return to_levels(grey, 255), 8, facts


def reduce_to_grey(colour: np.ndarray, facts: dict[str, str]) -> np.ndarray:
    """Luma (ITU-R BT.601) of RGB (H, W, 3); exact where the three channels are equal, else the facts say so."""
    red, green, blue = (colour[..., channel] for channel in range(3))
    if np.array_equal(red, green) and np.array_equal(green, blue):
        return np.ascontiguousarray(red)
    spread = colour.max(axis=2).astype(np.float32) - colour.min(axis=2)
    # Chroma compression leaves faint tints in a grey film: only a visible tint is called colour.
    if float(spread.mean()) > 0.02 * np.iinfo(colour.dtype).max:
        facts["colour"] = "colour picture, read as grey"
    return cv2.cvtColor(np.ascontiguousarray(colour), cv2.COLOR_RGB2GRAY)
