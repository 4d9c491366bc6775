"""The other films of the study that was opened: the lateral and the earlier ones, beside the film that is searched."""

from __future__ import annotations

import streamlit as st

from icbir_ui import films
from icbir_ui.films import Film
from icbir_ui.viewer import Pane, ViewerOptions, show_viewer
from icbir_ui.words import describe_film, describe_person


def show_beside(film: Film) -> None:
    """The films in a row, each with a button that searches with it; nothing where there are none."""
    others = films.list_beside(film)
    if not others:
        return
    panes = [_make_pane(one) for one in others]
    with st.container(key="beside"):
        st.markdown("**Of the same study, and earlier**")
        show_viewer(panes, ViewerOptions(subject=film.key), "films_beside")
        for one, column in zip(others, st.columns(max(len(others), 3)), strict=False):
            named = f"beside_{one.key[:16]}"
            column.button(f"Search with: {one.file_name}", key=named, on_click=films.choose, args=(one,))


def _make_pane(film: Film) -> Pane:
    radiograph = film.radiograph
    return Pane(
        key=f"beside {film.key[:16]}",
        title=film.file_name,
        film=film.picture,
        lines=describe_film(radiograph),
        note=" ".join(film.warnings) or None,
        oriented=radiograph.orientation_verified,
        alternative=f"{film.file_name}, {describe_person(radiograph.view, radiograph.age, radiograph.sex)}",
    )
