"""What a DICOM header says about a film, as far as a reader needs it and nothing that names a person."""

from __future__ import annotations

import math
import re
from typing import Any

from pydicom.dataset import Dataset
from pydicom.uid import SecondaryCaptureImageStorage

from icbir_core.radiograph.ages import compute_age, parse_age, parse_sex
from icbir_core.radiograph.facts import VERIFIED, name_modality
from icbir_core.radiograph.views import (
    AXIAL,
    DECUBITUS,
    OBLIQUE,
    choose_view,
    parse_code,
    parse_description,
    parse_header_view,
)
from icbir_core.types import UNKNOWN

# ImagerPixelSpacing is measured at the detector; PixelSpacing may have been corrected for magnification, which its
# calibration type says (PS3.3 10.7.1.3).
_SPACINGS = {
    "ImagerPixelSpacing": "at the detector",
    "PixelSpacing": "PixelSpacing, perhaps corrected for magnification",
    "NominalScannedPixelSpacing": "of the film scanner",
}
_CALIBRATIONS = {
    "GEOMETRY": "corrected for magnification, as the header says",
    "FIDUCIAL": "measured on an object of known size, as the header says",
}
_DIRECTIONS = {"L": "left", "R": "right", "A": "front", "P": "back", "H": "head", "F": "feet"}
# Where a film says how it was taken, in free words: of the film itself, of its series, of the procedure step.
_DESCRIPTIONS = (
    "AcquisitionDeviceProcessingDescription",
    "ProtocolName",
    "SeriesDescription",
    "PerformedProcedureStepDescription",
)
_AROUND = ' \t\r\n\0"'
_GROUPED = re.compile(
    r"([+-]?\d{1,3})((?:[\s'’]\d{3})+|(?:\.\d{3})+(?=,)|(?:,\d{3})+(?=\.)|(?:\.\d{3}){2,}|(?:,\d{3}){2,})([.,]\d*)?"
)
_EITHER = re.compile(r"[+-]?[1-9]\d{0,2},\d{3}")
_STUDY_DATES = ("StudyDate", "AcquisitionDate", "SeriesDate", "ContentDate")


def describe_header(dataset: Dataset) -> tuple[dict[str, Any], dict[str, str]]:
    """(fields of a `Radiograph`: view, age, sex, spacing, orientation_verified; facts in words)."""
    facts: dict[str, str] = {}
    orientation = read_orientation(dataset)
    fields = {
        "view": read_view(dataset),
        "age": read_age(dataset),
        "sex": read_sex(dataset),
        "spacing": _read_spacing(dataset, facts),
        "orientation_verified": orientation == ("L", "F"),
    }
    if orientation:
        facts["orientation"] = _describe_orientation(orientation)
    body_part, modality = get_text(dataset, "BodyPartExamined").upper(), get_text(dataset, "Modality").upper()
    if re.fullmatch(r"[A-Z0-9_ ]{1,16}", body_part):
        facts["body_part"] = body_part
    if modality:
        facts["modality"] = name_modality(modality)
    if is_burned_in(dataset):
        facts["burned_in"] = "burned into the picture, as the header says"
    elif may_show_text(dataset):
        facts["capture"] = "perhaps burned into the picture, which is a Secondary Capture"
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
        return []


def read_number(text: str) -> float | None:
    """The finite number that a text is; None where it is none. Its decimal sign is a point or a comma; blanks,
    apostrophes or the other of these two may part its thousands ("1.800,5", "1 800")."""
    plain = text.strip(_AROUND)
    grouped = _GROUPED.fullmatch(plain)
    if grouped is not None:
        plain = grouped[1] + re.sub(r"\D", "", grouped[2]) + (grouped[3] or "")
    try:
        number = float(plain.replace(",", ".") if "." not in plain else plain)
    except ValueError:
        return None
    return number if math.isfinite(number) else None


def read_with_thousands(text: str) -> float | None:
    """As `read_number`, but the comma of a text such as "1,800", which may be either, parts thousands."""
    return read_number(text.replace(",", "") if _EITHER.fullmatch(text.strip(_AROUND)) else text)


def get_numbers(dataset: Dataset, keyword: str) -> list[float]:
    """An element's values as finite numbers; [] where any of them is not one."""
    numbers = [read_number(text) for text in get_texts(dataset, keyword)]
    known = [number for number in numbers if number is not None]
    return known if len(known) == len(numbers) else []


def get_items(dataset: Dataset, keyword: str) -> list[Dataset]:
    """The items of a sequence; [] where it is missing or malformed."""
    try:
        return [item for item in dataset.get(keyword) or [] if isinstance(item, Dataset)]
    except Exception:  # as above
        return []


def is_burned_in(dataset: Dataset) -> bool:
    """Whether the header says that text is burned into the picture. That it does not say so proves nothing."""
    return get_text(dataset, "BurnedInAnnotation").upper() in ("YES", "Y", "TRUE")


