"""The other films of a patient beside the film that is searched with: of its study, earlier ones, and those of the
catalogue, in a strip from which one is shown large.
"""

from __future__ import annotations

import base64
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import streamlit as st

from icbir_core.audit import Action
from icbir_core.catalogue.thumbnails import make_thumbnail, read_thumbnail
from icbir_core.catalogue.workspace import Workspace
from icbir_core.errors import IcbirError
from icbir_core.types import Case, Radiograph
from icbir_ui import access, films, state, viewer
from icbir_ui.films import Film
from icbir_ui.language import say, translate_told
from icbir_ui.search.panes import query_pane
from icbir_ui.state import Key
from icbir_ui.viewer import Pane, Picture, ViewerOptions
from icbir_ui.words import describe_brief, describe_film, describe_findings

MOST = 8
"""Films in the strip."""


@dataclass(frozen=True, eq=False)
class OtherFilm:
    """Another film of the patient. label : short words that name nobody; lines : facts; read : a small JPEG of it;
    film : where the session holds it; case : where the catalogue does."""

    key: str
    label: str
    picture: Picture
    lines: Sequence[str]
    oriented: bool
    read: Callable[[], bytes]
    film: Film | None = None
    case: Case | None = None


def list_others(workspace: Workspace, film: Film) -> list[OtherFilm]:
    """The films of its study, the earlier ones of the archive, then those of the catalogue by the patient's age."""
    held = films.list_beside(film)
    shown = {film.key, *(one.key for one in held)}
    patient = film.query.patient
    cases = workspace.catalogue.find_of_patients([patient]) if patient else []
    cases = sorted((one for one in cases if one.pixel_sha256 not in shown), key=order_by_age)
    return [*(_from_session(film, one) for one in held), *(_from_catalogue(workspace, one) for one in cases)][:MOST]


def order_by_age(case: Case) -> tuple[int, str]:
    """By age, which is all that the catalogue keeps of when a film was taken, then by name."""
    return (case.age if case.age is not None else 1000, case.case_id)


def _from_session(film: Film, other: Film) -> OtherFilm:
    words = {"LATERAL": say("Lateral"), "unknown": say("Film")}.get(other.radiograph.view, other.radiograph.view)
    label = translate_told(other.entry) if other.origin == "archive" else words
    if other.origin != "archive" and not films.is_of_study(film, other):
        label += say(", another study")
    radiograph = other.radiograph
    return OtherFilm(
        f"film {other.key[:24]}",
        label,
        other.picture,
        [*describe_film(radiograph), *map(translate_told, other.warnings)],
        radiograph.orientation_verified,
        lambda: _make_small(other.key, radiograph),
        film=other,
    )


def _from_catalogue(workspace: Workspace, case: Case) -> OtherFilm:
    told = describe_brief(case.view, case.age, "")
    return OtherFilm(
        f"case {case.case_id}",
        say("Catalogue, {told}", told=told),
        films.case_picture(workspace, case),
        [
            say("Case {case_id}", case_id=case.case_id),
            describe_findings(case) if case.present else say("no finding listed"),
        ],
        case.orientation_verified,
        lambda: read_thumbnail(workspace, case),
        case=case,
    )


@st.cache_resource(max_entries=200, show_spinner=False)
def _make_small(key: str, _radiograph: Radiograph) -> bytes:
    return make_thumbnail(_radiograph.pixels)


def make_strip(others: Sequence[OtherFilm]) -> list[dict[str, Any]]:
    """The strip as the viewer takes it; a film that cannot be read is left out. Cases in it are recorded as seen."""
    shown, strip = state.get(Key.BESIDE), []
    for one in others:
        try:
            data = base64.b64encode(one.read()).decode()
        except IcbirError:
            continue
        picture = f"data:image/jpeg;base64,{data}"
        named = {"key": one.key, "label": one.label, "title": one.label}
        strip.append(named | {"picture": picture, "shown": one.key == shown})
    if cases := [one.case for one in others if one.case]:
        access.record_once(Action.SAW, *access.name_cases(cases))
    return strip


def make_beside(others: Sequence[OtherFilm]) -> list[Pane]:
    """The pane of the film that she chose from the strip; none without a choice."""
    return [
        Pane(
            key=one.key, title=one.label, film=one.picture, lines=one.lines, oriented=one.oriented, lead=True,
            beside=True, alternative=say("Another film of the patient: {label}", label=one.label),
            spacing=one.film.radiograph.spacing if one.film else None,
            spacing_origin=one.film.radiograph.facts.get("spacing", "") if one.film else "",
        )
        for one in others
        if one.key == state.get(Key.BESIDE)
    ]  # fmt: skip


def follow(others: Sequence[OtherFilm], name: str, value: dict[str, Any]) -> None:
    """What she does in the strip: show a film large beside hers, or search with it."""
    if name == "beside":
        state.put(Key.BESIDE, value["pane"] or None)
    elif name == "taken" and (other := next((one for one in others if one.key == value["pane"]), None)):
        state.put(Key.BESIDE, None)
        if other.film is not None:
            films.choose(other.film)
        elif other.case is not None:
            films.ask_for(other.case.case_id)


def show_alone(film: Film, others: Sequence[OtherFilm], place: Any, plain: bool = False) -> None:
    """The film with its facts and warnings, before there is a ranking. plain : the warnings stand elsewhere."""
    pane = replace(query_pane(film), note=None) if plain else query_pane(film)
    options = ViewerOptions(room=True, subject=film.key, strip=make_strip(others))
    with place:
        viewer.show_viewer([pane, *make_beside(others)], options, Key.SEARCH_VIEWER.value, partial(follow, others))
