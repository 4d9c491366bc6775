"""The reader's films, held for her session only: uploads, demonstration queries and catalogue cases."""

from __future__ import annotations

import re
import secrets
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from icbir_core.audit import Action
from icbir_core.catalogue.asking import read_query
from icbir_core.catalogue.layouts.finder import ENDINGS
from icbir_core.catalogue.storing import read_case_radiograph
from icbir_core.catalogue.workspace import Workspace
from icbir_core.deidentifying.leaving import is_burned_in_case, read_with_text
from icbir_core.errors import IcbirError
from icbir_core.radiograph.quality import assess_quality
from icbir_core.radiograph.signatures import looks_like_dicom
from icbir_core.settings import get_environment
from icbir_core.types import Case, Query, Radiograph
from icbir_ui import access, state
from icbir_ui.holding import SESSION_MEGAPIXELS, HeldRadiograph, count_pixels, hold
from icbir_ui.language import mark, say, translate_told
from icbir_ui.state import PARAMETER_FILM, Key
from icbir_ui.viewer import Picture

if TYPE_CHECKING:
    from icbir_core.pacs.source_header import SourceHeader

MAX_FILMS = 24
MAX_NAMED = 10
NOT_KEPT = ("upload", "archive")
"""Where films come from that are held for the session alone, and that no address may name."""
NO_PATIENT = mark("A film of the catalogue or of the demonstration has no patient to send a result of.")
QUERY_FOLDERS = ("demonstration/queries", "queries")
_NUMBERED = re.compile(r"(?:sim)?[_-]?\d+")


