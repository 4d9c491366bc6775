"""A DICOM film without identifiers: its header by the profile, its stored values as they were, but for what is blacked
out."""

from __future__ import annotations

import io
from dataclasses import dataclass

import numpy as np
from pydicom.dataelem import DataElement
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import (
    HTJ2K,
    JPEG2000,
    JPEG2000MC,
    UID,
    ExplicitVRLittleEndian,
    JPEGBaseline8Bit,
    JPEGExtended12Bit,
    JPEGLSNearLossless,
)

from icbir_core import __version__
from icbir_core.catalogue.workspace import Workspace
from icbir_core.deidentifying.cleaning import Cleaner
from icbir_core.deidentifying.masking import Mask, black_out
from icbir_core.deidentifying.profile import EDITION
from icbir_core.errors import DicomExportError
from icbir_core.radiograph import read_radiograph
from icbir_core.radiograph.decoding import StoredPicture
from icbir_core.radiograph.decoding_process import get_pool
from icbir_core.radiograph.dicom_header import get_text, is_burned_in, may_show_text
from icbir_core.radiograph.signatures import looks_like_dicom
from icbir_core.settings import FILM_LIMITS, ReadLimits
from icbir_core.types import Radiograph

BURNED_IN = "The header says that text is burned into the film; black it out to export the film without identifiers."
MAY_SHOW = (
    "Text may be burned into this film, because it is a Secondary Capture; black it out, or say that you have looked "
    "and there is none."
)
LOOK = "Look at the picture: its header does not say whether text is burned in."
_LOSSY = (HTJ2K, JPEG2000, JPEG2000MC, JPEGBaseline8Bit, JPEGExtended12Bit, JPEGLSNearLossless)
_OF_PIXELS = (
    *("SmallestImagePixelValue", "LargestImagePixelValue", "SmallestPixelValueInSeries", "LargestPixelValueInSeries"),
    "HistogramSequence",
)  # what a mask makes untrue


@dataclass(frozen=True)
class Clearance:
    """What a reader did against text in the picture. masks : blacked out; looked : she has looked at a film that may
    hold text, and there is none."""

    masks: tuple[Mask, ...] = ()
    looked: bool = False


@dataclass(frozen=True)
class DeidentifiedFilm:
    """data : the DICOM file. study, instance : its new UIDs, "" for a study that the film did not name. warnings :
    sentences for whoever sends it on. pixel_sha256 : of the film that it was made from."""

    data: bytes
    study: str
    instance: str
    pixel_sha256: str
    warnings: tuple[str, ...] = ()


def deidentify_film(
    data: bytes, workspace: Workspace, clearance: Clearance = Clearance(), limits: ReadLimits = FILM_LIMITS
) -> DeidentifiedFilm:
    """The film in `data` by the Basic Application Level Confidentiality Profile (PS3.15 E.2, no option but Clean Pixel
    Data where something is blacked out).

    Uncompressed, in explicit VR little endian, whatever it was: a compressed picture can hold comments, and the unused
    bits of a word can hold an overlay. UIDs and the patient's number are keyed hashes under the workspace's salt, so
    that the films of a study and of a patient stay together and no other workspace, and nobody without the salt, can
    tell whose they are.

    Raises `RadiographError` for what is no readable film, `DicomExportError` where text is burned in and nothing is
    blacked out, and where the film could not be written as it was.
    """
    from icbir_core.radiograph.dicom import parse_dicom  # brings all decoders: only where it is needed

    if not looks_like_dicom(data):
        raise DicomExportError("The film is no DICOM file.")
    radiograph = read_radiograph(data, limits)
    source = parse_dicom(data, limits)
    warnings = _check_text(source, clearance)
    picture = get_pool().decode_stored(data, limits)
    values = black_out(picture.values, radiograph.pixels, clearance.masks) if clearance.masks else picture.values
    made = _make_header(source, workspace, radiograph)
    _write_picture(made, picture, values)
    _describe(made, source, clearance)
    film = _encode(made)
    _check_written(film, values, None if clearance.masks else radiograph, limits)
    study, instance = get_text(made, "StudyInstanceUID"), str(made.SOPInstanceUID)
    return DeidentifiedFilm(film, study, instance, radiograph.pixel_sha256, warnings)


def make_uid(workspace: Workspace, uid: str) -> str:
    """The UID that stands for another: 2.25 and 128 bits of a keyed hash (PS3.5 B.2), the same in each run."""
    halves = (workspace.hash_secretly(f"deidentified {part}:{uid}") for part in ("uid, upper half", "uid, lower half"))
    return f"2.25.{int(''.join(halves), 16)}"


def _check_text(source: Dataset, clearance: Clearance) -> tuple[str, ...]:
    """Sentences about text in the picture. Raises `DicomExportError` where something must be done first."""
    if clearance.masks:
        return ()
    if is_burned_in(source):
        raise DicomExportError(BURNED_IN)
    if may_show_text(source):
        if not clearance.looked:
            raise DicomExportError(MAY_SHOW)
        return ()
    return () if get_text(source, "BurnedInAnnotation").upper() == "NO" else (LOOK,)


