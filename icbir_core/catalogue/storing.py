"""One film from its file into the workspace: decoded, judged, stored without loss, and compared with what is there."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from icbir_core.catalogue.copies import Kept
from icbir_core.catalogue.film_places import FOLDER, LEFT
from icbir_core.catalogue.layouts import IngestOptions, RawCase, SkippedRow
from icbir_core.catalogue.scrubbing import scrub_text
from icbir_core.catalogue.selecting import give_reason_against_view
from icbir_core.catalogue.workspace import Workspace
from icbir_core.errors import (
    FilmLost,
    FilmsAway,
    PacsError,
    PacsMismatch,
    PacsNotFound,
    RadiographError,
    RadiographTooLarge,
    WorkspaceError,
)
from icbir_core.files import PathLike, sha256_of_bytes
from icbir_core.findings import FindingState
from icbir_core.plugins import load_reference
from icbir_core.radiograph import assess_quality, read_radiograph
from icbir_core.radiograph.same_picture import is_same_picture
from icbir_core.radiograph.views import FRONTAL
from icbir_core.radiograph.writing import encode_lossless
from icbir_core.settings import FILM_LIMITS, ReadLimits
from icbir_core.types import UNKNOWN, Case, Radiograph

_PLAIN_NAME = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9._-]{0,119}")
# By which columns a film is known again, the surest first.
_SAME_FILM = ("pixel_sha256", "stored_sha256", "instance")


@dataclass(frozen=True)
class StoredFilm:
    """A film that is stored. label : what a report calls it; record : its columns of the case table; other_patients :
    hashes that its header names beside the patient of the record."""

    label: str
    record: dict[str, Any]
    other_patients: tuple[str, ...] = ()

    @property
    def case_id(self) -> str:
        """The name of its case."""
        return str(self.record["case_id"])

    @property
    def patients(self) -> tuple[str, ...]:
        """All hashes that it names."""
        return tuple(one for one in (self.record["patient"], *self.other_patients) if one is not None)

    def with_doubt(self, text: str) -> StoredFilm:
        """The same film with one more sentence of doubt, and without the instance that it shares with another film."""
        doubts = [one for one in (self.record["doubt"], text) if one]
        return replace(self, record=self.record | {"doubt": " ".join(doubts), "instance": None})


def store_film(
    workspace: Workspace, options: IngestOptions, limits: ReadLimits, case_id: str, raw: RawCase
) -> StoredFilm | SkippedRow:
    """Decode, judge and store a film; may run beside others. A film that cannot be had is a `SkippedRow`. Raises
    `WorkspaceError` where the film cannot be written or the salt is lost."""
    try:
        size = Path(raw.file).stat().st_size if raw.data is None else len(raw.data)
        radiograph = _read(raw, size, limits)
        view = raw.view if raw.view != UNKNOWN else radiograph.view
        if (reason := give_reason_against_view(view, options)) is not None:
            return SkippedRow(raw.label, reason)
        doubts = find_doubts(radiograph, view)
    except RadiographError as error:
        return SkippedRow(raw.label, str(error))
    except OSError as error:
        return SkippedRow(raw.label, f"the file cannot be read ({error.strerror})")
    except Exception as error:  # whatever one odd file raises, it must not cost the others
        return SkippedRow(raw.label, f"the film cannot be read ({type(error).__name__}); export it again")
    if options.leave_films:
        path, digest = LEFT + workspace.hide(raw.uids), radiograph.pixel_sha256
    else:
        path, data = f"{FOLDER}/{name_image(case_id)}", encode_lossless(radiograph)
        workspace.films.write(path, data)
        digest = sha256_of_bytes(data)
    patient, header_patient = workspace.hash_patient(raw.patient), workspace.hash_patient(raw.header_patient)
    if _contradict(raw, options):
        doubts.append("The table names another patient than the header: the table's is kept.")
    record = {
        "case_id": case_id,
        "path": path,
        "sha256": digest,
        "pixel_sha256": radiograph.pixel_sha256,
        "patient": patient,
        "view": view,
        "age": raw.age if raw.age is not None else radiograph.age,
        "sex": raw.sex if raw.sex != UNKNOWN else radiograph.sex,
        "source": options.source or options.layout,
        "findings": {name: state.value for name, state in raw.findings.items() if state is not FindingState.UNKNOWN},
        "report": _keep_text(raw.report, raw, options),
        "diagnosis": _keep_text(raw.diagnosis, raw, options),
        "source_bytes": size,
        "orientation_verified": radiograph.orientation_verified,
        "doubt": " ".join(doubts) or None,
        "instance": workspace.hash_instance(raw.instance),
        "stored_sha256": radiograph.stored_sha256,
    }
    others = () if header_patient in (None, patient) else (header_patient,)
    return StoredFilm(raw.label, record, others)


def find_kept(workspace: Workspace, stored: StoredFilm, waiting: Sequence[StoredFilm]) -> Kept | str | None:
    """The case that holds the film already, in the catalogue or among those that wait for it, by the same grey levels,
    stored values or instance; None if there is none; a sentence if another picture bears the film's instance.

    Raises `FilmLost` where the pictures cannot be compared because one is lost, `WorkspaceError` where one cannot be
    reached: whether the film is a copy is not known then.
    """
    film = [stored.record[name] for name in _SAME_FILM]
    found = (_find_waiting(waiting, name, value) for name, value in zip(_SAME_FILM, film, strict=True))
    way, same = next(((name, one) for name, one in zip(_SAME_FILM, found, strict=True) if one is not None), ("", None))
    held = workspace.catalogue.find_film(*film)
    if same is not None and (held is None or (way != "instance" and not held.same_pixels)):
        held = Kept(same["case_id"], same["patient"], way != "instance")
    if held is None or held.same_pixels:
        return held
    if same is None or same["case_id"] != held.case_id:
        case = workspace.catalogue.get(held.case_id)
        same = {"case_id": case.case_id, "path": case.path, "sha256": case.sha256}
    pictures = [
        _read_stored(workspace, one["path"], one["sha256"], f"The film of the case '{one['case_id']}'").pixels
        for one in (same, stored.record)
    ]
    if is_same_picture(*pictures):
        return held
    return f"The header gives it the identifier of the case '{held.case_id}', which shows another picture."


def _find_waiting(waiting: Sequence[StoredFilm], name: str, value: str | None) -> dict[str, Any] | None:
    """The record of the first film that waits with this value, if there is one."""
    return next((one.record for one in waiting if value is not None and one.record[name] == value), None)


def read_case_radiograph(workspace: Workspace, case: Case) -> Radiograph:
    """The film of a case, with the view, age, sex and verified orientation of its row, from where it is stored, or from
    the archive (PACS) where it was left.

    Raises `FilmLost` if it is missing or is not the one that was stored, `WorkspaceError` if it cannot be reached.
    """
    name = "" if case.path.startswith(LEFT) else f" '{case.path}'"
    what = f"The film{name} of the case '{case.case_id}'"
    radiograph = _read_stored(workspace, case.path, case.sha256, what)
    return replace(
        radiograph, view=case.view, age=case.age, sex=case.sex, orientation_verified=case.orientation_verified
    )


def read_case_shape(workspace: Workspace, case: Case) -> tuple[int, int]:
    """Rows and columns of the film of a case, from the head of its file where it is stored. Raises `WorkspaceError` if
    the file cannot be read or is no PNG."""
    if case.path.startswith(LEFT):
        rows, columns = read_case_radiograph(workspace, case).pixels.shape
        return rows, columns
    head = workspace.films.read_head(case.path, 24)
    if len(head) < 24 or not head.startswith(b"\x89PNG"):
        raise WorkspaceError(f"The film '{case.path}' of the case '{case.case_id}' cannot be read; restore it.")
    return int.from_bytes(head[20:24]), int.from_bytes(head[16:20])


def _read_stored(workspace: Workspace, name: str, sha256: str, what: str) -> Radiograph:
    if name.startswith(LEFT):
        return _read_left(workspace, name, sha256, what)
    try:
        data = workspace.films.read(name)
    except FilmLost:
        raise FilmLost(f"{what} is missing; restore it.") from None
    if sha256_of_bytes(data) != sha256:
        raise FilmLost(f"{what} is not the one that was stored; restore it.")
    return read_radiograph(data)


def _read_left(workspace: Workspace, name: str, sha256: str, what: str) -> Radiograph:
    """A film out of the archive. sha256 : of its grey levels, because an archive may correct a header."""
    fetch: Callable[[str], bytes] = load_reference("icbir_core.pacs.layout:fetch_left")
    try:
        radiograph = read_radiograph(fetch(workspace.reveal(name.removeprefix(LEFT))), FILM_LIMITS)
    except PacsNotFound:
        raise FilmLost(f"{what} is not in the archive (PACS) any more; restore it there, or erase the case.") from None
    except (PacsMismatch, RadiographError):
        raise FilmLost(f"{what} is not what the archive (PACS) sends now; look there.") from None
    except PacsError as error:
        raise FilmsAway(f"{what} was left in the archive. {error}") from None
    if radiograph.pixel_sha256 != sha256:
        raise FilmLost(f"{what} shows another picture in the archive (PACS) than when it was added; look there.")
    return radiograph


def measure_file(file: PathLike) -> int | None:
    """The file's size in bytes; None where it cannot be read."""
    try:
        return Path(file).stat().st_size
    except OSError:
        return None


