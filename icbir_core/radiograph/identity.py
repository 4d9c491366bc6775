"""Whose film it is, which film, and what speaks against it: what every door asks of a DICOM header.

It names a person. Nothing of a `FilmHeader` but its view, age and sex may be stored or shown: the rest is hashed.
"""

from __future__ import annotations

import re
import warnings
from pathlib import Path

from pydicom import dcmread
from pydicom.dataset import Dataset

from icbir_core.errors import RadiographTooLarge
from icbir_core.files import PathLike
from icbir_core.radiograph.dicom_header import get_items, get_text, is_burned_in, read_age, read_sex, read_view
from icbir_core.radiograph.functional_groups import merge_functional_groups
from icbir_core.radiograph.signatures import looks_like_dicom
from icbir_core.settings import FILM_LIMITS, ReadLimits
from icbir_core.types import FilmHeader

# pydicom's warnings repeat the value that they are about, which may name a person.
warnings.filterwarnings("ignore", category=UserWarning, module=r"pydicom\.")
# What archives write for "no number": one patient for all of these would exclude strangers from each other.
_NOBODY = frozenset(
    (
        *("", "ANONYMOUS", "ANONYMOUS PATIENT", "ANON", "ANONYM", "ANONYMIZED", "ANONYMISED", "DEIDENTIFIED"),
        *("DE-IDENTIFIED", "REMOVED", "UNKNOWN", "UNKNOWN PATIENT", "PATIENT ID", "NO ID", "NOID", "NONE", "N/A"),
    )
)
_NO_NUMBER = re.compile(r"[0X*_.?\s-]*", re.IGNORECASE)
_ASSIGNERS = (
    "AssigningFacilitySequence",
    "AssigningJurisdictionCodeSequence",
    "AssigningAgencyOrDepartmentCodeSequence",
)
_IDENTIFIERS = ("LocalNamespaceEntityID", "UniversalEntityID", "UniversalEntityIDType", "CodeValue")
_DECIDING = (
    *("PatientID", "IssuerOfPatientID", "IssuerOfPatientIDQualifiersSequence", "SOPInstanceUID", "Modality"),
    *("BurnedInAnnotation", "ViewPosition", "ViewCodeSequence", "PatientOrientation"),
)
_DEFLATED = b"1.2.840.10008.1.2.1.99"
_HEAD = 4096


def read_film_header(source: bytes | PathLike, limits: ReadLimits = FILM_LIMITS) -> FilmHeader | None:
    """The header of a DICOM film, found by its content; None for any other file. Raises `RadiographError` where it
    cannot be read, `RadiographTooLarge`, OSError for a file that cannot be opened."""
    head = _read_head(source)
    if not looks_like_dicom(head):
        return None
    if not isinstance(source, bytes):
        _check_size(source, limits)
    if isinstance(source, bytes) or _DEFLATED in head:
        return describe_film(_parse_whole(source, limits))
    try:
        header = describe_film(dcmread(source, stop_before_pixels=True, force=True))
    except OSError:
        raise
    except Exception:  # a damaged header raises nearly anything; the reader of whole films knows more ways
        header = None
    return header if header is not None and header.has_picture else describe_film(_parse_whole(source, limits))


def _read_head(source: bytes | PathLike) -> bytes:
    if isinstance(source, bytes):
        return source[:_HEAD]
    with open(source, "rb") as file:
        return file.read(_HEAD)


def _parse_whole(source: bytes | PathLike, limits: ReadLimits) -> Dataset:
    from icbir_core.radiograph.dicom import parse_dicom  # brings all decoders: only where it is needed

    return parse_dicom(source if isinstance(source, bytes) else Path(source).read_bytes(), limits)


def _check_size(source: PathLike, limits: ReadLimits) -> None:
    size = Path(source).stat().st_size
    if size > limits.max_bytes:
        raise RadiographTooLarge(f"The file has {size:,} bytes, more than {limits.max_bytes:,}; reduce it.")


def describe_film(dataset: Dataset) -> FilmHeader:
    """What a header says of the patient and the film, in its functional groups too."""
    merge_functional_groups(dataset)
    number = get_text(dataset, "PatientID")
    nobody = number.upper() in _NOBODY or _NO_NUMBER.fullmatch(number) is not None
    return FilmHeader(
        number=None if nobody else number,
        issuer=_read_issuer(dataset),
        instance=get_text(dataset, "SOPInstanceUID") or None,
        modality=get_text(dataset, "Modality").upper(),
        burned_in=is_burned_in(dataset),
        has_picture="Rows" in dataset,
        view=read_view(dataset),
        age=read_age(dataset),
        sex=read_sex(dataset),
        unreadable=next((keyword for keyword in _DECIDING if not _is_readable(dataset, keyword)), ""),
        study=get_text(dataset, "StudyInstanceUID") or None,
    )


def _is_readable(dataset: Dataset, keyword: str) -> bool:
    try:
        dataset.get(keyword)
    except Exception:  # a damaged element raises nearly anything
        return False
    return True


def _read_issuer(dataset: Dataset) -> str:
    """Who gave the patient's number, in capitals: by its local name and, where it is said, its universal identifier and
    the facility, department and jurisdiction that assigned it."""
    parts = [get_text(dataset, "IssuerOfPatientID")]
    for item in get_items(dataset, "IssuerOfPatientIDQualifiersSequence"):
        places = [one for keyword in _ASSIGNERS for one in get_items(item, keyword)]
        parts += [get_text(place, keyword) for place in (item, *places) for keyword in _IDENTIFIERS]
    return "&".join(part.upper() for part in parts if part)
