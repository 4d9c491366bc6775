"""Adding films to the catalogue behind the pages: ingest, then index, with progress, resumable after a stop."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import streamlit as st

from icbir_core.access import Right
from icbir_core.audit import Action, Subject
from icbir_core.audit.entries import make_word
from icbir_core.catalogue import IngestOptions, IngestReport, Workspace, ingest
from icbir_core.catalogue.adding import ProvenFilm, add_film
from icbir_ui import access, shared
from icbir_ui.errors import explain
from icbir_ui.films import Film
from icbir_ui.language import mark

_STARTING = threading.Lock()


@dataclass
class Growth:
    """An ingest under way or done, the same for all sessions.

    options : what is added; done, total, word : progress; report, error : how it ended; told : a sentence about what is
    added, where it is no folder. The service follows by itself.
    """

    options: IngestOptions
    told: str = ""
    done: int = 0
    total: int = 0
    word: str = mark("starting")
    report: IngestReport | None = None
    error: str | None = None
    finished: threading.Event = field(default_factory=threading.Event)

    @property
    def running(self) -> bool:
        return not self.finished.is_set()

    def tell(self, done: int, total: int, word: str) -> None:
        """The progress callback that the core calls."""
        self.done, self.total, self.word = done, total, word


@st.cache_resource(max_entries=4, show_spinner=False)
def _held(path: str) -> dict[str, Growth]:
    return {}


def get_growth(workspace: Workspace) -> Growth | None:
    """The last ingest of this workspace since the server started, seen by every session."""
    return _held(str(workspace.path)).get("growth")


def index_targets(workspace: Workspace, targets: tuple[str, ...], growth: Growth) -> None:
    """Bring the indexes up to the catalogue."""
    from icbir_core.retrieval.index_workspace import index_workspace

    for target in targets or (None,):
        index_workspace(workspace, target, progress=growth.tell, device=shared.get_device())


def start_growth(workspace: Workspace, options: IngestOptions, targets: tuple[str, ...]) -> Growth:
    """Start an ingest and an indexing in the background; one that is running is returned instead.

    Stopped at any point, the same call goes on where it was: the core leaves alone what is already there. Raises
    `AccessRefused` for one who may not add films, and for a path that lies below no allowed folder.
    """
    access.require(Right.ADD)
    for path in (options.images, options.labels):
        if path:
            access.get_settings().check_folder(path)
    folder = Subject("folder", str(options.images))
    access.record(Action.ADDED, folder, state="started", layout=make_word(options.layout))
    growth = Growth(options)
    return _start(workspace, growth, folder, targets, lambda: ingest(workspace, options, growth.tell))


def start_addition(workspace: Workspace, film: Film, proven: ProvenFilm, targets: tuple[str, ...]) -> Growth:
    """As `start_growth`, for one film that a reader holds. Raises `AccessRefused`."""
    access.require(Right.ADD)
    access.record(Action.ADDED, access.name_film(film), state="started")

    def add() -> IngestReport:
        name = add_film(workspace, film.query, proven)
        growth.told = mark(f"Your film is the case '{name}'.")
        return IngestReport(added=1, already=0)

    growth = Growth(IngestOptions("folder", "your film"), told=mark("Your film is taken in."))
    return _start(workspace, growth, access.name_film(film), targets, add)


def _start(
    workspace: Workspace,
    growth: Growth,
    subject: Subject,
    targets: tuple[str, ...],
    take_in: Callable[[], IngestReport],
) -> Growth:
    recorder, held = access.get_recorder(), _held(str(workspace.path))
    with _STARTING:
        running = held.get("growth")
        if running is not None and running.running:
            return running
        held["growth"] = growth

    def work() -> None:
        try:
            growth.report = take_in()
            recorder.record(Action.ADDED, subject, state="ended", films=growth.report.added)
            index_targets(workspace, targets, growth)
        except Exception as error:
            growth.error = explain(error)
        growth.finished.set()

    threading.Thread(target=work, name="icbir-ingest", daemon=True).start()
    return growth


def guess_options(layout: str, folder: str, labels: str) -> IngestOptions:
    """The options of the form; paths are those of the server's machine.

    A table alone, in either field, brings its folder: `images` beside it where that exists, else the table's own.
    Raises `AccessRefused` for a path below no allowed folder.
    """
    images, table = Path(folder.strip()).expanduser(), Path(labels.strip()).expanduser()
    for path, text in ((images, folder), (table, labels)):
        if text.strip():  # before anything is told of what lies there
            access.get_settings().check_folder(path)
    if folder.strip() and not labels.strip() and images.is_file():
        folder, labels, table = "", folder, images
    if labels.strip() and not folder.strip():
        beside = table.parent / "images"
        images = beside if beside.is_dir() else table.parent
    return IngestOptions(layout, images, table if labels.strip() else None)
