"""The layout `dicomweb`: films of an archive that a query names, taken into a catalogue like a tree of DICOM files.

No film touches the disk before it is de-identified. `IngestOptions.images` is the base address, "" for the one of the
settings; a film that the catalogue holds is not fetched again, so that a run that was interrupted goes on.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing

from icbir_core.catalogue.layouts.rows import IngestOptions, KnownFilm, LayoutRow, RawCase, SkippedRow
from icbir_core.catalogue.selecting import give_reason_against_view
from icbir_core.errors import CatalogueError, PacsError, PacsMismatch, PacsNotFound, RadiographError
from icbir_core.pacs.archive import Archive, check_film
from icbir_core.pacs.studies import FilmReference, Study, StudyQuery
from icbir_core.radiograph.identity import read_film_header
from icbir_core.settings import PacsSettings, read_pacs_settings
from icbir_core.types import UNKNOWN

NOTHING = "The archive (PACS) has no film study that fits the query."


def read_rows(options: IngestOptions) -> Iterator[LayoutRow]:
    """One row a radiograph of the studies that `options.query` names, the newest study first. Raises `CatalogueError`
    where no archive is named, and `PacsError` where it cannot be asked."""
    with closing(Archive(read_archive_settings(options))) as archive:
        for number, study in enumerate(find_studies(archive, options), start=1):
            yield from _read_study(archive, study, f"study {number}", options)


def read_archive_settings(options: IngestOptions) -> PacsSettings:
    """Of the archive that `options` names. Raises `CatalogueError` where it names none."""
    settings = read_pacs_settings(str(options.images))
    if settings is None:
        raise CatalogueError("No archive (PACS) is named; give its address with --images, or set ICBIR_DICOMWEB.")
    return settings


def find_studies(archive: Archive, options: IngestOptions) -> list[Study]:
    """The studies that `options.query` names, newest first. Raises `PacsError`, also for none or too many."""
    studies = archive.find_studies(StudyQuery.parse(options.query))
    if not studies:
        raise PacsNotFound(NOTHING)
    if len(studies) > (most := archive.settings.studies):
        raise PacsError(f"The query finds more than {most:,} studies; ask for fewer days at a time.")
    return studies


def _read_study(archive: Archive, study: Study, label: str, options: IngestOptions) -> Iterator[LayoutRow]:
    try:
        films = archive.list_films(study)
    except (PacsMismatch, PacsNotFound) as error:
        yield SkippedRow(label, str(error))
        return
    if not films:
        yield SkippedRow(label, "no chest film in the study")
    for number, film in enumerate(films, start=1):
        yield _read_film(archive, film, f"{label}, film {number}", options)


def _read_film(archive: Archive, film: FilmReference, label: str, options: IngestOptions) -> LayoutRow:
    if options.is_known is not None and options.is_known(film.instance):
        return KnownFilm(film.instance, label)
    if film.view != UNKNOWN and (reason := give_reason_against_view(film.view, options)) is not None:
        return SkippedRow(label, reason)
    try:
        data = archive.fetch_film(film)
        check_film(film, read_film_header(data))
    except (PacsMismatch, PacsNotFound, RadiographError) as error:
        return SkippedRow(label, str(error))
    uids = "/".join((film.study, film.series, film.instance))
    return RawCase(case_id=film.instance, file=label, private=True, item=label, data=data, uids=uids)


def fetch_left(uids: str) -> bytes:
    """A film that was left in the archive of the settings, byte for byte as it is there now. uids : as of a `RawCase`.

    Raises `PacsError` where the archive cannot be asked, does not have it, or sends another film.
    """
    settings = read_pacs_settings()
    if settings is None:
        raise PacsError("No archive (PACS) is named; set ICBIR_DICOMWEB.")
    study, series, instance = uids.split("/")
    film = FilmReference(study=study, series=series, instance=instance)
    archive = Archive(settings)
    try:
        data = archive.fetch_film(film)
    finally:
        archive.close()
    check_film(film, read_film_header(data))
    return data
