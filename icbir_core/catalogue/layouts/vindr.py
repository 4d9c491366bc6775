"""VinDr-CXR (Nguyen et al., Scientific Data 2022): train.csv with a row a box and reader, films as <image_id>.dicom.

Each film was read by three radiologists. A finding that more than half of them marked is present, one that nobody
marked is absent, and one that only a minority marked is uncertain. The data set holds postero-anterior films only.
"""

from __future__ import annotations

from collections.abc import Iterator

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
    readers: dict[str, set[str]] = {}
    votes: dict[str, dict[str, set[str]]] = {}
    for row in read_table(options.labels, ("image_id", "class_name"), "vindr"):
        # The published test table is a consensus and names no reader.
        image, label, reader = row["image_id"], row["class_name"], row.get("rad_id", "consensus")
        readers.setdefault(image, set()).add(reader)
        finding = find_canonical_name(label)
        if finding is not None:
            votes.setdefault(image, {}).setdefault(finding, set()).add(reader)
        elif parse_text(label):
            yield IgnoredLabel(label)
    named = (*FINDINGS, *(name for given in votes.values() for name in given))
    findings = tuple(dict.fromkeys(named))
    for image, seen_by in readers.items():
        file = finder.find(image)
        if isinstance(file, str):
            yield SkippedRow(image, file)
            continue
        given = votes.get(image, {})
        states = {finding: _judge(len(given.get(finding, ())), len(seen_by)) for finding in findings}
        yield RawCase(case_id=image, file=file, findings=states, view="PA")


def _judge(votes: int, readers: int) -> FindingState:
    if votes == 0:
        return FindingState.ABSENT
    return FindingState.PRESENT if 2 * votes > readers else FindingState.UNCERTAIN
