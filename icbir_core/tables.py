"""Tables for people (CSV): what a spreadsheet opens as it was meant, whatever names stand in it.

A cell that begins like a formula would be computed by the spreadsheet, and names of cases come from names of files: an
apostrophe goes before it. The same within a cell after a semicolon, tab, bar or line break: a spreadsheet that expects
another separator than the comma divides the cell there, whatever quotes are around it. The byte order mark tells a
spreadsheet that the letters are UTF-8. See the page "CSV injection" of the Open Worldwide Application Security Project.
"""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from pathlib import Path

from icbir_core.files import PathLike
from icbir_core.types import shorten

ENCODING = "utf-8-sig"
_ACTIVE = re.compile(r"'*\s*[=+\-@\t\r\n＝＋－＠]")
_DIVIDED = re.compile(r"([;|\t\r\n]['\"\s]*)([=+\-@＝＋－＠])")
_MENDED = re.compile(r"([;|\t\r\n]['\"\s]*)'([=+\-@＝＋－＠])")
_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?")

Cell = str | int | float | None


def write_table(columns: Sequence[str], rows: Iterable[Sequence[Cell]], last: str = "") -> bytes:
    """A table as the bytes of a CSV file, in UTF-8 with a byte order mark. Numbers stay numbers, None is an empty cell.

    last : one line more, as it is, such as a comment.
    """
    buffer = io.StringIO(newline="")
    writer = csv.writer(buffer)
    writer.writerow([_write_cell(one) for one in columns])
    writer.writerows([_write_cell(one) for one in row] for row in rows)
    if last:
        buffer.write(f"{last}\r\n")
    return buffer.getvalue().encode(ENCODING)


def read_table(path: PathLike, columns: int) -> Iterator[list[str]]:
    """The rows of a table of `write_table`, without its header, as they were given to it; those of another number of
    columns are left out."""
    with Path(path).open(newline="", encoding=ENCODING, errors="replace") as handle:
        for row in islice(csv.reader(handle), 1, None):
            if len(row) == columns:
                yield [_read_cell(cell) for cell in row]


def _read_cell(cell: str) -> str:
    plain = _MENDED.sub(r"\1\2", cell)
    return plain[1:] if plain.startswith("'") and _ACTIVE.match(plain[1:]) else plain


def _write_cell(value: Cell) -> str:
    if value is None:
        return ""
    if isinstance(value, float):
        return repr(shorten(value))
    text = _DIVIDED.sub(r"\1'\2", str(value))
    return f"'{text}" if _ACTIVE.match(text) and not _NUMBER.fullmatch(text) else text
