"""One rating: what a reader said of one query and one case (or of an order, or of a pair), and on what she said it."""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from datetime import UTC, datetime
from typing import Any

from icbir_core.errors import StudyError

SIMILARITY_SCALE: Mapping[int, str] = {
    5: "similar: I would compare these two cases",
    4: "rather similar: same finding, small differences",
    3: "partly similar: some features in common",
    2: "rather dissimilar: only the projection in common",
    1: "dissimilar: nothing that would help me",
}
TASKS: tuple[str, ...] = ("similarity", "ranking", "choice")
SEARCH = "search"  # the name under which ratings from the search page are kept; they are never blinded


@dataclass(frozen=True)
class Rating:
    """An answer of a reader; never changed once stored (a second answer is a second rating).

    study : its name, or "search" for a rating given on the search page; session : of one window; reader : a pseudonym.
    query, case_id : what was compared (case_id None for the tasks that answer for several cases at once).
    score : 1 (dissimilar) … 5 (similar), or None with cannot_judge, or None in the tasks "ranking" and "choice".
    answer : {"order": [case_id, …]} (most similar first) or {"chosen": case_id, "other": case_id} (both None,
        with "pair", where the reader cannot judge).
    task : one of `TASKS`; stage : 1 without maps, 2 with maps; blinded : method, rank, distance and labels were hidden.
    repetition : 0, or 1 for a hidden repeat; position : place from 1 in the reader's order; time_ms : time taken.
    actions : what she did in the viewer; method, ranking, versions : what she was shown it by (empty when blinded).
    simulated : True for simulated readers only; such ratings are kept out of every statistic of real ones.
    """

    study: str
    session: str
    reader: str
    query: str
    case_id: str | None = None
    score: int | None = None
    cannot_judge: bool = False
    task: str = "similarity"
    blinded: bool = False
    stage: int = 1
    repetition: int = 0
    position: int | None = None
    time_ms: int | None = None
    actions: tuple[Mapping[str, Any], ...] = ()
    method: str | None = None
    ranking: Mapping[str, Any] | None = None
    answer: Mapping[str, Any] | None = None
    versions: Mapping[str, str] = field(default_factory=dict)
    simulated: bool = False
    rating_id: str = field(default_factory=lambda: uuid.uuid4().hex)
    recorded_at: str = field(default_factory=lambda: datetime.now(UTC).isoformat(timespec="microseconds"))

    def check(self) -> Rating:
        """This rating, or raises `StudyError` where it does not say one thing plainly."""
        for name in ("study", "session", "reader", "query"):
            if not str(getattr(self, name) or "").strip():
                raise StudyError(f"The rating lacks its {name}; give it before rating.")
        if self.task not in TASKS:
            raise StudyError(f"There is no task '{self.task}'; choose one of {', '.join(TASKS)}.")
        if self.stage not in (1, 2):
            raise StudyError(f"There is no stage {self.stage}; choose 1 (without maps) or 2 (with maps).")
        if self.task == "similarity":
            if self.case_id is None:
                raise StudyError("The rating names no case; give its identifier.")
            if self.cannot_judge == (self.score is not None):
                raise StudyError("Give either a score or 'cannot judge', not both or neither.")
            if self.score is not None and self.score not in SIMILARITY_SCALE:
                raise StudyError(f"The score {self.score} is no step of the scale; choose 1 to 5.")
        elif not self.cannot_judge:
            wanted = {"ranking": {"order"}, "choice": {"chosen", "other"}}[self.task]
            if not self.answer or not wanted <= set(self.answer):
                raise StudyError(f"The answer lacks {' or '.join(sorted(wanted))}; give it.")
        return self

    @property
    def key(self) -> tuple[Any, ...]:
        """What a later rating with the same key replaces in `RatingsStore.latest`."""
        return (self.study, self.reader, self.simulated, self.task, self.stage, self.repetition, self.query,
                self.case_id, self.pair, self.blinded)  # fmt: skip

    @property
    def pair(self) -> tuple[str, ...]:
        """The two cases of a forced choice, sorted; empty in the other tasks."""
        if self.task != "choice" or not self.answer:
            return ()
        return tuple(sorted(self.answer.get("pair") or (self.answer["chosen"], self.answer["other"])))

    def as_dict(self) -> dict[str, Any]:
        """Plain values, fit for JSON; `Rating.from_dict` reads it back equal."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Rating:
        """The rating that `as_dict` wrote. Raises `StudyError` on unknown or missing fields."""
        unknown = set(values) - {entry.name for entry in fields(cls)}
        if unknown:
            raise StudyError(f"A rating has no field {', '.join(sorted(unknown))}; check the file.")
        try:
            return cls(**{**values, "actions": tuple(values.get("actions") or ())}).check()
        except TypeError as error:
            raise StudyError(f"A rating is not complete ({error}); check the file.") from None
