"""Steps by which a reader refines a search, as in SMILY (Cai et al., CHI 2019), kept as an immutable trail with
undo."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import numpy as np

from icbir_core.errors import RetrievalError

TOWARDS, AWAY = 0.6, 0.2
"""How far the query moves towards the mean of the ticked cases, and away from the mean of the crossed ones, as
shares of the way. Rocchio (1971) in a form that stays among the embeddings, where the distance is Euclidean."""


@dataclass(frozen=True)
class MoreLikeThese:
    """Move the query towards the ticked cases and away from the crossed ones; both by case_id."""

    ticked: tuple[str, ...] = ()
    crossed: tuple[str, ...] = ()

    def describe(self) -> str:
        """The step in a few words."""
        parts = [f"more like {', '.join(self.ticked)}"] if self.ticked else []
        return "; ".join(parts + ([f"less like {', '.join(self.crossed)}"] if self.crossed else []))


@dataclass(frozen=True)
class Region:
    """Rank by what lies in a box (left, top, width, height), in pixels of the query's film.

    anywhere : compare with the best-matching place of each case instead of the same place.
    """

    box: tuple[float, float, float, float]
    anywhere: bool = False

    def describe(self) -> str:
        """The step in a few words."""
        left, top, width, height = (round(value) for value in self.box)
        return f"region {width} × {height} at ({left}, {top})" + (", anywhere" if self.anywhere else "")


@dataclass(frozen=True)
class Finding:
    """Rank by what the classifier uses for one finding, and show its maps."""

    name: str

    def describe(self) -> str:
        """The step in a few words."""
        return f"finding {self.name}"


Step = MoreLikeThese | Region | Finding


@dataclass(frozen=True)
class RefinementTrail:
    """The steps of one search, oldest first, and those that were undone. Every method returns a new trail."""

    steps: tuple[Step, ...] = ()
    undone: tuple[Step, ...] = field(default=())

    def add(self, step: Step) -> RefinementTrail:
        """The trail with one more step. Raises `RetrievalError` for a step that says nothing or contradicts itself."""
        if isinstance(step, MoreLikeThese):
            if not step.ticked and not step.crossed:
                raise RetrievalError("No case is ticked or crossed; tick a case first.")
            if both := set(step.ticked) & set(step.crossed):
                raise RetrievalError(f"'{min(both)}' is both ticked and crossed; choose one.")
        return RefinementTrail((*self.steps, step))

    def undo(self) -> RefinementTrail:
        """The trail without its last step; an empty trail stays empty."""
        return replace(self, steps=self.steps[:-1], undone=(*self.undone, *self.steps[-1:]))

    def redo(self) -> RefinementTrail:
        """The trail with the step that was undone last."""
        return replace(self, steps=(*self.steps, *self.undone[-1:]), undone=self.undone[:-1])

    def describe(self) -> tuple[str, ...]:
        """One line a step."""
        return tuple(step.describe() for step in self.steps)

    @property
    def finding(self) -> str | None:
        """The finding that the last such step names."""
        return next((step.name for step in reversed(self.steps) if isinstance(step, Finding)), None)

    @property
    def region(self) -> Region | None:
        """The last region, unless a finding was chosen after it."""
        for step in reversed(self.steps):
            if isinstance(step, Region):
                return step
            if isinstance(step, Finding):
                return None
        return None

    @property
    def by_part(self) -> bool:
        """True where a region or a finding ranks, and the whole film's method has no say."""
        return self.region is not None or self.finding is not None

    @property
    def judged(self) -> tuple[tuple[str, ...], tuple[str, ...]]:
        """(ticked, crossed) over all steps; a later word on a case replaces an earlier one."""
        verdicts: dict[str, bool] = {}
        for step in self.steps:
            if isinstance(step, MoreLikeThese):
                verdicts |= dict.fromkeys(step.ticked, True) | dict.fromkeys(step.crossed, False)
        return tuple(c for c, good in verdicts.items() if good), tuple(c for c, good in verdicts.items() if not good)


def move_query(query: np.ndarray, ticked: np.ndarray, crossed: np.ndarray) -> np.ndarray:
    """The query (D,) after moving towards the mean of `ticked` (T, D) and away from the mean of `crossed` (C, D).

    q + 0.6 (mean ticked − q) − 0.2 (mean crossed − q); the step away is never longer than a fifth of the distance, so
    one crossed case cannot throw the query out of the catalogue. Either may be empty. float32.
    """
    query = np.asarray(query, dtype=np.float64)
    moved = query.copy()
    if len(ticked):
        moved += TOWARDS * (np.mean(ticked, axis=0, dtype=np.float64) - query)
    if len(crossed):
        moved -= AWAY * (np.mean(crossed, axis=0, dtype=np.float64) - query)
    return moved.astype(np.float32)
