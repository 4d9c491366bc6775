"""A ranking as the commands print it: plain values for machines, a table for a reader."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from icbir_core.types import SEARCH_NOT_SHOWN, Prediction, describe_copies

if TYPE_CHECKING:
    from icbir_core.types import Ranking


def describe_ranking(ranking: Ranking, timings_ms: dict[str, float]) -> dict[str, Any]:
    """A ranking as plain values. Of a hit's findings the present ones are listed, and those of unknown state apart."""
    record = ranking.as_record()
    for facts, hit in zip(record["hits"], ranking.hits, strict=True):
        findings = hit.case.findings.items()
        facts |= {
            "findings": list(hit.case.present),
            "unknown_findings": [n for n, state in findings if not state.known],
        }
    told = ranking.prediction or Prediction({})
    prediction = {name: round(value, 6) for name, value in told.probabilities.items()}
    by = {"predicted_by": list(told.networks), "at_chance": list(told.at_chance), "search_at_chance": ranking.at_chance}
    timings = {stage: round(value, 3) for stage, value in timings_ms.items()}
    return {"query": ranking.query, "prediction": prediction, **by, **record, "timings_ms": timings}


def format_ranking(ranking: Ranking) -> str:
    """A ranking as a table for a reader."""
    from icbir_core.retrieval.neighbours import describe_distance

    told = ranking.prediction or Prediction({})
    predicted = ", ".join(f"{name} {value:.2f}" for name, value in told.probabilities.items())
    lines = [
        f"{ranking.query}",
        f"  predicted: {predicted}",
        *([f"  by {told.source}"] if told.source else []),
        *([f"  {told.caution}"] if told.caution else []),
        f"  {ranking.method} for {ranking.target}, {ranking.metric} distance, {ranking.route} search, "
        f"{ranking.eligible} of {ranking.total} cases eligible",
    ]
    if ranking.base_rate is not None:
        lines.append(
            f"  {ranking.target} is present in {ranking.base_rate:.0%} of the eligible cases whose state is known"
        )
    if ranking.at_chance:
        lines.append(f"  {SEARCH_NOT_SHOWN.format(ranking.target)}")
    if any(hit.case.source == "simulated" for hit in ranking.hits):
        lines.append("  These cases are simulated films, not patients; `fetch nih`, then `ingest`, brings real ones.")
    if ranking.copies:
        lines.append(f"  {describe_copies(ranking.copies)}")
    width = max((len(hit.case.case_id) for hit in ranking.hits), default=4)
    lines.append(f"  rank  {'case':<{width}}  distance  view     age  sex      findings")
    for number, hit in enumerate(ranking.hits):
        case = hit.case
        age = "?" if case.age is None else str(case.age)
        found = ", ".join(case.present) or "none listed"
        words = f"  [{describe_distance(ranking.percentiles[number])}]" if ranking.percentiles else ""
        lines.append(
            f"  {hit.rank:>4}  {case.case_id:<{width}}  {hit.distance:>8.4f}  {case.view:<7}  {age:>3}  {case.sex:<7}  "
            f"{found}{words}"
        )
    return "\n".join(lines)
