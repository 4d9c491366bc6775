"""Filling the stores of a workspace: what each case lacks is computed, a chunk of eight cases at a time, each film read
once for all that is computed of it. An indexing walks over the catalogue; workers take a chunk each."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from functools import partial
from itertools import chain
from typing import Any

import numpy as np

from icbir_core.catalogue import Workspace, read_case_radiograph
from icbir_core.errors import IcbirError, WorkspaceError
from icbir_core.model.encoders import Encoder
from icbir_core.radiograph.network_input import fit_to_network
from icbir_core.retrieval.devices import Part, checking_device
from icbir_core.retrieval.embedding import Embedder, Embeddings, describe_films
from icbir_core.retrieval.methods import ENCODERS, SEARCH_METHODS, SearchMethod, list_possible
from icbir_core.retrieval.model_choice import Models, load_with_encoders, require_models
from icbir_core.retrieval.store import BATCH, CaseStore
from icbir_core.retrieval.target_files import TargetFiles, get_encoder_store
from icbir_core.settings import InputSettings
from icbir_core.types import Case, Progress


@dataclass(frozen=True)
class Asked:
    """What an indexing was asked for, by names: None takes the first target, all methods that the models allow, and the
    workspace's own encoders."""

    target: str | None = None
    methods: Sequence[str] | None = None
    encoders: Sequence[str] | None = None


def choose_models(
    workspace: Workspace, asked: Asked, models: Models | None = None
) -> tuple[Models, list[SearchMethod]]:
    """The networks and the methods of an indexing. models : instead of the workspace's own. Raises `WorkspaceError` for
    an empty catalogue or a method without its networks, `UnknownNameError` for an unknown method."""
    named = None if asked.methods is None else [SEARCH_METHODS[name] for name in asked.methods]
    if workspace.catalogue.count() == 0:
        raise WorkspaceError("The catalogue is empty; run the ingest command first.")
    models = models or load_with_encoders(workspace, asked.target, named, asked.encoders)
    if named is None:
        possible = list_possible(models.saliency_classifier is not None, bool(models.encoders))
        named = [SEARCH_METHODS[name] for name in possible]
    require_models(models, named)
    return models, named


def name_identity(models: Models, map_method: str) -> dict[str, str]:
    """What the values of a target's store are made by."""
    return models.identity | {"map_method": map_method, "target": models.target}


Sides = Sequence[tuple[Encoder, CaseStore]]
"""Encoders, each with the store of its features, field `ENCODERS`."""


def open_encoder_stores(workspace: Workspace, encoders: Sequence[Encoder]) -> Sides:
    """The stores of these encoders, made anew where they are of other weights."""
    found = []
    for one in encoders:
        path, fields = get_encoder_store(workspace, one.name), {ENCODERS: ((one.width,), "float32")}
        workspace.make_folder(path.parent)
        made_by = {"encoder": one.sha256}
        found.append((one, CaseStore.open_or_create(path, made_by, fields, workspace.films_address)[0]))
    return found


def _list_work(embedder: Embedder, store: CaseStore, sides: Sides) -> list[_Work]:
    work = [_Work(store, embedder.classifier.input_settings, lambda rows, images: embedder.embed(images).to_fields(),
                  embedder.classifier.engine)]  # fmt: skip
    return work + [
        _Work(side, encoder.input_settings, _make_describe(encoder), encoder.engine) for encoder, side in sides
    ]


def _make_describe(encoder: Encoder) -> Callable[[np.ndarray, np.ndarray], dict[str, np.ndarray]]:
    return lambda rows, images: {ENCODERS: encoder.features(images)}


def describe_catalogue(
    workspace: Workspace, method: SearchMethod, embedder: Embedder, store: CaseStore, progress: Progress
) -> CaseStore:
    """The store of what a method computes by itself, brought up to date: of every case that is embedded in `store`."""
    files = TargetFiles(workspace, embedder.target)
    identity = store.identity | {"method": method.name, "version": method.version}
    fields = {method.field: (method.shape, "float32")}
    path = files.get_own_store(method.name)
    workspace.make_folder(path.parent)
    own, _ = CaseStore.open_or_create(path, identity, fields, workspace.films_address)

    def describe(rows: np.ndarray, images: np.ndarray) -> dict[str, np.ndarray]:
        embeddings = Embeddings.from_fields({name: store.read(name, rows) for name in store.names})
        return {method.field: describe_films(method, images, embeddings)}

    work = [_Work(own, embedder.classifier.input_settings, describe)]
    _fill(workspace, work, progress, f"describing by {method.name}", store.get_completed())
    workspace.record_artefact(files.get_store_name(method.name), {"path": own.seal()})
    return own


