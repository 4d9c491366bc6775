"""Nothing is lost by a reload: the reader's films, what was done with them and where she was come back."""

from __future__ import annotations

import json
from concurrent.futures import Future
from contextlib import suppress
from typing import Any

import streamlit as st

from icbir_core.access import Right
from icbir_core.audit import Action
from icbir_core.errors import IcbirError
from icbir_core.keeping.kept_films import KeptFilms, read_keeping_rules
from icbir_ui import access, films, state
from icbir_ui.annotations import list_annotations, take_annotations
from icbir_ui.choices import show_choice
from icbir_ui.errors import explain
from icbir_ui.films import Film
from icbir_ui.keeping import WRITER, describe_film, make_kept_film, open_kept
from icbir_ui.language import mark, say
from icbir_ui.state import Key

REMEMBERED = (Key.MARKS.value, Key.COMPARED_PLACE.value, Key.COMPARE_COUNT.value, Key.CASE_MAPS.value)
"""Keys of the session whose values, as JSON, belong to the films."""
HELP = mark(
    "A reload, a lost connection or a restart of the server finds your films again. They lie on the "
    "server, encrypted; only this browser brings the key. Off deletes them there at once."
)


def is_wanted(kept: KeptFilms) -> bool:
    """Whether the reader wants her films kept: what she said, else what the operator set."""
    if state.get(Key.KEEP) is None:
        state.put(Key.KEEP, bool(kept.read_state().get("wanted", kept.rules.mode == "on")))
    return bool(state.get(Key.KEEP))


def describe_keeping(origin: str = "upload") -> str:
    """How long a film stays, for the first page and for that of the archive. origin : of a `Film`."""
    kept = open_kept()
    if kept is None or not is_wanted(kept) or origin not in _list_origins(kept):
        return say("Your film stays on this machine and is forgotten when you leave or load the page again.")
    hours = say("{hours} hours", hours=f"{read_keeping_rules().hours:g}")
    return say("Your film stays on this machine, encrypted, until you leave, and {hours} at most.", hours=hours)


def show_keeping() -> None:
    """The switch, where the operator lets readers choose."""
    if (kept := open_kept()) is None:
        return
    is_wanted(kept)
    label = say("Keep my films over a reload, {hours} hours at most", hours=f"{kept.rules.hours:g}")
    show_choice(st.toggle, label, key=Key.KEEP, help=say(HELP), on_choice=_switch)


def _switch() -> None:
    kept = open_kept()
    if kept is not None:
        if not state.get(Key.KEEP):
            WRITER.submit(kept.forget).result()
        state.put(Key.KEPT, {})
        state.put(Key.KEPT_STATE, None)
        kept.write_state({"wanted": bool(state.get(Key.KEEP))})


def follow_films(search: str) -> None:
    """Keep what is new since the last run, and what was done with it. search : settings and steps, as the address has
    them. Where a film cannot be kept, the reader is told once and goes on."""
    kept = open_kept()
    if kept is None or not is_wanted(kept):
        return
    every = state.get(Key.FILMS, {})
    held = {key: film for key, film in every.items() if film.origin in _list_origins(kept)}
    done: dict[str, Future[None] | None] = state.get(Key.KEPT) or {}
    gone = set(done) - set(held)
    state.put(Key.KEPT, {key: done[key] if key in done else _keep(kept, film) for key, film in held.items()})
    try:
        for key in gone:  # one that is still to be written goes after that
            WRITER.submit(kept.drop, key).result()
        for key, written in done.items():
            if key not in gone and written is not None and written.done():
                state.put(Key.KEPT, {**state.get(Key.KEPT), key: None})
                written.result()
        now = _gather(search, {key for key, film in every.items() if film.origin in films.NOT_KEPT} - set(held))
        if held and now != state.get(Key.KEPT_STATE):
            kept.write_state(json.loads(now))
            state.put(Key.KEPT_STATE, now)
    except IcbirError as error:
        state.put(Key.WORD, explain(error))


def _keep(kept: KeptFilms, film: Film) -> Future[None]:
    """Beside the page, which a large film would hold up."""
    return WRITER.submit(kept.keep, describe_film(film))


def _list_origins(kept: KeptFilms) -> tuple[str, ...]:
    """Where films come from that are kept: those from the archive only where the operator says so."""
    return films.NOT_KEPT if kept.rules.archive else tuple(one for one in films.NOT_KEPT if one != "archive")


def _gather(search: str, without: set[str]) -> str:
    """Everything beside the films as one text of JSON; what is no JSON stays in the session alone, and so does what was
    done with the films `without`, which are not kept."""
    found: dict[str, Any] = {"wanted": True, "current": None, "search": "", "session": {}}
    drawn = list_annotations().items()
    found["drawn"] = {identity: one.as_record() for identity, one in drawn if identity not in without}
    if (current := state.get(Key.CURRENT)) in without:
        return json.dumps(found, sort_keys=True)
    found |= {"current": current, "search": search}
    for name in REMEMBERED:
        try:
            found["session"][name] = json.loads(json.dumps(st.session_state.get(name)))
        except (TypeError, ValueError):
            continue
    return json.dumps(found, sort_keys=True)


def bring_back() -> tuple[Film, str] | None:
    """The films of this reader and browser into the session: (the one that was open, its settings and steps); None
    where nothing is kept."""
    kept = open_kept()
    if kept is None or not is_wanted(kept):
        return None
    found: dict[str, Film] = {}
    person = access.get_person()
    for one in kept.read_films():
        try:
            film = make_kept_film(one)
        except (IcbirError, TypeError, KeyError, ValueError):
            continue
        if film.origin not in _list_origins(kept):  # kept under another setting
            kept.drop(film.key)
        elif film.origin != "archive" or person.may(Right.OPEN_STUDY):
            found[film.key] = film
    if not found:
        return None
    remembered = kept.read_state()
    access.record_once(Action.SAW, *(access.name_film(film) for film in found.values()), by="kept")
    for film in found.values():
        films.add(film)
    current = found.get(str(remembered.get("current")), list(found.values())[-1])
    films.choose(current)
    for identity, record in remembered.get("drawn", {}).items():
        with suppress(IcbirError):  # drawn in another version of this program
            take_annotations(identity, record)
    for name, value in remembered.get("session", {}).items():
        if name in REMEMBERED and value is not None:
            st.session_state[name] = value
    state.put(Key.KEPT, dict.fromkeys(found))
    return current, str(remembered.get("search") or "")


def offer_kept() -> None:
    """A button for films that were kept in an earlier visit of today."""
    kept = open_kept()
    if kept is not None and is_wanted(kept) and not state.get(Key.FILMS) and (count := kept.count()):
        label = say("Open the kept film") if count == 1 else say("Open the {count} kept films", count=count)
        if st.button(label) and bring_back() is not None:
            st.rerun()
