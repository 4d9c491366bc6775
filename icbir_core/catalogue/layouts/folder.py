"""A plain folder of films, with or without a table. Columns are found by their usual names.

Findings come from one column a finding (1 / 0 / −1 / blank) or from one column that lists them, separated by "|". In
the second form what is listed is present and the rest unknown, except that "No Finding" makes the others absent.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import PurePosixPath

from icbir_core.catalogue.layouts.fields import (
    apply_no_finding,
    describe_cell,
    describe_columns,
    parse_age,
    parse_sex,
    parse_state,
    parse_text,
    parse_view,
    read_loose_table,
)
from icbir_core.catalogue.layouts.finder import ENDINGS, FileFinder, begins_like_film, has_film_ending
from icbir_core.catalogue.layouts.rows import IgnoredLabel, IngestOptions, LayoutRow, OtherFile, RawCase, SkippedRow
from icbir_core.errors import CatalogueError
from icbir_core.findings import FindingState, find_canonical_name

SYNONYMS: Mapping[str, tuple[str, ...]] = {
    "image": ("image", "file", "filename", "file name", "path", "image path", "image index", "image id", "imageid"),
    "patient": ("patient", "patient id", "patientid", "subject", "subject id"),
    "view": ("view", "view position", "viewposition", "projection"),
    "age": ("age", "patient age"),
    "sex": ("sex", "gender", "patient sex", "patient gender"),
    "report": ("report", "report text"),
    "diagnosis": ("diagnosis", "proven diagnosis"),
    "listed": ("finding", "findings", "label", "labels", "finding labels"),
}
_LEFT_OUT_OF_NAMES = (".png", ".jpg", ".jpeg", ".dcm", ".dicom")
_ROLES = {name: role for role, names in SYNONYMS.items() for name in names}


def read_rows(options: IngestOptions) -> Iterator[LayoutRow]:
    """One `RawCase` a film; `case_id` is the path below the images folder without a usual film ending, "/" as "__"."""
    finder = FileFinder(options.images, endings=("", *(ending for ending in ENDINGS if ending)))
    if options.labels is None:
        for number, file in enumerate(finder.walk(), start=1):
            case_id = _name_case(file.relative_to(finder.root).as_posix())
            item = f"file {number}" if options.private else ""
            if (reason := finder.check(file)) is not None:
                yield SkippedRow(item or case_id, reason)
            elif has_film_ending(file.name) or begins_like_film(file):
                yield RawCase(case_id=case_id, file=file, private=options.private, item=item)
            else:
                yield OtherFile()
        return
    findings = _list_findings(options)
    roles: dict[str, str] | None = None
    for number, row in enumerate(read_loose_table(options.labels, "folder"), start=2):
        if roles is None:
            roles = find_roles(list(row))
            yield from (IgnoredLabel(f"column '{column}'") for column in row if column not in roles)
        yield from _read_row(row, roles, findings, finder, options, number)


def find_roles(columns: Sequence[str]) -> dict[str, str]:
    """Column → "image", "patient", …, "listed" or a finding. Raises `CatalogueError` without an image column."""
    roles: dict[str, str] = {}
    for column in columns:
        folded = " ".join(column.replace("_", " ").split()).casefold()
        role = _ROLES.get(folded) or find_canonical_name(column)
        if role is None:
            continue
        if role in roles.values():
            raise CatalogueError(f"Two columns stand for '{role}', one of them '{column}'; rename or drop one.")
        roles[column] = role
    if "image" not in roles.values():
        known = ", ".join(SYNONYMS["image"])
        raise CatalogueError(
            f"No column names the film ({known}); the table has: {describe_columns(columns)}. Rename one."
        )
    return roles


def _read_row(
    row: Mapping[str, str],
    roles: Mapping[str, str],
    findings: Sequence[str],
    finder: FileFinder,
    options: IngestOptions,
    number: int,
) -> Iterator[LayoutRow]:
    values = {roles[column]: value for column, value in row.items() if column in roles}
    name = values.get("image", "")
    # A private data set's file names may name patients, so a skipped row is named by its line.
    item = f"line {number}" if options.private or not name else name
    file = finder.find(name) if name else "no film named"
    if isinstance(file, str):
        yield SkippedRow(item, file)
        return
    states: dict[str, FindingState] = {}
    for label in (label.strip() for label in values.get("listed", "").split("|")):
        finding = find_canonical_name(label) if parse_text(label) or label.casefold() == "none" else None
        if finding is not None:
            states[finding] = FindingState.PRESENT
        elif parse_text(label):
            yield IgnoredLabel(label)
    for column, role in roles.items():
        if role in SYNONYMS:
            continue
        state = parse_state(row.get(column))
        if state is None:
            yield SkippedRow(item, f"column '{column}' holds {describe_cell(row[column])} instead of 1, 0, -1 or blank")
            return
        states[role] = state
    yield RawCase(
        case_id=_name_case(name if finder.is_relative(name) else file.relative_to(finder.root).as_posix()),
        file=file,
        patient=parse_text(values.get("patient")),
        findings=apply_no_finding(states, findings),
        view=parse_view(values.get("view")),
        age=parse_age(values.get("age")),
        sex=parse_sex(values.get("sex")),
        report=parse_text(values.get("report")),
        diagnosis=parse_text(values.get("diagnosis")),
        private=options.private,
        item=item,
    )


def _list_findings(options: IngestOptions) -> tuple[str, ...]:
    """The findings of the table: which others "No Finding" denies depends on all rows, so they are listed first."""
    found: dict[str, None] = {}
    for row in read_loose_table(options.labels, "folder"):
        roles = find_roles(list(row))
        found |= dict.fromkeys(role for role in roles.values() if role not in SYNONYMS)
        listed = [column for column, role in roles.items() if role == "listed"]
        if not listed:
            break
        labels = (find_canonical_name(label) for label in row[listed[0]].split("|") if label.strip())
        found |= dict.fromkeys(name for name in labels if name)
    return tuple(found)


def _name_case(name: str) -> str:
    # A name whose bytes are no UTF-8 is held with stand-ins, which neither the case table nor a list can store.
    plain = name.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
    path = PurePosixPath(plain if plain != name else name.replace("\\", "/"))
    stem = path.with_suffix("") if path.suffix.lower() in _LEFT_OUT_OF_NAMES else path
    return "__".join(part for part in stem.parts if part != ".")
