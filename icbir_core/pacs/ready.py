"""The result of a film that was searched before its reader came: written whole, and read again while nothing has
changed that it rests on."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

import numpy as np

from icbir_core import __version__
from icbir_core.catalogue.workspace import Workspace
from icbir_core.settings import SearchFilter, SearchSettings
from icbir_core.types import Hit, Prediction, Query, Ranking

_PLAIN = ("query", "method", "target", "metric", "route", "eligible", "total", "base_rate", "at_chance")
_TABLES = ("timings_ms", "versions", "settings", "base_rates")
CHANGES = {
    "film": "The film is searched anew, because another one came in its place.",
    "program": "The film is searched anew, because the program was changed since its result was made.",
    "revision": "The film is searched anew, because the catalogue or its index was changed since its result was made.",
}
"""What a result rests on, and the sentence where that has changed."""


def write_ready(query: Query, settings: SearchSettings, ranking: Ranking, revision: int) -> dict[str, Any]:
    """The search as JSON values. revision : of the catalogue and its indexes, read before the search."""
    answer = {name: getattr(ranking, name) for name in (*_PLAIN, *_TABLES, "percentiles", "copies")}
    answer["hits"] = [[hit.case.case_id, hit.distance, hit.place] for hit in ranking.hits]
    answer["prediction"] = ranking.prediction and vars(ranking.prediction)
    made_from = {"film": query.radiograph.pixel_sha256, "program": __version__, "revision": revision}
    return {**made_from, "asked": asdict(settings), "answer": _simplify(answer)}


def _simplify(value: Any) -> Any:
    """As JSON holds it; None for a number that is none."""
    if isinstance(value, Mapping):
        return {str(name): _simplify(one) for name, one in value.items()}
    if isinstance(value, list | tuple):
        return [_simplify(one) for one in value]
    plain = value.item() if isinstance(value, np.generic) else value
    return None if isinstance(plain, float) and not math.isfinite(plain) else plain


def find_change(workspace: Workspace, result: dict[str, Any], query: Query) -> str:
    """Why a result that `write_ready` made cannot be used for this film now, as a sentence; "" where it can."""
    now = {
        "film": query.radiograph.pixel_sha256,
        "program": __version__,
        "revision": workspace.catalogue.read_revision(),
    }
    return next((word for name, word in CHANGES.items() if result.get(name) != now[name]), "")


def read_ready(workspace: Workspace, result: dict[str, Any]) -> tuple[SearchSettings, Ranking]:
    """What was asked and found, equal to what a search would give. Raises `CatalogueError` for a case that is gone;
    KeyError, TypeError or ValueError for a result that another program wrote."""
    asked, answer = dict(result["asked"]), dict(result["answer"])
    settings = SearchSettings(**{**asked, "filter": SearchFilter(**asked["filter"])})
    hits = [
        Hit(rank, float(distance), workspace.catalogue.get(case_id), place and tuple(place))
        for rank, (case_id, distance, place) in enumerate(answer["hits"], start=1)
    ]
    told = answer["prediction"]
    lists = told and {name: tuple(told[name]) for name in ("networks", "at_chance")}
    prediction = Prediction(**{**told, **lists}) if told else None
    ranking = Ranking(
        **{name: answer[name] for name in (*_PLAIN, *_TABLES)},
        hits=tuple(hits),
        prediction=prediction,
        percentiles=tuple(math.nan if one is None else one for one in answer["percentiles"]),
        copies=tuple(answer["copies"]),
    )
    return settings, ranking