def _make_header(source: Dataset, workspace: Workspace, radiograph: Radiograph) -> Dataset:
    """The cleaned header, in a data set of its own, without a picture."""
    meta = getattr(source, "file_meta", None) or Dataset()
    named = get_text(source, "SOPClassUID") or get_text(meta, "MediaStorageSOPClassUID")
    if not UID(named).type:
        raise DicomExportError("The film does not say of which class it is; export it again.")
    syntax, big_endian = get_text(meta, "TransferSyntaxUID"), not source.original_encoding[1]

    def renew(uid: str) -> str:
        return make_uid(workspace, uid)

    def rename(number: str) -> str:
        return workspace.hash_secretly(f"deidentified patient:{number}")

    Cleaner(renew, rename).clean(source)
    if big_endian:
        source.walk(_turn_words)
    made = Dataset()
    for element in source:
        made[element.tag] = element
    made.SpecificCharacterSet = "ISO_IR 192"
    made.SOPClassUID = named
    if not get_text(made, "SOPInstanceUID"):
        made.SOPInstanceUID = renew(radiograph.sha256)
    if syntax in _LOSSY and get_text(made, "LossyImageCompression") != "01":
        made.LossyImageCompression = "01"
    return made


def _turn_words(_: Dataset, element: DataElement) -> None:
    """Words of a table, which pydicom keeps as they lay in a big-endian file, as a little-endian one has them."""
    if element.VR == "OW" and element.value:
        element.value = np.frombuffer(element.value, ">u2").astype("<u2").tobytes()


def _write_picture(made: Dataset, picture: StoredPicture, values: np.ndarray) -> None:
    low, high = int(values.min()), int(values.max())
    signed = values.dtype.kind == "i"
    needed = 1 + max(high, -low - 1).bit_length() if signed else high.bit_length()
    stored = max(picture.bits, needed)
    allocated = 8 if stored <= 8 else 16
    made.Rows, made.Columns = values.shape[:2]
    made.SamplesPerPixel = 3 if values.ndim == 3 else 1
    made.PhotometricInterpretation = picture.photometric
    made.BitsAllocated, made.BitsStored, made.HighBit = allocated, stored, stored - 1
    made.PixelRepresentation = int(signed)
    for keyword in ("PlanarConfiguration", "NumberOfFrames"):
        if keyword in made:
            delattr(made, keyword)
    if values.ndim == 3:
        made.PlanarConfiguration = 0
    written = values.astype(f"<{values.dtype.kind}{allocated // 8}").tobytes()
    made.add_new("PixelData", "OB" if allocated == 8 else "OW", written + b"\0" * (len(written) % 2))


def _describe(made: Dataset, source: Dataset, clearance: Clearance) -> None:
    """What the standard asks to be said of a de-identified object (PS3.15 E.1.1, PS3.3 C.12.1.1.1)."""
    done = [("113100", "Basic Application Confidentiality Profile")]
    if clearance.masks:
        done.append(("113101", "Clean Pixel Data Option"))
        for keyword in _OF_PIXELS:
            if keyword in made:
                delattr(made, keyword)
    if clearance.masks or clearance.looked:
        made.BurnedInAnnotation = "NO"
    made.PatientIdentityRemoved = "YES"
    made.DeidentificationMethod = f"PS3.15 basic profile, table {EDITION}; ICBIR {__version__}"[:64]
    made.DeidentificationMethodCodeSequence = [_make_code(*one) for one in done]
    made.LongitudinalTemporalInformationModified = "REMOVED"


def _make_code(value: str, meaning: str) -> Dataset:
    item = Dataset()
    item.CodeValue, item.CodingSchemeDesignator, item.CodeMeaning = value, "DCM", meaning
    return item


def _encode(made: Dataset) -> bytes:
    made.file_meta = FileMetaDataset()
    made.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    made.file_meta.MediaStorageSOPClassUID = made.SOPClassUID
    made.file_meta.MediaStorageSOPInstanceUID = made.SOPInstanceUID
    stream = io.BytesIO()
    try:
        made.save_as(stream, enforce_file_format=True)
    except Exception as error:  # pydicom raises nearly anything on a value that its kind does not allow
        raise DicomExportError("The film's header is damaged and cannot be written; export it again.") from error
    return stream.getvalue()


def _check_written(film: bytes, values: np.ndarray, as_it_was: Radiograph | None, limits: ReadLimits) -> None:
    """Raises `DicomExportError` unless the file holds these values, and shows as the film did where nothing was blacked
    out."""
    same = np.array_equal(get_pool().decode_stored(film, limits).values, values)
    if as_it_was is not None:
        same = same and read_radiograph(film, limits).pixel_sha256 == as_it_was.pixel_sha256
    if not same:
        raise DicomExportError("The film cannot be written without a change to what it shows; export it uncompressed.")
