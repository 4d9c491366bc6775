"""The viewer as Streamlit mounts it: panes in, decisions out. Pixels travel once, at an address named by their hash."""

from __future__ import annotations

import base64
import logging
import os
import secrets
import threading
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import streamlit as st
from streamlit.runtime import get_instance
from streamlit.runtime.scriptrunner import get_script_run_ctx
from streamlit.runtime.state.common import user_key_from_element_id

from icbir_core.annotation.measuring import describe_spacing
from icbir_core.deidentifying.leaving import FRAME, LEFT_OFF
from icbir_core.errors import IcbirError
from icbir_ui import state
from icbir_ui.annotations import get_annotations, take_annotations
from icbir_ui.errors import shielded
from icbir_ui.language import get_language, mark, say, translate_script, translate_told
from icbir_ui.state import NOTICE, Key
from icbir_ui.viewer import assets
from icbir_ui.viewer.payload import pack_film, pack_map

EVENTS = ("rated", "marked", "region", "finding", "opened", "stepped", "mapped", "beside", "taken")
_MIMETYPE = "application/gzip"
"""What is packed already: any other type the server packs once more, at its slowest level, while the reader waits."""
FILMS, MAPS = 96, 512  # so many packed films and maps are kept
_mount = st.components.v2.component(
    "icbir_viewer", html=assets.HTML, css=assets.read_style(), js=assets.read_script(), isolate_styles=True
)


@dataclass(frozen=True, eq=False)
class Picture:
    """A film for a pane. identity : hash that names the pixels; read : returns (pixels float32 (H, W), stored bits);
    burned : text is burned into it, so that a saved picture shows it only where that was framed and blacked out.

    `read` is called only where these pixels have not been packed before.
    """

    identity: str
    read: Callable[[], tuple[np.ndarray, int]]
    burned: bool = False


@dataclass(frozen=True, eq=False)
class MapPicture:
    """A saliency map for a pane: the network's whole square (S, S); identity names method, finding, model and film."""

    identity: str
    values: np.ndarray


@dataclass(frozen=True, eq=False)
class Pane:
    """One film with its title and its facts. key : stable over reruns, or the reader's zoom would be lost.

    lines : facts, first the most important; bars : dicts name, value, mark, above, title, askable (a button that asks
    for a search by that finding), asked; details : (title, text) folded away.
    plain : the map is not drawn in this pane; region : box (left, top, right, bottom) in film pixels.
    shortcut : the key that chooses this pane: the digit that its title shows, or a letter. heading, short : what stands
    under a small pane instead of title and lines, which are shown on its large picture. badge : printed on the film.
    map_title : on the button that turns this pane's map on. beside : a lead that stands in the place of the cases.
    spacing : millimetres of a pixel (row, column), where they are known; spacing_origin : where the header has them
    from.
    """

    key: str
    title: str
    film: Picture
    map: MapPicture | None = None
    lines: Sequence[str] = ()
    note: str | None = None
    bars: Sequence[Mapping[str, Any]] = ()
    details: tuple[str, str] | None = None
    oriented: bool = False
    lead: bool = False
    plain: bool = False
    ratable: bool = False
    rating: int | None = None
    markable: bool = False
    mark: str | None = None
    openable: bool = False
    regionable: bool = False
    region: Sequence[float] | None = None
    alternative: str | None = None
    shortcut: str = ""
    heading: str = ""
    short: str = ""
    badge: str = ""
    map_title: str = ""
    beside: bool = False
    spacing: tuple[float, float] | None = None
    spacing_origin: str = ""

    def alone(self) -> Pane:
        """The same pane for a page of few, large films: no lead, no ticks, no way to the page it is on."""
        return replace(self, lead=False, markable=False, openable=False, regionable=False, heading="", badge="")


