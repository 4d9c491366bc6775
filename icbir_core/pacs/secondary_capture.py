"""The result as a picture that every archive shows: a DICOM Secondary Capture (PS3.3 A.8.1)."""

from __future__ import annotations

from pydicom.dataset import Dataset

from icbir_core.pacs.capture_page import draw_page
from icbir_core.pacs.object_frame import DicomObject, describe_frame, finish_object
from icbir_core.pacs.result import RESEARCH, SearchResult

TITLE = f"ICBIR similar cases. {RESEARCH}"
_LOSSY = ("LossyImageCompression", "LossyImageCompressionRatio", "LossyImageCompressionMethod")


def make_secondary_capture(result: SearchResult) -> DicomObject:
    """The page of the result in RGB, of the query's patient and study, in a series of its own; it names the query as
    the image that it was derived from."""
    from highdicom.sc import SCImage

    frame = describe_frame(result, "capture", TITLE)
    made = SCImage(
        pixel_array=draw_page(result),
        photometric_interpretation="RGB",
        bits_allocated=8,
        coordinate_system="PATIENT",
        patient_orientation=("L", "F"),
        study_instance_uid=result.source.study,
        **frame,
    )
    # A page of several films has no orientation and no side.
    for keyword in ("PatientOrientation", "Laterality"):
        setattr(made, keyword, None)
    made.ConversionType = "WSD"
    made.SecondaryCaptureDeviceManufacturer = frame["manufacturer"]
    made.SecondaryCaptureDeviceManufacturerModelName = frame["manufacturer_model_name"]
    made.SecondaryCaptureDeviceSoftwareVersions = frame["software_versions"]
    made.ImageComments = RESEARCH
    made.DerivationDescription = "Query film with its saliency map, and the most similar cases of a catalogue"
    source, item = result.source.dataset, Dataset()
    item.ReferencedSOPClassUID, item.ReferencedSOPInstanceUID = source.SOPClassUID, source.SOPInstanceUID
    if result.source.frames > 1:
        item.ReferencedFrameNumber = 1
    made.SourceImageSequence = [item]
    if source.get("BurnedInAnnotation") == "YES":
        made.BurnedInAnnotation = "YES"
    for keyword in _LOSSY:
        if keyword in source:
            made[keyword] = source[keyword]
    return finish_object(made, result, "capture")
