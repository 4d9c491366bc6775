"""One film of a reader into the catalogue, with what is proven of it, if anything is."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, replace

from icbir_core.catalogue.copies import Kept
from icbir_core.catalogue.film_places import FOLDER
from icbir_core.catalogue.ingesting import record_catalogue
from icbir_core.catalogue.storing import StoredFilm, find_doubts, find_kept, name_image
from icbir_core.catalogue.workspace import Workspace
from icbir_core.errors import CatalogueError, WorkspaceError
from icbir_core.files import sha256_of_bytes
from icbir_core.findings import FindingState
from icbir_core.radiograph.writing import encode_lossless
from icbir_core.types import Query

SOURCE = "added by a reader"


@dataclass(frozen=True)
class ProvenFilm:
    """What is known of a film beside its pixels. findings : name → state, those left out are unknown; diagnosis :
    proven, in words, "" without; it is kept as it is written, so it must name nobody. view : as of a `Radiograph`."""

    findings: Mapping[str, FindingState]
    diagnosis: str
    view: str


def add_film(workspace: Workspace, query: Query, proven: ProvenFilm) -> str:
    """Store the film of a query and add it to the catalogue; the name of its case, which says nothing of the patient.

    Raises `CatalogueError` for a film that the catalogue has already, or whose header says that text is burned into
    it, as every layout that names nobody refuses it; `WorkspaceError` where it cannot be stored or an ingest is
    running.
    """
    if "burned_in" in query.radiograph.facts:
        raise CatalogueError("The header says that text is burned into the picture; remove it first.")
    radiograph = replace(query.radiograph, view=proven.view)
    case_id = f"case-{workspace.hash_secretly(f'{SOURCE}:{radiograph.pixel_sha256}')}"
    path, data = f"{FOLDER}/{name_image(case_id)}", encode_lossless(radiograph)
    with workspace.lock("catalogue", seconds=2.0):
        if held := workspace.catalogue.find_film(radiograph.pixel_sha256, radiograph.stored_sha256, None):
            raise CatalogueError(f"The catalogue has this film already, as '{held.case_id}'.")
        workspace.films.write(path, data)
        record = {
            "case_id": case_id,
            "path": path,
            "sha256": sha256_of_bytes(data),
            "pixel_sha256": radiograph.pixel_sha256,
            "patient": query.patient,
            "view": proven.view,
            "age": radiograph.age,
            "sex": radiograph.sex,
            "source": SOURCE,
            "findings": {name: state.value for name, state in proven.findings.items() if state.known},
            "report": None,
            "diagnosis": proven.diagnosis.strip() or None,
            "source_bytes": None,
            "orientation_verified": radiograph.orientation_verified,
            "doubt": " ".join(find_doubts(radiograph, proven.view)) or None,
            "instance": query.instance,
            "stored_sha256": radiograph.stored_sha256,
        }
        stored = StoredFilm(case_id, record)
        try:
            kept = find_kept(workspace, stored, ())
        except WorkspaceError:
            with suppress(WorkspaceError):  # the first error is the one to tell
                workspace.films.delete(path)
            raise
        if isinstance(kept, Kept):
            workspace.films.delete(path)
            raise CatalogueError(f"The catalogue has this film already, as '{kept.case_id}'.")
        workspace.catalogue.add([(stored if kept is None else stored.with_doubt(kept)).record])
        record_catalogue(workspace)
    return case_id
