"""The search in the page's address: what a reload, which empties the session, finds again.

Of an uploaded film the address only says that there was one; `icbir_ui.search.kept` knows whether it was kept.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from typing import Any

import streamlit as st

from icbir_core.catalogue.workspace import Workspace
from icbir_core.errors import IcbirError
from icbir_core.retrieval.refinement import Finding, MoreLikeThese, RefinementTrail, Region, Step
from icbir_ui import films, state
from icbir_ui.errors import explain
from icbir_ui.films import Film
from icbir_ui.language import mark
from icbir_ui.search.controls import ALL_AGES, ANY, AUTOMATIC
from icbir_ui.search.kept import bring_back
from icbir_ui.state import PARAMETER_FILM, PARAMETER_SEARCH, Key

WORDS = (Key.TARGET, Key.METHOD, Key.MAP, Key.VIEW_FILTER, Key.SEX_FILTER, Key.COMPARE_MAP)
SETTINGS = (*WORDS, Key.COUNT, Key.AGE_FILTER, Key.FINDINGS_FILTER)
UNSAID: tuple[Any, ...] = (None, ANY, ALL_AGES, [], AUTOMATIC)
LOST = mark("The film is not kept any more: drop it again on the page Search; your ratings are there.")
LOST_STUDY = mark("The film from the PACS is not kept any more: open its study again.")
NOT_KEPT = dict(zip(films.NOT_KEPT, (LOST, LOST_STUDY), strict=True))
MISSING = mark("The film that the address names is not here (any more).")
UNREADABLE = mark("The settings and steps in the address could not be read; this is the film's first search.")


def write_search(film: Film) -> None:
    """Put the film, the settings that the session holds and the trail of steps into the address."""
    told = describe_search() if film.address else ""
    state.write_address({PARAMETER_FILM: film.address or film.origin, PARAMETER_SEARCH: told})


def describe_search() -> str:
    """The settings that the session holds and the trail of steps, as one text; "" for a first search."""
    held: dict[str, Any] = {key.value: state.get(key) for key in SETTINGS if state.get(key) not in UNSAID}
    trail = state.get(Key.STEPS) or RefinementTrail()
    if trail.steps:
        held["steps"] = [_write_step(step) for step in trail.steps]
    return json.dumps(held, separators=(",", ":")) if held else ""


def restore_search(workspace: Workspace) -> Film | None:
    """The current film; after a reload the one that the address names, with its settings and steps. None: neither."""
    named, held = st.query_params.get(PARAMETER_FILM), st.query_params.get(PARAMETER_SEARCH)
    if films.get_current() is not None or not named:
        return films.get_current()
    word, film = NOT_KEPT.get(named, MISSING), None
    if named in NOT_KEPT:
        film, held = bring_back() or (None, None)
    else:
        try:
            film = films.open_named(workspace, named)
        except IcbirError as error:
            word = explain(error)
    if film is None:
        state.put(Key.WORD, word)
        state.write_address({PARAMETER_FILM: "", PARAMETER_SEARCH: ""})
    elif held:
        try:
            settings, trail = read_search(held, film.shape)
        except ValueError:
            state.put(Key.WORD, UNREADABLE)
        else:
            for key, value in settings.items():
                state.put(key, value)
            state.put(Key.STEPS, trail)
    return film


def read_search(text: str, shape: tuple[int, int] | None = None) -> tuple[dict[Key, Any], RefinementTrail]:
    """(settings by their keys, trail) of what `write_search` wrote. Names that are no longer offered are left to the
    controls, which fall back.

    shape : of the film, to which regions are cut. Raises ValueError for anything else, whoever wrote it.
    """
    try:
        held = json.loads(text)
        json.dumps(held, ensure_ascii=False).encode()  # half a letter would stop what sends it to the browser
        return _read_settings(held), _read_trail(held, shape)
    except (IcbirError, TypeError, KeyError, AttributeError, OverflowError, RecursionError) as error:
        raise ValueError(UNREADABLE) from error


def _read_settings(held: Mapping[str, Any]) -> dict[Key, Any]:
    settings: dict[Key, Any] = {key: str(held[key.value]) for key in WORDS if key.value in held}
    if Key.COUNT.value in held:
        settings[Key.COUNT] = int(held[Key.COUNT.value])
    if Key.AGE_FILTER.value in held:
        low, high = (int(age) for age in held[Key.AGE_FILTER.value])
        settings[Key.AGE_FILTER] = (low, high)
    if Key.FINDINGS_FILTER.value in held:
        settings[Key.FINDINGS_FILTER] = [str(name) for name in held[Key.FINDINGS_FILTER.value]]
    return settings


def _read_trail(held: Mapping[str, Any], shape: tuple[int, int] | None) -> RefinementTrail:
    trail = RefinementTrail()
    for step in held.get("steps", ()):
        trail = trail.add(_read_step(step, shape))
    return trail


def _write_step(step: Step) -> dict[str, Any]:
    if isinstance(step, MoreLikeThese):
        return {"more": step.ticked, "less": step.crossed}
    if isinstance(step, Region):
        return {"region": [round(value, 1) for value in step.box], "anywhere": step.anywhere}
    return {"finding": step.name}


def _read_step(held: Mapping[str, Any], shape: tuple[int, int] | None) -> Step:
    if "finding" in held:
        return Finding(str(held["finding"]))
    if "region" in held:
        left, top, width, height = (float(value) for value in held["region"])
        finite = all(map(math.isfinite, (left, top, width, height)))
        if finite and shape is not None:
            left, width = _cut(left, width, shape[1])
            top, height = _cut(top, height, shape[0])
        if not finite or width <= 0 or height <= 0:
            raise ValueError("The region has no area on the film.")
        return Region((left, top, width, height), bool(held["anywhere"]))
    return MoreLikeThese(tuple(map(str, held["more"])), tuple(map(str, held["less"])))


def _cut(start: float, length: float, end: int) -> tuple[float, float]:
    """What of a stretch lies between 0 and `end`: (start, length)."""
    if start < 0:
        start, length = 0.0, length + start
    return start, min(length, end - start)
