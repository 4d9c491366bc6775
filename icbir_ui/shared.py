"""What all sessions share: one service per workspace, loaded once in the background, used by one reader at a time."""

from __future__ import annotations

import gc
import sys
import threading
import time
from collections.abc import Callable, Hashable, MutableMapping
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import streamlit as st
from cachetools import LRUCache

from icbir_core.catalogue import Workspace, read_case_radiograph
from icbir_core.catalogue.folders import FOLDERS_FILE, FolderStore
from icbir_core.catalogue.workspace import MANIFEST
from icbir_core.errors import ServerBusy, WorkspaceError
from icbir_core.retrieval.target_files import IndexState
from icbir_core.saliency.methods import SALIENCY_METHODS
from icbir_core.server_settings import QueueLimits, read_server_settings
from icbir_core.settings import get_environment
from icbir_core.study.creating import find_store
from icbir_core.study.store import RatingsStore
from icbir_core.types import Case, Query, Ranking, SaliencyMap
from icbir_ui import metrics, state
from icbir_ui.errors import explain
from icbir_ui.logs import log_event
from icbir_ui.turns import STOPPING, Turns

if TYPE_CHECKING:
    from icbir_core.retrieval.retriever import Retriever

Answer = TypeVar("Answer")
GRACE = 1.0
"""Seconds between a first page and the loading: the browser still fetches what draws the page."""
SWITCH = 0.0005
"""Seconds for which the loading keeps the interpreter; Python's own 5 ms make a page that loads meanwhile crawl."""


def find_workspace_path() -> Path:
    """The workspace that this server serves. Raises `WorkspaceError` where none is named."""
    path = get_environment("WORKSPACE")
    if not path:
        raise WorkspaceError("No workspace is named; start with `make app` or `icbir app WORKSPACE`.")
    return Path(path)


@st.cache_resource(max_entries=4, show_spinner=False)
def _open_workspace(path: str) -> Workspace:
    return Workspace.open(path)


def open_workspace() -> Workspace:
    """The served workspace, opened once. Raises `WorkspaceError`."""
    return _open_workspace(str(find_workspace_path()))


@st.cache_resource(max_entries=4, show_spinner=False)
def _open_ratings(target: str, schema: str) -> RatingsStore:
    return RatingsStore.open(target, schema)


def open_ratings() -> RatingsStore:
    """The ratings of this workspace (or of the database that ICBIR_RATINGS names). Raises `StudyError`, and
    `WorkspaceError` where the workspace is gone."""
    return _open_ratings(*find_store(open_workspace()))


@st.cache_resource(max_entries=4, show_spinner=False)
def _open_folders(target: str, schema: str = "") -> FolderStore:
    return FolderStore.open(target, schema)


def open_folders() -> FolderStore:
    """The saved cases of this workspace; in the database of the ratings, where ICBIR_RATINGS names one by its URL.
    Raises `CatalogueError`, and `WorkspaceError` where the workspace is gone."""
    if "://" in (named := get_environment("RATINGS") or ""):
        return _open_folders(named)
    open_workspace().check_is_there()
    return _open_folders(str(find_workspace_path() / FOLDERS_FILE), open_workspace().database_schema)


def open_retriever(workspace: Workspace) -> Retriever:
    """The core's retriever on the device that `app --device` names; imported here, because it takes seconds and a page
    must not wait for it."""
    keep_networks()
    from icbir_core.retrieval.retriever import Retriever

    return Retriever.open(workspace, device=get_device())


def get_device() -> str:
    """The device that `app --device` names, for everything that this server computes; "auto" without that option."""
    return get_environment("DEVICE") or "auto"


def keep_networks() -> None:
    """Let Streamlit leave Keras alone in this server, if it is ever loaded.

    After each run of a page it calls Keras' `clear_session`. That throws away what TensorFlow compiled, so that the
    next film would cost several times its price, and the state of Keras itself, from under a network that is being
    loaded just then.
    """
    from streamlit.runtime.scriptrunner import script_runner

    script_runner._clean_problem_modules = lambda: None


