"""What an archive is asked for, and what it says of studies and films: words that name persons, held for the reader who
asked and never logged.
"""

from __future__ import annotations

import datetime
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any

from icbir_core.errors import PacsError
from icbir_core.radiograph.facts import MODALITIES
from icbir_core.radiograph.views import parse_header_view
from icbir_core.types import UNKNOWN

_UID = re.compile(r"[0-9]+(\.[0-9]+)*", re.ASCII)
_LONGEST = 256
_BODY = re.compile(r"CHEST|THORA|LUNG|UNKNOWN", re.IGNORECASE)


def is_uid(text: str) -> bool:
    """Whether a text is a UID by its form."""
    return len(text) <= 64 and _UID.fullmatch(text) is not None


def read_date(text: str) -> datetime.date | None:
    """The day of a DICOM date (20260131) or of 2026-01-31; None for any other text."""
    digits = text.strip().replace("-", "")
    try:
        return datetime.date(int(digits[:4]), int(digits[4:6]), int(digits[6:])) if len(digits) == 8 else None
    except ValueError:
        return None


@dataclass(frozen=True)
class StudyQuery:
    """Which studies to find; what is empty is not asked. All must hold.

    patient : the whole number of a patient. name : the beginning of a name, family name first; * and ? stand for other
    letters. accession : a whole accession number. first, last : days of the study, both included. modalities : any of
    them. study : a Study Instance UID.
    """

    patient: str = field(default="", repr=False)
    name: str = field(default="", repr=False)
    accession: str = field(default="", repr=False)
    first: datetime.date | None = None
    last: datetime.date | None = None
    modalities: tuple[str, ...] = ("DX", "CR")
    study: str = field(default="", repr=False)

    @classmethod
    def parse(cls, text: str) -> StudyQuery:
        """Read "patient=123, name=Miller, accession=A1, date=20260101-20261231, modality=DX". Raises `PacsError`, which
        names the word that is wrong and none of the values."""
        values: dict[str, Any] = {}
        for part in text.split(",") if text.strip() else ():
            key, separator, value = (piece.strip() for piece in part.partition("="))
            if not separator or not value or key not in ("patient", "name", "accession", "date", "modality", "study"):
                raise PacsError(
                    "A query is written like 'patient=123, date=20260101-20261231, modality=DX'; its words are "
                    "patient, name, accession, date, modality and study."
                )
            if key == "date":
                start, dash, end = value.partition("-") if value.count("-") < 2 else (value, "", "")
                values["first"] = read_date(start) if start else None
                values["last"] = (read_date(end) if end else None) if dash else values["first"]
                if (start and values["first"] is None) or (end and values["last"] is None):
                    raise PacsError("A date is written like 20260131 or 20260101-20260131.")
            elif key == "modality":
                values["modalities"] = tuple(value.upper().split("+"))
                if not set(values["modalities"]) <= set(MODALITIES):
                    raise PacsError(f"A modality is one of {', '.join(MODALITIES)}; join several with +.")
            else:
                values[key] = value
        return cls(**values)

    def list_filters(self, modality: str) -> dict[str, str]:
        """Keyword → value, as a DICOMweb or DIMSE query gives them. Raises `PacsError` for what none can be asked."""
        for one in fields(self):
            value = getattr(self, one.name)
            if isinstance(value, str) and (len(value) > _LONGEST or not value.isprintable() or "\\" in value):
                raise PacsError(f"The {one.name} to look for cannot be asked for; check what was typed.")
        if any(sign in self.patient + self.accession for sign in "*?"):
            raise PacsError("A patient's number and an accession number are asked for whole, without * and ?.")
        if self.study and not is_uid(self.study):
            raise PacsError("That is no Study Instance UID.")
        days = [one.strftime("%Y%m%d") if one else "" for one in (self.first, self.last)]
        asked = {
            "PatientID": self.patient,
            "PatientName": _write_name(self.name),
            "AccessionNumber": self.accession,
            "StudyDate": "" if days == ["", ""] else days[0] if days[0] == days[1] else "-".join(days),
            "StudyInstanceUID": self.study,
            "ModalitiesInStudy": modality,
        }
        return {keyword: value for keyword, value in asked.items() if value}

    def list_asked(self) -> tuple[tuple[str, str], ...]:
        """Whom and what it asks for, as an audit log names it: (kind, name) of each."""
        asked = {"patient": self.patient, "name": self.name, "accession": self.accession, "examination": self.study}
        return tuple((kind, text.casefold()) for kind, text in asked.items() if text)

    def fits(self, study: Study) -> bool:
        """Whether an answer is one to this question, as far as it can be told: some archives leave out what they do
        not know of a question."""
        day = read_date(study.date)
        return (
            (not self.study or study.uid == self.study)
            and (not self.patient or study.patient == self.patient)
            and (not self.accession or study.accession == self.accession)
            and (not self.first or day is None or day >= self.first)
            and (not self.last or day is None or day <= self.last)
            and (not study.modalities or bool(set(self.modalities) & set(study.modalities)))
        )


