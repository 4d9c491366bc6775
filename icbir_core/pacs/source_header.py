"""What the objects of a result take over from the header of the film that was searched with: whose film it is, of which
study, and how it is displayed. It names a person: it is held for the export alone, and never shown or logged.

A value that its kind does not allow (an age of "62", a date in words) is left empty, because an archive may refuse the
object for it. Only what decides where the object belongs must be there, and right.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from copy import deepcopy
from dataclasses import dataclass, field
from datetime import datetime

from pydicom.datadict import dictionary_VR
from pydicom.dataset import Dataset

from icbir_core.errors import DicomExportError, RadiographError
from icbir_core.radiograph.dicom_header import get_items, get_numbers, get_text, get_texts, may_show_text
from icbir_core.radiograph.signatures import looks_like_dicom
from icbir_core.settings import FILM_LIMITS, ReadLimits

PATIENT = ("PatientName", "PatientID", "IssuerOfPatientID", "PatientBirthDate", "PatientSex")
STUDY = (
    *("StudyInstanceUID", "StudyDate", "StudyTime", "StudyID", "AccessionNumber", "ReferringPhysicianName"),
    *("StudyDescription", "PatientAge"),
)
# Type 2: there even where nothing is known.
ALWAYS = ("PatientName", "PatientID", "PatientBirthDate", "PatientSex", "StudyDate", "StudyTime", "StudyID",
          "AccessionNumber", "ReferringPhysicianName")  # fmt: skip
ISSUERS = ("IssuerOfPatientIDQualifiersSequence", "IssuerOfAccessionNumberSequence")
_OTHERS = ("PatientIdentityRemoved", "DeidentificationMethod", "TimezoneOffsetFromUTC")
_ISSUER = ("LocalNamespaceEntityID", "UniversalEntityID", "UniversalEntityIDType")
_UID = re.compile(r"[0-9]+(\.[0-9]+)+")
_LONGEST = {"LO": 64, "SH": 16, "PN": 64 * 3 + 2, "UT": 1024, "CS": 16}


@dataclass(frozen=True, eq=False)
class SourceHeader:
    """Of the film that was searched with. dataset : the elements that the objects take over and what highdicom needs to
    refer to the film, in UTF-8. rows, columns : of its picture. frames : pictures in the file; the first is meant.
    """

    dataset: Dataset = field(repr=False)
    rows: int
    columns: int
    frames: int

    @property
    def study(self) -> str:
        return str(self.dataset.StudyInstanceUID)

    @property
    def instance(self) -> str:
        return str(self.dataset.SOPInstanceUID)

    @property
    def is_grey(self) -> bool:
        """Whether a greyscale presentation state can refer to it."""
        return str(self.dataset.PhotometricInterpretation) in ("MONOCHROME1", "MONOCHROME2")

    @property
    def is_enhanced(self) -> bool:
        """Whether the object holds its facts in functional groups."""
        return "Enhanced" in self.dataset.SOPClassUID.name or "Multi-frame" in self.dataset.SOPClassUID.name

    @property
    def may_show_text(self) -> bool:
        """Whether text is burned into the film, or may be."""
        return may_show_text(self.dataset)

    def copy_identity(self, target: Dataset) -> None:
        """Set patient and study of another object as they are here."""
        for keyword in (*PATIENT, *STUDY, *ISSUERS, *_OTHERS):
            if keyword in self.dataset:
                target[keyword] = deepcopy(self.dataset[keyword])

    def tell_time(self, moment: datetime) -> datetime:
        """The moment in the time zone that the film's own times are in; in this machine's where it names none."""
        zone = str(self.dataset.get("TimezoneOffsetFromUTC", ""))
        return moment.astimezone(datetime.strptime(zone, "%z").tzinfo if zone else None)


def read_source_header(data: bytes, limits: ReadLimits = FILM_LIMITS) -> SourceHeader:
    """The header of a film's bytes. Raises `DicomExportError` with the reason where objects cannot refer to this film:
    no DICOM, or one whose study or instance has no valid UID."""
    from icbir_core.radiograph.dicom import parse_dicom  # brings all decoders: only where it is needed

    if not looks_like_dicom(data[:4096]):
        raise DicomExportError(
            "The query film is no DICOM file, so it names no patient and no study that a result could be stored with."
        )
    try:
        source = parse_dicom(data, limits)
    except RadiographError as error:
        raise DicomExportError(f"The header of the query film cannot be read. {error}") from None
    kept = Dataset()
    kept.SpecificCharacterSet = "ISO_IR 192"
    for keyword in ("StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID", "SOPClassUID"):
        text = get_text(source, keyword)
        if len(text) > 64 or not _UID.fullmatch(text):
            raise DicomExportError(
                f"The header of the query film has no valid {keyword}, so no result can refer to it."
            )
        setattr(kept, keyword, text)
    if len(get_text(source, "PatientID")) > _LONGEST["LO"]:
        raise DicomExportError("The patient's number in the query film is longer than DICOM allows.")
    for keyword in (*PATIENT, *STUDY):
        if keyword not in kept:
            value = _clean(dictionary_VR(keyword), get_text(source, keyword))
            if value or keyword in ALWAYS:
                setattr(kept, keyword, value)
    if kept.PatientSex not in ("M", "F", "O"):
        kept.PatientSex = ""
    if re.fullmatch(r"[+-](0[0-9]|1[0-4])[0-5][0-9]", zone := get_text(source, "TimezoneOffsetFromUTC")):
        kept.TimezoneOffsetFromUTC = zone
    for keyword in ISSUERS:
        if items := [one for one in map(_copy_issuer, get_items(source, keyword)) if len(one)]:
            setattr(kept, keyword, items)
    if get_text(source, "PatientIdentityRemoved").upper() == "YES":
        kept.PatientIdentityRemoved = "YES"
        kept.DeidentificationMethod = _clean("LO", get_text(source, "DeidentificationMethod")) or "not stated"
    rows, columns = (_read_count(source, keyword) for keyword in ("Rows", "Columns"))
    _copy_picture(source, kept, rows, columns)
    return SourceHeader(kept, rows, columns, max(1, _read_count(source, "NumberOfFrames")))


def _read_count(source: Dataset, keyword: str) -> int:
    numbers = get_numbers(source, keyword)
    return int(numbers[0]) if numbers and 0 < numbers[0] < 1 << 16 else 0


def _copy_picture(source: Dataset, kept: Dataset, rows: int, columns: int) -> None:
    """What a presentation state and the secondary capture say of the film's own picture."""
    kept.Rows, kept.Columns = rows, columns
    samples = _read_count(source, "SamplesPerPixel") or 1
    kept.SamplesPerPixel = samples
    kept.PhotometricInterpretation = get_text(source, "PhotometricInterpretation").upper()
    for keyword in ("Modality", "BodyPartExamined", "BurnedInAnnotation"):
        if value := _clean("CS", get_text(source, keyword).upper()):
            setattr(kept, keyword, value)
    for keyword in ("Laterality", "ImageLaterality"):
        if get_text(source, keyword).upper() in ("L", "R"):
            setattr(kept, keyword, get_text(source, keyword).upper())
    slope, intercept = (get_numbers(source, keyword) for keyword in ("RescaleSlope", "RescaleIntercept"))
    if len(slope) == len(intercept) == 1 and slope[0] != 0:
        kept.RescaleSlope, kept.RescaleIntercept = _write_decimals(slope + intercept)
        kept.RescaleType = _clean("LO", get_text(source, "RescaleType")) or "US"
    centres, widths = (get_numbers(source, keyword) for keyword in ("WindowCenter", "WindowWidth"))
    if centres and len(centres) == len(widths) and min(widths) >= 1:
        kept.WindowCenter, kept.WindowWidth = _write_decimals(centres), _write_decimals(widths)
        function = get_text(source, "VOILUTFunction").upper()
        if function in ("LINEAR", "LINEAR_EXACT", "SIGMOID"):
            kept.VOILUTFunction = function
    if get_text(source, "LossyImageCompression") == "01":
        kept.LossyImageCompression = "01"
        ratios = [number for number in get_numbers(source, "LossyImageCompressionRatio") if number > 0]
        methods = [one for one in get_texts(source, "LossyImageCompressionMethod") if _clean("CS", one)]
        if ratios:
            kept.LossyImageCompressionRatio = _write_decimals(ratios)
        if methods and len(methods) == len(ratios):
            kept.LossyImageCompressionMethod = methods


