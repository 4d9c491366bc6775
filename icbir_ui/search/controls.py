"""What a search is asked with: finding in question, method, map, number, filters; all in one drawer, and remembered."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import streamlit as st
from streamlit.delta_generator import DeltaGenerator

from icbir_core.retrieval.question import find_question
from icbir_core.settings import FIRST_COUNT, SearchFilter, SearchSettings
from icbir_ui import shared, state
from icbir_ui.choices import show_choice, show_segments
from icbir_ui.films import Film
from icbir_ui.language import mark, say, translate_told
from icbir_ui.search.asking import NO_MAP, get_trail, name_prediction, take_ready
from icbir_ui.shared import SearchService
from icbir_ui.state import Key
from icbir_ui.words import name_method

COUNTS = (3, 5, 8, 10, 12)
AUTOMATIC = "automatic"
"""The finding in question is the one that stands out in the film."""
ANY = mark("any")
VIEWS, SEXES = [ANY, "PA", "AP"], [ANY, "F", "M"]
OLDEST = 100
ALL_AGES = (0, OLDEST)
FINDING_WORDS = {"present": Key.PRESENT_FILTER, "absent": Key.ABSENT_FILTER}
FINDING_LABELS = {"present": mark("Findings present"), "absent": mark("Findings absent")}
Tell = Callable[[str], None]


def _ensure(key: Key, options: Sequence[Any], first: object = None) -> Any:
    """The remembered choice; one that is not offered (any more) falls back to the first."""
    if state.get(key) not in options:
        state.put(key, first if first in options else options[0])
    return state.get(key)


def choose_settings(
    service: SearchService, film: Film, place: DeltaGenerator, tell: Tell
) -> tuple[SearchSettings, str]:
    """Draw the drawer into `place`; (settings, map method)."""
    settings, _ = read_settings(service, film, tell)
    catalogue = service.workspace.catalogue
    eligible, total = len(catalogue.eligible_rows(settings.filter)), catalogue.count()
    label = mark("Search settings") if settings.filter.empty else mark("Search settings · {eligible} of {total} cases")
    label = say(label, eligible=eligible, total=total)
    with place.popover(label, key=Key.DRAWER.value), st.container(width=680):
        left, right = st.columns(2, gap="medium")
        with left:
            show_choice(
                st.selectbox,
                say("Finding in question"),
                [AUTOMATIC, *service.retriever.questions],
                format_func=lambda name: (
                    say("the one that stands out ({target})", target=translate_told(settings.target or ""))
                    if name == AUTOMATIC
                    else translate_told(name)
                ),
                key=Key.TARGET,
                disabled=get_trail().finding is not None,
                help=say("Without effect while a step names a finding: that one is searched and mapped."),
            )
            show_choice(
                st.selectbox,
                say("Search by"),
                service.retriever.methods(settings.target),
                format_func=name_method,
                key=Key.METHOD,
                disabled=get_trail().by_part,
                help=say(
                    "Without effect while a region or a finding is searched: a part of what is seen is compared then."
                ),
            )
            maps = shared.list_map_methods()
            show_choice(
                st.selectbox,
                say("Heat map"),
                [*maps, NO_MAP],
                format_func=lambda name: translate_told(maps[name][0]) if name in maps else say("None"),
                key=Key.MAP,
                help="\n\n".join(
                    f"**{translate_told(title)}.** {translate_told(text)}" for title, _, text in maps.values()
                ),
            )
            show_choice(st.selectbox, say("Cases"), COUNTS, key=Key.COUNT)
        with right:
            show_filter(service, eligible, total)
    return read_settings(service, film, tell)


def read_settings(service: SearchService, film: Film, tell: Tell) -> tuple[SearchSettings, str]:
    """(settings, map method) that the session holds; what it does not hold, or is not offered, becomes the first. The
    target is the chosen finding, else the one that stands out in the film, else the first that was indexed."""
    take_ready(service, film)
    chosen = _ensure(Key.TARGET, [AUTOMATIC, *service.retriever.questions])
    target = find_standing_out(service, film, tell) if chosen == AUTOMATIC else chosen
    method = _ensure(Key.METHOD, list(service.retriever.methods(target)))
    shown = _ensure(Key.MAP, [*shared.list_map_methods(), NO_MAP], service.retriever.choose_map())
    count = _ensure(Key.COUNT, list(COUNTS), FIRST_COUNT)
    _ensure(Key.VIEW_FILTER, VIEWS)
    _ensure(Key.SEX_FILTER, SEXES)
    low, high = state.get(Key.AGE_FILTER) or ALL_AGES
    if state.get(Key.AGE_FILTER) is None or not 0 <= low <= high <= OLDEST:
        state.put(Key.AGE_FILTER, ALL_AGES)
    offered = service.workspace.catalogue.findings
    words = [f"{name} {word}" for name, word in _read_findings().items() if name in offered and word in FINDING_WORDS]
    if state.get(Key.FINDINGS_FILTER) != words:
        state.put(Key.FINDINGS_FILTER, words)
    return SearchSettings(top_k=count, method=method, target=target, filter=read_filter()), shown


def find_standing_out(service: SearchService, film: Film, tell: Tell) -> str:
    """The finding farthest above its operating point; the first that was indexed where none stands out."""
    prediction = service.ask(name_prediction(film), lambda retriever: retriever.predict(film.query), tell)
    return find_question(prediction) or service.retriever.default_target


def show_filter(service: SearchService, eligible: int, total: int) -> None:
    """The filters, with how many cases they leave."""
    st.caption(say("{eligible} of {total} cases are eligible.", eligible=eligible, total=total))
    show_segments(st.segmented_control, say("View"), VIEWS, Key.VIEW_FILTER)
    show_segments(st.segmented_control, say("Sex"), SEXES, Key.SEX_FILTER, told=translate_told)
    show_choice(st.slider, say("Age"), 0, OLDEST, key=Key.AGE_FILTER)
    for word, key in FINDING_WORDS.items():  # to be clicked: what is typed into a list may come too early for it
        state.put(key, [name for name, found in _read_findings().items() if found == word])
        show_choice(
            st.pills,
            say(FINDING_LABELS[word]),
            service.workspace.catalogue.findings,
            selection_mode="multi",
            wrap=True,
            key=key,
            format_func=translate_told,
            on_choice=partial(_take_findings, word),
        )
    st.button(say("No filter"), on_click=_clear_filter, disabled=read_filter().empty)


def _take_findings(word: str) -> None:
    """What was chosen as present or absent. A finding cannot be both: the word that was chosen last stays."""
    chosen = state.get(FINDING_WORDS[word])
    kept = [f"{name} {found}" for name, found in _read_findings().items() if found != word and name not in chosen]
    state.put(Key.FINDINGS_FILTER, kept + [f"{name} {word}" for name in chosen])


def _read_findings() -> dict[str, str]:
    """Finding → "present" or "absent", of those that the filter names."""
    return dict(text.rsplit(" ", 1) for text in state.get(Key.FINDINGS_FILTER) or [] if " " in text)


def _clear_filter() -> None:
    for key, value in (
        (Key.VIEW_FILTER, ANY), (Key.SEX_FILTER, ANY), (Key.AGE_FILTER, ALL_AGES), (Key.FINDINGS_FILTER, []),
    ):  # fmt: skip
        state.put(key, value)


def read_filter() -> SearchFilter:
    """The filter that the widgets hold."""
    low, high = state.get(Key.AGE_FILTER) or ALL_AGES
    view, sex = state.get(Key.VIEW_FILTER), state.get(Key.SEX_FILTER)
    return SearchFilter(
        view=view if view not in (None, ANY) else None,
        sex=sex if sex not in (None, ANY) else None,
        age_min=low or None,
        age_max=high if high < OLDEST else None,
        findings=_read_findings(),
    )
