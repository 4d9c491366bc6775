"""What all objects of a result have in common: series, equipment, patient and study, times, and their bytes."""

from __future__ import annotations

import io
import warnings
from dataclasses import dataclass, field
from typing import Any

from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.filewriter import dcmwrite
from pydicom.uid import UID, ExplicitVRLittleEndian

from icbir_core import __version__
from icbir_core.pacs.result import SearchResult
from icbir_core.pacs.silence import OBJECTS, silence

# Both repeat the patient's name when they doubt how it is written.
warnings.filterwarnings("ignore", category=UserWarning, module=r"highdicom\.")
silence(OBJECTS)
MANUFACTURER = "ICBIR"
MODEL = "Interpretability-guided case retrieval"
IMPLEMENTATION_UID = "2.25.251384325653531904588669624211013430245"
"""Of this program's writer; drawn once (PS3.5 B.2)."""
_TIMES = ("InstanceCreation", "Content", "PresentationCreation")
_SERIES = {"capture": 9701, "report": 9702, "presentation": 9703}


@dataclass(frozen=True)
class DicomObject:
    """One finished object. name : of its file, without identifiers. data : the whole DICOM file."""

    name: str
    kind: str
    sop_class: str
    sop_instance: str
    study: str
    data: bytes = field(repr=False)


def describe_frame(result: SearchResult, kind: str, description: str) -> dict[str, Any]:
    """What every constructor of highdicom takes, for one of "capture", "report" and "presentation"."""
    return {
        "series_instance_uid": result.make_uid(f"series {kind}"),
        "series_number": _SERIES[kind],
        "sop_instance_uid": result.make_uid(f"instance {kind}"),
        "instance_number": 1,
        "manufacturer": MANUFACTURER,
        "manufacturer_model_name": MODEL,
        "software_versions": __version__,
        "device_serial_number": "none",
        "series_description": description,
        "specific_character_set": "ISO_IR 192",
    }


def finish_object(made: Dataset, result: SearchResult, kind: str) -> DicomObject:
    """The object with the patient and study of its source, and its bytes; changes `made`."""
    result.source.copy_identity(made)
    moment = result.source.tell_time(result.made)
    day, time = moment.strftime("%Y%m%d"), moment.strftime("%H%M%S.%f")
    made.SeriesDate, made.SeriesTime = day, time
    for keyword in _TIMES:  # highdicom takes the clock's
        if f"{keyword}Date" in made:
            setattr(made, f"{keyword}Date", day)
            setattr(made, f"{keyword}Time", time)
    if "DateOfSecondaryCapture" in made:
        made.DateOfSecondaryCapture, made.TimeOfSecondaryCapture = day, time
    for item in made.get("ContributingEquipmentSequence", []):
        item.ContributionDateTime = day + time
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID, meta.MediaStorageSOPInstanceUID = made.SOPClassUID, made.SOPInstanceUID
    meta.TransferSyntaxUID = UID(ExplicitVRLittleEndian)
    meta.ImplementationClassUID = UID(IMPLEMENTATION_UID)
    meta.ImplementationVersionName = f"ICBIR {__version__}"[:16]
    plain = Dataset()
    plain.update(made)
    plain.file_meta = meta
    stream = io.BytesIO()
    dcmwrite(stream, plain, enforce_file_format=True)
    return DicomObject(
        f"icbir-{kind}-{result.pixel_sha256[:8]}.dcm",
        kind,
        str(made.SOPClassUID),
        str(made.SOPInstanceUID),
        result.source.study,
        stream.getvalue(),
    )
