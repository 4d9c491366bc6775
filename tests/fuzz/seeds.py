"""Small sound films of every kind that the reader knows, made here: what the mutations start from."""

from __future__ import annotations

import io
import tempfile
import warnings
from functools import cache
from pathlib import Path

import cv2
import numpy as np
from PIL import Image
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence

from scripts.archive_films import GDCM_SYNTAXES, transcode
from tests.helpers.dicom_files import encode_dataset, make_dataset, make_dicom

FILM16 = (np.add.outer(np.arange(24) * 1300, np.arange(32) * 900) % 65536).astype(np.uint16)
FILM12, FILM8 = (FILM16 // 16).astype(np.uint16), (FILM16 // 256).astype(np.uint8)
COLOUR8 = np.dstack([FILM8, FILM8[::-1], FILM8[:, ::-1]])


@cache
def list_seeds() -> tuple[tuple[str, bytes], ...]:
    """(kind, bytes) of each seed; kind is "png", "jpeg" or "dicom"."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return (
            *(("png", data) for data in _make_pngs()),
            *(("jpeg", data) for data in _make_jpegs()),
            *(("dicom", data) for data in _make_dicoms()),
        )


def _save(picture: Image.Image, kind: str, **options) -> bytes:
    stream = io.BytesIO()
    picture.save(stream, kind, **options)
    return stream.getvalue()


def _make_pngs() -> list[bytes]:
    grey, colour = Image.fromarray(FILM8), Image.fromarray(COLOUR8)
    alpha = Image.fromarray(np.dstack([COLOUR8, FILM8]))
    pictures = [grey, colour, alpha, grey.convert("LA"), grey.convert("P"), grey.convert("1"), Image.fromarray(FILM16)]
    made = [_save(picture, "PNG") for picture in pictures]
    made += [
        cv2.imencode(".png", np.dstack([FILM16] * 3))[1].tobytes(),
        cv2.imencode(".png", np.dstack([FILM16] * 4))[1].tobytes(),
        _save(colour.quantize(16), "PNG", bits=4, transparency=0),
        _save(grey, "PNG", dpi=(72, 72), icc_profile=b"no profile", exif=_make_exif()),
        _save(grey, "PNG", save_all=True, append_images=[grey.rotate(90).resize(grey.size)], duration=10),
    ]
    return made


def _make_exif() -> Image.Exif:
    exif = Image.Exif()
    exif[0x0112], exif[0x010E], exif[0x011A] = 6, "words", 72.0
    return exif


def _make_jpegs() -> list[bytes]:
    grey, colour = Image.fromarray(FILM8), Image.fromarray(COLOUR8)
    return [
        _save(grey, "JPEG"),
        _save(colour, "JPEG", quality=95, subsampling=0),
        _save(colour, "JPEG", progressive=True, subsampling=2),
        _save(colour.convert("CMYK"), "JPEG"),
        _save(grey, "JPEG", exif=_make_exif(), dpi=(72, 72), comment=b"words"),
        _save(grey, "JPEG", restart_marker_blocks=2, icc_profile=b"no profile"),
        _save(grey, "MPO", save_all=True, append_images=[grey]),
    ]


def _make_dicoms() -> list[bytes]:
    window = {"WindowCenter": ["2000", "900"], "WindowWidth": ["3000", "90"], "RescaleSlope": 2, "RescaleIntercept": -9}
    table = Dataset()
    table.LUTDescriptor, table.LUTData = [16, 0, 12], np.arange(0, 4096, 256, dtype=np.uint16).tobytes()
    code = Dataset()
    code.CodeMeaning = "postero-anterior"
    header = {
        "PatientID": "17", "PatientAge": "057Y", "PatientSex": "F", "PatientOrientation": ["L", "F"],
        "ViewCodeSequence": Sequence([code]), "ImagerPixelSpacing": [0.1, 0.1], "BodyPartExamined": "CHEST",
        "LossyImageCompression": "01", "LossyImageCompressionRatio": "9", "SpecificCharacterSet": "ISO_IR 192",
    }  # fmt: skip
    palette = {f"{name}PaletteColorLookupTableDescriptor": [256, 0, 16] for name in ("Red", "Green", "Blue")}
    palette |= {f"{name}PaletteColorLookupTableData": bytes(512) for name in ("Red", "Green", "Blue")}
    plain = make_dicom(FILM12, BitsStored=12, **window, **header)
    made = [
        plain,
        *(make_dicom(FILM12, f"1.2.840.10008.1.2{end}", BitsStored=12, **window) for end in ("", ".2", ".1.99")),
        make_dicom(FILM12.astype(np.int16), PixelPaddingValue=0, PhotometricInterpretation="MONOCHROME1", **window),
        make_dicom(FILM12, VOILUTSequence=Sequence([table]), VOILUTFunction="SIGMOID", **window),
        make_dicom(COLOUR8),
        make_dicom(COLOUR8, PlanarConfiguration=1, PhotometricInterpretation="YBR_FULL"),
        make_dicom(FILM8, PhotometricInterpretation="PALETTE COLOR", **palette),
        encode_dataset(make_dataset(FILM12, "1.2.840.10008.1.2", BitsStored=12), whole_file=False),
    ]
    with tempfile.TemporaryDirectory() as folder:
        for uid in GDCM_SYNTAXES:
            sources = [make_dicom(FILM8, **header)]
            if uid[-3:] not in (".50", ".51"):
                sources += [plain, make_dicom(FILM12.astype(np.int16) - 2000, BitsStored=16)]
            if uid[-3:] in (".50", ".90", "2.5"):
                sources.append(make_dicom(COLOUR8))
            made += [transcode(source, uid, Path(folder)) for source in sources]
    return made
