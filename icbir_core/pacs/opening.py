"""A study is opened: its films one after another, the frontal one first, then the frontal films of earlier studies.

Every film goes through the one door of films, and is held against what was asked for.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from enum import StrEnum

from icbir_core.catalogue.asking import make_query
from icbir_core.catalogue.workspace import Workspace
from icbir_core.errors import IcbirError, PacsError, PacsMismatch, PacsNotFound, PacsRefused, PacsStopped
from icbir_core.pacs.archive import Archive, be_silent, check_film, never
from icbir_core.pacs.studies import FilmReference, Study, StudyQuery, read_date
from icbir_core.radiograph.reading import read_film
from icbir_core.radiograph.views import FRONTAL
from icbir_core.settings import FILM_LIMITS, ReadLimits
from icbir_core.types import UNKNOWN, Progress, Query

PRIORS = 2
"""Earlier studies of which the frontal film is fetched."""
STUDY_FILMS = 6
"""Films that are fetched of the study that was asked for."""
FILM_NAME = "film from the PACS"
"""The name of every query that came from an archive."""
NO_CHEST = "The study holds no chest film (CR or DX) that can be shown."


class Part(StrEnum):
    """What a film is in the study that was opened."""

    FRONTAL = "frontal"
    LATERAL = "lateral"
    OTHER = "other view"
    PRIOR = "prior"


@dataclass(frozen=True, eq=False)
class OpenedFilm:
    """A film that came. date : of its study, as the archive writes it; data : its DICOM file."""

    query: Query
    part: Part
    date: str
    data: bytes = field(repr=False)

    @property
    def day(self) -> str:
        """The date for a reader, "" where it is not known."""
        day = read_date(self.date)
        return day.isoformat() if day else ""


@dataclass(frozen=True)
class LeftOut:
    """A film that could not be had, and why, in a sentence."""

    reason: str


@dataclass(frozen=True)
class StudyRequest:
    """What a link or a row names: a Study Instance UID, or an accession number."""

    study: str = field(default="", repr=False)
    accession: str = field(default="", repr=False)


@dataclass(frozen=True)
class Fetching:
    """How films are fetched. progress : told the bytes of the film that comes; stopped : asked whether to stop."""

    progress: Progress = be_silent
    stopped: Callable[[], bool] = never
    limits: ReadLimits = FILM_LIMITS


def find_study(archive: Archive, request: StudyRequest) -> Study:
    """The study of a request: of several with one accession number the newest. Raises `PacsError`."""
    if request.study:
        return archive.get_study(request.study)
    if request.accession:
        return archive.find_accession(request.accession)[0]
    raise PacsNotFound("Name a study by its UID or by its accession number.")


def open_study(
    archive: Archive, workspace: Workspace, study: Study, fetching: Fetching | None = None, priors: int = PRIORS
) -> Iterator[OpenedFilm | LeftOut]:
    """Its films as they come: a frontal one first where there is one, then its others, then those of earlier studies.

    A film that cannot be read, is another one or does not come is left out, and told. Raises `PacsError` where no film
    of the study can be had, `PacsStopped` when the reader stops, `WorkspaceError` if the workspace has lost its salt.
    """
    fetching = fetching or Fetching()
    references = archive.list_films(study, fetching.stopped)[:STUDY_FILMS]
    if not references:
        raise PacsNotFound(NO_CHEST)
    waiting: list[OpenedFilm] = []
    first: OpenedFilm | None = None
    reasons: list[PacsError] = []
    for reference in references:
        film = _take(archive, workspace, reference, study, fetching)
        if isinstance(film, OpenedFilm) and first is None and film.part is Part.FRONTAL:
            first = film
            yield first
            yield from waiting
            waiting = []
        elif isinstance(film, OpenedFilm):
            if first is not None:
                yield film
            else:
                waiting.append(film)
        else:
            reasons.append(film)
            yield LeftOut(str(film))
    if first is None and not waiting:
        raise reasons[0]
    yield from waiting
    yield from _open_priors(archive, workspace, study, first or waiting[0], fetching, priors)


def _take(
    archive: Archive, workspace: Workspace, reference: FilmReference, study: Study, fetching: Fetching
) -> OpenedFilm | PacsError:
    try:
        data = archive.fetch_film(reference, fetching.progress, fetching.stopped, fetching.limits)
        return read_archive_film(workspace, reference, data, study.date, fetching.limits)
    except (PacsStopped, PacsRefused):
        raise
    except PacsError as error:
        return error


def read_archive_film(
    workspace: Workspace, reference: FilmReference, data: bytes, date: str = "", limits: ReadLimits = FILM_LIMITS
) -> OpenedFilm:
    """The film of a file that came for a reference. Raises `PacsMismatch` where it is another one, `PacsError` with the
    reader's own sentence where it cannot be read."""
    try:
        radiograph, header = read_film(data, limits)
    except IcbirError as error:
        raise PacsError(f"A film of the study cannot be read. {error}") from None
    check_film(reference, header)
    assert header is not None  # else `check_film` had refused it
    query = make_query(workspace, FILM_NAME, radiograph, header)
    frontal = radiograph.view in (*FRONTAL, UNKNOWN)
    part = Part.FRONTAL if frontal else Part.LATERAL if radiograph.view == "LATERAL" else Part.OTHER
    return OpenedFilm(query, part, date, data)


def _open_priors(
    archive: Archive, workspace: Workspace, study: Study, film: OpenedFilm, fetching: Fetching, priors: int
) -> Iterator[OpenedFilm | LeftOut]:
    if not study.patient or film.query.patient is None or priors < 1:
        return
    try:
        last = read_date(study.date)
        found = archive.find_studies(StudyQuery(patient=study.patient, last=last), stopped=fetching.stopped)
    except PacsStopped:
        raise
    except PacsError as error:
        yield LeftOut(f"Earlier studies could not be looked for. {error}")
        return
    earlier = [one for one in found if one.uid != study.uid and one.moment < study.moment]
    taken = 0
    for prior in earlier:
        if taken == priors:
            return
        opened = _open_prior(archive, workspace, prior, film, fetching)
        if opened is not None:
            taken += isinstance(opened, OpenedFilm)
            yield opened


def _open_prior(
    archive: Archive, workspace: Workspace, prior: Study, film: OpenedFilm, fetching: Fetching
) -> OpenedFilm | LeftOut | None:
    """The frontal film of an earlier study; None where it holds none."""
    try:
        references = archive.list_films(prior, fetching.stopped)
        if not references or references[0].view not in (*FRONTAL, UNKNOWN):
            return None
        opened = _take(archive, workspace, references[0], prior, fetching)
        if isinstance(opened, PacsError):
            raise opened
        if opened.part is not Part.FRONTAL:
            return None
        # One number of two issuers is two patients.
        if opened.query.patient != film.query.patient:
            raise PacsMismatch("It belongs to another patient with the same number.")
    except PacsStopped:
        raise
    except PacsError as error:
        return LeftOut(f"An earlier study is left out. {error}")
    return OpenedFilm(opened.query, Part.PRIOR, opened.date, opened.data)
