"""Reading the fields that every data set writes in its own way: tables, ages, sexes, views, states."""

from __future__ import annotations

import csv
import gzip
import re
import zlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import chain, islice, zip_longest
from pathlib import Path
from typing import TextIO

from icbir_core.catalogue.layouts.rows import SkippedRow
from icbir_core.catalogue.layouts.text_files import open_table, refuse_spreadsheet
from icbir_core.errors import CatalogueError
from icbir_core.files import PathLike
from icbir_core.findings import NO_FINDING, FindingState, find_canonical_name
from icbir_core.plurals import count_of
from icbir_core.radiograph.ages import parse_age, parse_sex
from icbir_core.radiograph.views import BLANK_WORDS, FRONTAL, is_blank, parse_view

__all__ = [
    "FRONTAL",
    "apply_no_finding",
    "is_blank",
    "parse_age",
    "parse_sex",
    "parse_state",
    "parse_text",
    "parse_view",
    "read_loose_table",
    "read_table",
]

# A device on the film is no pathology: "No Finding" does not deny it.
NOT_DENIED_BY_NO_FINDING = ("Support Devices",)

_STATES = (
    {text: FindingState.PRESENT for text in ("1", "1.0", "yes", "true", "present", "positive")}
    | {text: FindingState.ABSENT for text in ("0", "0.0", "no", "false", "absent", "negative")}
    | {text: FindingState.UNCERTAIN for text in ("-1", "-1.0", "uncertain")}
    | dict.fromkeys(BLANK_WORDS | {"unknown"}, FindingState.UNKNOWN)
)
_SEPARATOR = re.compile(r'"?sep=(.)"?', re.IGNORECASE)
_WORD, _NUMBER = re.compile(r"[a-z]+|[^a-z\s_.#-]+"), re.compile(r"-?\d{1,3}(\.\d{1,3})?")
_COMMON = frozenset(
    re.findall(
        "[a-z]+",
        """
        accession age ap birth class date dicom file filename film finding findings follow frontal gender id
        image imageid index label labels lateral modality name number pa part path patient patientid position
        projection rad report row series sex side source split study subject text up view viewposition
        """,
    )
)
"""Words that names of columns are made of."""
# Behind the ends of cells: marks of tables that were put together, signs without width, what databases fill up with.
_UNSEEN = str.maketrans("", "", "\ufeff\u200b\0")
_LONGEST_HEAD = 20
_SHORT = "the row is shorter than the header: cut off, or a quote left open"


def describe_columns(names: Iterable[str]) -> str:
    """The columns of a table for a message: those that a table of labels may have by name, and how many others. What is
    taken for a table may be any file of the machine, and its first line must not be told to whoever names it."""
    given = [name for name in names if name]
    told = [name for name in given if find_canonical_name(name) or set(_WORD.findall(name.casefold())) <= _COMMON]
    told, others = told[:12], len(given) - len(told[:12])
    counted = [count_of(others, "column of another name", "columns of other names")] if others else []
    return ", ".join([*told, *counted]) or "nothing"


def describe_cell(text: str) -> str:
    """A cell for a message: a short number as it is, anything else as "another text"."""
    return f"'{text}'" if _NUMBER.fullmatch(text) else "another text"


