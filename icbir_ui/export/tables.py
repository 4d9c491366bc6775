"""The ranking as a table and as JSON."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from icbir_core.tables import write_table
from icbir_core.types import Ranking, shorten
from icbir_ui.state import NOTICE

COLUMNS = ("rank", "case_id", "distance", "percentile", "view", "age", "sex", "source", "findings_present", "place")


def write_csv(ranking: Ranking) -> bytes:
    """One row a hit, the notice in the last line as a comment."""
    rows = []
    for facts, hit in zip(ranking.as_record()["hits"], ranking.hits, strict=True):
        facts |= {"source": hit.case.source, "findings_present": "|".join(hit.case.present)}
        facts["place"] = "|".join(f"{value:g}" for value in facts.get("place", ()))
        rows.append([facts.get(name) for name in COLUMNS])
    return write_table(COLUMNS, rows, f"# ICBIR. {NOTICE}")


def write_json(ranking: Ranking, film: str, filters: str = "no filter") -> bytes:
    """The whole ranking. film : sha256 of the query's grey levels; the query's file name is left out on purpose."""
    prediction, record = ranking.prediction, ranking.as_record()
    content: dict[str, Any] = {
        "notice": NOTICE,
        "query": {"pixel_sha256": film},
        **record,
        "settings": {**dict(ranking.settings), "filters": filters},
        "timings_ms": _shorten_all(ranking.timings_ms),
        "probabilities": _shorten_all(prediction.probabilities) if prediction else {},
        "operating_points": _shorten_all(prediction.operating_points) if prediction else {},
        "predicted_by": list(prediction.networks) if prediction else [],
        "at_chance": list(prediction.at_chance) if prediction else [],
        "hits": [
            {"percentile": None, **facts, "source": hit.case.source,
             "findings": {name: found.value for name, found in hit.case.findings.items()}}
            for facts, hit in zip(record["hits"], ranking.hits, strict=True)
        ],
    }  # fmt: skip
    return json.dumps(content, indent=2, ensure_ascii=False, default=float).encode()


def _shorten_all(values: Mapping[str, float]) -> dict[str, float]:
    return {name: shorten(value) for name, value in values.items()}
