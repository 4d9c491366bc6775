"""Small pictures of cases for lists: made once, kept beside the catalogue under the hash of the film's grey levels."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

import cv2
import numpy as np

from icbir_core.catalogue.storing import read_case_radiograph
from icbir_core.catalogue.workspace import Workspace
from icbir_core.files import write_bytes_atomically
from icbir_core.types import Case

FOLDER = "thumbnails"
"""Within the workspace. Whatever lies there can be made again: no copy holds it, and `verify` does not count it."""
SIDE = 96
_QUALITY = 85


def read_thumbnail(workspace: Workspace, case: Case) -> bytes:
    """A JPEG of 96 × 96 pixels: the whole film, black beside it. Made and kept at the first question. Raises
    `WorkspaceError` for a film that is missing or not the one that was stored."""
    path = find_thumbnail(workspace, case)
    with suppress(OSError):
        if data := path.read_bytes():
            return data
    data = make_thumbnail(read_case_radiograph(workspace, case).pixels)
    with suppress(OSError):  # a workspace that cannot be written is read all the same
        path.parent.mkdir(exist_ok=True)
        write_bytes_atomically(path, data)
    return data


def find_thumbnail(workspace: Workspace, case: Case) -> Path:
    """Where the picture of a case lies, or will."""
    return workspace.path / FOLDER / f"{case.pixel_sha256}.jpg"


def make_thumbnail(pixels: np.ndarray) -> bytes:
    """A JPEG of 96 × 96 pixels of a film (H, W) in [0, 1], averaged over areas."""
    rows, columns = pixels.shape
    scale = SIDE / max(rows, columns)
    size = (max(1, round(columns * scale)), max(1, round(rows * scale)))
    small = cv2.resize(np.ascontiguousarray(pixels, np.float32), size, interpolation=cv2.INTER_AREA)
    square = np.zeros((SIDE, SIDE), np.uint8)
    top, left = (SIDE - size[1]) // 2, (SIDE - size[0]) // 2
    square[top : top + size[1], left : left + size[0]] = np.rint(np.clip(small, 0, 1) * 255)
    return cv2.imencode(".jpg", square, (cv2.IMWRITE_JPEG_QUALITY, _QUALITY))[1].tobytes()
