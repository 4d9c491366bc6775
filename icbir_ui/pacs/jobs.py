"""What is asked of the archive behind the pages: each question in a thread of its own, which can be stopped."""

from __future__ import annotations

import secrets
import threading
from collections.abc import Callable
from dataclasses import dataclass, field

from icbir_core.access import Right
from icbir_core.audit import Action, Subject
from icbir_core.audit.entries import make_word
from icbir_core.catalogue.workspace import Workspace
from icbir_core.errors import IcbirError, PacsError, PacsStopped
from icbir_core.pacs.archive import Archive
from icbir_core.pacs.opening import Fetching, LeftOut, OpenedFilm, StudyRequest, find_study, open_study
from icbir_core.pacs.searched import record_searched
from icbir_core.pacs.studies import Study, StudyQuery
from icbir_core.settings import read_pacs_settings
from icbir_ui import access
from icbir_ui.errors import explain
from icbir_ui.films import Film, make_film
from icbir_ui.language import mark

NO_ARCHIVE = mark("No archive (PACS) is set up here; the operator names one with ICBIR_DICOMWEB.")

QUICK = 0.6


def has_archive() -> bool:
    """Whether this server knows an archive."""
    return read_pacs_settings() is not None


def open_archive() -> Archive:
    """The archive that the settings name. Raises `PacsError`."""
    settings = read_pacs_settings()
    if settings is None:
        raise PacsError(NO_ARCHIVE)
    return Archive(settings)


@dataclass
class Job:
    """A question under way or answered. done, total : bytes of the film that comes, or studies found; word : what is
    being done; error : why it ended early, "" where it did not. came : set as soon as there is something
    to show, at the latest at its end.
    """

    done: int = 0
    total: int = 0
    word: str = mark("Asking the PACS …")
    error: str = ""
    stopped: threading.Event = field(default_factory=threading.Event)
    finished: threading.Event = field(default_factory=threading.Event)
    came: threading.Event = field(default_factory=threading.Event)

    @property
    def running(self) -> bool:
        return not self.finished.is_set()

    def tell(self, done: int, total: int, text: str) -> None:
        """The progress callback that the core calls."""
        self.done, self.total = done, total

    def stop(self) -> None:
        """End it: at once for the reader, as soon as the archive sends something for the line to it."""
        self.stopped.set()
        self.error = self.error or mark("The transfer was stopped.")
        self.finished.set()

    def start(self, work: Callable[[Archive], None]) -> None:
        """Run `work` in the background with a line of its own to the archive; returns once there is something to show,
        so that a quick archive costs no bar and no second run of the page, but after `QUICK` seconds at the latest."""

        def run() -> None:
            archive = None
            try:
                archive = open_archive()
                work(archive)
            except PacsStopped as error:
                self.error = str(error)
            except Exception as error:
                self.error = self.error or explain(error)
            finally:
                if archive is not None:
                    archive.close()
                self.finished.set()
                self.came.set()

        threading.Thread(target=run, name="icbir-pacs", daemon=True).start()
        self.came.wait(QUICK)


@dataclass
class StudyJob(Job):
    """A study that is being opened. films : as they come; left_out : sentences about those that did not; adopted : how
    many of them the session has taken."""

    films: list[Film] = field(default_factory=list)
    left_out: list[str] = field(default_factory=list)
    adopted: int = 0
    told: bool = False


@dataclass
class FindJob(Job):
    """Studies that are being looked for. studies : the answer, newest first; more : whether there are others."""

    studies: list[Study] = field(default_factory=list)
    more: bool = False


def start_opening(workspace: Workspace, request: StudyRequest) -> StudyJob:
    """Open a study in the background; its films are held in memory alone, and each is recorded before it is shown.
    Raises `AccessRefused` for one who may not, `AuditError` where it cannot be recorded."""
    access.require(Right.OPEN_STUDY)
    recorder = access.get_recorder()
    named = Subject("examination", request.study) if request.study else Subject("accession", request.accession)
    recorder.record(Action.OPENED, named, state="started")
    job = StudyJob()
    group = secrets.token_hex(8)

    def work(archive: Archive) -> None:
        study = find_study(archive, request)
        job.word = mark("Fetching the film …")
        about = [Subject(*one) for one in study.list_subjects()]
        recorder.record(Action.OPENED, *about, state="found")
        for one in open_study(archive, workspace, study, Fetching(job.tell, job.stopped.is_set)):
            if isinstance(one, LeftOut):
                job.left_out.append(one.reason)
                continue
            try:
                film = _hold(one, group)
                recorder.record(Action.SAW, access.name_film(film), *about, part=make_word(one.part))
                job.films.append(film)
                job.came.set()
            except IcbirError as error:
                job.left_out.append(str(error))
            job.word, job.done, job.total = mark("Fetching the lateral and earlier films …"), 0, 0
        record_searched(workspace, study.uid)

    job.start(work)
    return job


def _hold(opened: OpenedFilm, group: str) -> Film:
    named = f"{opened.part.value}, {opened.day}" if opened.day else opened.part.value
    more = {"file_name": named[:1].upper() + named[1:], "group": group, "part": opened.part, "day": opened.day}
    return make_film(opened.query, "archive", opened.data, **more)


def start_finding(query: StudyQuery) -> FindJob:
    """Look for studies in the background. Raises `AccessRefused` for one who may not, `AuditError` where it cannot be
    recorded."""
    access.require(Right.SEARCH_ARCHIVE)
    about = [Subject(*one) for one in query.list_asked()]
    access.record(Action.ASKED_ARCHIVE, *about, by=about[0].kind if about else "days")
    job = FindJob(word=mark("Looking for studies …"))

    def work(archive: Archive) -> None:
        limit = archive.settings.studies
        found = archive.find_studies(query, job.tell, job.stopped.is_set)
        job.studies, job.more = found[:limit], len(found) > limit

    job.start(work)
    return job
