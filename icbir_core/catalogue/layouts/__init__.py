"""The layouts of public and local data sets: each module has `read_rows(options)`."""

from __future__ import annotations

import importlib
from collections.abc import Iterator
from dataclasses import replace

from icbir_core.catalogue.layouts.finder import FileFinder
from icbir_core.catalogue.layouts.header import ask_header
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
    """The rows of the data set that `options` names, with what DICOM headers add to them and speak against.

    Raises as `check_options`, and `CatalogueError` while reading.
    """
    check_options(options)
    return _ask_headers(importlib.import_module(f"{__name__}.{options.layout}").read_rows(options), options)


def _ask_headers(rows: Iterator[LayoutRow], options: IngestOptions) -> Iterator[LayoutRow]:
    # The other layouts name a film by its name; in these two a private film has an item of its own.
    renamed = options.private and options.layout not in ("folder", "dicom")
    number = 0
    for row in rows:
        number += not isinstance(row, Remark)
        if renamed and isinstance(row, RawCase):
            row = replace(row, private=True, item=f"row {number}")
        elif renamed and isinstance(row, SkippedRow):
            row = replace(row, item=f"row {number}")
        yield ask_header(row, options) if isinstance(row, RawCase) else row


def check_options(options: IngestOptions) -> None:
    """Raises `UnknownNameError` for an unknown layout or view, `CatalogueError` if there is no folder of films."""
    if options.layout not in LAYOUTS:
        raise UnknownNameError("layout", options.layout, LAYOUTS)
    if options.view is not None and options.view.upper() not in VIEWS:
        raise UnknownNameError("view", options.view, VIEWS)
    FileFinder(options.images)
