"""The ranking as a table and as JSON."""

from __future__ import annotations

import csv
import io
import json
from typing import Any

from icbir_core.types import Ranking
from icbir_ui.state import NOTICE

COLUMNS = ("rank", "case_id", "distance", "percentile", "view", "age", "sex", "source", "findings_present")


def write_csv(ranking: Ranking) -> bytes:
    """One row a hit, UTF-8, the notice in the last line as a comment."""
    buffer = io.StringIO(newline="")
    writer = csv.writer(buffer)
    writer.writerow(COLUMNS)
    for facts, hit in zip(ranking.as_record()["hits"], ranking.hits, strict=True):
        facts |= {"distance": repr(hit.distance), "source": hit.case.source}
        facts["findings_present"] = "|".join(hit.case.present)
        writer.writerow([facts.get(name) for name in COLUMNS])
    buffer.write(f"# ICBIR. {NOTICE}\r\n")
    return buffer.getvalue().encode()


def write_json(ranking: Ranking, film: str, filters: str = "no filter") -> bytes:
    """The whole ranking. film : sha256 of the query's grey levels; the query's file name is left out on purpose."""
    prediction, record = ranking.prediction, ranking.as_record()
    content: dict[str, Any] = {
        "notice": NOTICE,
        "query": {"pixel_sha256": film},
        **record,
        "settings": {**dict(ranking.settings), "filters": filters},
        "timings_ms": dict(ranking.timings_ms),
        "probabilities": dict(prediction.probabilities) if prediction else {},
        "operating_points": dict(prediction.operating_points) if prediction else {},
        "hits": [
            {"percentile": None, **facts, "source": hit.case.source,
             "findings": {name: found.value for name, found in hit.case.findings.items()}}
            for facts, hit in zip(record["hits"], ranking.hits, strict=True)
        ],
    }  # fmt: skip
    return json.dumps(content, indent=2, ensure_ascii=False, default=float).encode()