def name_image(case_id: str) -> str:
    """A safe and unique file name for a case's stored film."""
    if _PLAIN_NAME.fullmatch(case_id):
        return f"{case_id}.png"
    return f"{re.sub(r'[^A-Za-z0-9_-]+', '_', case_id)[:80]}-{sha256_of_bytes(case_id.encode())[:12]}.png"


def _read(raw: RawCase, size: int, limits: ReadLimits) -> Radiograph:
    if not raw.private:
        return read_radiograph(raw.file, limits)
    # Bytes have no name, so no message about them can tell one.
    if size > limits.max_bytes:
        raise RadiographTooLarge(f"The film has {size:,} bytes, more than {limits.max_bytes:,}; reduce it.")
    return read_radiograph(Path(raw.file).read_bytes() if raw.data is None else raw.data, limits)


def find_doubts(radiograph: Radiograph, view: str) -> list[str]:
    """What the quality gate warns of. A lateral is here because it was asked for: to be one is no doubt."""
    special = view not in (*FRONTAL, UNKNOWN)
    found = assess_quality(replace(radiograph, view=view) if special else radiograph).warnings
    return [one.text for one in found if not (special and one.kind == "lateral")]


def _keep_text(text: str | None, raw: RawCase, options: IngestOptions) -> str | None:
    if not (raw.private or options.private):
        return text
    return scrub_text(text) if options.texts else None


def _contradict(raw: RawCase, options: IngestOptions) -> bool:
    """Whether the table names another patient than the header; not where only the issuer or zeros in front differ."""
    if raw.patient is None or raw.header_patient is None:
        return False
    numbers = (raw.patient.removeprefix(f"{options.layout}:"), raw.header_patient)
    plain = {number.split("^^^")[0].strip().casefold().lstrip("0") for number in numbers}
    return len(plain) > 1
