"""What becomes of each attribute: the profile's own table (PS3.15, Table E.1-1) as the package dicom-anonymizer holds
it, and a stricter rule for what that table does not name.

The table covers attributes that are known to hold identifiers; others are kept by the standard. Here a film keeps of
them only what can hold none or is needed to show it: numbers, codes, tables of grey, and the labels that are listed
below. Other labels, free text, names, times, addresses and bytes that the table does not name are removed too, and
so is whatever else it does not name of the patient, the visit, the request and the result.
"""

from __future__ import annotations

from enum import Enum, auto
from functools import cache

from dicomanonymizer.dicom_anonymization_databases import dicomfields_2026c as table
from pydicom.datadict import dictionary_has_tag, keyword_for_tag
from pydicom.tag import BaseTag

EDITION = "2026c"
PATIENT_ID = 0x00100020
_REFERENCED_STUDY = 0x00081110
_FREE = frozenset({"AS", "PN", "DA", "TM", "DT", "AE", "LT", "ST", "UT", "UC", "UR", "UN"})
_BYTES = frozenset({"OB", "OW", "OF", "OD", "OL", "OV", "OB or OW", "US or OW", "US or SS or OW"})
LABELS = frozenset(
    {
        *("CodeValue", "CodingSchemeDesignator", "CodingSchemeVersion", "CodeMeaning", "MappingResourceName"),
        *("Manufacturer", "ManufacturerModelName", "SoftwareVersions", "DetectorManufacturerName"),
        *(
            "DetectorManufacturerModelName",
            "PlateType",
            "PhosphorType",
            "FilterType",
            "AcquisitionDeviceProcessingCode",
        ),
        *("SecondaryCaptureDeviceManufacturer", "SecondaryCaptureDeviceManufacturerModelName"),
        *("SecondaryCaptureDeviceSoftwareVersions", "RescaleType", "ModalityLUTType", "LUTExplanation"),
        *("WindowCenterWidthExplanation", "PixelSpacingCalibrationDescription"),
    }
)
"""Of LO and SH: what a code, a device of its kind or the grey scale is."""
GREY_TABLES = {"LUTData": "LUTDescriptor"} | {
    f"{form}{colour}PaletteColorLookupTableData": f"{colour}PaletteColorLookupTableDescriptor"
    for colour in ("Red", "Green", "Blue")
    for form in ("", "Segmented")
}
"""The bytes that show the film, and what says how many of them count. Any others go: a colour profile has texts."""
_OF_PERSONS = frozenset({0x0010, 0x0032, 0x0038, 0x4008})
_REMOVED_GROUPS = frozenset({0x0000, 0x0002, 0x0004, 0x7FE0})


class Step(Enum):
    """What is done with an attribute. The table's X, Z, D and U; KEEP keeps a value, and the items of a sequence with
    their own attributes treated alike."""

    REMOVE = auto()
    EMPTY = auto()
    REPLACE = auto()
    NEW_UID = auto()
    KEEP = auto()


_TABLE = {
    Step.REMOVE: (table.X_TAGS, table.X_D_TAGS, table.X_Z_D_TAGS),
    Step.EMPTY: (table.Z_TAGS, table.Z_D_TAGS, table.X_Z_TAGS),
    Step.REPLACE: (table.D_TAGS,),
    Step.NEW_UID: (table.U_TAGS,),
    Step.KEEP: (table.X_Z_U_STAR_TAGS,),
}
"""Where the table leaves a choice, the one that the classes of films (CR, DX, Secondary Capture) need: none of them
requires an attribute with X/D or X/Z/D, nor a value where Z/D stands."""


@cache
def read_table() -> dict[int, Step]:
    """Tag → step for every attribute of the table that belongs to no repeating group; those go whole (`find_step`)."""
    found: dict[int, Step] = {}
    for step, lists in _TABLE.items():
        found |= {one[0] << 16 | one[1]: step for entries in lists for one in entries if len(one) == 2}
    # A number is needed to keep a patient's films together; an empty sequence of studies is against the standard.
    return found | {PATIENT_ID: Step.REPLACE, _REFERENCED_STUDY: Step.REMOVE}


def find_step(tag: BaseTag, representation: str) -> Step:
    """What the profile does with an attribute of this tag and value representation, wherever it stands."""
    known = dictionary_has_tag(tag)  # nothing private, and of repeating groups none: overlays and curves go
    if tag.element == 0 or tag.group in _REMOVED_GROUPS or not known:
        return Step.REMOVE
    if (step := read_table().get(tag)) is not None:
        return step
    free = representation in _FREE or (representation in _BYTES and keyword_for_tag(tag) not in GREY_TABLES)
    label = representation in ("LO", "SH") and keyword_for_tag(tag) not in LABELS
    return Step.REMOVE if free or label or tag.group in _OF_PERSONS else Step.KEEP
