"""From a catalogue to something that can be searched: maps, embeddings and one index a method, resumable case by
case."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import reduce
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np

from icbir_core.catalogue import Workspace, read_case_radiograph, record_catalogue
from icbir_core.errors import IcbirError, IndexMismatch, WorkspaceError
from icbir_core.model.encoders import Encoder
from icbir_core.radiograph.network_input import fit_to_network
from icbir_core.retrieval.case_keys import CaseKeys
from icbir_core.retrieval.centring import Centre, CentredView
from icbir_core.retrieval.embedding import DEFAULT_MAP_METHOD, Embedder, Embeddings, describe_films
from icbir_core.retrieval.methods import (
    ENCODERS,
    FEATURES,
    PGVECTOR,
    SEARCH_METHODS,
    SearchMethod,
    calling,
    list_possible,
)
from icbir_core.retrieval.model_choice import Models, load_with_encoders, require_models
from icbir_core.retrieval.neighbours import measure_neighbours, read_neighbours, write_neighbours
from icbir_core.retrieval.opened_target import name_centre_identity, name_origin
from icbir_core.retrieval.search_index import StoredIndex, find_engine_name, find_index_class
from icbir_core.retrieval.side_by_side import JoinedView, list_fields, name_centre, name_field
from icbir_core.retrieval.store import BATCH, CaseStore
from icbir_core.retrieval.target_files import (
    CLASSIFIER,
    TargetFiles,
    find_next_order,
    get_catalogue_sha256,
    get_encoder_store,
    get_encoder_store_name,
)
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
    encoders: Sequence[str] | None = None,
    engine: str | None = None,
) -> IndexReport:
    """Compute what is missing, then build or update the indexes.

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
    asked = None if methods is None else [SEARCH_METHODS[name] for name in methods]
    with workspace.lock("index", seconds=2.0):
        if workspace.catalogue.count() == 0:
            raise WorkspaceError("The catalogue is empty; run the ingest command first.")
        models = models or load_with_encoders(workspace, target, asked, encoders)
        if asked is None:
            possible = list_possible(models.saliency_classifier is not None, bool(models.encoders))
            asked = [SEARCH_METHODS[name] for name in possible]
        require_models(models, asked)
        if encoders is not None and not models.encoders:
            _forget_encoders(TargetFiles(workspace, models.target))
        tell = progress or (lambda done, total, text: None)
        return _index(workspace, models, asked, map_method, chosen, tell, engine)


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
    identity = models.identity | {"map_method": map_method, "target": models.target}
    embedder = models.make_embedder(map_method)
    existed = files.store.exists()
    store, new = CaseStore.open_or_create(files.store, identity, embedder.fields)
    already = len(store.get_completed())
    encoders = models.encoders if any(method.needs_encoders for method in methods) else ()
    sides = open_encoder_stores(workspace, encoders)
    unreadable = embed_catalogue(workspace, embedder, store, progress, sides)
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


def _view(
    method: SearchMethod, sources: Mapping[str, CaseStore], rows: np.ndarray, centres: Mapping[str, Centre]
) -> Any:
    """What a method compares of these rows, an array (N, …) with slices. sources : by the field."""
    parts = []
    for name, source in sources.items():
        part: Any = source.view(name if name in source.names else ENCODERS, rows)
        parts.append(CentredView(part, centres[name]) if method.centred else part)
    return parts[0] if len(parts) == 1 else JoinedView(parts)


Sides = Sequence[tuple[Encoder, CaseStore]]
"""Encoders, each with the store of its features, field `ENCODERS`."""


def open_encoder_stores(workspace: Workspace, encoders: Sequence[Encoder]) -> Sides:
    """The stores of these encoders, made anew where they are of other weights."""
    found = []
    for one in encoders:
        path, fields = get_encoder_store(workspace, one.name), {ENCODERS: ((one.width,), "float32")}
        path.parent.mkdir(exist_ok=True)
        found.append((one, CaseStore.open_or_create(path, {"encoder": one.sha256}, fields)[0]))
    return found


