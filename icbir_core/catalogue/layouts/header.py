"""What every layout asks of a film's DICOM header: whose film it is, which one, and whether it may be taken.

A table's word stands before the header's; what the table leaves open, the header says.
"""

from __future__ import annotations

from dataclasses import replace

from icbir_core.catalogue.layouts.rows import IngestOptions, RawCase, SkippedRow
from icbir_core.errors import RadiographError
from icbir_core.radiograph.facts import MODALITIES, name_modality
from icbir_core.radiograph.identity import read_film_header
from icbir_core.types import UNKNOWN, FilmHeader


def ask_header(raw: RawCase, options: IngestOptions) -> RawCase | SkippedRow:
    """The film with what its header says of it, or why it is not taken. Other files than DICOM stay as they are."""
    try:
        header = read_film_header(raw.content)
    except OSError:
        return raw  # whoever reads the film reports it
    except RadiographError as error:
        return SkippedRow(raw.label, str(error))
    if header is None:
        if options.layout in ("dicom", "dicomweb"):
            return SkippedRow(raw.label, "not a DICOM file")
        return raw if raw.view != UNKNOWN else replace(raw, view=raw.usual_view)
    reason = give_reason_against_header(header, private=raw.private)
    if reason is not None:
        return SkippedRow(raw.label, reason)
    return replace(
        raw,
        patient=raw.patient if raw.patient is not None else header.patient,
        header_patient=header.patient,
        instance=header.instance,
        view=next((view for view in (raw.view, header.view) if view != UNKNOWN), raw.usual_view),
        age=raw.age if raw.age is not None else header.age,
        sex=raw.sex if raw.sex != UNKNOWN else header.sex,
    )


def give_reason_against_header(header: FilmHeader, private: bool) -> str | None:
    """Why a DICOM file is no film to take, or None. private : whether the catalogue promises to name nobody."""
    if not header.has_picture:
        return "a DICOM file without a picture"
    if header.unreadable:
        return f"the header's {header.unreadable} is damaged; export the film again"
    if header.modality and header.modality not in MODALITIES:
        return f"modality {name_modality(header.modality)} is not a radiograph"
    if private and header.burned_in:
        return "the header says that text is burned into the picture; remove it first"
    return None
