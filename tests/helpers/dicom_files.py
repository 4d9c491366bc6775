"""DICOM files made from arrays, for tests."""

from __future__ import annotations

import io

import numpy as np
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import UID, ExplicitVRLittleEndian, generate_uid


def make_dataset(stored: np.ndarray, uid: str = ExplicitVRLittleEndian, **elements) -> Dataset:
    """A CR object around stored values (H, W) or (H, W, 3); `elements` by keyword replace or add, None deletes."""
    dataset = Dataset()
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = UID(uid)
    dataset.file_meta.MediaStorageSOPClassUID = "1.2.840.10008.5.1.4.1.1.1"
    dataset.file_meta.MediaStorageSOPInstanceUID = generate_uid(entropy_srcs=["radiograph"])
    dataset.SOPClassUID = dataset.file_meta.MediaStorageSOPClassUID
    dataset.SOPInstanceUID = dataset.file_meta.MediaStorageSOPInstanceUID
    dataset.Modality = "CR"
    dataset.Rows, dataset.Columns = stored.shape[:2]
    dataset.SamplesPerPixel = stored.shape[2] if stored.ndim == 3 else 1
    dataset.PhotometricInterpretation = "RGB" if stored.ndim == 3 else "MONOCHROME2"
    if stored.ndim == 3:
        dataset.PlanarConfiguration = 0
    bits = 8 * stored.dtype.itemsize
    dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit = bits, bits, bits - 1
    dataset.PixelRepresentation = int(stored.dtype.kind == "i")
    order = ">" if uid == "1.2.840.10008.1.2.2" else "<"
    dataset.PixelData = stored.astype(stored.dtype.newbyteorder(order)).tobytes()
    for keyword, value in elements.items():
        if value is None:
            delattr(dataset, keyword)
        else:
            setattr(dataset, keyword, value)
    if "BitsStored" in elements and "HighBit" not in elements:
        dataset.HighBit = dataset.BitsStored - 1
    return dataset


def encode_dataset(dataset: Dataset, whole_file: bool = True) -> bytes:
    """The file's bytes; `whole_file` False: neither preamble nor file meta, as old archives keep them."""
    stream = io.BytesIO()
    uid = dataset.file_meta.TransferSyntaxUID
    if not whole_file:
        del dataset.file_meta
        dataset.save_as(stream, implicit_vr=uid.is_implicit_VR, little_endian=uid.is_little_endian)
    else:
        bytewise = uid.is_encapsulated or dataset.BitsAllocated == 8
        dataset["PixelData"].VR = "OB" if bytewise and not uid.is_implicit_VR else "OW"
        dataset.save_as(stream, enforce_file_format=True)
    return stream.getvalue()


def make_dicom(stored: np.ndarray, uid: str = ExplicitVRLittleEndian, **elements) -> bytes:
    """The bytes of `make_dataset(…)`."""
    return encode_dataset(make_dataset(stored, uid, **elements))


def to_words(entries: np.ndarray, uid: str = ExplicitVRLittleEndian) -> bytes:
    """Numbers as 16-bit words in the byte order of a transfer syntax."""
    return np.asarray(entries).astype(">u2" if uid == "1.2.840.10008.1.2.2" else "<u2").tobytes()


def pack_bytes(entries: np.ndarray, uid: str = ExplicitVRLittleEndian) -> bytes:
    """Numbers of 8 bits, two in a word, the first in its lower half."""
    packed = np.append(np.asarray(entries).astype(np.uint8), [0] * (len(entries) % 2)).astype(np.uint8)
    return to_words(packed.view("<u2"), uid)


def pack_bits(values: np.ndarray, bits: int, uid: str = ExplicitVRLittleEndian) -> bytes:
    """Numbers of `bits` bits one after another, the lowest bit first, in 16-bit words."""
    places = (values.reshape(-1, 1).astype(np.uint32) >> np.arange(bits)) & 1
    packed = np.packbits(places.astype(np.uint8).ravel(), bitorder="little")
    return pack_bytes(packed, uid)


def make_table(descriptor: list[int], data: bytes | list[int], signed: bool = False) -> Dataset:
    """An item of a table sequence. signed : its descriptor is written SS."""
    item = Dataset()
    words = [number & 0xFFFF for number in descriptor]
    item.add_new(
        "LUTDescriptor", "SS" if signed else "US", [descriptor[0], descriptor[1], words[2]] if signed else words
    )
    item.add_new("LUTData", "OW" if isinstance(data, bytes) else "US", data)
    return item
