"""Small made-up films and tables for the catalogue's tests."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import ComputedRadiographyImageStorage, ExplicitVRLittleEndian, generate_uid


def write_film(path: Path, seed: int = 0, size: int = 48) -> Path:
    """A grey PNG or JPEG of its own content."""
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(seed).integers(0, 255, (size, size + 8), dtype=np.uint8)
    assert cv2.imwrite(str(path), cv2.GaussianBlur(pixels, (9, 9), 3))
    return path


def write_table(path: Path, text: str) -> Path:
    """A table from an indented text block."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join(line.strip() for line in text.strip().splitlines()) + "\n", encoding="utf-8")
    return path


def write_dicom(path: Path, seed: int = 0, **header: object) -> Path:
    """A small computed radiograph; `header` sets elements by keyword, None leaves one out."""
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(seed).integers(0, 4095, (40, 48), dtype=np.uint16)
    dataset = Dataset()
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    dataset.file_meta.MediaStorageSOPClassUID = ComputedRadiographyImageStorage
    dataset.file_meta.MediaStorageSOPInstanceUID = generate_uid(entropy_srcs=[str(path), str(seed)])
    elements = {
        "SOPClassUID": ComputedRadiographyImageStorage,
        "SOPInstanceUID": dataset.file_meta.MediaStorageSOPInstanceUID,
        "Modality": "CR",
        "PatientID": "1234567",
        "PatientName": "Secret^Person",
        "PatientAge": "061Y",
        "PatientSex": "F",
        "ViewPosition": "PA",
        "Rows": pixels.shape[0],
        "Columns": pixels.shape[1],
        "SamplesPerPixel": 1,
        "PhotometricInterpretation": "MONOCHROME2",
        "BitsAllocated": 16,
        "BitsStored": 12,
        "HighBit": 11,
        "PixelRepresentation": 0,
        "PixelData": pixels.tobytes(),
    } | header
    for keyword, value in elements.items():
        if value is not None:
            setattr(dataset, keyword, value)
    dataset.save_as(path, enforce_file_format=True)
    return path
