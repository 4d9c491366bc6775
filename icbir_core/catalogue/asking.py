"""A new film as a query of a workspace: with its patient and its own identity, where its header tells them."""

from __future__ import annotations

from icbir_core.catalogue.workspace import Workspace
from icbir_core.files import PathLike
from icbir_core.radiograph.reading import read_film
from icbir_core.settings import FILM_LIMITS, ReadLimits
from icbir_core.types import Query


def read_query(workspace: Workspace, name: str, source: bytes | PathLike, limits: ReadLimits = FILM_LIMITS) -> Query:
    """The film as a `Query`; patient and instance are hashed as `ingest` hashes them, None where no header tells one.

    source : the file's bytes, or a path. Raises `RadiographError` as `read_radiograph` does, `WorkspaceError` if the
    workspace has lost its salt.
    """
    radiograph, header = read_film(source, limits)
    patient, instance = (header.patient, header.instance) if header is not None else (None, None)
    return Query(name, radiograph, workspace.hash_patient(patient), instance=workspace.hash_instance(instance))
