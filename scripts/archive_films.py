"""What an archive of chest films holds, simulated: patients with a prior, a lateral, and six transfer syntaxes."""

from __future__ import annotations

import datetime
import io
import tempfile
from dataclasses import dataclass
from pathlib import Path

import cv2
import gdcm
import numpy as np
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import (
    DigitalXRayImageStorageForPresentation,
    ExplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGBaseline8Bit,
    JPEGLosslessSV1,
    JPEGLSLossless,
    RLELossless,
    generate_uid,
)

from icbir_core.phantom import simulate_film

SYNTAXES = (ExplicitVRLittleEndian, JPEGBaseline8Bit, JPEGLosslessSV1, JPEGLSLossless, JPEG2000Lossless, RLELossless)
GDCM_SYNTAXES = {
    "1.2.840.10008.1.2.4.50": gdcm.TransferSyntax.JPEGBaselineProcess1,
    "1.2.840.10008.1.2.4.51": gdcm.TransferSyntax.JPEGExtendedProcess2_4,
    "1.2.840.10008.1.2.4.57": gdcm.TransferSyntax.JPEGLosslessProcess14,
    "1.2.840.10008.1.2.4.70": gdcm.TransferSyntax.JPEGLosslessProcess14_1,
    "1.2.840.10008.1.2.4.80": gdcm.TransferSyntax.JPEGLSLossless,
    "1.2.840.10008.1.2.4.81": gdcm.TransferSyntax.JPEGLSNearLossless,
    "1.2.840.10008.1.2.4.90": gdcm.TransferSyntax.JPEG2000Lossless,
    "1.2.840.10008.1.2.4.91": gdcm.TransferSyntax.JPEG2000,
    "1.2.840.10008.1.2.5": gdcm.TransferSyntax.RLELossless,
}
PRIOR_DAYS = 200


@dataclass(frozen=True)
class ArchiveFilm:
    """A simulated film as an archive holds it. data : the DICOM file; view : "PA", "AP" or "LL"; prior : whether it
    belongs to its patient's earlier study."""

    patient: str
    study: str
    series: str
    instance: str
    accession: str
    view: str
    prior: bool
    syntax: str
    data: bytes


def make_archive_films(
    patients: int = 10, size: int = 256, today: datetime.date | None = None, seed: int = 0
) -> list[ArchiveFilm]:
    """Three films a patient: a frontal one of a prior study, then a frontal and a lateral one of today's study.

    The same arguments give the same pictures and UIDs. The films of all patients take turns in the transfer syntaxes.
    """
    today = today or datetime.date.today()
    films = []
    for number in range(patients):
        for place, (view, prior) in enumerate([("", True), ("", False), ("LL", False)]):
            films.append(_make_film(seed, number, place, view, prior, size, today))
    return films


def _make_film(
    seed: int, number: int, place: int, view: str, prior: bool, size: int, today: datetime.date
) -> ArchiveFilm:
    film = simulate_film(1000 * seed + 3 * number + place, size)
    pixels = film.pixels
    if view == "LL":  # the simulation knows frontal films alone: a narrow one stands for what only its header says
        pixels = cv2.resize(pixels, (3 * size // 4, size), interpolation=cv2.INTER_AREA)
    syntax = SYNTAXES[(3 * number + place) % len(SYNTAXES)]
    names = [f"{seed}-{number}-{'prior' if prior else 'now'}"]
    patient, accession = f"SIM-{seed}-{number:03d}", f"A{seed}{number:03d}{int(prior)}"
    date = today - datetime.timedelta(days=PRIOR_DAYS if prior else 0)
    dataset = _make_dataset(pixels if syntax == JPEGBaseline8Bit else pixels.astype(np.uint16) * 16)
    dataset.PatientID, dataset.IssuerOfPatientID = patient, "SIMULATED"
    dataset.PatientName, dataset.PatientSex = f"Simulated^{number:03d}", film.truth.sex
    dataset.PatientAge = f"{film.truth.age:03d}Y"
    dataset.PatientBirthDate = ""
    dataset.StudyInstanceUID = generate_uid(entropy_srcs=["study", *names])
    dataset.SeriesInstanceUID = generate_uid(entropy_srcs=["series", *names, str(place)])
    dataset.SOPInstanceUID = generate_uid(entropy_srcs=["instance", *names, str(place)])
    dataset.file_meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID
    dataset.AccessionNumber, dataset.StudyID = accession, str(number)
    dataset.StudyDate = dataset.SeriesDate = dataset.ContentDate = date.strftime("%Y%m%d")
    dataset.StudyTime = dataset.SeriesTime = dataset.ContentTime = f"{8 + number % 10:02d}{place:02d}00"
    dataset.StudyDescription, dataset.SeriesNumber, dataset.InstanceNumber = "Chest", place, 1
    dataset.ViewPosition = view or film.truth.view
    data = encode_file(dataset, syntax)
    uids = (dataset.StudyInstanceUID, dataset.SeriesInstanceUID, dataset.SOPInstanceUID)
    return ArchiveFilm(patient, *map(str, uids), accession, dataset.ViewPosition, prior, str(syntax), data)


def _make_dataset(stored: np.ndarray) -> Dataset:
    dataset = Dataset()
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    dataset.file_meta.MediaStorageSOPClassUID = dataset.SOPClassUID = DigitalXRayImageStorageForPresentation
    dataset.Modality, dataset.BodyPartExamined, dataset.Laterality = "DX", "CHEST", ""
    dataset.Rows, dataset.Columns = stored.shape
    dataset.SamplesPerPixel, dataset.PhotometricInterpretation = 1, "MONOCHROME2"
    dataset.BitsAllocated = 8 * stored.dtype.itemsize
    dataset.BitsStored = 12 if stored.dtype == np.uint16 else 8
    dataset.HighBit, dataset.PixelRepresentation = dataset.BitsStored - 1, 0
    dataset.PixelSpacing = [0.8, 0.8]
    dataset.PatientOrientation = ["L", "F"]
    dataset.BurnedInAnnotation = "NO"
    dataset.PixelData = stored.tobytes()
    return dataset


def encode_file(dataset: Dataset, syntax: str) -> bytes:
    """The bytes of a DICOM file in a transfer syntax, from a dataset that is not compressed."""
    dataset["PixelData"].VR = "OB" if dataset.BitsAllocated == 8 else "OW"
    stream = io.BytesIO()
    dataset.save_as(stream, enforce_file_format=True)
    if syntax == dataset.file_meta.TransferSyntaxUID:
        return stream.getvalue()
    with tempfile.TemporaryDirectory() as folder:
        return transcode(stream.getvalue(), str(syntax), Path(folder))


def transcode(data: bytes, uid: str, folder: Path) -> bytes:
    """The same film in another transfer syntax, encoded by GDCM."""
    source, target = folder / "source.dcm", folder / "target.dcm"
    source.write_bytes(data)
    reader = gdcm.ImageReader()
    reader.SetFileName(str(source))
    assert reader.Read()
    change = gdcm.ImageChangeTransferSyntax()
    change.SetTransferSyntax(gdcm.TransferSyntax(GDCM_SYNTAXES[uid]))
    change.SetInput(reader.GetImage())
    assert change.Change(), f"GDCM cannot encode {uid}"
    writer = gdcm.ImageWriter()
    writer.SetFile(reader.GetFile())
    writer.SetImage(change.GetOutput())
    writer.SetFileName(str(target))
    assert writer.Write()
    return target.read_bytes()