@dataclass(frozen=True, eq=False)
class Film:
    """A film that can be searched with.

    key : its pixel hash; origin : "upload", "archive", "demonstration" or "catalogue"; called : words in place of its
    query's name; file_name : of an upload, for the reader's own list alone, because it may name a patient; of a film
    from the archive its part and day. group : of films that were opened together, "" for a film on its own; part :
    what it is in its group, such as "lateral" or "prior"; day : of its study, where the archive says it.
    source : its DICOM header, held where results may leave as DICOM objects; no_source : why there is none. original :
    its DICOM file, held with that; b"" of one that is far larger than its picture. doubts : the kinds of its warnings
    (`QualityWarning`).
    """

    key: str
    query: Query
    warnings: tuple[str, ...]
    origin: str
    called: str = ""
    file_name: str = ""
    group: str = ""
    part: str = ""
    day: str = ""
    source: SourceHeader | None = field(default=None, repr=False)
    no_source: str = ""
    original: bytes = field(default=b"", repr=False)
    doubts: tuple[str, ...] = ()

    @property
    def title(self) -> str:
        """What stands above the film, on the page and in everything that leaves it."""
        return mark("Query") if self.origin in NOT_KEPT else mark(f"Query · {self.called or self.query.name}")

    @property
    def entry(self) -> str:
        """Its line in the reader's own list of films."""
        if self.origin == "archive" and self.part:
            return ", ".join(part for part in (translate_told(self.part.capitalize()), self.day) if part)
        return self.file_name or self.called or self.query.name

    @property
    def radiograph(self) -> Radiograph:
        return self.query.radiograph

    @property
    def size(self) -> int:
        """What it costs the budgets, in pixels."""
        return count_pixels(self.shape[0] * self.shape[1], len(self.original))

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns."""
        radiograph = self.radiograph
        return radiograph.shape if isinstance(radiograph, HeldRadiograph) else radiograph.pixels.shape

    @property
    def rated_as(self) -> str:
        """How ratings name this film: never by its file name, which may name a patient."""
        return self.query.case_id or f"film:{self.key[:24]}"

    @property
    def address(self) -> str:
        """How the address names this film so that a reload opens it again; "" for a film that is kept nowhere."""
        return "" if self.origin in NOT_KEPT else self.query.case_id or self.query.name

    @property
    def picture(self) -> Picture:
        radiograph = self.radiograph
        burned = "burned_in" in radiograph.facts
        return Picture(self.key, lambda: (radiograph.pixels, radiograph.stored_bits), burned)


def make_film(query: Query, origin: str, data: bytes = b"", **more: Any) -> Film:
    """A film with its quality warnings; data : its file; more : fields of a `Film`. Raises `RadiographError` where the
    server can hold no more."""
    report = assess_quality(query.radiograph)
    warnings = tuple(one.text for one in report.warnings)
    if get_environment("RESULTS") not in (None, "off"):
        more |= read_source(data, query.radiograph.pixels.size)
    held = hold(query, len(more.get("original", b"")))
    return Film(query.radiograph.pixel_sha256, held, warnings, origin, doubts=report.kinds, **more)


def read_source(data: bytes, pixels: int) -> dict[str, Any]:
    """The fields of a `Film` about the header that its results are sent with, and about its file."""
    from icbir_core.pacs.source_header import read_source_header  # brings the decoders: only where it is needed

    if not data:
        return {"no_source": NO_PATIENT}
    try:
        source = read_source_header(data)
        # Such that the budget of pixels is one of bytes too: a film in colour has three a pixel, or twice as many.
        return {"source": source, "original": data if len(data) <= 6 * pixels + (1 << 20) else b""}
    except IcbirError as error:
        return {"no_source": str(error)}


def number_equals(titles: Mapping[str, str]) -> dict[str, str]:
    """The titles with a number after one that stood before: a list in which two are equal gives the wrong film."""
    found: dict[str, str] = {}
    for key, title in titles.items():
        told, number = title, 1
        while told in found.values():
            number += 1
            told = f"{title} ({number})"
        found[key] = told
    return found


def list_held() -> dict[str, str]:
    """Key → line in the reader's list of each film of her session, in the order in which they came. Names of files and
    cases stand as they are."""
    return number_equals(
        {
            key: film.entry if film.origin in ("upload", "catalogue") else translate_told(film.entry)
            for key, film in state.get(Key.FILMS, {}).items()
        }
    )


def hold_newest(films: dict[str, Film], current: str | None, left_out: list[str] | None = None) -> str:
    """Hold the newest films and the current one; a sentence about those that were left out, now and before, or ""."""
    titles = [*(left_out or ()), *drop_oldest(films, current)]
    state.put(Key.FILMS, films)
    if not titles:
        return ""
    limit = say("Films of {count} megapixels together", count=SESSION_MEGAPIXELS)
    if len(films) >= MAX_FILMS:
        limit = say("{count} films", count=MAX_FILMS)
    oldest = say("the oldest was") if len(titles) == 1 else say("the oldest {count} were", count=len(titles))
    others = say(" and {count} more", count=len(titles) - MAX_NAMED) if len(titles) > MAX_NAMED else ""
    told = mark("{limit} are held at a time; {oldest} left out: {titles}{others}.")
    return say(told, limit=limit, oldest=oldest, titles=", ".join(titles[:MAX_NAMED]), others=others)


def drop_oldest(films: dict[str, Film], current: str | None) -> list[str]:
    """Take out the oldest films but the current one until both limits of a session hold; their names."""
    sizes = {key: film.size for key, film in films.items()}
    dropped = []
    for key in [key for key in films if key != current]:
        if len(films) <= MAX_FILMS and sum(sizes[one] for one in films) <= 1_000_000 * SESSION_MEGAPIXELS:
            break
        dropped.append(films.pop(key).entry)
    return dropped


def choose(film: Film) -> None:
    """Make a film the current one; a new film starts a new search."""
    films = state.get(Key.FILMS, {})
    films[film.key] = film
    if left_out := hold_newest(films, film.key):
        state.put(Key.WORD, left_out)
    if state.get(Key.CURRENT) != film.key:
        state.put(Key.CURRENT, film.key)
        state.put(Key.STEPS, None)
        state.put(Key.MARKS, {})
        state.put(Key.COMPARED, None)
        state.put(Key.COMPARED_PLACE, 0)
    state.write_address({PARAMETER_FILM: film.address})


def add(film: Film) -> None:
    """Hold one more film, beside the current one."""
    films = state.get(Key.FILMS, {})
    films.setdefault(film.key, film)
    if left_out := hold_newest(films, state.get(Key.CURRENT)):
        state.put(Key.WORD, left_out)


def is_of_study(film: Film, other: Film) -> bool:
    """Whether two films were put together, by the archive or by hand, or name the same patient and study."""
    named = film.query.patient, film.query.study
    together = bool(film.group) and other.group == film.group
    return together or (None not in named and (other.query.patient, other.query.study) == named)


def list_beside(film: Film) -> list[Film]:
    """The other films of the session that belong to this one: those of its study, then others of its patient from the
    oldest to the newest as far as their days are known."""
    held: dict[str, Film] = state.get(Key.FILMS, {})
    others = [one for one in held.values() if one.key != film.key]
    study = [one for one in others if is_of_study(film, one) and one.part != "prior"]
    patient = film.query.patient
    rest = [one for one in others if one not in study and (is_of_study(film, one) or patient == one.query.patient)]
    return study + sorted((one for one in rest if is_of_study(film, one) or patient), key=lambda one: one.day)


def put_together(keys: Sequence[str]) -> None:
    """Make films of the session one study, as the reader says."""
    held: dict[str, Film] = state.get(Key.FILMS, {})
    group = secrets.token_hex(8)
    state.put(Key.FILMS, {key: replace(one, group=group) if key in keys else one for key, one in held.items()})


def get_current() -> Film | None:
    """The film that is searched with, or None."""
    films: dict[str, Film] = state.get(Key.FILMS, {})
    return films.get(state.get(Key.CURRENT))


def list_demonstration(workspace: Workspace) -> list[Path]:
    """The demonstration queries of a workspace, by name; whether each can be read is not known yet."""
    found = [path for folder in QUERY_FOLDERS for path in sorted((workspace.path / folder).glob("[!.]*"))]
    return [path for path in found if path.suffix.lower() in ENDINGS and path.is_file() and _may_be_film(path)]


def _may_be_film(path: Path) -> bool:
    """False for a file without an ending that does not begin like a DICOM file, such as a README."""
    if path.suffix:
        return True
    with suppress(OSError), path.open("rb") as file:
        return looks_like_dicom(file.read(133))
    return False


def title_demonstration(workspace: Workspace) -> dict[str, str]:
    """File name without ending → words for each demonstration query; one that is only a number gets its place."""
    titles = {}
    for place, path in enumerate(list_demonstration(workspace), start=1):
        words = path.stem.replace("_", " ").replace("-", " ").capitalize()
        titles[path.stem] = mark(f"Demonstration film {place}") if _NUMBERED.fullmatch(path.stem) else words
    return number_equals(titles)


def open_named(workspace: Workspace, name: str) -> Film | None:
    """The demonstration query or the catalogue case of that name, made current; None if there is none. Raises
    `IcbirError` for a film that is there by its row and cannot be had."""
    for path in list_demonstration(workspace):
        if path.stem == name:
            called = title_demonstration(workspace)[name]
            film = make_film(read_query(workspace, name, path), "demonstration", called=called)
            break
    else:
        if not workspace.catalogue.find_identifiers([name]) or not (case := workspace.catalogue.get(name)).path:
            return None
        query = Query(name, read_with_text(workspace, case), case.patient, case.case_id)
        film = make_film(query, "catalogue")
        access.record_once(Action.SAW, access.name_film(film))
    choose(film)
    return film


def ask_for(name: str) -> None:
    """Have the page Search open the demonstration query or the catalogue case of that name when it runs next."""
    state.put(Key.ASKED_FILM, name)


def case_pictures(workspace: Workspace, cases: Sequence[Case]) -> dict[str, Picture]:
    """The films of catalogue cases for the viewer, by the names of the cases."""
    return {case.case_id: case_picture(workspace, case) for case in cases}


def case_picture(workspace: Workspace, case: Case) -> Picture:
    """A catalogue case for the viewer; read from disk only where it was not packed before."""

    def read() -> tuple[np.ndarray, int]:
        radiograph = read_case_radiograph(workspace, case)
        return radiograph.pixels, radiograph.stored_bits

    return Picture(case.pixel_sha256, read, is_burned_in_case(workspace, case))
