"""Numbers and names of the core in words for a reader."""

from __future__ import annotations

import math

from icbir_core.findings import FindingState
from icbir_core.retrieval.methods import FINDING, REGION
from icbir_core.retrieval.neighbours import describe_distance
from icbir_core.settings import SearchFilter
from icbir_core.types import NOT_SHOWN, SEARCH_NOT_SHOWN, UNKNOWN, Case, Hit, Radiograph, Ranking, describe_copies

_SEXES = {"M": "male", "F": "female"}
AT_CHANCE = f"{NOT_SHOWN} on films that the networks never saw"
FAR = 0.99
FAR_AWAY = "Far from {}: even the nearest case is no close match."
SIMULATED = "These neighbours are simulated films."


def describe_person(view: str, age: int | None, sex: str) -> str:
    """ "PA · 58 years · female"; what is missing says so."""
    return " · ".join(
        (
            f"view {UNKNOWN}" if view == UNKNOWN else view,
            f"age {UNKNOWN}" if age is None else f"{age} years",
            _SEXES.get(sex, f"sex {UNKNOWN}"),
        )
    )


def describe_findings(case: Case) -> str:
    """The present findings, or what is known instead."""
    if case.present:
        return ", ".join(case.present)
    known = [state for state in case.findings.values() if state.known]
    return "no finding present" if known else "findings unknown"


def describe_film(radiograph: Radiograph) -> list[str]:
    """Two lines of facts under a query."""
    rows, columns = radiograph.pixels.shape
    spacing = f"{radiograph.spacing[0]:.3f} mm pixels" if radiograph.spacing else f"spacing {UNKNOWN}"
    return [
        describe_person(radiograph.view, radiograph.age, radiograph.sex),
        f"{columns} × {rows}, {radiograph.stored_bits} bits · {spacing} · {radiograph.source_format.upper()}",
    ]


def describe_brief(view: str, age: int | None, sex: str) -> str:
    """ "58 F · PA" for a small caption; what is missing is left out."""
    person = " ".join(part for part in ("" if age is None else str(age), sex if sex in _SEXES else "") if part)
    return " · ".join(part for part in (person, "" if view == UNKNOWN else view) if part)


def describe_hit(ranking: Ranking, hit: Hit) -> str:
    """How near a case is, in one of four words, and by what part of the film where it is not the whole."""
    words = name_distance(ranking, hit)
    if ranking.method == FINDING.name:
        return f"{words} for {ranking.target}"
    return f"{words} in the region" if ranking.method == REGION.name else words


def name_distance(ranking: Ranking, hit: Hit) -> str:
    """The distance in one of four words, against the catalogue's own nearest neighbours; as a number without them."""
    place = hit.rank - 1
    known = place < len(ranking.percentiles)
    return describe_distance(ranking.percentiles[place]) if known else f"distance {hit.distance:.3g}"


def describe_place(hit: Hit, anywhere: bool) -> str:
    """What the box on a case is, after a search by a region; "" without a box."""
    if hit.place is None:
        return ""
    found = "the place that matches the region best, found on a grid of 7 × 7" if anywhere else "the same place"
    return f"In the box: {found}."


def explain_distance(ranking: Ranking, hit: Hit) -> str:
    """The numbers behind the word."""
    told = f"Distance {hit.distance:.3g}"
    place = hit.rank - 1
    if place < len(ranking.percentiles) and not math.isnan(ranking.percentiles[place]):
        told += f"; {format_share(ranking.percentiles[place])} of the catalogue's nearest pairs are closer"
    return f"{told}."


def format_share(share: float) -> str:
    """A share in [0, 1] as every page writes it: "16 %"; "under 1 %" for one that is not zero and would round to it."""
    return "under 1 %" if 0 < share < 0.005 else f"{100 * share:.0f} %"


def describe_share(ranking: Ranking) -> str:
    """How many neighbours carry the finding, against the base rate."""
    states = [hit.case.findings.get(ranking.target, FindingState.UNKNOWN) for hit in ranking.hits]
    known = [state for state in states if state.known]
    if not known:
        return f"No neighbour is labelled for {ranking.target}."
    carrying = sum(state is FindingState.PRESENT for state in known)
    if len(known) == 1 < len(states):
        verb = "carries" if carrying else "does not carry"
        return f"Only 1 of {len(states)} neighbours is labelled for {ranking.target}; it {verb} it."
    some = f"{carrying} of {len(states)} neighbours carry {ranking.target}"
    others = f"{carrying} of the {len(known)} neighbours that are labelled for {ranking.target} carry it"
    text = some if len(known) == len(states) else others
    if ranking.base_rate is not None:
        text += f", against {format_share(ranking.base_rate)} of the eligible cases"
    return text + "."


def describe_filter(search_filter: SearchFilter) -> str:
    """The filters in force, or "no filter"."""
    parts = [part for part in (search_filter.view, _SEXES.get(search_filter.sex or "")) if part]
    if search_filter.age_min is not None or search_filter.age_max is not None:
        low = 0 if search_filter.age_min is None else search_filter.age_min
        high = "any" if search_filter.age_max is None else search_filter.age_max
        parts.append(f"{low}–{high} years")
    parts += [f"{name} {state}" for name, state in search_filter.findings.items()]
    return ", ".join(parts) or "no filter"


def is_far(ranking: Ranking) -> bool:
    """True where even the nearest case is farther than nearly every pair of the catalogue."""
    return bool(ranking.percentiles) and min(ranking.percentiles) > FAR


def describe_cautions(ranking: Ranking) -> list[str]:
    """What must be known before these neighbours are believed; wherever a ranking is shown, so is this."""
    searched = "everything in the catalogue" if ranking.eligible == ranking.total else "every eligible case"
    cautions = [FAR_AWAY.format(searched)] if is_far(ranking) else []
    if ranking.hits and all("simulat" in hit.case.source.lower() for hit in ranking.hits):
        cautions.append(SIMULATED)
    if ranking.at_chance:
        cautions.append(SEARCH_NOT_SHOWN.format(ranking.target))
    if ranking.copies:
        cautions.append(describe_copies(ranking.copies))
    return cautions