def read_table(table: PathLike | None, required: Sequence[str], layout: str) -> Iterator[dict[str, str] | SkippedRow]:
    """Rows of a csv file (plain or .gz; comma, semicolon, tab or bar) as dictionaries, one at a time, without empty
    rows.

    Read as spreadsheets write it: UTF-8, UTF-16 or the code page that its words show (`text_files`), with or without a
    line "sep=;".
    A row shorter than the header becomes a `SkippedRow`, since its last cell may be cut as well; where no column is
    required (tables made by hand often leave out what is blank at the end) its other cells are "".
    Raises `CatalogueError` if the file is missing, no such table, or lacks a required column.
    """
    if table is None:
        raise CatalogueError(f"The layout '{layout}' needs a table of labels; name its file.")
    path = Path(table)
    try:
        refuse_spreadsheet(path)
        with open_table(path) as handle:
            header, line = _read_filled_line(handle, 1)
            separator = _SEPARATOR.fullmatch(header.strip("\r\n"))
            if separator is not None:
                header, line = _read_filled_line(handle, line)
            head = [header, *_finish_quote(header, handle)]
            delimiter = separator[1] if separator else _find_delimiter("".join(head))
            reader, first = csv.reader(chain(head, handle), delimiter=delimiter), line - 1
            names = [_strip(name) for name in next(reader, [])]
            missing = [name for name in required if name not in names]
            if missing:
                raise CatalogueError(
                    f"The table '{path.name}' lacks the column '{missing[0]}' of the layout '{layout}'; it has: "
                    f"{describe_columns(names)}. Check the layout and the table."
                )
            named = max((place for place, name in enumerate(names, start=1) if name), default=0)
            line = reader.line_num + first
            for values in reader:
                if any(value.strip() for value in values):
                    if required and len(values) < named:
                        yield SkippedRow(f"line {line}", _SHORT)
                    else:
                        cells = zip_longest(names, values[: len(names)], fillvalue="")
                        yield {name: _strip(value) for name, value in cells if name}
                line = reader.line_num + first
    except (gzip.BadGzipFile, EOFError, zlib.error):
        raise CatalogueError(
            f"The gzip file '{path.name}' is damaged or cut short; download it again, or name the plain .csv."
        ) from None
    except OSError as error:
        raise CatalogueError(
            f"The table '{path}' cannot be read ({error.strerror or error}); name one that is on this machine."
        ) from None
    except (UnicodeError, csv.Error) as error:
        raise CatalogueError(
            f"The table '{path.name}' is damaged or no csv table ({error}); save it again as csv in UTF-8."
        ) from None


def _read_filled_line(handle: TextIO, line: int) -> tuple[str, int]:
    """(the next line that is not blank, "" at the end; the number of the line behind it), from line number `line`."""
    for text in iter(handle.readline, ""):
        line += 1
        if text.strip():
            return text, line
    return "", line


def _finish_quote(header: str, handle: TextIO) -> Iterator[str]:
    """The lines over which a header goes whose names hold line breaks, in quotes; a few where a quote stays open."""
    quotes = header.count('"')
    for text in islice(iter(handle.readline, ""), _LONGEST_HEAD) if quotes % 2 else ():
        yield text
        quotes += text.count('"')
        if quotes % 2 == 0:
            return


def _strip(cell: str) -> str:
    return cell.translate(_UNSEEN).strip()


def _find_delimiter(header: str) -> str:
    """What stands between the columns: a bar only where nothing else does, since it also lists findings."""
    plain = re.sub('"[^"]*"?', "", header)
    return max(",;\t", key=plain.count) if any(sign in plain for sign in ",;\t") else "|"


def read_loose_table(path: PathLike | None, layout: str) -> Iterator[dict[str, str]]:
    """As `read_table` for a table in which no column is required: a row that ends early has blank cells."""
    return (row for row in read_table(path, (), layout) if not isinstance(row, SkippedRow))


def parse_text(text: str | None) -> str | None:
    """The text, or None if blank."""
    return None if is_blank(text) else str(text).strip()


def parse_state(text: str | None) -> FindingState | None:
    """State of a label cell: 1 / 0 / −1 ("1.0", "1,0") / blank and their words; None if it is none of them."""
    return _STATES.get((text or "").strip().casefold().replace(",", "."))


def apply_no_finding(states: Mapping[str, FindingState], findings: Iterable[str]) -> dict[str, FindingState]:
    """`states` with what "No Finding" implies, both ways, for the data set's `findings`. No Finding present: the
    unknown others are absent (devices apart). Another present: an unknown No Finding is absent."""
    result = dict(states)
    names = tuple(findings)
    if result.get(NO_FINDING) is FindingState.PRESENT:
        for name in names:
            if name != NO_FINDING and name not in NOT_DENIED_BY_NO_FINDING and not _said(result, name):
                result[name] = FindingState.ABSENT
    elif NO_FINDING in names and not _said(result, NO_FINDING):
        pathologies = (name for name in result if name not in NOT_DENIED_BY_NO_FINDING)
        if any(result[name] is FindingState.PRESENT for name in pathologies):
            result[NO_FINDING] = FindingState.ABSENT
    return result


def _said(states: Mapping[str, FindingState], name: str) -> bool:
    return states.get(name, FindingState.UNKNOWN) is not FindingState.UNKNOWN
