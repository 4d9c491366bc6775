"""Numbers and names of the core in words for a reader."""

from __future__ import annotations

import math

from icbir_core.findings import FindingState
from icbir_core.retrieval.methods import FINDING, REGION, find_title
from icbir_core.retrieval.neighbours import describe_distance
from icbir_core.settings import SearchFilter
from icbir_core.types import SEARCH_NOT_SHOWN, UNKNOWN, Case, Hit, Radiograph, Ranking, describe_copies
from icbir_ui.language import mark, say, translate_told

_SEXES = {"M": mark("male"), "F": mark("female")}
AT_CHANCE = mark("not shown to be better than chance on films that the networks never saw")
FAR = 0.99
FAR_AWAY = mark("Far from {}: even the nearest case is no close match.")
SIMULATED = mark("These neighbours are simulated films.")


def describe_person(view: str, age: int | None, sex: str) -> str:
    """ "PA · 58 years · female"; what is missing says so: "PA · age, sex unknown"."""
    facts = {
        mark("view"): "" if view == UNKNOWN else view,
        mark("age"): "" if age is None else say("{age} years", age=age),
        mark("sex"): say(_SEXES[sex]) if sex in _SEXES else "",
    }
    missing = ", ".join(say(name) for name, fact in facts.items() if not fact)
    return " · ".join([*filter(None, facts.values()), *([say("{facts} unknown", facts=missing)] if missing else [])])


def describe_findings(case: Case) -> str:
    """The present findings, or what is known instead."""
    if case.present:
        return ", ".join(map(translate_told, case.present))
    known = [state for state in case.findings.values() if state.known]
    return say("no finding present") if known else say("findings unknown")


def describe_film(radiograph: Radiograph) -> list[str]:
    """Two lines of facts under a query."""
    rows, columns = radiograph.pixels.shape
    size = say("{columns} × {rows}, {stored_bits} bits", columns=columns, rows=rows, stored_bits=radiograph.stored_bits)
    spacing = say("spacing unknown")
    if radiograph.spacing:
        spacing = say("{spacing} mm pixels", spacing=f"{radiograph.spacing[0]:.3f}")
    person = describe_person(radiograph.view, radiograph.age, radiograph.sex)
    return [person, f"{size} · {spacing} · {radiograph.source_format.upper()}"]


def describe_brief(view: str, age: int | None, sex: str) -> str:
    """ "58 F · PA" for a small caption; what is missing is left out."""
    person = " ".join(part for part in ("" if age is None else str(age), say(sex) if sex in _SEXES else "") if part)
    return " · ".join(part for part in (person, "" if view == UNKNOWN else view) if part)


def describe_hit(ranking: Ranking, hit: Hit) -> str:
    """How near a case is, in one of four words, and by what part of the film where it is not the whole."""
    words = name_distance(ranking, hit)
    if ranking.method == FINDING.name:
        return say("{words} for {target}", words=words, target=translate_told(ranking.target))
    return say("{words} in the region", words=words) if ranking.method == REGION.name else words


def name_distance(ranking: Ranking, hit: Hit) -> str:
    """The distance in one of four words, against the catalogue's own nearest neighbours; as a number without them."""
    if hit.rank <= len(ranking.percentiles):
        return translate_told(describe_distance(ranking.percentiles[hit.rank - 1]))
    return say("distance {distance}", distance=f"{hit.distance:.3g}")


def describe_place(hit: Hit, anywhere: bool) -> str:
    """What the box on a case is, after a search by a region; "" without a box."""
    if hit.place is None:
        return ""
    best = mark("the place that matches the region best, found on a grid of 7 × 7")
    return say("In the box: {found}.", found=say(best if anywhere else mark("the same place")))


def explain_distance(ranking: Ranking, hit: Hit) -> str:
    """The numbers behind the word."""
    told = say("Distance {distance}", distance=f"{hit.distance:.3g}")
    place = hit.rank - 1
    if place < len(ranking.percentiles) and not math.isnan(ranking.percentiles[place]):
        told += say(
            "; {share} of the catalogue's nearest pairs are closer", share=format_share(ranking.percentiles[place])
        )
    return f"{told}."


def name_method(name: str) -> str:
    """The title of a search method."""
    return translate_told(find_title(name))


def format_share(share: float) -> str:
    """A share in [0, 1] as every page writes it: "16 %"; "under 1 %" for one that is not zero and would round to it."""
    return say("under 1 %") if 0 < share < 0.005 else f"{100 * share:.0f} %"


def describe_share(ranking: Ranking) -> str:
    """How many neighbours carry the finding, against the base rate."""
    states = [hit.case.findings.get(ranking.target, FindingState.UNKNOWN) for hit in ranking.hits]
    known = [state for state in states if state.known]
    target = translate_told(ranking.target)
    if not known:
        return say("No neighbour is labelled for {target}.", target=target)
    carrying = sum(state is FindingState.PRESENT for state in known)
    if len(known) == 1 < len(states):
        told = mark("Only 1 of {count} neighbours is labelled for {target}; it carries it.")
        if not carrying:
            told = mark("Only 1 of {count} neighbours is labelled for {target}; it does not carry it.")
        return say(told, count=len(states), target=target)
    told = mark("{carrying} of {count} neighbours carry {target}")
    if len(known) < len(states):
        told = mark("{carrying} of the {count} neighbours that are labelled for {target} carry it")
    text = say(told, carrying=carrying, count=len(known), target=target)
    if ranking.base_rate is not None:
        text += say(", against {share} of the eligible cases", share=format_share(ranking.base_rate))
    return text + "."


def describe_filter(search_filter: SearchFilter) -> str:
    """The filters in force, or "no filter"."""
    parts = [search_filter.view] if search_filter.view else []
    if search_filter.sex in _SEXES:
        parts.append(say(_SEXES[search_filter.sex]))
    if search_filter.age_min is not None or search_filter.age_max is not None:
        low = 0 if search_filter.age_min is None else search_filter.age_min
        high = say("any") if search_filter.age_max is None else search_filter.age_max
        parts.append(say("{low}–{high} years", low=low, high=high))
    parts += [f"{translate_told(name)} {translate_told(state)}" for name, state in search_filter.findings.items()]
    return ", ".join(parts) or say("no filter")


def is_far(ranking: Ranking) -> bool:
    """True where even the nearest case is farther than nearly every pair of the catalogue."""
    return bool(ranking.percentiles) and min(ranking.percentiles) > FAR


def describe_cautions(ranking: Ranking) -> list[str]:
    """What must be known before these neighbours are believed; wherever a ranking is shown, so is this."""
    searched = say("everything in the catalogue") if ranking.eligible == ranking.total else say("every eligible case")
    cautions = [say(FAR_AWAY).format(searched)] if is_far(ranking) else []
    if ranking.hits and all("simulat" in hit.case.source.lower() for hit in ranking.hits):
        cautions.append(say(SIMULATED))
    if ranking.at_chance:
        cautions.append(translate_told(SEARCH_NOT_SHOWN.format(ranking.target)))
    if ranking.copies:
        cautions.append(translate_told(describe_copies(ranking.copies)))
    return cautions