@dataclass(frozen=True, eq=False)
class ViewerOptions:
    """What all panes share. colours : uint8 (256, 3); scale : the map value that gets the last colour, in every pane.

    digits : "choose" (the pane whose shortcut it is) or "rate"; arrows : "move" or "step"; full : high panes;
    subject : what decisions are about, such as the query's hash; one made about another, or in a session that is gone
    (the browser sends its last ones again after a lost connection), is not taken;
    guard : CSS selector of what the reader may use only once every film is on the screen;
    ends : words for the ends of the colours; report : send window and zoom back when the hand goes elsewhere;
    notice : the line that a saved picture carries; rating_scale : value → words;
    room : the page Search in one screen, with the `answer` beside the film;
    board : the lead film on the left, the others in two columns beside it, all in one screen;
    strip : small pictures at the edge of the film in the room: dicts key, label, title, picture (an address) and shown;
    annotate : whether she may measure and draw on the films, and sees what she drew on them elsewhere;
    memory : key of the viewer whose window and zoom this one shares, else its own.
    """

    colours: np.ndarray | None = None
    colour_map: str = ""
    scale: float = 1.0
    signed: bool = False
    legend: str = ""
    ends: tuple[str, str] = ("none", "most")
    opacity: float = 0.45
    threshold: float = 0.0
    columns: int = 0
    full: bool = False
    digits: str = "choose"
    arrows: str = "move"
    region: bool = False
    report: bool = False
    notice: str = mark(f"ICBIR. {NOTICE}")
    memory: str = ""
    annotate: bool = True
    guard: str = ""
    subject: str = ""
    room: bool = False
    board: bool = False
    answer: Mapping[str, Any] | None = None
    strip: Sequence[Mapping[str, Any]] = ()
    rating_scale: Mapping[int, str] = field(default_factory=dict)


@st.cache_resource(max_entries=1, show_spinner=False)
def _secret() -> str:
    return secrets.token_hex(16)


@st.cache_resource(max_entries=FILMS, show_spinner=False)
def pack_picture(identity: str, _picture: Picture) -> bytes:
    """The film as the browser unpacks it; read from disk only the first time."""
    pixels, bits = _picture.read()
    return pack_film(pixels, bits, identity, _secret())


@st.cache_resource(max_entries=MAPS, show_spinner=False)
def _pack_map(identity: str, _values: np.ndarray) -> bytes:
    return pack_map(_values, identity, _secret())


# Threads outside of any session are meant here (see _Kept and _pack); Streamlit would warn of each.
logging.getLogger("streamlit.runtime.scriptrunner_utils.script_run_context").addFilter(
    lambda record: "missing ScriptRunContext" not in record.getMessage()
)

_OUTSIDE = ThreadPoolExecutor(1, "icbir-films")
"""A thread that belongs to no session."""
_PACKING = ThreadPoolExecutor(min(8, os.cpu_count() or 1), "icbir-packing")


class _Kept:
    """The last films that were served, held beyond the run that named them.

    Streamlit forgets what a session was given when its page runs again, and a run that is cut short by the next one
    names nothing: the browser would ask for a film that is gone. What is added outside of any session stays.
    """

    def __init__(self, size: int):
        self.size, self.count, self.lock = size, 0, threading.Lock()
        self.places: dict[int, str] = {}

    def hold(self, identity: str, data: bytes) -> None:
        with self.lock:
            if identity in self.places.values():
                return
            place, self.count = self.count % self.size, self.count + 1
            self.places[place] = identity
        add = get_instance().media_file_mgr.add
        _OUTSIDE.submit(add, data, _MIMETYPE, f"icbir-kept-{self.size}-{place}").result()


@st.cache_resource(max_entries=4, show_spinner=False)
def _kept(size: int) -> _Kept:
    return _Kept(size)


def _serve(identity: str, data: bytes, kept: int) -> dict[str, str]:
    """Hash and address of a film; the bytes stay on the server until the browser asks for them, once."""
    _kept(kept).hold(identity, data)
    return {"hash": identity, "url": get_instance().media_file_mgr.add(data, _MIMETYPE, f"icbir-{identity}")}


def prepare_pictures(pictures: Sequence[Picture]) -> list[Future[bytes]]:
    """Begin to read and compress, on all cores, films that a viewer will soon show; returns at once."""
    different = {one.identity: one for one in pictures}
    return [_PACKING.submit(pack_picture, identity, one) for identity, one in different.items()]


def _pack(panes: Sequence[Pane]) -> None:
    """Read and compress what was not packed before, on all cores: `_describe` then finds it."""
    maps = {pane.map.identity: pane.map for pane in panes if pane.map is not None}
    work = [_PACKING.submit(_pack_map, identity, one.values) for identity, one in maps.items()]
    for one in prepare_pictures([pane.film for pane in panes]) + work:
        with suppress(IcbirError):  # `_describe` meets it again and says so in the film's own pane
            one.result()


