"""A tree of DICOM files, with or without endings, as an archive exports it. Always private.

What is taken: the pixels, and view, age and sex from the header. Of PatientID only a salted hash is kept; names, dates,
paths and UIDs are not. A film whose header says that text is burned into the picture is refused.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from pydicom import dcmread
from pydicom.errors import InvalidDicomError

from icbir_core.catalogue.layouts.finder import FileFinder
from icbir_core.catalogue.layouts.rows import IngestOptions, LayoutRow, RawCase, SkippedRow
from icbir_core.files import sha256_of_file
from icbir_core.radiograph.dicom_header import read_patient_number

# Computed, digital and scanned radiography, fluoroscopy; secondary captures are often screens.
MODALITIES = ("CR", "DX", "RG", "RF")
_TAGS = ["PatientID", "Modality", "BurnedInAnnotation", "Rows", "SOPClassUID"]


def read_rows(options: IngestOptions) -> Iterator[LayoutRow]:
    """One `RawCase` a film; `case_id` is the hash of the file's bytes, so a moved or doubled file adds nothing."""
    for number, file in enumerate(FileFinder(options.images).walk(), start=1):
        try:
            digest = sha256_of_file(file)
        except OSError as error:
            yield SkippedRow(f"file {number}", f"the file cannot be read ({error.strerror})")
            continue
        reason, patient = _read_header(file)
        # A path may name a patient; the owner of the files finds this one by its number or its hash.
        item = f"file {number} (sha256 {digest[:12]})"
        if reason is not None:
            yield SkippedRow(item, reason)
        else:
            yield RawCase(case_id=digest, file=file, patient=patient, private=True, item=item)


def _read_header(file: Path) -> tuple[str | None, str | None]:
    """(why the file is no film to take, or None; the patient's number as the archive wrote it, or None)."""
    try:
        header = dcmread(file, stop_before_pixels=True, specific_tags=_TAGS)
    except InvalidDicomError:
        return "not a DICOM file", None
    except Exception as error:  # a damaged header raises nearly anything, and one file must not stop the tree
        return f"damaged DICOM header ({type(error).__name__})", None
    modality = str(header.get("Modality") or "").strip().upper()
    if "Rows" not in header:
        return "a DICOM file without a picture", None
    if modality and modality not in MODALITIES:
        return f"modality {modality} is not a radiograph", None
    if str(header.get("BurnedInAnnotation") or "").strip().upper() == "YES":
        return "the header says that text is burned into the picture; remove it first", None
    return None, read_patient_number(header)