def may_show_text(dataset: Dataset) -> bool:
    """Whether text is burned into the picture, or may be: it is a Secondary Capture (PS3.3 A.8: a picture of a screen
    or of paper, or one that a program made) whose header does not deny it."""
    meta = getattr(dataset, "file_meta", None) or Dataset()
    named = get_text(dataset, "SOPClassUID") or get_text(meta, "MediaStorageSOPClassUID")
    captured = named.startswith(SecondaryCaptureImageStorage)
    return is_burned_in(dataset) or (captured and get_text(dataset, "BurnedInAnnotation").upper() != "NO")


def read_sex(dataset: Dataset) -> str:
    """ "M", "F" or "unknown"."""
    return parse_sex(get_text(dataset, "PatientSex"))


def read_age(dataset: Dataset) -> int | None:
    """Whole years from PatientAge, else from the dates of birth and of the study; None where neither says it."""
    stated = parse_age(get_text(dataset, "PatientAge"))
    if stated is not None:
        return stated
    birth = get_text(dataset, "PatientBirthDate")
    ages = (compute_age(birth, get_text(dataset, keyword)) for keyword in _STUDY_DATES)
    return next((age for age in ages if age is not None), None)


def read_view(dataset: Dataset) -> str:
    """ "PA", "AP", "LATERAL", "unknown" or the name of another projection, as `choose_view` weighs what is said.

    Asked are ViewPosition, the coded view, the patient's orientation and position; where they say nothing, the
    descriptions of the film, its series and its procedure step.
    """
    stated = [parse_header_view(get_text(dataset, "ViewPosition"))]
    for item in get_items(dataset, "ViewCodeSequence"):
        modifiers = [read_code(one) for one in get_items(item, "ViewModifierCodeSequence")]
        # "cephalad" and its like only tilt the beam.
        stated += [read_code(item), *(one for one in modifiers if one in ("LATERAL", OBLIQUE, AXIAL, DECUBITUS))]
    stated.append(_read_plane(dataset))
    for item in get_items(dataset, "PatientOrientationCodeSequence"):
        codes = [read_code(one) for one in (item, *get_items(item, "PatientOrientationModifierCodeSequence"))]
        stated += [code for code in codes if code == DECUBITUS]
    if re.fullmatch(r"[HF]FD[LR]", get_text(dataset, "PatientPosition").upper()):
        stated.append(DECUBITUS)
    view = choose_view(stated)
    if view != UNKNOWN:
        return view
    return choose_view([parse_description(get_text(dataset, keyword)) for keyword in _DESCRIPTIONS])


def read_code(item: Dataset) -> str:
    """The view that a coded entry names, as `parse_code`."""
    values = (get_text(item, keyword) for keyword in ("CodeValue", "LongCodeValue", "URNCodeValue"))
    value = next((text for text in values if text), "")
    return parse_code(value, get_text(item, "CodeMeaning"))


def _read_plane(dataset: Dataset) -> str:
    """ "LATERAL" where rows or columns run from front to back, "OBLIQUE" where they run between that and the side."""
    orientation = read_orientation(dataset)
    if not orientation or not {"H", "F"}.intersection(orientation):
        return UNKNOWN
    letters = [set(text.upper()) for text in get_texts(dataset, "PatientOrientation")]
    if any(one & {"A", "P"} and one & {"L", "R"} for one in letters):
        return OBLIQUE
    return "LATERAL" if {"A", "P"}.intersection(orientation) else UNKNOWN


def read_orientation(dataset: Dataset) -> tuple[str, str] | None:
    """Where the rows run and where the columns run: letters of L R A P H F, main direction only; None if not said."""
    letters = [text[0].upper() for text in get_texts(dataset, "PatientOrientation") if text]
    if len(letters) != 2 or not all(letter in _DIRECTIONS for letter in letters):
        return None
    return letters[0], letters[1]


def _describe_orientation(orientation: tuple[str, str]) -> str:
    across, down = (_DIRECTIONS[letter] for letter in orientation)
    if orientation == ("L", "F"):
        return VERIFIED
    text = f"header: rows run to the patient's {across}, columns to the {down}; shown as stored"
    return f"MIRRORED, patient's left on the viewer's left ({text})" if orientation == ("R", "F") else text


def _read_spacing(dataset: Dataset, facts: dict[str, str]) -> tuple[float, float] | None:
    """(row, column) in millimetres: that which the header calls corrected, else at the detector, else as stated."""
    known = _CALIBRATIONS.get(get_text(dataset, "PixelSpacingCalibrationType").strip().upper())
    first = [("PixelSpacing", known)] if known else []
    for keyword, meaning in (*first, *_SPACINGS.items()):
        numbers = get_numbers(dataset, keyword)
        if len(numbers) == 2 and min(numbers) > 0.0:
            facts["spacing"] = meaning
            return (numbers[0], numbers[1])
    return None
