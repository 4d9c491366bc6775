"""Blind panes: films and maps under names that say nothing, neither on the page nor in its source."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Callable, Hashable, Mapping
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from icbir_core.catalogue.workspace import Workspace
from icbir_core.radiograph.overlay import SEQUENTIAL_MAPS, colour_table, shared_scale
from icbir_core.saliency.display import SMOOTHED, find_threshold, smooth_for_display
from icbir_core.study.session import BlindItem, ReadingSession
from icbir_core.types import Case, SaliencyMap
from icbir_ui.films import case_picture
from icbir_ui.language import mark, say, translate_told
from icbir_ui.shared import SearchService
from icbir_ui.state import Key
from icbir_ui.viewer import MapPicture, Pane, Picture, ViewerOptions

if TYPE_CHECKING:
    from icbir_core.retrieval.retriever import Retriever

LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
METHOD = "deep_taylor"
QUESTIONS = {
    "similarity": mark(
        "How similar is this case to the query, for judging the query's film? Click a step, or press 1 to 5."
    ),
    "ranking": mark("Order the cases: the most similar first. Drag the letters, or focus one and use the arrow keys."),
    "choice": mark("Which of the two cases is more similar to the query?"),
}


def make_panes(
    workspace: Workspace, session: ReadingSession, item: BlindItem, maps: dict[str, np.ndarray]
) -> list[Pane]:
    """The query and the case or cases of an item, without a fact that could tell them apart from others."""
    query_id, case_ids = session.find_cases(item.token)
    query = _hide(workspace, session, workspace.catalogue.get(query_id), maps)
    panes = [
        Pane(
            "query",
            say("Query"),
            query[0],
            map=query[1],
            lead=len(case_ids) > 2,
            alternative=say("Query film"),
            shortcut="q",
        )
    ]
    for place, (letter, token, case_id) in enumerate(zip(LETTERS, item.case_tokens, case_ids, strict=False), start=1):
        film, found = _hide(workspace, session, workspace.catalogue.get(case_id), maps)
        title = say("Case") if len(case_ids) == 1 else say("Case {letter}", letter=letter)
        panes.append(
            Pane(token, title, film, map=found, alternative=say("{title} film", title=title), shortcut=str(place))
        )
    return panes


def make_options(item: BlindItem, maps: dict[str, np.ndarray]) -> ViewerOptions:
    """The viewer's options for an item; digits are left to the page where they rate."""
    name = SEQUENTIAL_MAPS[0]
    options = ViewerOptions(
        columns=2 if item.task == "similarity" else 0, full=item.task == "similarity", report=True,
        digits="rate" if item.task == "similarity" else "choose", annotate=False,
        guard=f".st-key-{Key.ANSWERS}{item.token}",
    )  # fmt: skip
    if not maps:
        return options
    scale = shared_scale(list(maps.values()))
    threshold = find_threshold(next(iter(maps.values())), scale)
    return replace(
        options, colours=colour_table(name), colour_map=name, scale=scale, threshold=threshold,
        legend=say("Heat map, {drawn}, one scale", drawn=translate_told(SMOOTHED)),
    )  # fmt: skip


def compute_maps(
    service: SearchService, workspace: Workspace, session: ReadingSession, item: BlindItem, tell: Callable[[str], None]
) -> dict[str, np.ndarray]:
    """case_id → map (S, S) of every film of an item, as it is drawn, the query's first; empty in the step without maps.

    tell(word) : while she waits.
    """
    if not item.with_maps:
        return {}
    found, target = {}, session.study.target
    for case, key in _name_maps(workspace, session, item):
        one = service.ask(key, partial(_map_case, case, target), tell)
        found[case.case_id] = smooth_for_display(one).values
    return found


def _map_case(case: Case, target: str, retriever: Retriever) -> SaliencyMap:
    return retriever.map_of(case, retriever.choose_map(METHOD), target)


def knows_maps(service: SearchService, workspace: Workspace, session: ReadingSession, item: BlindItem) -> bool:
    """True where `compute_maps` has nothing to compute."""
    return not item.with_maps or all(service.knows(key) for _, key in _name_maps(workspace, session, item))


def _name_maps(workspace: Workspace, session: ReadingSession, item: BlindItem) -> list[tuple[Case, Hashable]]:
    """Each film of an item, with the name under which the service remembers its map."""
    query_id, case_ids = session.find_cases(item.token)
    cases = [workspace.catalogue.get(case_id) for case_id in (query_id, *case_ids)]
    return [(case, ("map", case.pixel_sha256, session.study.target, METHOD)) for case in cases]


def _hide(
    workspace: Workspace, session: ReadingSession, case: Case, maps: Mapping[str, np.ndarray]
) -> tuple[Picture, MapPicture | None]:
    """The film and its map, named by a keyed hash: nobody who has the film can find it in the page's source."""
    text = f"{session.reader}|{case.pixel_sha256}".encode()
    name = hmac.new(session.study.salt.encode(), text, hashlib.sha256).hexdigest()[:32]
    values = maps.get(case.case_id)
    shown = None if values is None else MapPicture(f"{name}-map", values)
    film = case_picture(workspace, case)
    return Picture(name, film.read, film.burned), shown
