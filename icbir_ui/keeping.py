"""Films that are kept over a reload: which browser brings the secret, what of a film is kept, and the sweep."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import fields
from typing import Any

import numpy as np
import streamlit as st

from icbir_core.errors import IcbirError
from icbir_core.keeping.kept_films import SECRET, KeptFilm, KeptFilms, read_keeping_rules
from icbir_core.keeping.kept_places import KeptPlace, open_kept_place, sweep_kept
from icbir_core.radiograph.levels import levels_to_pixels, pixels_to_levels
from icbir_core.settings import get_environment
from icbir_core.types import Query, Radiograph
from icbir_ui import access, shared
from icbir_ui.films import Film
from icbir_ui.holding import HeldRadiograph, hold
from icbir_ui.language import mark
from icbir_ui.links import KEPT_COOKIE

LOOK = 300.0
"""Seconds between two sweeps."""
BROUGHT_BACK = mark("This film was brought back after a reload. Open it again to send its result.")
WRITER = ThreadPoolExecutor(1, "icbir-keep")
"""Writes what is kept, one film after the other, so that what is deleted is not written again."""
_TEXTS = ("origin", "called", "file_name", "group", "part")
_LISTS = ("warnings", "doubts")
_LOG = logging.getLogger("icbir_ui")


def open_kept() -> KeptFilms | None:
    """What the reader of this page keeps in this browser; None where the operator lets nobody keep films, and where the
    browser brought no secret."""
    rules = read_keeping_rules()
    secret = st.context.cookies.get(KEPT_COOKIE) or ""
    if rules.mode == "off" or not SECRET.fullmatch(secret):
        return None
    place = _open_place(str(shared.find_workspace_path()), get_environment("KEPT"))
    return KeptFilms(place, secret, access.get_person().pseudonym, rules)


@st.cache_resource(max_entries=4, show_spinner=False)
def _open_place(path: str, elsewhere: str | None) -> KeptPlace:
    """Where films of the served workspace are kept; path, elsewhere : what tells one place from another."""
    return open_kept_place(shared.open_workspace())


def forget_kept() -> None:
    """Delete what the reader keeps in this browser, as when she leaves; nothing where that cannot be known."""
    try:
        if (kept := open_kept()) is not None:
            WRITER.submit(kept.forget).result()
    except IcbirError as error:
        _LOG.warning("kept films were not deleted: %s", error)


def describe_film(film: Film) -> KeptFilm:
    """A film as it is kept: all of it but its DICOM header, which is held for the session alone."""
    radiograph, query = film.radiograph, film.query
    levels = radiograph.levels if isinstance(radiograph, HeldRadiograph) else pixels_to_levels(radiograph.pixels)
    values = {one.name: getattr(radiograph, one.name) for one in fields(Radiograph) if one.name != "pixels"}
    facts: dict[str, Any] = {name: getattr(film, name) for name in _TEXTS}
    facts |= {name: list(getattr(film, name)) for name in _LISTS}
    facts["query"] = {"name": query.name, "patient": query.patient, "instance": query.instance}
    facts["radiograph"] = values | {"facts": dict(radiograph.facts)}
    return KeptFilm(film.key, facts, levels)


def make_kept_film(kept: KeptFilm) -> Film:
    """The film again. Raises `RadiographError` where the server can hold no more; TypeError, KeyError or ValueError for
    one that another version of this program kept."""
    facts = kept.facts
    values = dict(facts["radiograph"])
    spacing = values.get("spacing")
    values["spacing"] = None if spacing is None else (float(spacing[0]), float(spacing[1]))
    radiograph = Radiograph(pixels=levels_to_pixels(np.ascontiguousarray(kept.levels)), **values)
    query = hold(Query(radiograph=radiograph, **facts["query"]))
    texts: dict[str, Any] = {name: str(facts[name]) for name in _TEXTS}
    lists: dict[str, Any] = {name: tuple(map(str, facts[name])) for name in _LISTS}
    return Film(kept.name, query, no_source=BROUGHT_BACK, **texts, **lists)


def start_sweeping(wait: Callable[[float], bool] | None = None) -> threading.Thread:
    """Sweep now, so that what a crash left goes too, and again while the server runs. wait : True ends it."""
    pause = wait or threading.Event().wait

    def sweep() -> None:
        while True:
            try:
                sweep_kept(shared.find_workspace_path(), read_keeping_rules().hours)
            except Exception:
                _LOG.exception("kept films were not swept")
            if pause(LOOK):
                return

    thread = threading.Thread(target=sweep, name="icbir-sweep", daemon=True)
    thread.start()
    return thread
