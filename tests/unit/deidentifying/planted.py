"""A film with an identifier in every kind of element, and the list of them."""

from __future__ import annotations

import io
from collections.abc import Iterator

import numpy as np
from pydicom.datadict import DicomDictionary, dictionary_has_tag, dictionary_VR, keyword_for_tag
from pydicom.dataelem import DataElement
from pydicom.dataset import Dataset
from pydicom.encaps import encapsulate
from pydicom.sequence import Sequence
from pydicom.uid import JPEGBaseline8Bit

from icbir_core.deidentifying.profile import LABELS, Step, read_table
from tests.helpers.dicom_files import encode_dataset, make_dataset

TEXTS = ("AE", "CS", "LO", "LT", "PN", "SH", "ST", "UC", "UT", "UR")
OTHERS = {"DA": "19531117", "DT": "19531117031415.926", "TM": "031415.926", "AS": "053Y", "DS": "314159.26",
          "IS": "31415926"}  # fmt: skip
BYTES = ("OB", "OW", "OD", "OF", "OL", "OV", "UN")
OF_THE_FILM = {"SOPInstanceUID", "StudyInstanceUID", "MediaStorageSOPInstanceUID"}


def make_value(tag: int) -> object:
    """Something that identifies, of the attribute's kind: texts and UIDs that stand nowhere else."""
    kind = dictionary_VR(tag).split(" or ")[0]
    if kind in TEXTS:
        return f"PLANTED{tag:08X}"[:16]
    if kind == "UI":
        return f"1.2.840.99999.{tag}"
    if kind == "SQ":
        item = Dataset()
        item.PatientName, item.TextValue = f"NESTED{tag:08X}", f"DEEPER{tag:08X}"
        if read_table()[tag] is not Step.KEEP:  # of what is kept, the names of codes are kept too
            item.CodeMeaning = f"INSIDE{tag:08X}"
        return Sequence([item])
    return b"PLANTEDBYTES1234" if kind in BYTES else OTHERS.get(kind, 12345)


def plant_others(dataset: Dataset) -> None:
    """Every attribute of the standard that can hold a text, a time, a UID or bytes and that is not in the table."""
    for tag, (kind, *_) in DicomDictionary.items():
        group, keyword = tag >> 16, keyword_for_tag(tag)
        structural = group <= 4 or group == 0x7FE0 or keyword in (*OF_THE_FILM, "SOPClassUID", *LABELS)
        kind = kind.split(" or ")[0]
        free = kind in (*TEXTS, *BYTES, "DA", "DT", "TM", "UI") and kind != "CS"
        if free and not structural and tag not in read_table():
            dataset[tag] = DataElement(tag, kind, make_value(tag))


def plant(dataset: Dataset) -> None:
    """Every attribute of the profile's table."""
    for tag in read_table():
        if tag >> 16 <= 4 or keyword_for_tag(tag) in OF_THE_FILM or not dictionary_has_tag(tag):
            continue
        kind = dictionary_VR(tag).split(" or ")[0]
        dataset[tag] = DataElement(tag, kind, make_value(tag))


