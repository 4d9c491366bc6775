"""A folder of saved cases as a teaching file, before it is HTML or PDF: nothing in it names a patient or a case."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial

from icbir_core import __version__
from icbir_core.catalogue import Workspace
from icbir_core.catalogue.folder_tables import SavedCase
from icbir_core.deidentifying.leaving import read_leaving_case
from icbir_core.types import Case
from icbir_ui.export.content import SIDE, SMALL, Look, Picture, try_draw
from icbir_ui.search.asking import Maps, describe_scale
from icbir_ui.state import NOTICE
from icbir_ui.words import describe_findings, describe_person

OLDEST = 89
"""Years; who is older is told as "90 years or more", because so few are."""


@dataclass(frozen=True, eq=False)
class TeachingFile:
    """Everything on the pages of a teaching file."""

    title: str
    pictures: tuple[Picture, ...]
    made: str
    version: str = __version__
    notice: str = NOTICE
    small: str = SMALL.format(side=SIDE)


def gather_teaching_file(
    title: str, workspace: Workspace, saved: Sequence[SavedCase], find_maps: Callable[[Case], Maps]
) -> TeachingFile:
    """The cases of a folder in its order. find_maps : the map of a case in `Maps.query`, or none.

    A case is called by its place: names of cases may be names of files. Its report is left out, its proven diagnosis
    and the note on it stand beside its film. Reads nothing from the session.
    """
    pictures = []
    for place, one in enumerate(saved, start=1):
        case = workspace.catalogue.get(one.case_id)
        maps = find_maps(case)
        fault, drawn = try_draw(partial(read_leaving_case, workspace, case), maps.query, maps, Look(None, {}))
        text = "\n".join(part for part in (case.diagnosis, one.note) if part) or None
        pictures.append(
            Picture(f"{place} · {describe_findings(case)}", (*describe_case(case, maps), *fault), *drawn, text)
        )
    return TeachingFile(title, tuple(pictures), datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"))


def describe_case(case: Case, maps: Maps) -> tuple[str, ...]:
    """View, age, sex and source, and what the map is."""
    old = case.age is not None and case.age > OLDEST
    person = describe_person(case.view, 90 if old else case.age, case.sex)
    person = person.replace("90 years", "90 years or more") if old else person
    of = f"{describe_scale(maps, 'places of the film')}, of {maps.query.finding}" if maps.query is not None else ""
    return tuple(line for line in (f"{person} · {case.source}", of) if line)
