"""What a search has found, in the viewer: first the cases, then the maps over them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from icbir_core.catalogue.workspace import Workspace
from icbir_core.types import Ranking
from icbir_ui import shared, state, viewer
from icbir_ui.errors import shielded
from icbir_ui.films import Film, case_pictures
from icbir_ui.search import beside, ratings, refining
from icbir_ui.search.answer import make_answer
from icbir_ui.search.asking import NO_MAP, Maps, viewer_options
from icbir_ui.search.beside import OtherFilm
from icbir_ui.search.panes import QUERY_PANE, hit_panes, query_pane
from icbir_ui.state import Key
from icbir_ui.viewer import Picture


@dataclass(frozen=True, eq=False)
class Result:
    """A ranking as it is shown. findings : those that can be asked for; method : of the map; mapped : whether the cases
    have maps too; place : for one element, where `again` says that the film alone stands there already."""

    workspace: Workspace
    film: Film
    ranking: Ranking
    others: Sequence[OtherFilm]
    findings: Sequence[str]
    method: str
    mapped: bool
    place: Any
    again: bool

    @cached_property
    def rated(self) -> dict[str, int]:
        """The reader's ratings of these cases, by name."""
        return ratings.find_ratings(shared.open_ratings(), self.film)

    @cached_property
    def answer(self) -> dict[str, Any]:
        """What the cases say together."""
        unverified = not all(hit.case.orientation_verified for hit in self.ranking.hits)
        return make_answer(self.ranking, self.findings, self.method != NO_MAP, self.mapped, unverified)

    @cached_property
    def pictures(self) -> dict[str, Picture]:
        """The films of the cases, by name."""
        return case_pictures(self.workspace, [hit.case for hit in self.ranking.hits])

    def show(self, maps: Maps) -> Mapping[str, Any]:
        """Mount the viewer with the maps that are there, or give the one that stands more to show; returns the reader's
        last reported view."""
        panes = [query_pane(self.film, self.ranking, maps, findings=self.findings), *beside.make_beside(self.others)]
        panes += hit_panes(self.pictures, self.ranking, maps, self.rated, state.get(Key.MARKS) or {})
        options = viewer_options(
            maps,
            region=True,
            report=True,
            rating_scale=ratings.SHORT_SCALE,
            subject=self.film.key,
            room=True,
            answer=self.answer,
            strip=beside.make_strip(self.others),
        )
        with self.place:
            return viewer.show_viewer(panes, options, Key.SEARCH_VIEWER.value, self.react, self.again)

    def react(self, name: str, value: dict[str, Any]) -> None:
        """Take what the reader has decided in the viewer."""
        with shielded():
            if name == "rated":
                store, score, seen = shared.open_ratings(), int(value["rating"]), bool(value.get("mapped"))
                ratings.store_rating(store, self.film, self.ranking, value["pane"], score, seen)
            elif name == "marked":
                refining.mark_case(value["pane"], value.get("mark"))
            elif name == "region" and value["pane"] == QUERY_PANE:
                refining.take_region(value["box"])
            elif name == "finding":
                refining.take_finding(value["finding"])
            elif name == "mapped":
                state.put(Key.CASE_MAPS, bool(value["on"]))
            elif name == "opened":
                state.put(Key.COMPARED, value["pane"])
            else:
                beside.follow(self.others, name, value)
