"""VinDr-CXR (Nguyen et al., Scientific Data 2022): films as <image_id>.dicom, and one of its two kinds of table.

train.csv or annotations_….csv have a row a box and reader; image_labels_….csv have a row a film and reader, with a
column a finding.

Each film was read by three radiologists. A finding that more than half of them marked is present, one that nobody
marked is absent, and one that only a minority marked is uncertain. The data set holds postero-anterior films only.
The rows of one film may lie apart: they are collected in a temporary table on disk, so that memory does not grow.
"""

from __future__ import annotations

import sqlite3
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import closing

from icbir_core.catalogue.layouts.fields import describe_cell, describe_columns, parse_state, parse_text, read_table
from icbir_core.catalogue.layouts.finder import FileFinder
from icbir_core.catalogue.layouts.rows import IgnoredLabel, IngestOptions, LayoutRow, RawCase, SkippedRow
from icbir_core.errors import CatalogueError
from icbir_core.findings import FindingState, find_canonical_name, require_canonical_name

LABELS = (
    *("Aortic enlargement", "Atelectasis", "Calcification", "Cardiomegaly", "Consolidation", "ILD", "Infiltration"),
    *("Lung Opacity", "Nodule/Mass", "Pleural effusion", "Pleural thickening", "Pneumothorax", "Pulmonary fibrosis"),
    "No finding",
)
_KEYS = ("image_id", "rad_id")
FINDINGS = tuple(require_canonical_name(label) for label in LABELS)


def read_rows(options: IngestOptions) -> Iterator[LayoutRow]:
    """One `RawCase` a film; `case_id` is its image_id. Boxes are not kept."""
    finder = FileFinder(options.images, endings=(".dicom", ".dcm", ".png", ".jpg", ".jpeg", ""))
    # A database without a name is a temporary file, which SQLite removes when it is closed.
    with closing(sqlite3.connect("")) as database:
        database.execute("CREATE TABLE votes (image TEXT, reader TEXT, finding TEXT)")
        findings: tuple[str, ...] | None = None
        for row in read_table(options.labels, ("image_id",), "vindr"):
            if isinstance(row, SkippedRow):
                yield row
                continue
            if findings is None:
                columns, findings = _find_columns(row, options)
                yield from (
                    IgnoredLabel(f"column '{name}'") for name in row if columns and name not in {*columns, *_KEYS}
                )
            reason, votes, unknown = _read_votes(row, columns)
            if reason is not None:
                yield SkippedRow(row["image_id"], reason)
                continue
            yield from (IgnoredLabel(label) for label in unknown)
            # The published test tables are a consensus and name no reader.
            reader = row.get("rad_id", "consensus")
            rows = ((row["image_id"], reader, finding) for finding in votes or (None,))
            database.executemany("INSERT INTO votes VALUES (?, ?, ?)", rows)
        yield from _count_votes(database, finder, findings or ())


def _find_columns(row: Mapping[str, str], options: IngestOptions) -> tuple[dict[str, str], tuple[str, ...]]:
    """(column → finding, where the table has a column a finding; the findings that nobody marked are absent of)."""
    if "class_name" in row:
        return {}, FINDINGS
    columns = {name: finding for name in row if name not in _KEYS and (finding := find_canonical_name(name))}
    if not columns:
        raise CatalogueError(
            f"The table '{options.labels}' has neither the column 'class_name' nor a column a finding; it has: "
            f"{describe_columns(row)}. Check the layout and the table."
        )
    return columns, tuple(dict.fromkeys(columns.values()))


def _read_votes(row: Mapping[str, str], columns: Mapping[str, str]) -> tuple[str | None, list[str], list[str]]:
    """(why the row cannot be read, or None; findings that its reader marked; labels outside the vocabulary)."""
    if not columns:
        label = row["class_name"]
        finding = find_canonical_name(label)
        return None, [finding] if finding else [], [label] if finding is None and parse_text(label) else []
    votes = []
    for column, finding in columns.items():
        state = parse_state(row[column])
        if state is None:
            return f"column '{column}' holds {describe_cell(row[column])} instead of 1, 0, -1 or blank", [], []
        if state is FindingState.PRESENT:
            votes.append(finding)
    return None, votes, []


def _count_votes(database: sqlite3.Connection, finder: FileFinder, findings: tuple[str, ...]) -> Iterator[LayoutRow]:
    database.execute("CREATE INDEX by_image ON votes (image)")
    named = (name for (name,) in database.execute("SELECT DISTINCT finding FROM votes WHERE finding IS NOT NULL"))
    findings = tuple(dict.fromkeys((*findings, *sorted(named))))
    for (image,) in database.execute("SELECT image FROM votes GROUP BY image ORDER BY min(rowid)"):
        file = finder.find(image)
        if isinstance(file, str):
            yield SkippedRow(image, file)
            continue
        given = database.execute("SELECT DISTINCT reader, finding FROM votes WHERE image = ?", (image,)).fetchall()
        readers = len({reader for reader, _ in given})
        votes = Counter(finding for _, finding in given)
        states = {finding: _judge(votes[finding], readers) for finding in findings}
        yield RawCase(case_id=image, file=file, findings=states, usual_view="PA")


def _judge(votes: int, readers: int) -> FindingState:
    if votes == 0:
        return FindingState.ABSENT
    return FindingState.PRESENT if 2 * votes > readers else FindingState.UNCERTAIN
