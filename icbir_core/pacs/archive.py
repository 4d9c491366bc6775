"""An archive asked by DICOMweb: studies are found (QIDO-RS), and whole films are fetched as they are stored (WADO-RS).

Pictures that the archive draws itself are not used: it cannot draw every film, and its grey levels are its own.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

from icbir_core.errors import PacsMismatch, PacsNotFound
from icbir_core.pacs.connection import Connection, Watch
from icbir_core.pacs.studies import FilmReference, Study, StudyQuery, is_uid, read_text
from icbir_core.radiograph.facts import MODALITIES
from icbir_core.settings import FILM_LIMITS, PacsSettings, ReadLimits
from icbir_core.types import FilmHeader, Progress

MAX_FILMS = 200
"""Films that are listed of one study."""
WHOLE_FILM = 'multipart/related; type="application/dicom"; transfer-syntax=*'
_STUDY_FIELDS = ("StudyDescription", "ModalitiesInStudy", "NumberOfStudyRelatedInstances")
_SERIES_FIELDS = ("BodyPartExamined",)
_FILM_FIELDS = ("ViewPosition", "BodyPartExamined", "InstanceNumber")
_OVERHEAD = 1 << 16


def never() -> bool:
    """Nobody stops the transfer."""
    return False


def be_silent(done: int, total: int, text: str) -> None:
    """Progress that nobody asked for."""


class Archive:
    """An archive that answers DICOMweb; used by one thread at a time. Raises `PacsError` where the settings are wrong.
    Every method raises `PacsError`, of the kind that fits, and nothing else."""

    def __init__(self, settings: PacsSettings):
        self.settings = settings
        self._connection = Connection(settings)

    def close(self) -> None:
        """Give the line back."""
        self._connection.close()

    def find_studies(
        self, query: StudyQuery, progress: Progress = be_silent, stopped: Callable[[], bool] = never
    ) -> list[Study]:
        """The studies of the archive that fit, newest first; at most one more than `settings.studies`, so that the
        caller sees that there are others. progress : told how many are found.
        """
        found: dict[str, Study] = {}
        for modality in query.modalities:
            for study in self._page_studies(query, modality, stopped):
                if query.fits(study):
                    before = found.get(study.uid)
                    both = (*before.modalities, *study.modalities) if before else study.modalities
                    found[study.uid] = replace(study, modalities=tuple(dict.fromkeys(both)))
                if len(found) > self.settings.studies:
                    break
                progress(len(found), 0, "")
        return sorted(found.values(), key=lambda study: study.moment, reverse=True)

    def _page_studies(self, query: StudyQuery, modality: str, stopped: Callable[[], bool]) -> Iterator[Study]:
        seen: set[str] = set()
        offset, limit = 0, self.settings.studies + 1
        # In one answer where the archive allows it: Orthanc's plug-in 1.7 miscounts the offset beside a modality.
        while True:
            with self._connection.calling(Watch(stopped=stopped)):
                records = self._connection.client.search_for_studies(
                    limit=limit, offset=offset, fields=_STUDY_FIELDS, search_filters=query.list_filters(modality)
                )
            page = [study for record in _check_list(records) if (study := Study.read(record))]
            fresh = [study for study in page if study.uid not in seen]
            yield from fresh
            seen.update(study.uid for study in fresh)
            offset += len(records)
            # Some archives give fewer than were asked for, so a short page is not the last; some know no offset.
            if not fresh:
                return

    def get_study(self, uid: str) -> Study:
        """The study of a UID, of whatever modality. Raises `PacsNotFound`."""
        return self._get_one(StudyQuery(study=uid))

    def find_accession(self, accession: str) -> list[Study]:
        """The studies with an accession number that hold chest films or may, newest first. Raises `PacsNotFound`."""
        found = self.find_studies(StudyQuery(accession=accession))
        if not found:
            raise PacsNotFound("The archive (PACS) has no film study under that accession number.")
        return found

    def _get_one(self, query: StudyQuery) -> Study:
        filters = query.list_filters("")
        with self._connection.calling():
            records = self._connection.client.search_for_studies(limit=2, fields=_STUDY_FIELDS, search_filters=filters)
        studies = [study for record in _check_list(records) if (study := Study.read(record))]
        fitting = [study for study in studies if study.uid == query.study]
        if studies and not fitting:
            raise PacsMismatch("The archive (PACS) answers with another study than the one that was asked for.")
        if not fitting:
            raise PacsNotFound("The archive (PACS) has no such study (any more).")
        return fitting[0]

    def list_films(self, study: Study, stopped: Callable[[], bool] = never) -> list[FilmReference]:
        """The radiographs of a study, frontal ones first, then by series and number; those of other parts of the body
        left out where the archive names the part. May be empty."""
        with self._connection.calling(Watch(stopped=stopped)):
            series = self._connection.client.search_for_series(study.uid, fields=_SERIES_FIELDS)
        found: list[FilmReference] = []
        for record in _check_list(series):
            uid, modality = read_text(record, "0020000E"), read_text(record, "00080060").upper()
            if not is_uid(uid) or modality not in MODALITIES:
                continue
            with self._connection.calling(Watch(stopped=stopped)):
                films = self._connection.client.search_for_instances(
                    study.uid, uid, limit=MAX_FILMS, fields=_FILM_FIELDS
                )
            part = read_text(record, "00180015")
            listed = (FilmReference.read(one, study, uid, part) for one in _check_list(films))
            found += [one for one in listed if one is not None and one.may_be_chest]
            if len(found) >= MAX_FILMS:
                break
        return sorted(found[:MAX_FILMS], key=lambda one: (_order_view(one.view), one.number))

    def fetch_film(
        self,
        film: FilmReference,
        progress: Progress = be_silent,
        stopped: Callable[[], bool] = never,
        limits: ReadLimits = FILM_LIMITS,
    ) -> bytes:
        """The film's DICOM file, byte for byte as it is stored. progress : told the bytes that came.

        Raises `PacsMismatch` where more than one file came, or more or fewer bytes than were announced. Whose film it
        is must be asked of its header, by `check_film`.
        """
        parts = (("studies", film.study), ("series", film.series), ("instances", film.instance))
        path = "/".join(f"{name}/{uid}" for name, uid in parts)
        with self._connection.calling(Watch(limits.max_bytes + _OVERHEAD, progress, stopped)):
            answer = self._connection.session.get(f"{self.settings.address}/{path}", headers={"Accept": WHOLE_FILM})
            answer.raise_for_status()
        return extract_part(answer.headers.get("Content-Type", ""), answer.content)


def check_film(film: FilmReference, header: FilmHeader | None) -> None:
    """Raises `PacsMismatch` unless a file that came is the film that was asked for, of the patient it is listed for."""
    if header is None:
        raise PacsMismatch("The archive (PACS) sent something else than a DICOM film; nothing was taken.")
    number = (header.number or "").strip()
    if header.instance != film.instance or header.study != film.study or (film.patient and number != film.patient):
        raise PacsMismatch("The archive (PACS) sent another film than the one that was asked for; nothing was taken.")


def extract_part(content_type: str, body: bytes) -> bytes:
    """The one file in an answer of several parts, or in an answer that is the file itself. Raises `PacsMismatch`."""
    kind, *parameters = (piece.strip() for piece in content_type.split(";"))
    if kind.lower() == "application/dicom":
        return body
    named = dict(piece.split("=", 1) for piece in parameters if "=" in piece)
    boundary = next((value.strip('"') for name, value in named.items() if name.strip().lower() == "boundary"), "")
    if kind.lower() != "multipart/related" or not boundary:
        raise PacsMismatch("The archive (PACS) sent something else than a DICOM film; nothing was taken.")
    mark = b"--" + boundary.encode("latin-1", "replace")
    start = body.find(mark)
    head_end = body.find(b"\r\n\r\n", start)
    end = body.rfind(b"\r\n" + mark + b"--")
    if start < 0 or head_end < 0 or end < head_end:
        raise PacsMismatch("The archive's (PACS) answer ends before the film does; try again.")
    part = body[head_end + 4 : end]
    said = re.search(rb"^content-length:\s*(\d+)\s*$", body[start:head_end], re.IGNORECASE | re.MULTILINE)
    if b"\r\n" + mark in part or (said and int(said[1]) != len(part)):
        raise PacsMismatch("The archive (PACS) sent more or less than the one film it announced; nothing was taken.")
    return part


def _check_list(records: Any) -> list[Any]:
    if not isinstance(records, list):
        raise PacsMismatch("The archive's (PACS) answer cannot be read; is the address the base of its DICOMweb?")
    return records


def _order_view(view: str) -> int:
    return {"PA": 0, "AP": 1, "unknown": 2, "LATERAL": 3}.get(view, 4)
