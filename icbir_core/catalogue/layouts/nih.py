"""NIH ChestX-ray14 (Wang et al., CVPR 2017): Data_Entry_2017.csv or Data_Entry_2017_v2020.csv and images_NNN/images.

The table lists every finding that text analysis found in the report, so a finding that is not listed is absent.
The header's brackets hold commas; as the rows have as many values, a plain reader only sees two more columns.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import PurePosixPath

from icbir_core.catalogue.layouts.fields import parse_age, parse_sex, parse_view, read_table
from icbir_core.catalogue.layouts.finder import FileFinder
from icbir_core.catalogue.layouts.rows import IgnoredLabel, IngestOptions, LayoutRow, RawCase, SkippedRow
from icbir_core.findings import NO_FINDING, FindingState, find_canonical_name

FINDINGS = (
    *("Atelectasis", "Cardiomegaly", "Consolidation", "Edema", "Effusion", "Emphysema", "Fibrosis", "Hernia"),
    *("Infiltration", "Mass", "Nodule", "Pleural Thickening", "Pneumonia", "Pneumothorax", NO_FINDING),
)


def read_rows(options: IngestOptions) -> Iterator[LayoutRow]:
    """One `RawCase` a film of the table; `case_id` is the file name without its ending."""
    finder = FileFinder(options.images)
    for row in read_table(options.labels, ("Image Index", "Finding Labels", "Patient ID"), "nih"):
        if isinstance(row, SkippedRow):
            yield row
            continue
        name = row["Image Index"]
        listed = [label.strip() for label in row["Finding Labels"].split("|") if label.strip()]
        present = {label: find_canonical_name(label) for label in listed}
        yield from (IgnoredLabel(label) for label, known in present.items() if known is None)
        if not listed:
            yield SkippedRow(name, "no finding label")
            continue
        file = finder.find(name)
        if isinstance(file, str):
            yield SkippedRow(name, file)
            continue
        known = set(present.values())
        yield RawCase(
            case_id=PurePosixPath(name).stem,
            file=file,
            patient=f"nih:{row['Patient ID']}" if row["Patient ID"] else None,
            findings={
                finding: FindingState.PRESENT if finding in known else FindingState.ABSENT for finding in FINDINGS
            },
            view=parse_view(row.get("View Position")),
            age=parse_age(row.get("Patient Age")),
            sex=parse_sex(row.get("Patient Gender", row.get("Patient Sex"))),
        )