def embed_catalogue(
    workspace: Workspace, embedder: Embedder, store: CaseStore, progress: Progress, sides: Sides = ()
) -> list[tuple[str, str]]:
    """Embed every case that a store lacks; a film is read once for all of them.

    Returns (case_id, reason) of the films that cannot be read, which are left out and tried again next time.
    """
    work = [_Work(store, embedder.classifier.input_settings, lambda rows, images: embedder.embed(images).to_fields())]
    work += [_Work(side, encoder.input_settings, _make_describe(encoder)) for encoder, side in sides]
    return _fill(workspace, work, progress, "embedding")


def _make_describe(encoder: Encoder) -> Callable[[np.ndarray, np.ndarray], dict[str, np.ndarray]]:
    return lambda rows, images: {ENCODERS: encoder.features(images)}


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

    work = [_Work(own, embedder.classifier.input_settings, describe)]
    _fill(workspace, work, progress, f"describing by {method.name}", store.get_completed())
    workspace.record_artefact(files.get_store_name(method.name), {"path": own.seal()})
    return own


@dataclass(frozen=True, eq=False)
class _Work:
    """A store to be filled: compute(rows, images) gives its fields from films as `settings` prepare them."""

    store: CaseStore
    settings: InputSettings
    compute: Callable[[np.ndarray, np.ndarray], dict[str, np.ndarray]]


def _fill(
    workspace: Workspace, work: Sequence[_Work], progress: Progress, text: str, wanted: np.ndarray | None = None
) -> list[tuple[str, str]]:
    """Write what each store lacks, eight cases at a time; the next eight films are decoded meanwhile. wanted : only
    these rows. Returns (case_id, reason) of films that cannot be read."""
    count = workspace.catalogue.count(include_removed=True)
    known = [_mark(one.store.get_completed(), count) for one in work]
    length = max(len(one) for one in known)
    known = [np.pad(one, (0, length - len(one))) for one in known]
    done = np.logical_and.reduce(known)
    if wanted is not None:
        done |= ~np.isin(np.arange(len(done)), wanted)
    total = workspace.catalogue.count()
    unreadable: list[tuple[str, str]] = []
    finished = sum(bool(done[case.row]) for batch in workspace.catalogue.iterate(1024) for case in batch)
    progress(finished, total, text)
    kinds = list(dict.fromkeys(one.settings for one in work))
    with ThreadPoolExecutor(1) as reader:
        waiting = None
        for cases in chain(_iterate_batches(workspace, done), [None]):
            following = None if cases is None else reader.submit(_read_images, workspace, cases, kinds)
            if waiting is not None:
                rows, images, failed = waiting.result()
                unreadable += failed
                for one, marked in zip(work, known, strict=True):
                    lacking = ~marked[rows]
                    if lacking.any():
                        one.store.write(rows[lacking], one.compute(rows[lacking], images[one.settings][lacking]))
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
    workspace: Workspace, cases: list[Case], kinds: Sequence[InputSettings]
) -> tuple[np.ndarray, dict[InputSettings, np.ndarray], list[tuple[str, str]]]:
    """(rows of the films that can be read, these films by the settings that prepared them, what went wrong)."""
    rows, failed = [], []
    images: dict[InputSettings, list[np.ndarray]] = {settings: [] for settings in kinds}
    for case in cases:
        try:
            pixels = read_case_radiograph(workspace, case).pixels
        except IcbirError as error:
            failed.append((case.case_id, str(error)))
            continue
        for settings in kinds:
            images[settings].append(fit_to_network(pixels, settings))
        rows.append(case.row)
    prepared = {settings: np.array(films, np.float32) for settings, films in images.items()}
    return np.array(rows, np.int64), prepared, failed


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
    names = (
        "count",
        "kind",
        "trees",
        "search_k",
        "ef_search",
        "recall_at_10",
        "recall_at_10_between",
        "metric",
        "sha256",
    )
    return {name: index.manifest[name] for name in names if name in index.manifest} | {"tail": index.tail}


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
