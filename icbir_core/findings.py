"""The one vocabulary of findings: names, synonyms and states."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum

from icbir_core.errors import UnknownNameError

NO_FINDING = "No Finding"

_SYNONYMS: Mapping[str, tuple[str, ...]] = {
    "Aortic Enlargement": (),
    "Atelectasis": ("atelectases",),
    "Calcification": (),
    "Cardiomegaly": ("enlarged heart", "enlarged cardiac silhouette"),
    "Consolidation": (),
    "Edema": ("oedema", "pulmonary edema", "pulmonary oedema"),
    "Effusion": ("pleural effusion", "pleural effusions"),
    "Emphysema": (),
    "Enlarged Cardiomediastinum": (),
    "Fibrosis": ("pulmonary fibrosis",),
    "Fracture": ("rib fracture", "clavicle fracture"),
    "Hernia": ("hiatal hernia",),
    "Infiltration": ("infiltrate", "infiltrates"),
    "Interstitial Lung Disease": ("ild",),
    "Lung Lesion": (),
    "Lung Opacity": (),
    "Mass": ("lung mass", "pulmonary mass"),
    "Nodule": ("lung nodule", "pulmonary nodule"),
    "Nodule or Mass": ("nodule/mass",),
    NO_FINDING: ("normal", "no findings", "none"),
    "Pleural Other": (),
    "Pleural Thickening": ("pleural_thickening",),
    "Pneumonia": (),
    "Pneumothorax": (),
    "Support Devices": (),
    "Tuberculosis": (),
}

KNOWN_FINDINGS: tuple[str, ...] = tuple(_SYNONYMS)

_CANONICAL = {name.casefold(): name for name in _SYNONYMS} | {
    synonym.casefold(): name for name, synonyms in _SYNONYMS.items() for synonym in synonyms
}


class FindingState(StrEnum):
    """What is known of a finding in a case. `UNCERTAIN` (the label −1) is a kind of unknown, not the same as blank."""

    PRESENT = "present"
    ABSENT = "absent"
    UNCERTAIN = "uncertain"
    UNKNOWN = "unknown"

    @property
    def known(self) -> bool:
        """True for present and absent only: the two states that may enter a loss or a metric."""
        return self in (FindingState.PRESENT, FindingState.ABSENT)

    def as_number(self) -> float:
        """1.0 for present, 0.0 for absent, NaN for uncertain and unknown (never a negative)."""
        return {FindingState.PRESENT: 1.0, FindingState.ABSENT: 0.0}.get(self, float("nan"))


def find_canonical_name(name: str) -> str | None:
    """The vocabulary's name for `name` (case, underscores and synonyms folded), or None if it is not known."""
    folded = " ".join(str(name).replace("_", " ").split()).casefold()
    return _CANONICAL.get(folded)


def require_canonical_name(name: str) -> str:
    """As `find_canonical_name`, but raises `UnknownNameError` listing the known findings."""
    found = find_canonical_name(name)
    if found is None:
        raise UnknownNameError("finding", name, KNOWN_FINDINGS)
    return found
