"""Where a search begins: drop a film or take a demonstration query."""

from __future__ import annotations

import base64
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import streamlit as st
from streamlit.delta_generator import DeltaGenerator

from icbir_core.catalogue.listing import Order
from icbir_core.catalogue.storing import read_case_radiograph
from icbir_core.catalogue.workspace import Workspace
from icbir_core.errors import RadiographError, WorkspaceError
from icbir_core.radiograph.reading import read_radiograph
from icbir_core.types import Case
from icbir_ui import films, state, uploads
from icbir_ui.choices import show_choice
from icbir_ui.errors import escape_markdown, explain, shielded
from icbir_ui.language import say, translate_told
from icbir_ui.pacs.panel import offer_panel
from icbir_ui.search.asking import show_loading
from icbir_ui.search.kept import describe_keeping, offer_kept, show_keeping
from icbir_ui.shared import SearchService
from icbir_ui.state import Key
from icbir_ui.to_archive import offer_archive
from icbir_ui.viewer import ViewerOptions, show_viewer

THUMBNAIL = 260
SHOWN = 12
COLUMNS = 6


@dataclass(frozen=True)
class _Tile:
    """A film that is offered. name, title : of its button; film, changed : as of `_make_thumbnail`."""

    name: str
    title: str
    film: str
    changed: float
    read: Callable[[], np.ndarray]


@st.cache_resource(max_entries=200, show_spinner=False)
def _make_thumbnail(film: str, changed: float, _read: Callable[[], np.ndarray]) -> str | None:
    """A small picture as a data address: one that Streamlit serves is gone when a click cuts the page short.

    film : what names it; changed : when the file was, so that one that is mended is read again. None for a file that
    is no film.
    """
    try:
        pixels = _read()
    except RadiographError:
        return None
    side = min(pixels.shape)
    top, left = (pixels.shape[0] - side) // 2, (pixels.shape[1] - side) // 2
    square = pixels[top : top + side, left : left + side]
    small = cv2.resize((square * 255).astype(np.uint8), (THUMBNAIL, THUMBNAIL), interpolation=cv2.INTER_AREA)
    return "data:image/png;base64," + base64.b64encode(cv2.imencode(".png", small)[1].tobytes()).decode()


def drop_films(workspace: Workspace, key: str, places: Sequence[DeltaGenerator] = ()) -> None:
    """The upload field. Any file name: most films from an archive have no ending.

    places : what shows the former film, which goes before a new one is read; the page is then drawn anew.
    """
    dropped = st.file_uploader(
        say("Drop a film here: PNG, JPEG, DICOM (with or without ending), several at once, or a zip"),
        type=None,
        accept_multiple_files=True,
        key=key,
    )
    if not uploads.are_new(dropped):
        return
    for place in places:
        place.empty()
    before = state.get(Key.CURRENT)
    with st.spinner(say("Reading …")):
        faults = uploads.take_uploads(workspace, dropped)
    if faults:
        state.put(Key.WORD, "\n\n".join(faults))
    if places or state.get(Key.CURRENT) != before:
        st.rerun()  # what was wrong is said by the page that comes
    show_word()


def show_word(again: bool = False) -> None:
    """What the reader must still be told, once; again : also on the next run, which comes by itself."""
    if said := state.get(Key.WORD):
        st.warning(escape_markdown(translate_told(said)))
        state.put(Key.WORD, said if again else None)


def show_welcome(workspace: Workspace, service: SearchService) -> None:
    """The first page: a large upload field, the demonstration queries as pictures, the number of cases."""
    heading, beside = st.columns([3, 1], vertical_alignment="bottom")
    count = workspace.catalogue.count()
    with heading:
        st.subheader(say("Find past films that resemble yours"))
        st.caption(say("{count} cases to search. {keeping}", count=f"{count:,}", keeping=describe_keeping()))
    with beside:  # in sight, and nothing moves under her hand when the word goes
        if service.loading:
            show_loading(service)
    show_word(again=service.loading)
    drop_films(workspace, "upload_first")
    offer_panel(workspace, describe_keeping("archive"), "archive_first")
    with st.container(horizontal=True, vertical_alignment="center"):
        show_keeping()
        offer_kept()
    titles = films.title_demonstration(workspace)
    queries = _draw_thumbnails(
        _make_query_tile(path, titles[path.stem]) for path in films.list_demonstration(workspace)
    )
    offered = queries
    if not offered:
        rows = np.linspace(0, max(count - 1, 0), min(count, COLUMNS)).astype(int)
        pages = (workspace.catalogue.listing.read_page(None, int(row), 1, Order.OLDEST) for row in rows)
        offered = _draw_thumbnails(_make_case_tile(workspace, one.case) for page in pages for one in page)
    if offered:
        st.caption(say("Or take a demonstration film:") if queries else say("Or search with a case of the catalogue:"))
        for number, (name, title, picture) in enumerate(offered):
            if number % COLUMNS == 0:  # row by row, so that they are reached in their order
                columns = st.columns(COLUMNS)
            # The button lies over the whole tile, so that a click on the picture opens the film too.
            with columns[number % COLUMNS].container(key=f"tile_{number}"):
                st.image(picture, width="stretch", alt=say("Chest radiograph, {title}", title=translate_told(title)))
                label = escape_markdown(translate_told(title))
                st.button(label, key=f"demonstration_{name}", width="stretch", on_click=_open, args=(workspace, name))
    with st.container(key="to_come"):  # out of sight: the browser fetches what draws the next page while she chooses
        st.selectbox("To come", ())
        show_viewer([], ViewerOptions(), "viewer_to_come")


