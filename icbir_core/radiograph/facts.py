"""What is known of a film, in words for the reader."""

from __future__ import annotations

import re

from icbir_core.types import UNKNOWN, Radiograph

VERIFIED = "patient's right on the viewer's left, as the header states"
# Computed, digital and scanned radiography, fluoroscopy; DR and XR are written for DX. Secondary captures are often
# screens.
MODALITIES = ("CR", "DX", "RG", "RF", "DR", "XR")
_SEXES = {"M": "male", "F": "female"}
_FACT_LABELS = {
    "window": "Window",
    "photometric": "Grey scale",
    "padding": "Padding",
    "rescale": "Rescale",
    "levels": "Grey levels",
    "frames": "Pictures in file",
    "lossy": "Compression",
    "colour": "Colour",
    "transparency": "Transparency",
    "exif": "Orientation in file",
    "modality": "Modality",
    "body_part": "Body part",
    "burned_in": "Text",
    "capture": "Text",
}


def describe_facts(radiograph: Radiograph) -> list[tuple[str, str]]:
    """(label, text) of everything a reader may want to know of a film; what is not known says "unknown"."""
    rows, columns = radiograph.pixels.shape
    facts = radiograph.facts
    lines = [
        ("View", radiograph.view),
        ("Age", UNKNOWN if radiograph.age is None else f"{radiograph.age} years"),
        ("Sex", _SEXES.get(radiograph.sex, UNKNOWN)),
        ("Right / left", _describe_sides(radiograph)),
        ("Pixel spacing", _describe_spacing(radiograph)),
        ("Size", f"{columns} × {rows} pixels"),
        ("Grey depth", f"{radiograph.stored_bits} bits"),
        ("Format", facts.get("encoding", radiograph.source_format)),
    ]
    return lines + [(label, facts[key]) for key, label in _FACT_LABELS.items() if key in facts]


def name_modality(modality: str) -> str:
    """The modality, where it is one by its form: the field may hold any text, which may name a person."""
    return modality if re.fullmatch(r"[A-Z]{2}", modality) else "of another kind"


def _describe_sides(radiograph: Radiograph) -> str:
    # A film of the catalogue has lost its header; its row holds what was kept of it.
    kept = VERIFIED if radiograph.orientation_verified else "orientation unverified"
    return radiograph.facts.get("orientation", kept)


def _describe_spacing(radiograph: Radiograph) -> str:
    if radiograph.spacing is None:
        return UNKNOWN
    row, column = radiograph.spacing
    size = f"{row:.3f} mm" if row == column else f"{row:.3f} × {column:.3f} mm (row × column)"
    return size + (f", {radiograph.facts['spacing']}" if "spacing" in radiograph.facts else "")
