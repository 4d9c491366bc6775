"""A reading session: gives one blind item after another, stores each answer before it goes on, resumes where it was."""

from __future__ import annotations

import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from icbir_core.errors import StudyError
from icbir_core.study.design import Step, Study
from icbir_core.study.rating import Rating
from icbir_core.study.store import RatingsStore


@dataclass(frozen=True)
class BlindItem:
    """What a page may know: an opaque token, one more for each film, the task, and how far the reader is.

    No case, method, rank, distance or label is in it. with_maps : this is stage 2, where heat maps are shown.
    """

    token: str
    query_token: str
    case_tokens: tuple[str, ...]
    task: str
    with_maps: bool
    position: int
    total: int


class ReadingSession:
    """One reader's way through one study; safe to make anew at every page run, for its state is the store's."""

    def __init__(self, store: RatingsStore, study: Study, reader: str, session: str | None = None,
                 simulated: bool = False):  # fmt: skip
        self._store, self.study, self.reader = store, study, reader.strip()
        self.session = session or uuid.uuid4().hex
        self._simulated = simulated
        self._versions = dict(study.versions) | {"study": study.sha256}
        self._steps = study.steps(self.reader)
        self._by_token = {step.token: (number, step) for number, step in enumerate(self._steps, start=1)}
        if len(self._by_token) != len(self._steps):
            raise StudyError("The study has a step twice; create it again.")

    @property
    def total(self) -> int:
        """How many answers the whole study asks of this reader."""
        return len(self._steps)

    def answered(self) -> set[str]:
        """The tokens of the steps that this reader has answered (in any window)."""
        keys = {_key_of_rating(rating) for rating in self._read()}
        return {step.token for step in self._steps if _key_of_step(step) in keys}

    def next_item(self) -> BlindItem | None:
        """The first unanswered item, or None when the reader is through."""
        return next(iter(self.remaining_items()), None)

    def remaining_items(self) -> list[BlindItem]:
        """All items that are not answered now, in order."""
        done = self.answered()
        return [self._blind(step) for step in self._steps if step.token not in done]

    def previous_item(self, token: str | None) -> BlindItem | None:
        """The item before this one (or the last, for None), so that an answer can be corrected; None at the start."""
        number = self._by_token[token][0] if token in self._by_token else len(self._steps) + 1
        return self._blind(self._steps[number - 2]) if number >= 2 else None

    def following_item(self, token: str) -> BlindItem | None:
        """The item after this one where it is answered, to look at it again; None where `next_item` follows."""
        after = self._steps[self._by_token[token][0] :][:1]
        return self._blind(after[0]) if after and after[0].token in self.answered() else None

    def find_answer(self, token: str) -> Rating | None:
        """What this reader last answered to an item; None where she has not."""
        step = self._find(token)
        key = _key_of_step(step)
        return next((rating for rating in self._read(query=step.query) if _key_of_rating(rating) == key), None)

    def owns(self, token: str) -> bool:
        """Whether an item is of this study and reader."""
        return token in self._by_token

    def find_cases(self, token: str) -> tuple[str, tuple[str, ...]]:
        """(query's case_id, shown case_ids in the order of the item's tokens): for fetching films, never for a page."""
        step = self._find(token)
        return step.query, step.cases

    def answer(
        self,
        token: str,
        *,
        score: int | None = None,
        cannot_judge: bool = False,
        order: Sequence[str] | None = None,
        chosen: str | None = None,
        time_ms: int | None = None,
        actions: Sequence[Mapping[str, Any]] = (),
    ) -> Rating:
        """Store the answer to an item and return it once it is on disk. Raises `StudyError`, having stored nothing.

        order : the item's case tokens, most similar first; chosen : the token of the case that is more similar.
        """
        step = self._find(token)
        names = dict(zip(self._case_tokens(step), step.cases, strict=True))
        answer: dict[str, Any] | None = None
        if step.task == "ranking" and not cannot_judge:
            if sorted(order or ()) != sorted(names):
                raise StudyError(f"The order must hold each of the {len(names)} cases once; place every case.")
            answer = {"order": [names[entry] for entry in order or ()]}
        elif step.task == "choice" and not cannot_judge:
            if chosen not in names:
                raise StudyError("That is neither of the two cases; choose one of them or 'cannot judge'.")
            answer = {"chosen": names[chosen], "other": next(c for t, c in names.items() if t != chosen)}
        elif step.task == "choice":
            answer = {"chosen": None, "other": None, "pair": sorted(step.cases)}
        return self._store.add(
            Rating(
                study=self.study.name, session=self.session, reader=self.reader, query=step.query,
                case_id=step.cases[0] if step.task == "similarity" else None, score=score, cannot_judge=cannot_judge,
                task=step.task, blinded=True, stage=step.stage, repetition=step.repetition,
                position=self._by_token[token][0], time_ms=time_ms, actions=tuple(actions), answer=answer,
                versions=self._versions, simulated=self._simulated,
            )
        )  # fmt: skip

    def _read(self, **conditions: Any) -> list[Rating]:
        return self._store.latest(
            study=self.study.name, reader=self.reader, simulated=self._simulated, blinded=True, **conditions
        )

    def _find(self, token: str) -> Step:
        if token not in self._by_token:
            raise StudyError("This item is not of this reading session; reload the page.")
        return self._by_token[token][1]

    def _case_tokens(self, step: Step) -> tuple[str, ...]:
        return tuple(f"{step.token}-{place}" for place in range(1, len(step.cases) + 1))

    def _blind(self, step: Step) -> BlindItem:
        return BlindItem(
            step.token, f"{step.token}-0", self._case_tokens(step), step.task, step.stage == 2,
            self._by_token[step.token][0], len(self._steps),
        )  # fmt: skip


def _key_of_step(step: Step) -> tuple[Any, ...]:
    cases = step.cases if step.task == "similarity" else tuple(sorted(step.cases)) if step.task == "choice" else ()
    return step.task, step.stage, step.repetition, step.query, cases


def _key_of_rating(rating: Rating) -> tuple[Any, ...]:
    cases: tuple[str | None, ...] = ()
    if rating.task == "similarity":
        cases = (rating.case_id,)
    elif rating.task == "choice":
        cases = rating.pair
    return rating.task, rating.stage, rating.repetition, rating.query, cases