def _make_query_tile(path: Path, title: str) -> _Tile:
    return _Tile(path.stem, title, str(path), path.stat().st_mtime, lambda: read_radiograph(path).pixels)


def _make_case_tile(workspace: Workspace, case: Case) -> _Tile:
    return _Tile(case.case_id, case.case_id, case.sha256, 0.0, lambda: read_case_radiograph(workspace, case).pixels)


def _draw_thumbnails(tiles: Iterable[_Tile]) -> list[tuple[str, str, str]]:
    """(name, title, picture) of the first of these films; one that is none is left out while the others stay."""
    drawn: list[tuple[str, str, str]] = []
    for tile in tiles:
        if len(drawn) == SHOWN:
            break
        with suppress(WorkspaceError):  # lost or out of reach: asked again with the next run
            if picture := _make_thumbnail(tile.film, tile.changed, tile.read):
                drawn.append((tile.name, tile.title, picture))
    return drawn


def _open(workspace: Workspace, name: str) -> None:
    """Before the page runs: a rerun from within it would draw the first page once more."""
    with shielded():
        films.open_named(workspace, name)


def open_asked(workspace: Workspace, name: str) -> None:
    """Read the film that was asked for where nothing of the former one is left on the page, and draw the page anew."""
    state.put(Key.ASKED_FILM, None)
    with st.spinner(say("Reading …")):
        try:
            if films.open_named(workspace, name) is None:
                state.put(Key.WORD, say("No case is named '{name}'; look on the page Catalogue.", name=name))
        except Exception as error:
            state.put(Key.WORD, explain(error))
    st.rerun()


def _ask_for_choice() -> None:
    """The same film can be chosen again afterwards."""
    films.ask_for(state.get(Key.OTHER_DEMONSTRATION))
    state.put(Key.OTHER_DEMONSTRATION, None)


def _take_held() -> None:
    films.choose(state.get(Key.FILMS, {})[state.get(Key.SESSION_FILM)])


def _offer_putting_together(held: dict[str, str]) -> None:
    """Films whose headers do not say it may be of one study all the same: the reader says so."""
    current = state.get(Key.CURRENT)
    others = [key for key in held if key != current]
    left, right = st.columns([3, 1], vertical_alignment="bottom")
    label = say("Films of the same study as this one")
    key = f"{Key.TOGETHER.value}_{current}"
    chosen = left.multiselect(label, others, format_func=lambda key: held[key], select_all=False, key=key)
    right.button(say("Put together"), disabled=not chosen, on_click=films.put_together, args=([current, *chosen],))


def offer_films(workspace: Workspace, places: Sequence[DeltaGenerator]) -> None:
    """Another film: upload, those of this session, a demonstration query, or a catalogue case by its name.

    places : what shows the film that is current.
    """
    drop_films(workspace, "upload_another", places)
    offer_archive("archive_another")
    show_keeping()
    held = films.list_held()
    if len(held) > 1:
        state.put(Key.SESSION_FILM, state.get(Key.CURRENT))
        show_choice(
            st.selectbox,
            say("Films of this session ({count})", count=len(held)),
            list(held),
            format_func=lambda key: held[key],
            key=Key.SESSION_FILM,
            on_choice=_take_held,
        )
        _offer_putting_together(held)
    titles = films.title_demonstration(workspace)
    if titles:
        show_choice(
            st.selectbox,
            say("Demonstration film"),
            list(titles),
            index=None,
            format_func=lambda name: translate_told(titles[name]),
            placeholder=say("Choose"),
            key=Key.OTHER_DEMONSTRATION,
            on_choice=_ask_for_choice,
        )
    case_id = st.text_input(say("Catalogue case"), placeholder=say("Name of a case"))
    if case_id:
        st.button(say("Search with this case"), on_click=films.ask_for, args=(case_id.strip(),))