def make_planted_film() -> Dataset:
    """A CR film: the table's attributes above and within sequences that are kept, and every other place for a text."""
    stored = np.random.default_rng(5).integers(0, 4096, (64, 48), dtype=np.uint16)
    film = make_dataset(stored, BitsStored=12, BurnedInAnnotation="NO")
    film.StudyInstanceUID, film.SeriesInstanceUID = "1.2.840.99999.1.1", "1.2.840.99999.1.2"
    plant(film)
    plant_others(film)
    outer, inner = Dataset(), Dataset()
    plant(inner)
    plant_others(inner)
    inner.SOPInstanceUID, inner.StudyInstanceUID = "1.2.840.99999.1.9", "1.2.840.99999.1.1"
    outer.CodeMeaning = "seen by PLANTED00100010, front"  # the patient's own name within a text that is kept
    outer.ViewModifierCodeSequence = Sequence([inner])
    film.ViewCodeSequence = Sequence([outer])
    film.private_block(0x0009, "PLANTEDCREATOR", create=True).add_new(1, "LO", "PLANTEDPRIVATE")
    film.add_new(0x00190055, "LO", "PLANTEDORPHAN")
    film.add_new(0x00280FFE, "LO", "PLANTEDUNKNOWN")
    film.RedPaletteColorLookupTableDescriptor = [8, 0, 16]  # of a palette that the film does not use
    table = Dataset()
    table.LUTDescriptor, table.LUTExplanation = [4096, 0, 16], "curve of DOCTOR_PLANTED00100010_2"
    table.add_new("LUTData", "OW", np.linspace(0, 65535, 4096).astype("<u2").tobytes() + b"PLANTEDBEYOND ")
    film.VOILUTSequence = Sequence([table])
    film.add_new(0x60000010, "US", 64)
    film.add_new(0x60000011, "US", 48)
    film.add_new(0x60003000, "OW", b"PLANTEDOVERLAY  ")
    film.add_new(0x60004000, "LT", "PLANTEDOVERLAYCOMMENT")
    film.add_new(0x60221500, "LO", "PLANTEDLABEL")
    film.add_new(0x50003000, "OW", b"PLANTEDCURVE    ")
    film.add_new(0x50102500, "LO", "PLANTEDCURVELABEL")
    icon = make_dataset(np.frombuffer(b"PLANTEDICON!" * 3, np.uint8).reshape(6, 6))
    film.IconImageSequence = Sequence([icon])
    film.ViewModifierCodeSequence = Sequence([icon])  # pixels where nobody looks for them
    film.IndicationDescription = "PLANTEDSTREET 17"  # not in the table
    film.GridAbsorbingMaterial = "PLANTEDNOTE"
    film.SecondaryReviewerName = "PLANTED^REVIEWER"
    film.RetrieveURL = "http://planted.example/PLANTEDURL"
    film.ContextUID, film.FrameOfReferenceUID = "1.2.840.99999.1.3", "1.2.840.99999.1.4"
    film.ReferencedSOPClassUID = film.SOPClassUID
    film.PixelData = (stored | 0xA000).tobytes() + b"PLANTEDAFTERWARDS "  # bits of an overlay above the grey
    film.file_meta.SourceApplicationEntityTitle = "PLANTEDSOURCE"
    film.file_meta.PrivateInformationCreatorUID = "1.2.840.99999.1.5"
    film.file_meta.PrivateInformation = b"PLANTEDMETA "
    film.preamble = b"PLANTEDPREAMBLE".ljust(128, b"\0")
    return film


def list_planted(dataset: Dataset) -> Iterator[bytes]:
    """Every text and UID of a planted film that a search of bytes can find for sure."""
    yield from (b"PLANTED", b"NESTED", b"INSIDE", b"DEEPER", b"planted", b"1.2.840.99999.", b"031415.926", b"31415926")
    yield from (b"19531117", str(dataset.SOPInstanceUID).encode())


def make_commented_jpeg() -> bytes:
    """A lossy JPEG film that carries a comment and EXIF data of its own."""
    from PIL import Image

    grey = np.add.outer(np.arange(48), np.arange(64)).astype(np.uint8)
    packed = io.BytesIO()
    exif = Image.Exif()
    exif[0x010E] = "PLANTEDDESCRIPTION"
    Image.fromarray(grey).save(packed, "JPEG", quality=90, comment=b"PLANTEDCOMMENT", exif=exif)
    film = make_dataset(grey, JPEGBaseline8Bit, BurnedInAnnotation="NO", StudyInstanceUID="1.2.840.99999.1.1")
    film.PixelData = encapsulate([packed.getvalue()])
    film["PixelData"].is_undefined_length = True
    return encode_dataset(film)
