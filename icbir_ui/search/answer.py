"""The line beside the film: what the neighbours carry, each finding a button, and how far that can be trusted."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from icbir_core.retrieval.methods import FINDING
from icbir_core.retrieval.question import NeighbourShare, count_findings, find_question
from icbir_core.types import Ranking
from icbir_ui.words import describe_cautions, format_share

MOST = 8
UNVERIFIED = "Films without R and L: orientation unverified."


def make_answer(
    ranking: Ranking, findings: Sequence[str], mappable: bool, mapped: bool, unverified: bool = False
) -> dict[str, Any]:
    """What the viewer shows above the cases. findings : those that can be asked for; mappable, mapped : whether cases
    can have heat maps, and have them now; unverified : whether a header left the orientation of a case open."""
    asked = ranking.target if ranking.method == FINDING.name else None
    return {
        "question": describe_question(ranking),
        "eligible": f"{ranking.eligible:,} of {ranking.total:,} cases eligible",
        "findings": [
            {
                "name": one.finding,
                "share": describe_neighbours(one, first=place == 0),
                "beyond": one.beyond_chance,
                "title": explain_neighbours(one),
                "askable": one.finding in findings,
                "asked": one.finding == asked,
            }
            for place, one in enumerate(count_findings(ranking)[:MOST])
        ],
        "notes": [*describe_cautions(ranking), *([UNVERIFIED] if unverified else [])],
        "mappable": mappable,
        "mapped": mapped,
    }


def describe_question(ranking: Ranking) -> str:
    """Which finding the search is about, and why."""
    if ranking.method == FINDING.name:
        return f"Ranked by {ranking.target}"
    found = find_question(ranking.prediction)
    if found == ranking.target:
        return f"{found} stands out"
    return (
        f"{found} stands out; asked: {ranking.target}" if found else f"No finding stands out; asked: {ranking.target}"
    )


def describe_neighbours(share: NeighbourShare, first: bool = True) -> str:
    """ "3 of 8, 5 %": carrying, labelled, and the share of the catalogue; the first of a line says so."""
    if not share.known:
        return "not labelled"
    told = f"{share.carrying} of {share.known}"
    of = " of the catalogue" if first else ""
    return told if share.base_rate is None else f"{told}, {format_share(share.base_rate)}{of}"


def explain_neighbours(share: NeighbourShare) -> str:
    """The sentence behind the short line."""
    if not share.known:
        return f"No neighbour is labelled for {share.finding}."
    told = f"{share.carrying} of the {share.known} neighbours that are labelled for {share.finding} carry it"
    if share.base_rate is not None:
        told += f", {format_share(share.base_rate)} of the eligible cases do"
    between = f"{format_share(share.low)} to {format_share(share.high)}"
    return f"{told}. So few neighbours speak for a share of {between}: " + (
        "more than the catalogue's." if share.beyond_chance else "not shown to be more than the catalogue's."
    )