def _write_name(name: str) -> str:
    """The name as a pattern: some archives (Orthanc's plug-in 1.7) find no letter that an address must escape."""
    parts = re.sub(r"[\s,^*]+", "*", name.strip())
    return re.sub(r"[^A-Za-z0-9*?'.-]", "?", f"{parts}*").replace("**", "*") if name.strip() else ""


@dataclass(frozen=True)
class Study:
    """A study as the archive lists it; every field is the archive's text, "" where it says nothing."""

    uid: str = field(repr=False)
    patient: str = field(default="", repr=False)
    name: str = field(default="", repr=False)
    accession: str = field(default="", repr=False)
    date: str = ""
    time: str = ""
    description: str = field(default="", repr=False)
    modalities: tuple[str, ...] = ()
    instances: int = 0

    def list_subjects(self) -> tuple[tuple[str, str], ...]:
        """What it is and of whom, as an audit log names it: (kind, name) of each."""
        patient = (("patient", self.patient),) if self.patient else ()
        return (("examination", self.uid), *patient)

    @property
    def moment(self) -> str:
        """Date and time, to be sorted by."""
        return f"{self.date:8}{self.time}"

    @classmethod
    def read(cls, record: Mapping[str, Any]) -> Study | None:
        """The study of a record in DICOM's JSON; None where it has no UID."""
        uid = read_text(record, "0020000D")
        if not is_uid(uid):
            return None
        count = read_text(record, "00201208")
        return cls(
            uid=uid,
            patient=read_text(record, "00100020"),
            name=read_text(record, "00100010"),
            accession=read_text(record, "00080050"),
            date=read_text(record, "00080020"),
            time=read_text(record, "00080030"),
            description=read_text(record, "00081030"),
            modalities=tuple(read_texts(record, "00080061")),
            instances=int(count) if count.isdigit() else 0,
        )


@dataclass(frozen=True)
class FilmReference:
    """A film of a study, not fetched yet. view : as of a `Radiograph`, as far as the archive says it. patient : the
    number under which the archive lists the study, "" where it gives none."""

    study: str = field(repr=False)
    series: str = field(repr=False)
    instance: str = field(repr=False)
    patient: str = field(default="", repr=False)
    view: str = UNKNOWN
    body_part: str = ""
    number: int = 0

    @property
    def may_be_chest(self) -> bool:
        """False where the archive names another part of the body."""
        return not self.body_part or _BODY.search(self.body_part) is not None

    @classmethod
    def read(cls, record: Mapping[str, Any], study: Study, series: str, body_part: str) -> FilmReference | None:
        """The film of a record in DICOM's JSON; None where it has no UID."""
        uid = read_text(record, "00080018")
        if not is_uid(uid):
            return None
        number = read_text(record, "00200013")
        return cls(
            study=study.uid,
            series=series,
            instance=uid,
            patient=study.patient,
            view=parse_header_view(read_text(record, "00185101")),
            body_part=body_part or read_text(record, "00180015"),
            number=int(number) if number.isdigit() else 0,
        )


def read_texts(record: Mapping[str, Any], tag: str) -> list[str]:
    """The values of an element in DICOM's JSON as texts, a name by its letters; [] where it is missing or malformed."""
    element = record.get(tag) if isinstance(record, Mapping) else None
    values = element.get("Value") if isinstance(element, Mapping) else None
    found = []
    for value in values if isinstance(values, list) else ():
        if isinstance(value, Mapping):
            value = value.get("Alphabetic") or value.get("Ideographic") or value.get("Phonetic")
        if isinstance(value, str | int | float):
            text = "".join(letter for letter in str(value) if letter.isprintable()).strip()
            found.append(text[:_LONGEST])
    return found


def read_text(record: Mapping[str, Any], tag: str) -> str:
    """The first value of an element, "" where there is none."""
    return next(iter(read_texts(record, tag)), "")
