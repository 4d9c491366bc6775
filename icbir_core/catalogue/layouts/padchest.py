"""PadChest (Bustos et al., Medical Image Analysis 2020): PADCHEST_chest_x_ray_images_labels_160K_01.02.19.csv[.gz].

`Labels` is a Python list as text, drawn from the radiologist's report, so a finding that is not listed is absent. A
label stands for its parent in the authors' tree of findings as well ("laminar atelectasis" is an atelectasis). Reports
are in Spanish, stemmed. Films are 16-bit PNG.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping
from pathlib import PurePosixPath

from icbir_core.catalogue.layouts.fields import parse_age, parse_sex, parse_text, parse_view, read_table
from icbir_core.catalogue.layouts.finder import FileFinder
from icbir_core.catalogue.layouts.rows import IngestOptions, LayoutRow, RawCase, SkippedRow
from icbir_core.findings import NO_FINDING, FindingState

# Finding → the authors' labels that assert it: the label itself and what stands below it in their tree.
_TREE: Mapping[str, tuple[str, ...]] = {
    "Atelectasis": (
        *("atelectasis", "total atelectasis", "lobar atelectasis", "segmental atelectasis", "laminar atelectasis"),
        *("round atelectasis", "atelectasis basal"),
    ),
    "Cardiomegaly": ("cardiomegaly",),
    "Consolidation": ("consolidation", "air bronchogram"),
    "Edema": ("pulmonary edema",),
    "Effusion": (
        *("pleural effusion", "loculated pleural effusion", "loculated fissural effusion", "hydropneumothorax"),
        *("empyema", "hemothorax"),
    ),
    "Emphysema": ("emphysema",),
    "Fibrosis": ("pulmonary fibrosis",),
    "Fracture": ("fracture", "clavicle fracture", "humeral fracture", "vertebral fracture", "rib fracture"),
    "Hernia": ("hiatal hernia",),
    "Infiltration": (
        *("infiltrates", "interstitial pattern", "ground glass pattern", "reticular interstitial pattern"),
        *("reticulonodular interstitial pattern", "miliary opacities", "alveolar pattern", "consolidation"),
        "air bronchogram",
    ),
    "Mass": ("pulmonary mass",),
    "Nodule": ("nodule", "multiple nodules"),
    "Pleural Thickening": ("pleural thickening", "apical pleural thickening", "calcified pleural thickening"),
    "Pneumonia": ("pneumonia", "atypical pneumonia"),
    "Pneumothorax": ("pneumothorax", "hydropneumothorax"),
    "Tuberculosis": ("tuberculosis", "tuberculosis sequelae"),
    NO_FINDING: ("normal",),
}
# A bare "mass" may lie in the breast or in soft tissue: whether the lung carries one is then not known.
_UNSURE = {"Mass": ("mass",)}
_UNUSABLE = ("exclude", "suboptimal study", "unchanged")


def read_rows(options: IngestOptions) -> Iterator[LayoutRow]:
    """One `RawCase` a film; `case_id` is the file name without its ending."""
    finder = FileFinder(options.images)
    for row in read_table(options.labels, ("ImageID", "PatientID", "Projection", "Labels"), "padchest"):
        if isinstance(row, SkippedRow):
            yield row
            continue
        name = row["ImageID"]
        labels = _parse_labels(row["Labels"])
        if labels is None:
            yield SkippedRow(name, "no finding label")
            continue
        unusable = [label for label in _UNUSABLE if label in labels]
        file = finder.find(name)
        if unusable or isinstance(file, str):
            yield SkippedRow(name, f"labelled '{unusable[0]}'" if unusable else str(file))
            continue
        projection = parse_view(row["Projection"])
        yield RawCase(
            case_id=PurePosixPath(name).stem,
            file=file,
            patient=f"padchest:{row['PatientID']}" if parse_text(row["PatientID"]) else None,
            findings={finding: _judge(finding, labels) for finding in _TREE},
            view=projection,
            age=_find_age(row),
            sex=parse_sex(row.get("PatientSex_DICOM")),
            report=parse_text(row.get("Report")),
        )


def _parse_labels(text: str) -> set[str] | None:
    try:
        listed = ast.literal_eval(text)
    except (ValueError, SyntaxError):
        return None
    if not isinstance(listed, list):
        return None
    return {label.strip().casefold() for label in listed if isinstance(label, str) and label.strip()} or None


def _judge(finding: str, labels: set[str]) -> FindingState:
    if labels.intersection(_TREE[finding]):
        # "normal" beside another label speaks of the rest of the film.
        alone = finding != NO_FINDING or len(labels) == 1
        return FindingState.PRESENT if alone else FindingState.ABSENT
    return FindingState.UNKNOWN if labels.intersection(_UNSURE.get(finding, ())) else FindingState.ABSENT


def _find_age(row: Mapping[str, str]) -> int | None:
    """Year of the study less year of birth: one year exact."""
    birth, study = row.get("PatientBirth", "")[:4], row.get("StudyDate_DICOM", "")[:4]
    return parse_age(str(int(study) - int(birth))) if birth.isdigit() and study.isdigit() else None
