"""The layouts of public and local data sets: each module has `read_rows(options)`."""

from __future__ import annotations

import importlib
from collections.abc import Iterator

from icbir_core.catalogue.layouts.rows import IgnoredLabel, IngestOptions, LayoutRow, RawCase, SkippedRow
from icbir_core.errors import UnknownNameError

LAYOUTS: tuple[str, ...] = ("nih", "chexpert", "mimic", "padchest", "vindr", "folder", "dicom")

__all__ = ["LAYOUTS", "IgnoredLabel", "IngestOptions", "LayoutRow", "RawCase", "SkippedRow", "read_rows"]


def read_rows(options: IngestOptions) -> Iterator[LayoutRow]:
    """The rows of the data set that `options` names. Raises `UnknownNameError` for a layout that is not there."""
    if options.layout not in LAYOUTS:
        raise UnknownNameError("layout", options.layout, LAYOUTS)
    return importlib.import_module(f"{__name__}.{options.layout}").read_rows(options)