def _write_decimals(numbers: Iterable[float]) -> list[str]:
    """Numbers as DICOM writes them: at most 16 signs."""
    return [text if len(text := f"{number:.10g}") <= 16 else f"{number:.8e}" for number in numbers]


def _copy_issuer(item: Dataset) -> Dataset:
    kept = Dataset()
    for keyword in _ISSUER:
        if value := _clean(dictionary_VR(keyword), get_text(item, keyword)):
            setattr(kept, keyword, value)
    # Each of the two means nothing without the other.
    if ("UniversalEntityID" in kept) != ("UniversalEntityIDType" in kept):
        for keyword in _ISSUER[1:]:
            if keyword in kept:
                delattr(kept, keyword)
    return kept


def _clean(kind: str, text: str) -> str:
    """The text without control signs; "" where the value representation `kind` does not allow it."""
    text = "".join(sign for sign in text if sign.isprintable()).strip()
    if kind != "PN" and "\\" in text:
        return ""
    check = _CHECKS.get(kind)
    if check is not None:
        return text if text and check(text) else ""
    return text if len(text) <= _LONGEST.get(kind, 64) else ""


def _is_date(text: str) -> bool:
    if not re.fullmatch(r"[0-9]{8}", text):
        return False
    try:
        datetime.strptime(text, "%Y%m%d")
    except ValueError:
        return False
    return True


def _is_name(text: str) -> bool:
    groups = text.split("=")
    return "\\" not in text and len(groups) <= 3 and all(len(one) <= 64 and one.count("^") <= 4 for one in groups)


_CHECKS: dict[str, Callable[[str], object]] = {
    "DA": _is_date,
    "TM": re.compile(r"([01][0-9]|2[0-3])([0-5][0-9]([0-5][0-9](\.[0-9]{1,6})?)?)?").fullmatch,
    "AS": re.compile(r"[0-9]{3}[DWMY]").fullmatch,
    "CS": re.compile(r"[A-Z0-9_ ]{1,16}").fullmatch,
    "PN": _is_name,
}
