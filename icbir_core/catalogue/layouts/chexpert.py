"""CheXpert (Irvin et al., AAAI 2019): train.csv or valid.csv and the folders CheXpert-v1.0[-small]/train, /valid.

The full-size set comes in parts: "CheXpert-v1.0 batch 1 (validate & csv)" holds valid/, the others hold the patients of
train/ directly.
Labels: 1 present, 0 absent, −1 uncertain, blank not mentioned (unknown, unless "No Finding" denies it). Age 0 is
unknown.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path, PurePosixPath

from icbir_core.catalogue.layouts.fields import (
    apply_no_finding,
    describe_cell,
    parse_age,
    parse_sex,
    parse_state,
    parse_view,
    read_table,
)
from icbir_core.catalogue.layouts.finder import FileFinder
from icbir_core.catalogue.layouts.rows import IngestOptions, LayoutRow, RawCase, SkippedRow
from icbir_core.findings import NO_FINDING, FindingState, require_canonical_name

LABELS = (
    *(NO_FINDING, "Enlarged Cardiomediastinum", "Cardiomegaly", "Lung Opacity", "Lung Lesion", "Edema"),
    *("Consolidation", "Pneumonia", "Atelectasis", "Pneumothorax", "Pleural Effusion", "Pleural Other"),
    *("Fracture", "Support Devices"),
)
FINDINGS = tuple(require_canonical_name(label) for label in LABELS)
_PATIENT = re.compile(r"patient\d+", re.IGNORECASE)
_NO_PART = re.compile(rf"{_PATIENT.pattern}|\.", re.IGNORECASE)


def read_rows(options: IngestOptions) -> Iterator[LayoutRow]:
    """One `RawCase` a film; `case_id` is the path below the data set's folder without its ending, "/" as "_"."""
    whole = FileFinder(options.images)
    finders = [whole, *(FileFinder(part) for part in _list_parts(whole.root) if whole.holds(part))]
    for row in read_table(options.labels, ("Path", "Frontal/Lateral", "AP/PA", *LABELS), "chexpert"):
        if isinstance(row, SkippedRow):
            yield row
            continue
        name = row["Path"]
        # Paths start with the data set's folder, which may have been renamed or left out when unpacking; the parts of
        # the full-size set lack train/ as well.
        found = (finder.find(name, strip=2) for finder in finders)
        file: Path | str = next((one for one in found if isinstance(one, Path)), finders[0].find(name))
        states = read_states(row)
        if isinstance(file, str) or isinstance(states, str):
            yield SkippedRow(name, file if isinstance(file, str) else str(states))
            continue
        path = PurePosixPath(name)
        inner = path.parts[1:] if path.parts[0].casefold().startswith("chexpert") else path.parts
        patient = _PATIENT.search(name)
        age = parse_age(row.get("Age"))
        yield RawCase(
            case_id="_".join(PurePosixPath(*inner).with_suffix("").parts),
            file=file,
            patient=f"chexpert:{patient[0].lower()}" if patient else None,
            findings=states,
            view="LATERAL" if row["Frontal/Lateral"].casefold() == "lateral" else parse_view(row["AP/PA"]),
            age=age or None,
            sex=parse_sex(row.get("Sex")),
        )


def _list_parts(images: Path, depth: int = 2) -> list[Path]:
    """The folders that may hold a part of the set, whatever they are called, as deep as archives nest them."""
    try:
        below = sorted(one for one in images.iterdir() if not _NO_PART.match(one.name) and one.is_dir())
    except OSError:
        below = []
    return [part for folder in below if depth for part in (folder, *_list_parts(folder, depth - 1))]


def read_states(row: Mapping[str, str]) -> dict[str, FindingState] | str:
    """States of the fourteen labels (also those of MIMIC-CXR-JPG), or a sentence that says which cell is not one."""
    states: dict[str, FindingState] = {}
    for label, finding in zip(LABELS, FINDINGS, strict=True):
        state = parse_state(row.get(label))
        if state is None:
            return f"column '{label}' holds {describe_cell(row[label])} instead of 1, 0, -1 or blank"
        states[finding] = state
    return apply_no_finding(states, FINDINGS)
