"""The line beside the film: what the neighbours carry, each finding a button, and how far that can be trusted."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from icbir_core.retrieval.methods import FINDING
from icbir_core.retrieval.question import NeighbourShare, count_findings, find_question
from icbir_core.types import Ranking
from icbir_ui.language import mark, say, translate_told
from icbir_ui.words import describe_cautions, format_share

MOST = 8
UNVERIFIED = mark("Films without R and L: orientation unverified.")


def make_answer(
    ranking: Ranking, findings: Sequence[str], mappable: bool, mapped: bool, unverified: bool = False
) -> dict[str, Any]:
    """What the viewer shows above the cases. findings : those that can be asked for; mappable, mapped : whether cases
    can have heat maps, and have them now; unverified : whether a header left the orientation of a case open."""
    asked = ranking.target if ranking.method == FINDING.name else None
    return {
        "question": describe_question(ranking),
        "eligible": say(
            "{eligible} of {total} cases eligible", eligible=f"{ranking.eligible:,}", total=f"{ranking.total:,}"
        ),
        "findings": [
            {
                "name": one.finding,
                "label": translate_told(one.finding),
                "share": describe_neighbours(one, first=place == 0),
                "beyond": one.beyond_chance,
                "title": explain_neighbours(one),
                "askable": one.finding in findings,
                "asked": one.finding == asked,
            }
            for place, one in enumerate(count_findings(ranking)[:MOST])
        ],
        "notes": [*describe_cautions(ranking), *([say(UNVERIFIED)] if unverified else [])],
        "mappable": mappable,
        "mapped": mapped,
    }


def describe_question(ranking: Ranking) -> str:
    """Which finding the search is about, and why."""
    if ranking.method == FINDING.name:
        return say("Ranked by {target}", target=translate_told(ranking.target))
    found = find_question(ranking.prediction)
    if found == ranking.target:
        return say("{found} stands out", found=translate_told(found))
    return (
        say("{found} stands out; asked: {target}", found=translate_told(found), target=translate_told(ranking.target))
        if found
        else say("No finding stands out; asked: {target}", target=translate_told(ranking.target))
    )


def describe_neighbours(share: NeighbourShare, first: bool = True) -> str:
    """ "3 of 8, 5 %": carrying, labelled, and the share of the catalogue; the first of a line says so."""
    if not share.known:
        return say("not labelled")
    told = say("{carrying} of {known}", carrying=share.carrying, known=share.known)
    of = say(" of the catalogue") if first else ""
    return told if share.base_rate is None else f"{told}, {format_share(share.base_rate)}{of}"


def explain_neighbours(share: NeighbourShare) -> str:
    """The sentence behind the short line."""
    if not share.known:
        return say("No neighbour is labelled for {finding}.", finding=translate_told(share.finding))
    told = say(
        "{carrying} of the {known} neighbours that are labelled for {finding} carry it",
        carrying=share.carrying,
        known=share.known,
        finding=translate_told(share.finding),
    )
    if share.base_rate is not None:
        told += say(", {share} of the eligible cases do", share=format_share(share.base_rate))
    between = say("{low} to {high}", low=format_share(share.low), high=format_share(share.high))
    return say("{told}. So few neighbours speak for a share of {between}: ", told=told, between=between) + (
        say("more than the catalogue's.") if share.beyond_chance else say("not shown to be more than the catalogue's.")
    )