class SearchService:
    """A retriever that loads behind the pages and answers one question at a time, each reader in turn.

    Loading begins with `begin` or with the first question. All is computed in one thread that lives as long as the
    service, never two questions at once (`icbir_ui.turns`). Answers are remembered by what was asked, so that a rerun
    of a page computes nothing again.
    """

    def __init__(self, workspace: Workspace, limit: int = 400, limits: QueueLimits | None = None):
        self.workspace = workspace
        self._stamp, self._revision = _stamp_manifest(workspace), workspace.catalogue.read_revision()
        self._state = self._opened_state = IndexState.read(workspace)  # read last: a change meanwhile is found later
        self.started = time.monotonic()
        self.error: str | None = None
        self._retriever: Retriever | None = None
        self._wanted = threading.Event()
        self._loaded = threading.Event()
        self.turns = Turns(limits)
        self._begun = False
        self._counting = threading.Lock()
        self._answers: MutableMapping[Hashable, Any] = LRUCache(limit)

    def begin(self, after: float = 0.0) -> None:
        """Start to load, once; `after` so many seconds, or as soon as somebody calls this without."""
        with self._counting:
            begun, self._begun = self._begun, True
        if not after:
            self._wanted.set()
        if not begun:
            self.turns.prepare(partial(self._load, after))

    def _load(self, after: float) -> None:
        self._wanted.wait(after)
        held = sys.getswitchinterval()
        sys.setswitchinterval(SWITCH)
        again = gc.get_freeze_count() > 0
        gc.unfreeze()  # what the service before this one held must be freed
        gc.disable()  # each collection would walk over all that is being loaded, and every page would stand still
        try:
            self._retriever = open_retriever(self.workspace)
            self._warm_up(self._retriever)
        except Exception as error:
            self.error = explain(error)
        if again:
            gc.collect()
        gc.freeze()  # what the networks hold stays; later collections need not walk over it
        gc.enable()
        sys.setswitchinterval(held)
        self._loaded.set()
        log_event("ready" if self.ready else "not_ready", seconds=round(time.monotonic() - self.started, 1))

    def _warm_up(self, retriever: Retriever) -> None:
        """The first film takes seconds more than any other, because the networks are compiled for it: so take one, and
        its map once whoever waits can be answered. An error here is left for the reader whose own film meets it."""
        with suppress(Exception):
            for case in next(self.workspace.catalogue.iterate(batch=1), []):
                query = Query(case.case_id, read_case_radiograph(self.workspace, case))
                retriever.embed_query(query)
                self.turns.prepare(partial(retriever.map_of, query, retriever.choose_map()))

    @property
    def ready(self) -> bool:
        return self._loaded.is_set() and self.error is None and not self.turns.stopping

    @property
    def loading(self) -> bool:
        return not self._loaded.is_set()

    @property
    def retriever(self) -> Retriever:
        """The retriever, once it is there. Raises `WorkspaceError` with the reason if it could not be opened."""
        self.begin()
        self._loaded.wait()
        if self._retriever is None or self.error:
            raise WorkspaceError(self.error)
        return self._retriever

    @property
    def outdated(self) -> bool:
        """True once a command has indexed the workspace anew (or added films to one without an index), so that this
        service must be opened again.

        Costs one look at the revision in the database, which whoever changes catalogue or index raises, from any
        machine, and one at the manifest's date. Where the revision is another, what was remembered is forgotten.
        Raises `WorkspaceError` where the manifest is damaged or the database is away.
        """
        revision, stamp = self.workspace.catalogue.read_revision(), _stamp_manifest(self.workspace)
        changed = revision != self._revision
        if changed:
            self._revision = revision
            self.forget()
        # a shared folder may show its files' former dates for a while; the revision does not
        if changed or stamp is None or stamp != self._stamp:
            self._state, self._stamp = IndexState.read(self.workspace), stamp
        return self._state != self._opened_state and not self._state.behind

    @property
    def index_state(self) -> IndexState:
        """What the searches of this service rest on."""
        return self._opened_state

    def describe_lag(self) -> str:
        """The sentence for readers while the catalogue holds films that no index holds yet; "" where there are none."""
        if self.error or not self._state.behind:
            return ""
        return (
            "Films were added that are not searched yet, because the catalogue is newer than its index for "
            f"{', '.join(self._state.behind)}. Whoever looks after this server must index them; the pages then follow "
            "by themselves."
        )

    def describe_state(self) -> str:
        """Whether the networks are ready, as a sentence."""
        if self.error:
            return self.error
        if self.turns.stopping:
            return STOPPING
        seconds = int(time.monotonic() - self.started)
        return "Ready." if self.ready else f"The networks are loading ({seconds} s)."

    def ask(
        self, key: Hashable, compute: Callable[[Retriever], Answer], tell: Callable[[str], None] = lambda word: None
    ) -> Answer:
        """The answer remembered under `key`, else `compute(retriever)`, one reader at a time.

        tell(word) is called while waiting, with the length of the queue. Errors are not remembered. Raises `ServerBusy`
        where the turn would come too late, where this reader asks too often, and once the server is being stopped.
        """
        known: Answer | None = self._recall(key)
        if known is not None:
            return known
        retriever = self.retriever

        def answer() -> Answer:
            known = self._recall(key)
            found = compute(retriever) if known is None else known
            self.remember(key, found)
            return found

        reader, kind, asked, outcome = state.name_asker(), metrics.name_kind(key), time.monotonic(), "failed"
        try:
            found, waited = self.turns.ask(reader, answer, tell)
            outcome = "answered"
        except ServerBusy:
            outcome = "refused"
            raise
        finally:
            seconds = round(time.monotonic() - asked, 3)
            metrics.QUESTIONS.labels(kind, outcome).inc()
            log_event("question", reader=reader, kind=kind, outcome=outcome, seconds=seconds)
        metrics.SECONDS.labels(kind).observe(seconds)
        metrics.WAITED.observe(waited)
        return found

    def knows(self, key: Hashable) -> bool:
        """True where the answer is remembered, so that asking takes no time."""
        with self._counting:
            return key in self._answers

    def remember(self, key: Hashable, answer: Any) -> None:
        """Take an answer that was computed elsewhere."""
        with self._counting:
            self._answers[key] = answer

    def _recall(self, key: Hashable) -> Any:
        with self._counting:
            return self._answers.get(key)

    def forget(self) -> None:
        """Drop what is remembered, after the catalogue has changed."""
        with self._counting:
            self._answers.clear()


