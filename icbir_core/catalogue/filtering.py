"""A reader's filter as a condition on the case table."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Select

from icbir_core.catalogue.schema import CASES
from icbir_core.findings import FindingState
from icbir_core.settings import SearchFilter


def narrow(query: Select[Any], wanted: SearchFilter) -> Select[Any]:
    """The query with what the filter asks for; an unknown age fails a limit."""
    if wanted.view is not None:
        query = query.where(CASES.c.view == wanted.view)
    if wanted.sex is not None:
        query = query.where(CASES.c.sex == wanted.sex)
    if wanted.age_min is not None:
        query = query.where(CASES.c.age >= wanted.age_min)
    if wanted.age_max is not None:
        query = query.where(CASES.c.age <= wanted.age_max)
    for name, state in wanted.findings.items():
        stored = CASES.c.findings[name].as_string()
        # Blank is not stored, so "unknown" is the missing key.
        query = query.where(stored.is_(None) if state == FindingState.UNKNOWN else stored == str(state))
    return query
