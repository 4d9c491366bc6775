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
from icbir_core.pipeline.centre_of_workspace import CentredView, renew_centre
from icbir_core.pipeline.verifying import STORE_ARTEFACT
from icbir_core.radiograph.network_input import fit_to_network
from icbir_core.retrieval.case_keys import CaseKeys
from icbir_core.retrieval.embedding import DEFAULT_MAP_METHOD, Embedder, Embeddings
from icbir_core.retrieval.methods import SEARCH_METHODS, SearchMethod, list_possible
from icbir_core.retrieval.model_choice import Models, load_models, require_saliency_classifier
from icbir_core.retrieval.neighbours import measure_neighbours, read_neighbours, write_neighbours
from icbir_core.retrieval.regions import CHANNELS, GRID
from icbir_core.retrieval.store import BATCH, CaseStore
from icbir_core.retrieval.structural_similarity import SIDE
from icbir_core.retrieval.target_engine import (
    ARTEFACT,
    STORE,
    find_index_class,
    get_catalogue_sha256,
    name_centre,
)
from icbir_core.settings import InputSettings
from icbir_core.types import Case

Progress = Callable[[int, int, str], None]


@dataclass(frozen=True)
class IndexReport:
    """What an indexing did.

    embedded, already : cases computed in this run, and before it. unreadable : (case_id, reason) of stored films
    that could not be read; they are not in the index. started_anew : earlier values were made by other models and were
    dropped. starter : the starter models were used. device : what computed, as in the manifest. indexes : per method
    count, trees, search_k and recall at 10.
    """

    target: str
    embedded: int
    already: int
    starter: bool
    started_anew: bool
    unreadable: tuple[tuple[str, str], ...] = ()
    indexes: dict[str, dict] = field(default_factory=dict)
    device: dict = field(default_factory=dict)


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
            raise WorkspaceError("Expected a catalogue with cases, got an empty one; run the ingest command first.")
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
    device: dict,
    progress: Progress,
) -> IndexReport:
    if "catalogue" not in workspace.read_manifest()["artefacts"]:
        record_catalogue(workspace)
    catalogue_sha256 = get_catalogue_sha256(workspace)
    directory = Path(workspace.target_directory(models.target))
    embedder = models.make_embedder(map_method)
    identity = models.identity | {"map_method": map_method, "target": models.target}
    existed = (directory / STORE).exists()
    store, new = CaseStore.open_or_create(directory / STORE, identity, list_fields(embedder))
    already = len(store.get_completed())
    unreadable = embed_catalogue(workspace, embedder, store, progress)
    rows = store.get_completed()
    if len(rows) == 0:
        raise WorkspaceError(f"Expected films that can be read, got none of {len(unreadable)}; verify the workspace.")
    workspace.record_artefact(f"{STORE_ARTEFACT}{models.target}", {"path": store.seal()})
    made_from = models.identity | {"catalogue": catalogue_sha256, "map_method": map_method}
    keys, removed = CaseKeys.read(workspace.catalogue), workspace.catalogue.removed_rows()
    kept = np.setdiff1d(rows, removed)
    centre = renew_centre(store, kept, directory, identity) if any(m.centred for m in methods) else None
    indexes = {}
    for number, method in enumerate(methods):
        progress(number, len(methods), f"indexing {method.name}")
        vectors = CentredView(store, centre, rows) if method.centred else store.view(method.field, rows)
        origin = made_from | name_centre(method, centre)
        folder = directory / "index" / method.name
        indexes[method.name] = _build_index(vectors, method, folder, rows, removed, origin, keys)
    progress(len(methods), len(methods), "indexed")
    _record(workspace, models, map_method, catalogue_sha256, device, indexes)
    return IndexReport(
        models.target, len(rows) - already, already, models.starter, existed and new, tuple(unreadable), indexes, device
    )


def list_fields(embedder: Embedder) -> dict[str, tuple[tuple[int, ...], str]]:
    """The arrays of a target's store: name → (shape of one case, dtype). A map is kept as map / scale in half
    precision, because attributions are often smaller than the smallest half-precision number."""
    size, dimension = embedder.size, embedder.dimension
    fields = {
        "maps": ((size, size), "float16"),
        "scales": ((), "float32"),
        "probabilities": ((len(embedder.classifier.findings),), "float32"),
        "cnn": ((dimension,), "float32"),
        "spatial": ((GRID, GRID, min(dimension, CHANNELS)), "float16"),
        "ssim": ((SIDE, SIDE), "float16"),
    }
    return fields | ({"ig_cbir": ((dimension,), "float32")} if embedder.saliency_classifier else {})


