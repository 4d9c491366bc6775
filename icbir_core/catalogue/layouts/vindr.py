"""VinDr-CXR (Nguyen et al., Scientific Data 2022): train.csv with a row a box and reader, films as <image_id>.dicom.

Each film was read by three radiologists. A finding that more than half of them marked is present, one that nobody
marked is absent, and one that only a minority marked is uncertain. The data set holds postero-anterior films only.
The rows of one film may lie apart: they are collected in a temporary table on disk, so that memory does not grow.
"""

from __future__ import annotations

import sqlite3
from collections import Counter
from collections.abc import Iterator
from contextlib import closing

from icbir_core.catalogue.layouts.fields import parse_text, read_table
from icbir_core.catalogue.layouts.finder import FileFinder
from icbir_core.catalogue.layouts.rows import IgnoredLabel, IngestOptions, LayoutRow, RawCase, SkippedRow
from icbir_core.findings import FindingState, find_canonical_name, require_canonical_name

LABELS = (
    *("Aortic enlargement", "Atelectasis", "Calcification", "Cardiomegaly", "Consolidation", "ILD", "Infiltration"),
    *("Lung Opacity", "Nodule/Mass", "Pleural effusion", "Pleural thickening", "Pneumothorax", "Pulmonary fibrosis"),
    "No finding",
)
FINDINGS = tuple(require_canonical_name(label) for label in LABELS)


def read_rows(options: IngestOptions) -> Iterator[LayoutRow]:
    """One `RawCase` a film; `case_id` is its image_id. Boxes are not kept."""
    finder = FileFinder(options.images, endings=(".dicom", ".dcm", ".png", ".jpg"))
    # A database without a name is a temporary file, which SQLite removes when it is closed.
    with closing(sqlite3.connect("")) as database:
        insert = database.execute("CREATE TABLE votes (image TEXT, reader TEXT, finding TEXT)")
        for row in read_table(options.labels, ("image_id", "class_name"), "vindr"):
            if isinstance(row, SkippedRow):
                yield row
                continue
            label = row["class_name"]
            finding = find_canonical_name(label)
            # The published test table is a consensus and names no reader.
            vote = row["image_id"], row.get("rad_id", "consensus"), finding
            insert.execute("INSERT INTO votes VALUES (?, ?, ?)", vote)
            if finding is None and parse_text(label):
                yield IgnoredLabel(label)
        database.execute("CREATE INDEX by_image ON votes (image)")
        named = (name for (name,) in database.execute("SELECT DISTINCT finding FROM votes WHERE finding IS NOT NULL"))
        findings = tuple(dict.fromkeys((*FINDINGS, *sorted(named))))
        for (image,) in database.execute("SELECT image FROM votes GROUP BY image ORDER BY min(rowid)"):
            file = finder.find(image)
            if isinstance(file, str):
                yield SkippedRow(image, file)
                continue
            given = database.execute("SELECT DISTINCT reader, finding FROM votes WHERE image = ?", (image,)).fetchall()
            readers = len({reader for reader, _ in given})
            votes = Counter(finding for _, finding in given)
            states = {finding: _judge(votes[finding], readers) for finding in findings}
            yield RawCase(case_id=image, file=file, findings=states, view="PA")


def _judge(votes: int, readers: int) -> FindingState:
    if votes == 0:
        return FindingState.ABSENT
    return FindingState.PRESENT if 2 * votes > readers else FindingState.UNCERTAIN
