"""Which rows of a data set are wanted: by part of a split, by view, frontal or not. Each refusal has a reason."""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Generator, Iterator, Mapping
from contextlib import closing
from pathlib import Path

from icbir_core.catalogue.layouts import LAYOUTS, IngestOptions, LayoutRow, RawCase, Remark, SkippedRow, read_rows
from icbir_core.catalogue.layouts.fields import FRONTAL, describe_columns, read_loose_table
from icbir_core.errors import CatalogueError
from icbir_core.types import UNKNOWN

_PATIENT_COLUMNS = ("Patient ID", "subject_id", "patient_id", "patient")
_PART_COLUMNS = ("part", "split")


def select_rows(options: IngestOptions) -> Generator[LayoutRow, None, None]:
    """The rows of the layout, those that are not wanted turned into `SkippedRow`. `limit` is not looked at. Raises as
    `read_rows`, and `CatalogueError` if the split cannot be used or the data set has no row at all."""
    parts, empty = _read_split(options), True
    for row in read_rows(options):
        empty = empty and isinstance(row, Remark)
        if isinstance(row, RawCase):
            reason = _give_reason_against_part(row, options, parts)
            if reason is None and row.view != UNKNOWN:
                reason = give_reason_against_view(row.view, options)
            if reason is not None:
                yield SkippedRow(row.label, reason)
                continue
        yield row
    if empty:
        place = options.images if options.labels is None else options.labels
        raise CatalogueError(f"There are no films in '{place}'; check the folder and the table of labels.")


def check_data_set(options: IngestOptions) -> None:
    """Read up to the first row, so that nothing is made for a data set that has none. Raises as `select_rows`."""
    with closing(select_rows(options)) as rows:
        next(row for row in rows if not isinstance(row, Remark))


def iterate_layout(options: IngestOptions) -> Iterator[tuple[RawCase, Path]]:
    """The wanted films with their files, not decoded, at most `options.limit`; for evaluation outside a workspace.

    A film of which neither table nor header says the view passes `options.view`. Raises `CatalogueError` for films of
    an archive, which lie in no file.
    """
    if LAYOUTS[options.layout].remote:
        raise CatalogueError("Films of an archive lie in no file; add them to a workspace first with `ingest`.")
    wanted = ((row, Path(row.file)) for row in select_rows(options) if isinstance(row, RawCase))
    for number, pair in enumerate(wanted):
        if options.limit is not None and number >= options.limit:
            return
        yield pair


def give_reason_against_view(view: str, options: IngestOptions) -> str | None:
    """Why a film of this view is not wanted, or None."""
    if options.view is not None and view != options.view.upper():
        return f"view {view}, asked for {options.view.upper()}"
    if not options.include_laterals and view not in (*FRONTAL, UNKNOWN):
        return f"view {view} is not frontal"
    return None


def count_rows(options: IngestOptions) -> int:
    """About how many rows the table has (a line of a quoted report counts as one), 0 without a readable table."""
    table = Path(options.labels) if options.labels else None
    if table is None or not table.is_file():
        return 0
    open_table = gzip.open if table.suffix == ".gz" else open
    try:
        with open_table(table, "rb") as handle:
            return max(sum(1 for _ in handle) - 1, 0)
    except (OSError, EOFError, zlib.error):  # whoever reads the rows reports it
        return 0


def _read_split(options: IngestOptions) -> Mapping[str, str] | None:
    if options.split is None and options.part is None:
        return None
    if options.split is None or options.part is None:
        raise CatalogueError("--split and --part belong together; give both.")
    parts: dict[str, str] = {}
    table = Path(options.split).name
    for row in read_loose_table(options.split, "split"):
        patient = next((row[name] for name in _PATIENT_COLUMNS if name in row), None)
        part = next((row[name] for name in _PART_COLUMNS if name in row), None)
        if patient is None or part is None:
            raise CatalogueError(
                f"The split '{table}' lacks the columns 'Patient ID' and 'part'; it has: {describe_columns(row)}. "
                "Rename them."
            )
        if parts.setdefault(patient, part) != part:
            raise CatalogueError(f"The split '{table}' puts one patient into two parts; correct it.")
    if options.part not in parts.values():
        known = ", ".join(sorted(set(parts.values()))) or "none"
        raise CatalogueError(f"The split '{table}' has no part '{options.part}'; it has: {known}.")
    return parts


def _give_reason_against_part(row: RawCase, options: IngestOptions, parts: Mapping[str, str] | None) -> str | None:
    if parts is None:
        return None
    if row.patient is None:
        return "patient unknown, so in no part of the split"
    number = row.patient.removeprefix(f"{options.layout}:")
    # A DICOM header may name the number's issuer, a split seldom does.
    part = parts.get(number, parts.get(number.split("^^^")[0]))
    if part is None:
        return "patient not in the split"
    return None if part == options.part else f"part {part}, asked for {options.part}"
