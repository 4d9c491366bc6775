"""The layouts of public and local data sets: each module has `read_rows(options)`."""

from __future__ import annotations

import importlib
from collections.abc import Iterator

from icbir_core.catalogue.layouts.finder import FileFinder
from icbir_core.catalogue.layouts.rows import (
    IgnoredLabel,
    IngestOptions,
    LayoutRow,
    OtherFile,
    RawCase,
    Remark,
    SkippedRow,
)
from icbir_core.errors import UnknownNameError
from icbir_core.types import VIEWS

LAYOUTS: tuple[str, ...] = ("nih", "chexpert", "mimic", "padchest", "vindr", "folder", "dicom")

__all__ = [
    "LAYOUTS",
    "IgnoredLabel",
    "IngestOptions",
    "LayoutRow",
    "OtherFile",
    "RawCase",
    "Remark",
    "SkippedRow",
    "check_options",
    "read_rows",
]


def read_rows(options: IngestOptions) -> Iterator[LayoutRow]:
    """The rows of the data set that `options` names. Raises as `check_options`, and `CatalogueError` while reading."""
    check_options(options)
    return importlib.import_module(f"{__name__}.{options.layout}").read_rows(options)


def check_options(options: IngestOptions) -> None:
    """Raises `UnknownNameError` for an unknown layout or view, `CatalogueError` if there is no folder of films."""
    if options.layout not in LAYOUTS:
        raise UnknownNameError("layout", options.layout, LAYOUTS)
    if options.view is not None and options.view.upper() not in VIEWS:
        raise UnknownNameError("view", options.view, VIEWS)
    FileFinder(options.images)
