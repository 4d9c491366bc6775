"""An ingest from the archive in parts that several workers take: one study each."""

from __future__ import annotations

from contextlib import closing
from dataclasses import replace

from icbir_core.catalogue import IngestOptions, Workspace
from icbir_core.catalogue.ingesting import ingest_part
from icbir_core.pacs.archive import Archive
from icbir_core.pacs.layout import find_studies, read_archive_settings
from icbir_core.pacs.studies import StudyQuery


def list_studies(workspace: Workspace, options: IngestOptions) -> list[str]:
    """The studies that `options.query` names, newest first; each UID hidden (`Workspace.hide`), for it leads to a
    patient. Raises as the layout's `read_rows`."""
    with closing(Archive(read_archive_settings(options))) as archive:
        return [workspace.hide(study.uid) for study in find_studies(archive, options)]


def ingest_study(workspace: Workspace, options: IngestOptions, hidden: str) -> int:
    """Add the films of one of `list_studies`; how many are new. Raises as `ingest`."""
    modalities = "+".join(StudyQuery.parse(options.query).modalities)
    query = f"study={workspace.reveal(hidden)}, modality={modalities}"
    return ingest_part(workspace, replace(options, query=query))