def _stamp_manifest(workspace: Workspace) -> tuple[int, ...] | None:
    """Changes whenever the manifest is written, since it is written aside and renamed; None where it is not there."""
    try:
        found = (workspace.path / MANIFEST).stat()
    except OSError:
        return None
    return found.st_mtime_ns, found.st_size, found.st_ino


@st.cache_resource(max_entries=2, show_spinner=False)
def _open_service(path: str) -> SearchService:
    return SearchService(_open_workspace(path), limits=read_server_settings().queue)


_FOLLOWING = threading.Lock()


def stop_services(patience: float) -> bool:
    """Refuse every question from now on; whether what is being computed has ended within `patience` seconds."""
    try:
        return open_service().turns.stop(patience)
    except WorkspaceError:
        return True


def open_service() -> SearchService:
    """The service of the served workspace; nothing is loaded yet. A new one where a command has indexed the workspace
    since: what runs with the former one ends with it. Raises `WorkspaceError`."""
    path = str(find_workspace_path())
    with _FOLLOWING:
        service = _open_service(path)
        if service.outdated:
            log_event("index_followed")
            _open_workspace.clear()
            _open_service.clear()
            service = _open_service(path)
        return service


def list_map_methods() -> dict[str, tuple[str, bool, str]]:
    """The saliency methods: name → (title, signed, description)."""
    return {name: (method.title, method.signed, method.description) for name, method in SALIENCY_METHODS.items()}


def explain_pair(retriever: Retriever, query: Query, case: Case, ranking: Ranking) -> tuple[SaliencyMap, SaliencyMap]:
    """Which places of a query and a case set them apart (positive) or bring them nearer, by the ranking's method."""
    found = retriever.explain_pair(query, case, ranking.method, ranking.target)
    return found.first, found.second
