"""A new film as a query of a workspace: with its patient and its own identity, where its header tells them."""

from __future__ import annotations

from icbir_core.catalogue.workspace import Workspace
from icbir_core.files import PathLike
from icbir_core.radiograph.reading import read_film
from icbir_core.settings import FILM_LIMITS, ReadLimits
from icbir_core.types import FilmHeader, Query, Radiograph


def read_query(workspace: Workspace, name: str, source: bytes | PathLike, limits: ReadLimits = FILM_LIMITS) -> Query:
    """The film as a `Query`; patient, instance and study hashed as by `ingest`, None where no header tells.

    source : the file's bytes, or a path. Raises `RadiographError` as `read_radiograph` does, `WorkspaceError` if the
    workspace has lost its salt.
    """
    radiograph, header = read_film(source, limits)
    return make_query(workspace, name, radiograph, header)


def make_query(workspace: Workspace, name: str, radiograph: Radiograph, header: FilmHeader | None) -> Query:
    """The same of a film that was read. Raises `WorkspaceError` if the workspace has lost its salt."""
    if header is None:
        return Query(name, radiograph)
    return Query(
        name,
        radiograph,
        workspace.hash_patient(header.patient),
        instance=workspace.hash_instance(header.instance),
        study=workspace.hash_study(header.study),
    )
