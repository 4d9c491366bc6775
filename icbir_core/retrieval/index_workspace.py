"""From a catalogue to something that can be searched: maps, embeddings and one index a method, resumable case by
case."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np

from icbir_core.catalogue import Workspace, read_case_radiograph, record_catalogue
from icbir_core.errors import IcbirError, IndexMismatch, WorkspaceError
from icbir_core.radiograph.network_input import fit_to_network
from icbir_core.retrieval.case_keys import CaseKeys
from icbir_core.retrieval.centring import Centre, CentredView
from icbir_core.retrieval.embedding import DEFAULT_MAP_METHOD, Embedder, Embeddings, describe_films
from icbir_core.retrieval.methods import FEATURES, SEARCH_METHODS, SearchMethod, calling, list_possible
from icbir_core.retrieval.model_choice import Models, load_models, require_saliency_classifier
from icbir_core.retrieval.neighbours import measure_neighbours, read_neighbours, write_neighbours
from icbir_core.retrieval.opened_target import name_origin
from icbir_core.retrieval.search_index import StoredIndex, find_index_class
from icbir_core.retrieval.store import BATCH, CaseStore
from icbir_core.retrieval.target_files import CLASSIFIER, TargetFiles, find_next_order, get_catalogue_sha256
from icbir_core.settings import InputSettings
from icbir_core.types import Case, Progress


@dataclass(frozen=True)
class IndexReport:
    """What an indexing did.

    embedded, already : cases computed in this run, and before it. unreadable : (case_id, reason) of stored films
    that could not be read; they are not in the index. started_anew : earlier values were made by other models and were
    dropped. starter : the starter models were used. device : what computed, as in the manifest. indexes : per method
    count, trees, search_k and recall at 10. failed : (method, reason) of methods of installed packages.
    """

    target: str
    embedded: int
    already: int
    starter: bool
    started_anew: bool
    unreadable: tuple[tuple[str, str], ...] = ()
    indexes: dict[str, dict[str, Any]] = field(default_factory=dict)
    device: dict[str, Any] = field(default_factory=dict)
    failed: tuple[tuple[str, str], ...] = ()


def index_workspace(
    workspace: Workspace,
    target: str | None = None,
    methods: Sequence[str] | None = None,
    device: str = "auto",
    map_method: str = DEFAULT_MAP_METHOD,
    models: Models | None = None,
    progress: Progress | None = None,
) -> IndexReport:
    """Compute what is missing, then build or update the indexes.

    methods : names of search methods; None takes all that the models allow. Killed at any point, the same call
    goes on with the next case and ends with the same values. Memory does not grow with the catalogue. models :
    instead of the workspace's own (tests). Raises `WorkspaceError` for an empty catalogue, another indexing under
    way, or ig_cbir without a saliency classifier; `UnknownNameError` for an unknown method.
    """
    from icbir_core.model.device import choose_device

    chosen = choose_device(device).as_dict()
    asked = None if methods is None else [SEARCH_METHODS[name] for name in methods]
    with workspace.lock("index", seconds=2.0):
        if workspace.catalogue.count() == 0:
            raise WorkspaceError("The catalogue is empty; run the ingest command first.")
        models = models or load_models(workspace, target)
        if asked is None:
            asked = [SEARCH_METHODS[name] for name in list_possible(models.saliency_classifier is not None)]
        require_saliency_classifier(models, asked)
        return _index(workspace, models, asked, map_method, chosen, progress or (lambda done, total, text: None))


def _index(
    workspace: Workspace,
    models: Models,
    methods: Sequence[SearchMethod],
    map_method: str,
    device: dict[str, Any],
    progress: Progress,
) -> IndexReport:
    if "catalogue" not in workspace.read_manifest()["artefacts"]:
        record_catalogue(workspace)
    catalogue_sha256 = get_catalogue_sha256(workspace)
    files = TargetFiles(workspace, models.target)
    identity = models.identity | {"map_method": map_method, "target": models.target}
    embedder = models.make_embedder(map_method)
    existed = files.store.exists()
    store, new = CaseStore.open_or_create(files.store, identity, embedder.fields)
    already = len(store.get_completed())
    unreadable = embed_catalogue(workspace, embedder, store, progress)
    rows = store.get_completed()
    if len(rows) == 0:
        raise WorkspaceError(f"None of the {len(unreadable)} films can be read; run the verify command.")
    workspace.record_artefact(files.get_store_name(), {"path": store.seal()})
    made_from = models.identity | {"catalogue": catalogue_sha256, "map_method": map_method}
    keys, removed = CaseKeys.read(workspace.catalogue), workspace.catalogue.removed_rows()
    centre = None
    if any(method.centred for method in methods):
        centre = Centre.renew(files.folder, identity, store.view(FEATURES, np.setdiff1d(rows, removed)))
    indexes, failed = {}, []
    for number, method in enumerate(methods):
        progress(number, len(methods), f"indexing {method.name}")
        try:
            with calling(method):
                source = describe_catalogue(workspace, method, embedder, store, progress) if method.describe else store
                known = np.intersect1d(rows, source.get_completed())
                vectors: Any = source.view(method.field, known)
                vectors = CentredView(vectors, centre) if method.centred and centre is not None else vectors
                cases = _Described(vectors, known, removed, made_from | name_origin(method, centre))
                indexes[method.name] = _build_index(method, files.get_index(method.name), cases, keys)
        except IcbirError as error:
            if method.name in SEARCH_METHODS.built_in or len(methods) == 1:
                raise
            failed.append((method.name, str(error)))
    progress(len(methods), len(methods), "indexed")
    _record(files, models, map_method, catalogue_sha256, device, indexes)
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


def embed_catalogue(
    workspace: Workspace, embedder: Embedder, store: CaseStore, progress: Progress
) -> list[tuple[str, str]]:
    """Embed every case that the store lacks.

    Returns (case_id, reason) of the films that cannot be read, which are left out and tried again next time.
    """
    return _fill(
        workspace, store, embedder, progress, "embedding", lambda rows, images: embedder.embed(images).to_fields()
    )


def describe_catalogue(
    workspace: Workspace, method: SearchMethod, embedder: Embedder, store: CaseStore, progress: Progress
) -> CaseStore:
    """The store of what a method computes by itself, brought up to date: of every case that is embedded in `store`."""
    files = TargetFiles(workspace, embedder.target)
    identity = store.identity | {"method": method.name, "version": method.version}
    fields = {method.field: (method.shape, "float32")}
    own, _ = CaseStore.open_or_create(files.get_own_store(method.name), identity, fields)

    def describe(rows: np.ndarray, images: np.ndarray) -> dict[str, np.ndarray]:
        embeddings = Embeddings.from_fields({name: store.read(name, rows) for name in store.names})
        return {method.field: describe_films(method, images, embeddings)}

    _fill(workspace, own, embedder, progress, f"describing by {method.name}", describe, store.get_completed())
    workspace.record_artefact(files.get_store_name(method.name), {"path": own.seal()})
    return own


def _fill(
    workspace: Workspace,
    store: CaseStore,
    embedder: Embedder,
    progress: Progress,
    text: str,
    compute: Callable[[np.ndarray, np.ndarray], dict[str, np.ndarray]],
    wanted: np.ndarray | None = None,
) -> list[tuple[str, str]]:
    """Write `compute(rows, images)` for every case that the store lacks, eight at a time; the next eight films are
    decoded meanwhile. wanted : only these rows. Returns (case_id, reason) of films that cannot be read."""
    done = _mark(store.get_completed(), workspace.catalogue.count(include_removed=True))
    if wanted is not None:
        done |= ~np.isin(np.arange(len(done)), wanted)
    total = workspace.catalogue.count()
    unreadable: list[tuple[str, str]] = []
    settings = embedder.classifier.input_settings
    finished = sum(bool(done[case.row]) for batch in workspace.catalogue.iterate(1024) for case in batch)
    progress(finished, total, text)
    with ThreadPoolExecutor(1) as reader:
        waiting = None
        for cases in chain(_iterate_batches(workspace, done), [None]):
            following = None if cases is None else reader.submit(_read_images, workspace, cases, settings)
            if waiting is not None:
                rows, images, failed = waiting.result()
                unreadable += failed
                if len(rows):
                    store.write(rows, compute(rows, images))
                finished += len(rows)
                progress(finished, total, text)
            waiting = following
    return unreadable


def _mark(rows: np.ndarray, count: int) -> np.ndarray:
    """bool: True at each of the rows; a byte a case, where a set of numbers would take a hundred."""
    marked = np.zeros(max(count, int(rows.max(initial=-1)) + 1), dtype=bool)
    marked[rows] = True
    return marked


def _iterate_batches(workspace: Workspace, done: np.ndarray) -> Iterator[list[Case]]:
    """Cases still to do, in batches that share one chunk of the store."""
    batch: list[Case] = []
    for cases in workspace.catalogue.iterate(256):
        for case in cases:
            if done[case.row]:
                continue
            if batch and case.row // BATCH != batch[0].row // BATCH:
                yield batch
                batch = []
            batch.append(case)
    if batch:
        yield batch


def _read_images(
    workspace: Workspace, cases: list[Case], settings: InputSettings
) -> tuple[np.ndarray, np.ndarray, list[tuple[str, str]]]:
    rows, images, failed = [], [], []
    for case in cases:
        try:
            images.append(fit_to_network(read_case_radiograph(workspace, case).pixels, settings))
            rows.append(case.row)
        except IcbirError as error:
            failed.append((case.case_id, str(error)))
    return np.array(rows, np.int64), np.array(images, np.float32), failed


@dataclass(frozen=True, eq=False)
class _Described:
    """The cases as one method describes them: vectors (N, …), any array with slices, with their rows; those in
    `removed` are not found. made_from : hashes of what they came from."""

    vectors: Any
    rows: np.ndarray
    removed: np.ndarray
    made_from: dict[str, str]


def _build_index(method: SearchMethod, directory: Path, cases: _Described, keys: CaseKeys) -> dict[str, Any]:
    """Build or update one method's index and its neighbour distances; what the report says of it."""
    index = _find_current(method, directory, cases)
    if index is None:
        index = find_index_class(method).update(directory, cases.vectors, cases.rows, cases.removed, cases.made_from)
        distances = measure_neighbours(index, cases.vectors, cases.rows, cases.removed, keys, method.sample)
        write_neighbours(directory, index.sha256, distances)
    names = ("count", "trees", "search_k", "recall_at_10", "recall_at_10_between", "metric", "sha256")
    return {name: index.manifest[name] for name in names if name in index.manifest} | {"tail": index.tail}


def _find_current(method: SearchMethod, directory: Path, cases: _Described) -> StoredIndex | None:
    """The index that is there, if it holds just these cases, made from the same."""
    try:
        index = find_index_class(method).open(directory, cases.made_from)
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
    same = former.get("models") == models.identity and former.get("catalogue") == catalogue_sha256
    workspace.record_artefact(
        files.name,
        {
            "order": find_next_order(artefacts, files.name),
            "methods": (former.get("methods", {}) if same else {}) | indexes,
            "models": models.identity,
            "starter": models.starter,
            "map_method": map_method,
            "catalogue": catalogue_sha256,
            "device": device,
            "made_from": origin,
        },
    )
