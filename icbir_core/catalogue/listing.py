"""The catalogue page by page: filtered, sorted and counted by the database, so that its size costs little."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from datetime import date
from enum import StrEnum
from functools import cached_property
from typing import Any

from sqlalchemy import Connection, Row, Select, distinct, func, select, text

from icbir_core.catalogue.schema import CASES
from icbir_core.catalogue.text_index import has_text_index, make_condition, read_asked, read_excerpts
from icbir_core.findings import FindingState
from icbir_core.types import Case

_SHOWN = CASES.c.removed.is_(False)


class Order(StrEnum):
    """In which order cases are listed; the value is the word for readers."""

    NEWEST = "last added first"
    OLDEST = "first added first"
    NAME = "by name"
    YOUNGEST = "by age"


_ORDERS: dict[Order, tuple[Any, ...]] = {
    Order.NEWEST: (CASES.c.row.desc(),),
    Order.OLDEST: (CASES.c.row,),
    Order.NAME: (CASES.c.case_id,),
    Order.YOUNGEST: (CASES.c.age.is_(None), CASES.c.age, CASES.c.row),
}


@dataclass(frozen=True)
class ListFilter:
    """What is listed; nothing given is everything.

    text : words of reports, diagnoses and names, as `text_index.read_asked` takes them. present : findings that must
    all be present. view, source : as in the rows. since, until : days of adding, both included; a case of which the
    day is not known passes neither.
    """

    text: str = ""
    present: tuple[str, ...] = ()
    view: str | None = None
    source: str | None = None
    since: date | None = None
    until: date | None = None


@dataclass(frozen=True)
class ListedCase:
    """A case with the day on which it was added (None where that is not known) and the excerpt of its texts that holds
    the words which were asked for ("" without any)."""

    case: Case
    added: date | None
    excerpt: str


@dataclass(frozen=True)
class Summary:
    """Counts of the cases that are not removed. findings : of those that are present; ages : age → cases, None for an
    unknown age; patients : different ones; without_patient : cases."""

    findings: dict[str, int]
    views: dict[str, int]
    sexes: dict[str, int]
    sources: dict[str, int]
    ages: dict[int | None, int]
    patients: int
    without_patient: int
    total: int = field(default=0)


class Listing:
    """The lists of one catalogue. connect : opens a connection; make_cases : rows of `CASES` to cases."""

    def __init__(
        self,
        connect: Callable[[], AbstractContextManager[Connection]],
        make_cases: Callable[[Sequence[Row[Any]]], list[Case]],
    ):
        self._connect, self._make_cases = connect, make_cases

    @cached_property
    def indexed(self) -> bool:
        """Whether texts are found by an index."""
        with self._connect() as connection:
            return has_text_index(connection)

    def count(self, wanted: ListFilter | None = None) -> int:
        """How many cases that are not removed pass the filter."""
        query = self._filter(select(func.count()).select_from(CASES), wanted or ListFilter())
        with self._connect() as connection:
            return int(connection.execute(query).scalar_one())

    def read_page(
        self, wanted: ListFilter | None = None, first: int = 0, most: int = 20, order: Order = Order.NEWEST
    ) -> list[ListedCase]:
        """At most `most` of the cases that pass, from the one at place `first` (counted from 0) in the order."""
        wanted = wanted or ListFilter()
        query = self._filter(select(CASES), wanted).order_by(*_ORDERS[order]).offset(first).limit(most)
        with self._connect() as connection:
            records = connection.execute(query).all()
            asked = read_asked(wanted.text)
            rows = [record.row for record in records]
            excerpts = read_excerpts(connection, asked, rows) if self.indexed else {}
        return [
            ListedCase(case, date.fromisoformat(record.added) if record.added else None, excerpts.get(case.row, ""))
            for case, record in zip(self._make_cases(records), records, strict=True)
        ]

    def find_days(self) -> tuple[date, date] | None:
        """The first and the last day on which a case was added that is known; None without any."""
        with self._connect() as connection:
            first, last = connection.execute(select(func.min(CASES.c.added), func.max(CASES.c.added))).one()
        return (date.fromisoformat(first), date.fromisoformat(last)) if first else None

    def list_values(self, name: str) -> list[str]:
        """The different values of a column, such as "view" or "source", in the alphabet's order."""
        query = select(CASES.c[name]).distinct().where(_SHOWN).order_by(CASES.c[name])
        with self._connect() as connection:
            return list(connection.execute(query).scalars())

    def summarise(self) -> Summary:
        """Counts by finding, view, sex, source, age and patient."""
        with self._connect() as connection:
            counted = {
                name: {value: int(count) for value, count in connection.execute(
                    select(CASES.c[name], func.count()).where(_SHOWN).group_by(CASES.c[name])
                )}
                for name in ("view", "sex", "source", "age")
            }  # fmt: skip
            pairs = "json_each(cases.findings) AS one" if connection.dialect.name == "sqlite" else (
                "json_each_text(cases.findings) AS one"
            )  # fmt: skip
            present = connection.execute(
                text(
                    f"SELECT one.key, count(*) FROM cases, {pairs} WHERE one.value = :state AND NOT removed GROUP BY 1"
                ),
                {"state": FindingState.PRESENT.value},
            ).all()
            known, every, patients = connection.execute(
                select(func.count(CASES.c.patient), func.count(), func.count(distinct(CASES.c.patient))).where(_SHOWN)
            ).one()
        return Summary(
            {str(name): int(count) for name, count in present}, counted["view"], counted["sex"], counted["source"],
            counted["age"], int(patients), int(every) - int(known), int(every),
        )  # fmt: skip

    def _filter(self, query: Select[Any], wanted: ListFilter) -> Select[Any]:
        query = query.where(_SHOWN)
        asked = read_asked(wanted.text)
        if asked.wanted or asked.unwanted:
            query = query.where(make_condition(asked, self.indexed))
        for name in wanted.present:
            query = query.where(CASES.c.findings[name].as_string() == FindingState.PRESENT.value)
        if wanted.view is not None:
            query = query.where(CASES.c.view == wanted.view)
        if wanted.source is not None:
            query = query.where(CASES.c.source == wanted.source)
        if wanted.since is not None:
            query = query.where(CASES.c.added >= wanted.since.isoformat())
        if wanted.until is not None:
            query = query.where(CASES.c.added <= wanted.until.isoformat())
        return query
