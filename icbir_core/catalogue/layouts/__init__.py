"""The layouts of public and local data sets: each module has `read_rows(options)`.

A package of somebody else adds one without touching this file: see docs/plug-ins.md.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

from icbir_core.catalogue.layouts.finder import FileFinder
from icbir_core.catalogue.layouts.header import ask_header
from icbir_core.catalogue.layouts.rows import (
    IgnoredLabel,
    IngestOptions,
    KnownFilm,
    LayoutRow,
    OtherFile,
    RawCase,
    Remark,
    SkippedRow,
)
from icbir_core.errors import CatalogueError, UnknownNameError
from icbir_core.plugins import LAYOUT_GROUP, Registry, load_reference
from icbir_core.types import VIEWS


@dataclass(frozen=True)
class Layout:
    """How the films and labels of a data set lie on disk. read : the function `read_rows(options)` of it, as
    "package.module:name"; it yields a `LayoutRow` for each row, and raises `CatalogueError`. hides_names : whether it
    gives each film of a private data set an item of its own, which says nothing of its name. remote : whether its films
    are fetched, one after another, from an address."""

    name: str
    read: str
    hides_names: bool = False
    remote: bool = False


LAYOUTS: Registry[Layout] = Registry(
    "layout",
    LAYOUT_GROUP,
    Layout,
    (
        *(
            Layout(name, f"{__name__}.{name}:read_rows", hides_names=name in ("folder", "dicom"))
            for name in ("nih", "chexpert", "mimic", "padchest", "vindr", "folder", "dicom")
        ),
        Layout("dicomweb", "icbir_core.pacs.layout:read_rows", hides_names=True, remote=True),
    ),
)
"""Every layout by its name, those of installed packages included."""

__all__ = [
    "LAYOUTS",
    "IgnoredLabel",
    "IngestOptions",
    "KnownFilm",
    "Layout",
    "LayoutRow",
    "OtherFile",
    "RawCase",
    "Remark",
    "SkippedRow",
    "check_options",
    "read_rows",
]


def read_rows(options: IngestOptions) -> Iterator[LayoutRow]:
    """The rows of the data set that `options` names, with what DICOM headers add to them and speak against. Raises as
    `check_options`, and `CatalogueError` while reading."""
    check_options(options)
    return _ask_headers(LAYOUTS[options.layout], options)


def _ask_headers(layout: Layout, options: IngestOptions) -> Iterator[LayoutRow]:
    renamed = options.private and not layout.hides_names
    number = 0
    for row in _read(layout, options):
        number += not isinstance(row, Remark)
        if renamed and isinstance(row, RawCase):
            row = replace(row, private=True, item=f"row {number}")
        elif renamed and isinstance(row, SkippedRow):
            row = replace(row, item=f"row {number}")
        yield ask_header(row, options) if isinstance(row, RawCase) else row


def _read(layout: Layout, options: IngestOptions) -> Iterator[LayoutRow]:
    """The rows of a layout; what goes wrong in the code of an installed package becomes a `CatalogueError`."""
    with LAYOUTS.calling(layout.name, CatalogueError):
        read: Callable[[IngestOptions], Iterator[LayoutRow]] = load_reference(layout.read)
        yield from read(options)


def check_options(options: IngestOptions) -> None:
    """Raises `UnknownNameError` for an unknown layout or view, `CatalogueError` if there is no folder of films."""
    layout = LAYOUTS[options.layout]  # raises `UnknownNameError`
    if options.view is not None and options.view.upper() not in VIEWS:
        raise UnknownNameError("view", options.view, VIEWS)
    if options.query and not layout.remote:
        raise CatalogueError("A query belongs to the layout 'dicomweb'; leave it out.")
    if options.leave_films and (not layout.remote or options.images):
        raise CatalogueError(
            "Films can be left in the archive of the settings alone; use the layout 'dicomweb', and name it by "
            "ICBIR_DICOMWEB."
        )
    if not layout.remote:
        FileFinder(options.images)
