"""From a catalogue to something that can be searched: maps, embeddings and one index a method, resumable case by
case."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import reduce
from pathlib import Path
from typing import Any

import numpy as np

from icbir_core.catalogue import Workspace, record_catalogue
from icbir_core.errors import IcbirError, IndexMismatch, WorkspaceError
from icbir_core.retrieval.case_keys import CaseKeys
from icbir_core.retrieval.centring import Centre, CentredView
from icbir_core.retrieval.devices import describe_mixture
from icbir_core.retrieval.filling import (
    Asked,
    Filling,
    choose_models,
    describe_catalogue,
    name_identity,
    open_encoder_stores,
)
from icbir_core.retrieval.index_report import IndexReport
from icbir_core.retrieval.methods import ENCODERS, FEATURES, PGVECTOR, SEARCH_METHODS, SearchMethod, calling
from icbir_core.retrieval.model_choice import Models
from icbir_core.retrieval.neighbours import measure_neighbours, read_neighbours, write_neighbours
from icbir_core.retrieval.search_index import StoredIndex, find_engine_name, find_index_class
from icbir_core.retrieval.side_by_side import (
    JoinedView,
    list_fields,
    name_centre,
    name_centre_identity,
    name_field,
    name_origin,
)
from icbir_core.retrieval.store import CaseStore
from icbir_core.retrieval.target_files import (
    CLASSIFIER,
    TargetFiles,
    find_next_order,
    get_catalogue_sha256,
    get_encoder_store_name,
)
from icbir_core.types import Progress

_REPORTED = (
    "count", "kind", "trees", "search_k", "ef_search", "recall_at_10", "recall_at_10_between", "metric", "sha256"
)  # fmt: skip


def index_workspace(
    workspace: Workspace,
    target: str | None = None,
    methods: Sequence[str] | None = None,
    device: str = "auto",
    map_method: str | None = None,
    models: Models | None = None,
    progress: Progress | None = None,
    encoders: Sequence[str] | None = None,
    engine: str | None = None,
) -> IndexReport:
    """Compute what is missing, then build or update the indexes.

    map_method : of the maps that are stored; None takes `Models.map_method`.
    engine : of `search_index.ENGINES`, what holds the vectors; None keeps what each index has, at first Annoy.
    methods : names of search methods; None takes all that the models allow. encoders : names of those that are compared
    beside the classifier; None takes the workspace's own, and with the starter models those that come with the program.
    Killed at any point, the same call
    goes on with the next case and ends with the same values. Memory does not grow with the catalogue. models :
    instead of the workspace's own (tests). Raises `WorkspaceError` for an empty catalogue, another indexing under
    way, or ig_cbir without a saliency classifier; `UnknownNameError` for an unknown method.
    """
    from icbir_core.model.device import choose_device

    chosen = choose_device(device).as_dict()
    with workspace.lock("index", seconds=2.0):
        models, asked = choose_models(workspace, Asked(target, methods, encoders), models)
        if encoders is not None and not models.encoders:
            _forget_encoders(TargetFiles(workspace, models.target))
        tell = progress or (lambda done, total, text: None)
        return _index(workspace, models, asked, map_method or models.map_method, chosen, tell, engine)


def _forget_encoders(files: TargetFiles) -> None:
    """Offer no method any more that compares encoders: an index without them was asked for."""
    former = files.workspace.read_manifest()["artefacts"].get(files.name)
    if former is not None:
        methods = {name: facts for name, facts in former.get("methods", {}).items()
                   if name not in SEARCH_METHODS or not SEARCH_METHODS[name].needs_encoders}  # fmt: skip
        files.workspace.record_artefact(files.name, {**former, "methods": methods, "encoders": {}})


def _index(
    workspace: Workspace,
    models: Models,
    methods: Sequence[SearchMethod],
    map_method: str,
    device: dict[str, Any],
    progress: Progress,
    engine: str | None,
) -> IndexReport:
    if "catalogue" not in workspace.read_manifest()["artefacts"]:
        record_catalogue(workspace)
    catalogue_sha256 = get_catalogue_sha256(workspace)
    files = TargetFiles(workspace, models.target)
    identity = name_identity(models, map_method)
    embedder = models.make_embedder(map_method)
    existed = files.store.exists()
    encoders = models.encoders if any(method.needs_encoders for method in methods) else ()
    with workspace.lock("stores"):  # a worker may make them too
        store, new = CaseStore.open_or_create(files.store, identity, embedder.fields, workspace.films_address)
        sides = open_encoder_stores(workspace, encoders)
    already = len(store.get_completed())
    filling = Filling(workspace, embedder, store, sides, device)
    unreadable = filling.fill_all(progress)
    rows = store.get_completed()
    if len(rows) == 0:
        raise WorkspaceError(f"None of the {len(unreadable)} films can be read; run the verify command.")
    workspace.record_artefact(files.get_store_name(), {"path": store.seal()})
    for encoder, side in sides:
        workspace.record_artefact(get_encoder_store_name(encoder.name), {"path": side.seal()})
    made_from = models.identity | {"catalogue": catalogue_sha256, "map_method": map_method}
    keys, removed = CaseKeys.read(workspace.catalogue), workspace.catalogue.removed_rows()
    stores = {name: store for name in store.names} | {name_field(encoder.name): side for encoder, side in sides}
    centres = {}
    for name in dict.fromkeys(f for method in methods if method.centred for f in list_fields(method, encoders)):
        made_by = identity if name == FEATURES else name_centre_identity(name, encoders)
        alive = stores[name].view(name if name == FEATURES else ENCODERS, np.setdiff1d(rows, removed))
        centres[name] = Centre.renew(files.folder, made_by, alive, name_centre(name))
    indexes, failed = {}, []
    for number, method in enumerate(methods):
        progress(number, len(methods), f"indexing {method.name}")
        try:
            with calling(method):
                own = describe_catalogue(workspace, method, embedder, store, progress) if method.describe else None
                sources = {name: stores[name] if own is None else own for name in list_fields(method, encoders)}
                known = reduce(np.intersect1d, (source.get_completed() for source in sources.values()), rows)
                vectors = _view(method, sources, known, centres)
                origin = made_from | name_origin(method, centres, encoders)
                cases = _Described(vectors, known, removed, origin)
                place = _Place(method, files.get_index(method.name), engine)
                indexes[method.name] = _build_index(place, cases, keys, progress)
        except IcbirError as error:
            if method.name in SEARCH_METHODS.built_in or len(methods) == 1:
                raise
            failed.append((method.name, str(error)))
    progress(len(methods), len(methods), "indexed")
    noted = device | describe_mixture(filling.stores)
    _record(files, models, map_method, catalogue_sha256, noted, indexes)
    return IndexReport(
        models.target,
        len(rows) - already,
        already,
        models.starter,
        existed and new,
        tuple(unreadable),
        indexes,
        device,
        tuple(failed),
    )


def _view(
    method: SearchMethod, sources: Mapping[str, CaseStore], rows: np.ndarray, centres: Mapping[str, Centre]
) -> Any:
    """What a method compares of these rows, an array (N, …) with slices. sources : by the field."""
    parts = []
    for name, source in sources.items():
        part: Any = source.view(name if name in source.names else ENCODERS, rows)
        parts.append(CentredView(part, centres[name]) if method.centred else part)
    return parts[0] if len(parts) == 1 else JoinedView(parts)


@dataclass(frozen=True, eq=False)
class _Described:
    """The cases as one method describes them: vectors (N, …), any array with slices, with their rows; those in
    `removed` are not found. made_from : hashes of what they came from."""

    vectors: Any
    rows: np.ndarray
    removed: np.ndarray
    made_from: dict[str, str]


@dataclass(frozen=True)
class _Place:
    """Where a method's index lies, and what was asked to hold it (None: what holds it now)."""

    method: SearchMethod
    directory: Path
    engine: str | None

    @property
    def former(self) -> str | None:
        """What holds it now."""
        return find_engine_name(self.method, self.directory)

    @property
    def wanted(self) -> str | None:
        return find_engine_name(self.method, self.directory, self.engine)


