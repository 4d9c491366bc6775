"""What a DICOM header says about a film, as far as a reader needs it and nothing that names a person."""

from __future__ import annotations

import math
import re
from typing import Any

from pydicom.datadict import dictionary_VR
from pydicom.dataset import Dataset

from icbir_core.radiograph.facts import VERIFIED
from icbir_core.types import UNKNOWN

_VIEWS = {
    "PA": "PA",
    "AP": "AP",
    "LL": "LATERAL",
    "RL": "LATERAL",
    "LAT": "LATERAL",
    "LATERAL": "LATERAL",
    "LLAT": "LATERAL",
    "RLAT": "LATERAL",
}
# ImagerPixelSpacing is measured at the detector; PixelSpacing may have been corrected for magnification.
_SPACINGS = {
    "ImagerPixelSpacing": "at the detector",
    "PixelSpacing": "PixelSpacing, perhaps corrected for magnification",
    "NominalScannedPixelSpacing": "of the film scanner",
}
_DIRECTIONS = {"L": "left", "R": "right", "A": "front", "P": "back", "H": "head", "F": "feet"}
_DAYS = {"Y": 365.25, "M": 365.25 / 12, "W": 7.0, "D": 1.0}
MAX_AGE = 130
# What archives write for "no number": one patient for all of these would exclude strangers from each other.
_NOBODY = {
    "",
    "ANONYMOUS",
    "ANON",
    "ANONYMIZED",
    "ANONYMISED",
    "DEIDENTIFIED",
    "DE-IDENTIFIED",
    "REMOVED",
    "UNKNOWN",
    "0",
}


def describe_header(dataset: Dataset) -> tuple[dict[str, Any], dict[str, str]]:
    """(fields of a `Radiograph`: view, age, sex, spacing, orientation_verified; facts in words)."""
    facts: dict[str, str] = {}
    orientation, sex = read_orientation(dataset), get_text(dataset, "PatientSex").upper()
    fields = {
        "view": read_view(dataset),
        "age": read_age(get_text(dataset, "PatientAge")),
        "sex": sex if sex in ("M", "F") else UNKNOWN,
        "spacing": _read_spacing(dataset, facts),
        "orientation_verified": orientation == ("L", "F"),
    }
    if orientation:
        facts["orientation"] = _describe_orientation(orientation)
    for key, keyword in (("modality", "Modality"), ("body_part", "BodyPartExamined")):
        text = get_text(dataset, keyword).upper()
        if re.fullmatch(r"[A-Z0-9_ ]{1,16}", text):
            facts[key] = text
    if get_text(dataset, "LossyImageCompression") == "01":
        ratio = get_text(dataset, "LossyImageCompressionRatio")
        facts["lossy"] = "compressed with loss" + (f", about {ratio} : 1" if re.fullmatch(r"[0-9.]+", ratio) else "")
    return fields, facts


def get_text(dataset: Dataset, keyword: str) -> str:
    """An element's value as text without blanks at its ends; "" where it is missing or malformed."""
    try:
        value = dataset.get(keyword)
    except Exception:  # a malformed optional element must not cost the film
        return ""
    return "" if value is None else str(value).strip()


def get_texts(dataset: Dataset, keyword: str) -> list[str]:
    """An element's values as texts, one or several; [] where it is missing or malformed."""
    try:
        value = dataset.get(keyword)
        if value is None or isinstance(value, str):
            return [value.strip()] if value and value.strip() else []
        return [str(part).strip() for part in value] if hasattr(value, "__iter__") else [str(value).strip()]
    except Exception:  # as above
        return _get_raw_texts(dataset, keyword)


def _get_raw_texts(dataset: Dataset, keyword: str) -> list[str]:
    """The texts of an element of decimal numbers that pydicom refuses, such as one with decimal commas; else []."""
    value = getattr(dataset.get_item(keyword), "value", None)
    if not isinstance(value, bytes) or dictionary_VR(keyword) not in ("DS", "IS"):
        return []
    return [part.strip(" \0") for part in value.decode("latin-1").split("\\")]


def read_number(text: str) -> float | None:
    """The finite number that a text is, with a decimal point or a decimal comma; None where it is none."""
    try:
        number = float(text.replace(",", ".") if "." not in text else text)
    except ValueError:
        return None
    return number if math.isfinite(number) else None


def get_numbers(dataset: Dataset, keyword: str) -> list[float]:
    """An element's values as finite numbers; [] where any of them is not one."""
    numbers = [read_number(text) for text in get_texts(dataset, keyword)]
    known = [number for number in numbers if number is not None]
    return known if len(known) == len(numbers) else []


def read_patient_number(dataset: Dataset) -> str | None:
    """The patient's number as the archive wrote it, None where it wrote none. It names a person: only to be hashed."""
    patient = get_text(dataset, "PatientID")
    return None if patient.upper() in _NOBODY else patient


def read_age(text: str) -> int | None:
    """Whole years from an age string ("057Y", "018M", "003W", "012D", or bare years); None where it says nothing."""
    match = re.fullmatch(r"(\d{1,3})\s*([YMWD]?)", text.strip().upper())
    if not match:
        return None
    years = int(int(match[1]) * _DAYS[match[2] or "Y"] / _DAYS["Y"] + 1e-9)
    return years if years <= MAX_AGE else None


def read_view(dataset: Dataset) -> str:
    """ "PA", "AP", "LATERAL" or "unknown", from ViewPosition, else the view code's meaning, else the orientation."""
    view = _VIEWS.get(get_text(dataset, "ViewPosition").upper())
    if view:
        return view
    try:
        meaning = str(dataset.ViewCodeSequence[0].CodeMeaning).lower().replace("-", "").replace(" ", "")
    except (AttributeError, IndexError, KeyError, TypeError):
        meaning = ""
    for word, name in (("posteroanterior", "PA"), ("anteroposterior", "AP"), ("lateral", "LATERAL")):
        if word in meaning:
            return name
    orientation = read_orientation(dataset)
    return "LATERAL" if orientation and orientation[0] in "AP" and orientation[1] == "F" else UNKNOWN


def read_orientation(dataset: Dataset) -> tuple[str, str] | None:
    """Where the rows run and where the columns run: letters of L R A P H F, main direction only; None if not said."""
    letters = [text[0].upper() for text in get_texts(dataset, "PatientOrientation") if text]
    return tuple(letters) if len(letters) == 2 and all(letter in _DIRECTIONS for letter in letters) else None


def _describe_orientation(orientation: tuple[str, str]) -> str:
    across, down = (_DIRECTIONS[letter] for letter in orientation)
    if orientation == ("L", "F"):
        return VERIFIED
    text = f"header: rows run to the patient's {across}, columns to the {down}; shown as stored"
    return f"MIRRORED, patient's left on the viewer's left ({text})" if orientation == ("R", "F") else text


def _read_spacing(dataset: Dataset, facts: dict[str, str]) -> tuple[float, float] | None:
    for keyword, meaning in _SPACINGS.items():
        numbers = get_numbers(dataset, keyword)
        if len(numbers) == 2 and min(numbers) > 0.0:
            facts["spacing"] = meaning
            return (numbers[0], numbers[1])
    return None