def to_values(embeddings: Embeddings) -> dict[str, np.ndarray]:
    """Embeddings as the values of a store's fields."""
    scales = np.abs(embeddings.maps).max(axis=(1, 2)).astype(np.float32)
    values = {
        "maps": embeddings.maps / np.where(scales > 0, scales, 1)[:, None, None],
        "scales": scales,
        "probabilities": embeddings.probabilities,
        "cnn": embeddings.cnn,
        "spatial": embeddings.spatial,
        "ssim": embeddings.reduced,
    }
    return values | ({"ig_cbir": embeddings.ig_cbir} if embeddings.ig_cbir is not None else {})


def embed_catalogue(
    workspace: Workspace, embedder: Embedder, store: CaseStore, progress: Progress
) -> list[tuple[str, str]]:
    """Embed every case that the store lacks, eight at a time; the next eight films are decoded meanwhile.

    Returns (case_id, reason) of the films that cannot be read, which are left out and tried again next time.
    """
    done = _mark(store.get_completed(), workspace.catalogue.count(include_removed=True))
    total, unreadable = workspace.catalogue.count(), []
    settings = embedder.classifier.input_settings
    finished = sum(bool(done[case.row]) for batch in workspace.catalogue.iterate(1024) for case in batch)
    progress(finished, total, "embedding")
    with ThreadPoolExecutor(1) as reader:
        waiting = None
        for cases in chain(_iterate_batches(workspace, done), [None]):
            following = None if cases is None else reader.submit(_read_images, workspace, cases, settings)
            if waiting is not None:
                rows, images, failed = waiting.result()
                unreadable += failed
                if len(rows):
                    store.write(rows, to_values(embedder.embed(images)))
                finished += len(rows)
                progress(finished, total, "embedding")
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


def _build_index(
    vectors: Any,
    method: SearchMethod,
    directory: Path,
    rows: np.ndarray,
    removed: np.ndarray,
    made_from: dict[str, str],
    keys: CaseKeys,
) -> dict:
    """Build or update one method's index and its neighbour distances; what the report says of it."""
    try:
        index = find_index_class(method).open(directory, made_from)
        # a run killed behind the index and before its neighbour distances leaves those of the former index
        read_neighbours(directory, index.sha256)
        current = np.setdiff1d(rows, removed)
        untouched = np.isin(current, index.rows).all() and np.isin(index.rows, rows).all()
    except IndexMismatch:
        untouched = False
    if not untouched:
        index = find_index_class(method).update(directory, vectors, rows, removed, made_from)
        distances = measure_neighbours(index, vectors, rows, removed, keys, method.sample)
        write_neighbours(directory, index.sha256, distances)
    names = ("count", "trees", "search_k", "recall_at_10", "recall_at_10_between", "metric", "sha256")
    return {name: index.manifest[name] for name in names if name in index.manifest} | {"tail": index.tail}


def _record(
    workspace: Workspace, models: Models, map_method: str, catalogue_sha256: str, device: dict, indexes: dict
) -> None:
    """Note the target and each index in the workspace's manifest; methods indexed earlier alike stay."""
    artefacts = workspace.read_manifest()["artefacts"]
    origin = {"catalogue": catalogue_sha256}
    names = {"classifier": "model", f"saliency_classifier/{models.target}": "saliency_model"}
    # the starter models are no artefacts of the workspace
    origin |= {
        name: models.identity[kind]
        for name, kind in names.items()
        if artefacts.get(name, {}).get("sha256") == models.identity[kind]
    }
    for method in indexes:
        folder = Path(workspace.target_directory(models.target)) / "index" / method
        workspace.record_artefact(f"index/{models.target}/{method}", {"path": folder, "made_from": origin})
    name = ARTEFACT + models.target
    orders = [entry.get("order", 0) for key, entry in artefacts.items() if key.startswith(ARTEFACT)]
    former = artefacts.get(name, {})
    same = former.get("models") == models.identity and former.get("catalogue") == catalogue_sha256
    workspace.record_artefact(
        name,
        {
            "order": former.get("order", max(orders, default=-1) + 1),
            "methods": (former.get("methods", {}) if same else {}) | indexes,
            "models": models.identity,
            "starter": models.starter,
            "map_method": map_method,
            "catalogue": catalogue_sha256,
            "device": device,
            "made_from": origin,
        },
    )