def _build_index(place: _Place, cases: _Described, keys: CaseKeys, progress: Progress) -> dict[str, Any]:
    """Build or update one method's index and its neighbour distances; what the report says of it."""
    method, directory, former = place.method, place.directory, place.former
    index = _find_current(place, cases)
    if index is None:
        # what a package brings need not tell of its progress
        more: dict[str, Any] = {"progress": progress} if place.wanted else {}
        index = find_index_class(method, directory, place.engine).update(
            directory, cases.vectors, cases.rows, cases.removed, cases.made_from, **more
        )
        if former == PGVECTOR != place.wanted:
            from icbir_core.retrieval.vector_index import forget_folder

            forget_folder(directory)
        distances = measure_neighbours(index, cases.vectors, cases.rows, cases.removed, keys, method.sample)
        write_neighbours(directory, index.sha256, distances)
    return {name: index.manifest[name] for name in _REPORTED if name in index.manifest} | {"tail": index.tail}


def _find_current(place: _Place, cases: _Described) -> StoredIndex | None:
    """The index that is there, if it holds just these cases, made from the same, where they are wanted."""
    directory = place.directory
    if place.former != place.wanted:
        return None
    try:
        index = find_index_class(place.method, directory).open(directory, cases.made_from)
        # a run killed behind the index and before its neighbour distances leaves those of the former index
        read_neighbours(directory, index.sha256)
    except IndexMismatch:
        return None
    current = np.setdiff1d(cases.rows, cases.removed)
    return index if np.isin(current, index.rows).all() and np.isin(index.rows, cases.rows).all() else None


def _record(
    files: TargetFiles,
    models: Models,
    map_method: str,
    catalogue_sha256: str,
    device: dict[str, Any],
    indexes: dict[str, dict[str, Any]],
) -> None:
    """Note the target and each index in the workspace's manifest; methods indexed earlier alike stay."""
    workspace = files.workspace
    artefacts = workspace.read_manifest()["artefacts"]
    origin = {"catalogue": catalogue_sha256}
    names = {CLASSIFIER: "model", files.saliency_name: "saliency_model"}
    # the starter models are no artefacts of the workspace
    origin |= {
        name: models.identity[kind]
        for name, kind in names.items()
        if artefacts.get(name, {}).get("sha256") == models.identity[kind]
    }
    for method in indexes:
        entry = {"path": files.get_index(method), "made_from": origin}
        workspace.record_artefact(files.get_index_name(method), entry)
    for centre in sorted(files.folder.glob("centre*.npz")):
        workspace.record_artefact(f"{centre.stem}/{files.target}", {"path": centre})
    former = artefacts.get(files.name, {})
    hashes = {one.name: one.sha256 for one in models.encoders}
    needed = any(SEARCH_METHODS[method].needs_encoders for method in indexes)
    same = former.get("models") == models.identity and former.get("catalogue") == catalogue_sha256
    workspace.record_artefact(
        files.name,
        {
            "order": find_next_order(artefacts, files.name),
            "methods": (former.get("methods", {}) if same else {}) | indexes,
            "models": models.identity,
            "encoders": hashes if needed else former.get("encoders", {}) if same else {},
            "starter": models.starter,
            "map_method": map_method,
            "catalogue": catalogue_sha256,
            "device": device,
            "made_from": origin,
        },
    )
