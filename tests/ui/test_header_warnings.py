"""What a DICOM header says against a film is among the film's warnings on the page."""

from __future__ import annotations

import io

import numpy as np
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian

from icbir_core.catalogue import Workspace, read_query
from icbir_ui.films import make_film


def make_upload(**elements: object) -> bytes:
    """A DICOM film as a reader drops it."""
    dataset = Dataset()
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    dataset.file_meta.MediaStorageSOPClassUID = dataset.SOPClassUID = "1.2.840.10008.5.1.4.1.1.1"
    dataset.file_meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID = "1.2.3"
    dataset.Rows = dataset.Columns = 160
    dataset.SamplesPerPixel, dataset.PhotometricInterpretation, dataset.PixelRepresentation = 1, "MONOCHROME2", 0
    dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit = 8, 8, 7
    dataset.PixelData = np.random.default_rng(1).integers(0, 255, (160, 160), dtype=np.uint8).tobytes()
    for keyword, value in elements.items():
        setattr(dataset, keyword, value)
    stream = io.BytesIO()
    dataset.save_as(stream, enforce_file_format=True)
    return stream.getvalue()


def test_burned_in_text_and_another_modality_are_told(tmp_path):
    workspace = Workspace.create(tmp_path / "workspace")
    data = make_upload(BurnedInAnnotation="YES", Modality="OT", PatientID="P0")
    film = make_film(read_query(workspace, "upload", data), "upload")
    assert film.query.patient == workspace.hash_patient("P0")
    told = " ".join(film.warnings)
    assert "text is burned into the picture: it may name the patient." in told and "modality OT" in told
    plain = make_film(read_query(workspace, "upload", make_upload(BurnedInAnnotation="NO", Modality="DX")), "upload")
    assert not any("burned" in one or "modality" in one for one in plain.warnings)
