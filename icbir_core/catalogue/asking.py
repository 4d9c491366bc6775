"""A new film as a query of a workspace: with its patient, where its header tells one."""

from __future__ import annotations

import io
from pathlib import Path

from icbir_core.catalogue.workspace import Workspace
from icbir_core.radiograph.reading import read_radiograph
from icbir_core.settings import FILM_LIMITS, ReadLimits
from icbir_core.types import Query


def read_query(workspace: Workspace, name: str, source: bytes | str | Path, limits: ReadLimits = FILM_LIMITS) -> Query:
    """The film as a `Query`; its patient is hashed as `ingest` hashes it, and None where no header tells one.

    source : the file's bytes, or a path. Raises `RadiographError` as `read_radiograph` does, `WorkspaceError` if the
    workspace has lost its salt.
    """
    radiograph = read_radiograph(source, limits)
    patient = _read_patient_number(source) if radiograph.source_format == "DICOM" else None
    return Query(name, radiograph, workspace.hash_patient(patient))


def _read_patient_number(source: bytes | str | Path) -> str | None:
    from pydicom import dcmread  # only a DICOM film needs it

    from icbir_core.radiograph.dicom_header import read_patient_number

    file = io.BytesIO(source) if isinstance(source, bytes) else source
    # By force, because films without a preamble are read too.
    return read_patient_number(dcmread(file, force=True, stop_before_pixels=True, specific_tags=["PatientID"]))
