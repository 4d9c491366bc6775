"""From a ranking to the panes of the viewer."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from icbir_core.retrieval.methods import FINDING, find_method
from icbir_core.retrieval.question import place_probability
from icbir_core.saliency.display import name_strength
from icbir_core.types import Case, Ranking, SaliencyMap
from icbir_ui.films import Film
from icbir_ui.language import mark, say, translate_told
from icbir_ui.search.asking import Maps, get_trail, map_picture
from icbir_ui.viewer import Pane, Picture
from icbir_ui.words import (
    AT_CHANCE,
    describe_brief,
    describe_film,
    describe_findings,
    describe_hit,
    describe_person,
    describe_place,
    explain_distance,
    name_distance,
)

QUERY_PANE = "query"


def make_bars(ranking: Ranking, findings: Sequence[str] = ()) -> list[dict[str, Any]]:
    """Probabilities as bars whose middle is the operating point, the finding in question first, then falling.

    findings : for which a bar asks for a search by it.
    """
    if ranking.prediction is None:
        return []
    target, points = ranking.target, ranking.prediction.operating_points
    asked = target if ranking.method == FINDING.name else None
    placed = {name: place_probability(value, points.get(name)) for name, value in _read_probabilities(ranking)}
    ordered = sorted(_read_probabilities(ranking), key=lambda item: (item[0] != target, -placed[item[0]]))
    return [
        {
            "name": name,
            "label": translate_told(name),
            "value": float(value),
            "place": float(placed[name]),
            "mark": points.get(name),
            "weak": name in ranking.prediction.at_chance,
            "above": name in points and value >= points[name],
            "title": say("{name}: probability {value}", name=translate_told(name), value=f"{value:.2f}")
            + (
                say(", operating point {point} in the middle of the bar", point=f"{points[name]:.2f}")
                if name in points
                else ""
            )
            + (f", {say(AT_CHANCE)}" if name in ranking.prediction.at_chance else "")
            + (_describe_click(name == asked) if name in findings else ""),
            "askable": name in findings,
            "asked": name == asked,
        }
        for name, value in ordered
    ]


def _read_probabilities(ranking: Ranking) -> list[tuple[str, float]]:
    return [] if ranking.prediction is None else list(ranking.prediction.probabilities.items())


def _describe_click(asked: bool) -> str:
    return say(". Click to leave this finding.") if asked else say(". Click to rank by this finding.")


def query_pane(
    film: Film, ranking: Ranking | None = None, maps: Maps | None = None, findings: Sequence[str] = (), **more: Any
) -> Pane:
    """The film that is searched with, with its facts, warnings and probabilities.

    findings : what can be asked for by a click on its bar.
    """
    region = get_trail().region
    version = ranking.versions.get("model", "") if ranking else ""
    return Pane(
        key=QUERY_PANE,
        title=translate_told(film.title),
        film=film.picture,
        map=map_picture(film.key, maps.query, version, maps.identity) if maps else None,
        map_title=say("Heat map: {target}", target=translate_told(ranking.target))
        if ranking and maps and maps.query is not None
        else "",
        lines=describe_film(film.radiograph),
        note=" ".join([*map(translate_told, film.warnings), *_describe_query_map(maps)]) or None,
        bars=make_bars(ranking, findings) if ranking else (),
        oriented=film.radiograph.orientation_verified,
        spacing=film.radiograph.spacing,
        spacing_origin=film.radiograph.facts.get("spacing", ""),
        lead=True,
        regionable=ranking is not None,
        region=_find_corners(region.box if region else None),
        alternative=say(
            "Query film, {facts}", facts=describe_person(film.radiograph.view, film.radiograph.age, film.radiograph.sex)
        ),
        shortcut="q",
        **more,
    )


def hit_panes(
    films: Mapping[str, Picture], ranking: Ranking, maps: Maps, ratings: Mapping[str, int], marks: Mapping[str, str]
) -> list[Pane]:
    """The ranked cases, nearest first. films : by the names of the cases."""
    version = ranking.versions.get("model", "")
    region, panes = get_trail().region, []
    for hit in ranking.hits:
        case = hit.case
        panes.append(
            Pane(
                key=case.case_id,
                title=f"{hit.rank} · {case.case_id}",
                film=films[case.case_id],
                map=map_picture(case.pixel_sha256, maps.cases.get(case.case_id), version, maps.identity),
                heading=describe_findings(case),
                short=" · ".join(
                    part
                    for part in (name_distance(ranking, hit), describe_brief(case.view, case.age, case.sex))
                    if part
                ),
                badge=str(hit.rank),
                lines=(
                    describe_findings(case),
                    describe_hit(ranking, hit),
                    describe_origin(case),
                    explain_distance(ranking, hit),
                    *filter(None, [describe_place(hit, bool(region and region.anywhere))]),
                ),
                note=translate_told(maps.missing.get(case.case_id, ""))
                or describe_state(maps.cases.get(case.case_id), maps),
                details=find_text(case),
                oriented=case.orientation_verified,
                ratable=True,
                rating=ratings.get(case.case_id),
                markable=find_method(ranking.method).points,
                mark=marks.get(case.case_id),
                openable=True,
                region=_find_corners(hit.place),
                alternative=say(
                    "Case {case_id}, rank {rank}: {findings}",
                    case_id=case.case_id,
                    rank=hit.rank,
                    findings=describe_findings(case),
                ),
                shortcut=str(hit.rank),
            )
        )
    return panes


def _find_corners(box: Sequence[float] | None) -> tuple[float, float, float, float] | None:
    """Left, top, right and bottom of a box (left, top, width, height)."""
    return None if box is None else (box[0], box[1], box[0] + box[2], box[1] + box[3])


def _describe_query_map(maps: Maps | None) -> list[str]:
    state = describe_state(maps.query, maps) if maps else None
    return [say("Heat map: {state}", state=state[0].lower() + state[1:])] if state else []


def describe_state(found: SaliencyMap | None, maps: Maps) -> str | None:
    """A sentence about a map that marks no place, or that is too faint to show at the common scale, else None."""
    word = "" if found is None else name_strength(found, maps.scale, maps.threshold)
    if found is not None and word == "empty":
        zero, flat = (
            mark("Empty: this map is all zero and marks no place."),
            mark("Empty: this map is flat and marks no place."),
        )
        return say(zero if found.state == "zero" else flat)
    return say("Faint: at the scale of all films no part of it reaches the threshold.") if word == "faint" else None


def describe_origin(case: Case) -> str:
    """View, age, sex and source."""
    person = describe_person(case.view, case.age, case.sex)
    return person if case.source == "unknown" else f"{person} · {translate_told(case.source)}"


def find_text(case: Case) -> tuple[str, str] | None:
    """The proven diagnosis or the report, where the catalogue has it."""
    if case.diagnosis and case.report:
        return say("Diagnosis and report"), f"{case.diagnosis}\n\n{case.report}"
    if case.diagnosis:
        return say("Proven diagnosis"), case.diagnosis
    return (say("Report"), case.report) if case.report else None