def _describe(pane: Pane) -> dict[str, Any]:
    described = {
        "key": pane.key, "title": pane.title, "lines": list(pane.lines), "note": pane.note, "bars": list(pane.bars),
        "orientation": "verified" if pane.oriented else "unverified", "lead": pane.lead, "plain": pane.plain,
        "ratable": pane.ratable, "rating": pane.rating, "markable": pane.markable, "mark": pane.mark,
        "openable": pane.openable, "regionable": pane.regionable, "alternative": pane.alternative,
        "region": list(pane.region) if pane.region else None, "shortcut": pane.shortcut,
        "heading": pane.heading, "short": pane.short, "badge": pane.badge, "mapTitle": pane.map_title or None,
        "beside": pane.beside, "burned": pane.film.burned,
        "film": {"hash": "", "url": ""}, "spacing": list(pane.spacing) if pane.spacing else None,
        "worth": translate_told(describe_spacing(pane.spacing, pane.spacing_origin)),
        "annotations": get_annotations(pane.film.identity).as_record(),
    }  # fmt: skip
    try:
        described["film"] = _serve(pane.film.identity, pack_picture(pane.film.identity, pane.film), FILMS)
    except IcbirError as error:
        described["fault"] = translate_told(str(error))
    if pane.details:
        described["details"] = {"title": pane.details[0], "text": pane.details[1]}
    if pane.map is not None:
        described["map"] = _serve(pane.map.identity, _pack_map(pane.map.identity, pane.map.values), MAPS)
    return described


def _let_mount_again(key: str) -> None:
    """Streamlit takes a key once in a run. Here the same element comes again, in the same place and with more to show:
    the browser gives it to the viewer that stands there already."""
    if run := get_script_run_ctx():
        run.shared.widget_user_keys_this_run._data.discard(key)
        held = run.shared.widget_ids_this_run
        held._data -= {one for one in held.snapshot() if user_key_from_element_id(one) == key}


def show_viewer(
    panes: Sequence[Pane],
    options: ViewerOptions,
    key: str,
    on_event: Callable[[str, dict[str, Any]], None] | None = None,
    again: bool = False,
) -> Mapping[str, Any]:
    """Mount the viewer; returns the reader's last reported view ({} before the first).

    again : it was mounted before in this run, in a place for one element, and now has more to show.

    on_event(name, value) is called once for each decision, before the page runs again: name in `EVENTS`, value a dict:
    rated {pane, rating, mapped}, marked {pane, mark}, region {pane, box}, finding {pane, finding}, opened {pane},
    stepped {by}, mapped {on}, beside {pane} (of the strip, "" for none), taken {pane} (of the strip, to search with).
    """

    about = f"{state.get_window()}:{options.subject}"
    identities = {pane.key: pane.film.identity for pane in panes}

    def handle() -> None:
        decided = state.get(Key.DECIDED, {})
        last = decided.get(key, 0)
        decisions = [one for one in getattr(st.session_state.get(key), "decisions", None) or [] if one["number"] > last]
        for one in decisions:
            state.put(Key.DECIDED, decided | {key: one["number"]})
            if one.get("about") != about:
                continue
            if one["name"] == "annotated" and options.annotate and one["pane"] in identities:
                with shielded():
                    take_annotations(identities[one["pane"]], one.get("drawn"))
            elif on_event and one["name"] in EVENTS:
                on_event(one["name"], one)

    if again:
        _let_mount_again(key)
    _pack(panes)
    colours = b"" if options.colours is None else np.ascontiguousarray(options.colours, np.uint8).tobytes()
    data = {
        "name": options.memory or key, "panes": [_describe(pane) for pane in panes],
        "colours": base64.b64encode(colours).decode(),
        "colourMap": options.colour_map, "overlayScale": float(options.scale), "signed": options.signed,
        "legend": options.legend, "ends": [say(end) for end in options.ends],
        "opacity": options.opacity, "threshold": options.threshold,
        "columns": options.columns, "full": options.full, "digits": options.digits, "arrows": options.arrows,
        "about": about, "region": options.region, "report": options.report, "guard": options.guard,
        "notice": translate_told(options.notice), "leftOff": f"{translate_told(LEFT_OFF)} {translate_told(FRAME)}",
        "annotate": options.annotate, "window": state.get_window(),
        "words": translate_script(assets.read_script()), "language": get_language(),
        "room": options.room, "board": options.board, "answer": options.answer, "strip": list(options.strip),
        "scale": [[value, translate_told(options.rating_scale[value])] for value in sorted(options.rating_scale)],
    }  # fmt: skip
    mounted = _mount(key=key, data=data, on_view_change=lambda: None, on_decisions_change=handle)
    return getattr(mounted, "view", None) or {}
