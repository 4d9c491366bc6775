"""Reading the fields that every data set writes in its own way: tables, ages, sexes, views, states."""

from __future__ import annotations

import csv
import gzip
import re
import zlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import zip_longest
from pathlib import Path

from icbir_core.catalogue.layouts.rows import SkippedRow
from icbir_core.errors import CatalogueError
from icbir_core.files import PathLike
from icbir_core.findings import NO_FINDING, FindingState
from icbir_core.types import UNKNOWN

FRONTAL = ("PA", "AP")
# A device on the film is no pathology: "No Finding" does not deny it.
NOT_DENIED_BY_NO_FINDING = ("Support Devices",)

_BLANK = {"", "nan", "none", "null", "na", "n/a"}
_STATES = (
    {text: FindingState.PRESENT for text in ("1", "1.0", "yes", "true", "present", "positive")}
    | {text: FindingState.ABSENT for text in ("0", "0.0", "no", "false", "absent", "negative")}
    | {text: FindingState.UNCERTAIN for text in ("-1", "-1.0", "uncertain")}
    | dict.fromkeys(_BLANK | {"unknown"}, FindingState.UNKNOWN)
)
_VIEWS = {"POSTEROANTERIOR": "PA", "ANTEROPOSTERIOR": "AP", "POSTERO-ANTERIOR": "PA", "ANTERO-POSTERIOR": "AP"} | (
    dict.fromkeys(("L", "LL", "RL", "LAT", "LATERAL", "LEFT LATERAL", "RIGHT LATERAL"), "LATERAL")
)
_SEXES = {"M": "M", "MALE": "M", "F": "F", "FEMALE": "F"}
_AGE = re.compile(r"(\d+(?:\.\d+)?)\s*([YMWD]?)", re.IGNORECASE)
_YEARS_IN = {"": 1.0, "Y": 1.0, "M": 1 / 12, "W": 7 / 365.25, "D": 1 / 365.25}
OLDEST = 120
_SHORT = "the row is shorter than the header: cut off, or a quote left open"


def read_table(path: PathLike | None, required: Sequence[str], layout: str) -> Iterator[dict[str, str] | SkippedRow]:
    """Rows of a csv file (plain or .gz; comma, semicolon or tab) as dictionaries, one at a time.

    A row shorter than the header becomes a `SkippedRow`, since its last cell may be cut as well; where no column is
    required (tables made by hand often leave out what is blank at the end) its other cells are "".
    Raises `CatalogueError` if the file is missing, not text, or lacks a required column.
    """
    if path is None:
        raise CatalogueError(f"Expected a table of labels for the layout '{layout}', got none; name its file.")
    path = Path(path)
    try:
        open_table = gzip.open if path.suffix == ".gz" else open
        with open_table(path, "rt", encoding="utf-8-sig", newline="") as handle:
            header = handle.readline()
            delimiter = max(",;\t", key=header.count)
            names = [name.strip() for name in next(csv.reader([header], delimiter=delimiter), [])]
            missing = [name for name in required if name not in names]
            if missing:
                raise CatalogueError(
                    f"Expected the column '{missing[0]}' of the layout '{layout}' in '{path.name}', got: "
                    f"{', '.join(names[:12]) or 'an empty file'}; check the layout and the table."
                )
            named = max((place for place, name in enumerate(names, start=1) if name), default=0)
            reader, line = csv.reader(handle, delimiter=delimiter), 2
            for values in reader:
                if required and 0 < len(values) < named:
                    yield SkippedRow(f"line {line}", _SHORT)
                elif values:
                    cells = zip_longest(names, values[: len(names)], fillvalue="")
                    yield {name: value.strip() for name, value in cells if name}
                line = reader.line_num + 2
    except (gzip.BadGzipFile, EOFError, zlib.error):
        raise CatalogueError(
            f"Expected a whole gzip file in '{path.name}', got a damaged or truncated one; download it again, or name "
            "the plain .csv."
        ) from None
    except OSError as error:
        raise CatalogueError(
            f"Expected a readable table '{path}', got: {error.strerror or error}; name one that is on this machine."
        ) from None
    except (UnicodeDecodeError, csv.Error) as error:
        raise CatalogueError(
            f"Expected a csv table in UTF-8 in '{path.name}', got: {error}; save it as such."
        ) from None


def is_blank(text: str | None) -> bool:
    """True for the ways in which tables write "nothing here"."""
    return text is None or text.strip().casefold() in _BLANK


def parse_text(text: str | None) -> str | None:
    """The text, or None if blank."""
    return None if is_blank(text) else str(text).strip()


def parse_age(text: str | None) -> int | None:
    """Whole years from "57", "057Y", "018M" or "57.0"; None if blank, unreadable or beyond 120 (a typing error)."""
    found = _AGE.fullmatch((text or "").strip())
    if found is None:
        return None
    years = int(float(found[1]) * _YEARS_IN[found[2].upper()])
    return years if years <= OLDEST else None


def parse_sex(text: str | None) -> str:
    """ "M", "F" or "unknown"."""
    return _SEXES.get((text or "").strip().upper(), UNKNOWN)


def parse_view(text: str | None) -> str:
    """ "PA", "AP", "LATERAL", "unknown" if blank, or another projection's own name in capitals."""
    if is_blank(text):
        return UNKNOWN
    view = " ".join(str(text).replace("_", " ").upper().split())
    if view == UNKNOWN.upper():
        return UNKNOWN
    if view in _VIEWS:
        return _VIEWS[view]
    first = view.split()[0]
    # "AP SUPINE", "AP HORIZONTAL", "PA LLD" are frontal; "AP AXIAL" (lordotic) shows another picture.
    return first if first in FRONTAL and "AXIAL" not in view else view


def parse_state(text: str | None) -> FindingState | None:
    """State of a label cell: 1 / 0 / −1 / blank and their words; None if it is none of them."""
    return _STATES.get((text or "").strip().casefold())


def apply_no_finding(states: Mapping[str, FindingState], findings: Iterable[str]) -> dict[str, FindingState]:
    """`states` with what "No Finding" implies, both ways, for the data set's `findings`.

    No Finding present: the unknown others are absent (devices apart). Another present: an unknown No Finding is absent.
    """
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