@dataclass(frozen=True, eq=False)
class _Work:
    """A store to be filled: compute(rows, images) gives its fields from films as `settings` prepare them. engine : the
    library that computes them, "" where it does not matter."""

    store: CaseStore
    settings: InputSettings
    compute: Callable[[np.ndarray, np.ndarray], dict[str, np.ndarray]]
    engine: str = ""


def _fill(
    workspace: Workspace,
    work: Sequence[_Work],
    progress: Progress,
    text: str,
    wanted: np.ndarray | None = None,
    begin: Callable[[], AbstractContextManager[None]] = nullcontext,
) -> list[tuple[str, str]]:
    """Write what each store lacks, eight cases at a time; the next eight films are decoded meanwhile. wanted : only
    these rows. begin : in this block the first are computed. Returns (case_id, reason) of films that cannot be read."""
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
                with begin():
                    for one, marked in zip(work, known, strict=True):
                        lacking = ~marked[rows]
                        _write(one, rows[lacking], images[one.settings][lacking])
                begin = nullcontext if len(rows) else begin
                finished += len(rows)
                progress(finished, total, text)
            waiting = following
    return unreadable


def _write(work: _Work, rows: np.ndarray, images: np.ndarray) -> None:
    if len(rows):
        work.store.write(rows, work.compute(rows, images))


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


class Filling:
    """The stores of one target and of the encoders beside it, with what computes their values.

    device : what computes, as in a manifest. started_anew : earlier values were made by other networks, and dropped.
    """

    started_anew = False

    def __init__(
        self, workspace: Workspace, embedder: Embedder, store: CaseStore, sides: Sides, device: dict[str, Any]
    ):
        self.workspace, self.store, self.device = workspace, store, device
        self._work = _list_work(embedder, store, sides)
        self.target = embedder.target

    @property
    def stores(self) -> tuple[CaseStore, ...]:
        """Of the target and of the encoders beside it."""
        return tuple(one.store for one in self._work)

    def make_room(self, count: int) -> None:
        """Let every store hold so many cases, so that no worker needs to."""
        for one in self._work:
            one.store.grow(count)

    def list_lacking(self, rows: np.ndarray) -> np.ndarray:
        """Those of the rows of which some store lacks values, int64, ascending."""
        done = [np.isin(rows, one.store.get_completed()) for one in self._work]
        return np.sort(rows[~np.logical_and.reduce(done)])

    def fill(self, cases: list[Case]) -> int:
        """Write what the stores lack of the cases of one chunk; how many could be read. Raises as `checking_device`."""
        kinds = list(dict.fromkeys(one.settings for one in self._work))
        rows, images, _ = _read_images(self.workspace, cases, kinds)
        if len(rows) == 0:
            return 0
        with self.check_device():
            for one in self._work:
                lacking = ~np.isin(rows, one.store.get_completed())
                _write(one, rows[lacking], images[one.settings][lacking])
        return len(rows)

    def fill_all(self, progress: Progress) -> list[tuple[str, str]]:
        """Write what the stores lack of every case. Returns (case_id, reason) of the films that cannot be read, which
        are left out and tried again next time. Raises as `checking_device`."""
        return _fill(self.workspace, self._work, progress, "embedding", begin=self.check_device)

    def check_device(self) -> AbstractContextManager[None]:
        """The block in which a chunk is filled, `retrieval.devices.checking_device`."""
        return checking_device(self.workspace, self.device["kind"], self.parts)

    @property
    def parts(self) -> list[Part]:
        """Each store with what computes its values."""
        return [Part(one.store, partial(self._compute, one), one.engine) for one in self._work]

    def _compute(self, work: _Work, rows: np.ndarray) -> tuple[np.ndarray, dict[str, np.ndarray]]:
        found, images, _ = _read_images(self.workspace, self.workspace.catalogue.cases(rows), [work.settings])
        return found, work.compute(found, images[work.settings]) if len(found) else {}


def open_filling(workspace: Workspace, asked: Asked, map_method: str | None, device: str) -> Filling:
    """The stores of an indexing, made anew where they are of other networks. Raises as `choose_models`."""
    from icbir_core.model.device import choose_device

    chosen = choose_device(device).as_dict()
    models, methods = choose_models(workspace, asked)
    map_method = map_method or models.map_method
    embedder = models.make_embedder(map_method)
    encoders = models.encoders if any(method.needs_encoders for method in methods) else ()
    with workspace.lock("stores"):  # of two workers, one makes what is missing
        path = TargetFiles(workspace, models.target).store
        existed = path.exists()
        made_by = name_identity(models, map_method)
        store, new = CaseStore.open_or_create(path, made_by, embedder.fields, workspace.films_address)
        found = Filling(workspace, embedder, store, open_encoder_stores(workspace, encoders), chosen)
        found.started_anew = existed and new
        return found
