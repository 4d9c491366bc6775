"""Lines, regions and words on a film, in its own pixels, as plain records that can be stored.

They come from a browser and so are foreign input: whatever is not one of the known kinds is refused here.
"""

from __future__ import annotations

import math
import unicodedata
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from icbir_core.annotation.turning import Turn
from icbir_core.errors import AnnotationError

POINTS = {"length": 2, "angle": 3, "ratio": 6, "ellipse": 2, "rectangle": 2, "arrow": 2, "text": 1}
"""Kind → number of points. An angle has its corner in the middle; an ellipse and a rectangle are given by two opposite
corners of the box around them; an arrow points at its second point. A ratio (cardiothoracic) has two points of the
midline, one on each heart border, and one on each inner border of the chest."""
TITLES = {
    "length": "Length", "angle": "Angle", "ratio": "Heart to chest", "ellipse": "Ellipse", "rectangle": "Rectangle",
    "arrow": "Arrow", "text": "Text",
}  # fmt: skip
MOST = 100
MOST_STEPS = 30
LONGEST_TEXT = 120
LARGEST = 100_000.0
_FIELDS = {"kind", "points", "text"}


@dataclass(frozen=True)
class Annotation:
    """One thing that was drawn. points : (column, row) in pixels of the film, to a hundredth, the upper left corner of
    the film at (0, 0). Raises `AnnotationError` for what is none."""

    kind: str
    points: tuple[tuple[float, float], ...]
    text: str = ""

    def __post_init__(self) -> None:
        if self.kind not in POINTS:
            raise AnnotationError("Something was drawn on the film of a kind that is not known; it is left out.")
        if len(self.points) != POINTS[self.kind] or not all(_is_place(one) for one in self.points):
            raise AnnotationError(f"The {TITLES[self.kind].lower()} on the film has no usable points; draw it again.")
        rounded = tuple((round(float(x), 2), round(float(y), 2)) for x, y in self.points)
        object.__setattr__(self, "points", rounded)
        object.__setattr__(self, "text", _clean(self.text))

    def as_record(self) -> dict[str, Any]:
        """The annotation as JSON holds it."""
        return {"kind": self.kind, "points": [list(point) for point in self.points], "text": self.text}

    @classmethod
    def from_record(cls, record: object) -> Annotation:
        """The annotation that `as_record` gave. Raises `AnnotationError` for anything else."""
        if not isinstance(record, Mapping) or not {"kind", "points"} <= set(record) <= _FIELDS:
            raise AnnotationError("What was drawn on the film cannot be read; draw it again.")
        kind, points, text = record["kind"], record["points"], record.get("text", "")
        if not isinstance(kind, str) or not isinstance(points, (list, tuple)) or not isinstance(text, str):
            raise AnnotationError("What was drawn on the film cannot be read; draw it again.")
        return cls(kind, tuple(tuple(one) if isinstance(one, (list, tuple)) else () for one in points), text)


@dataclass(frozen=True)
class FilmAnnotations:
    """All that was drawn on one film, in the order in which it was drawn, and how the film was turned.

    number : grows with each change; of two states of a film the one with the larger number is the later. undo, redo :
    what was drawn before each of the last changes, and after those that were undone, the nearest at the end.
    """

    items: tuple[Annotation, ...] = ()
    number: int = 0
    undo: tuple[tuple[Annotation, ...], ...] = ()
    redo: tuple[tuple[Annotation, ...], ...] = ()
    turn: Turn = Turn()

    def as_record(self) -> dict[str, Any]:
        """The state as JSON holds it."""
        record = {name: [_write(items) for items in getattr(self, name)] for name in ("undo", "redo")}
        turn = {"quarters": self.turn.quarters, "mirrored": self.turn.mirrored}
        return {"number": self.number, "items": _write(self.items), **record, "turn": turn}

    @classmethod
    def from_record(cls, record: object) -> FilmAnnotations:
        """The state that `as_record` gave, with the last 30 steps at most; steps and turn may be missing. Raises
        `AnnotationError` for anything else."""
        if not isinstance(record, Mapping):
            raise AnnotationError("What was drawn on the film cannot be read; draw it again.")
        number, turn = record.get("number"), record.get("turn")
        if isinstance(number, bool) or not isinstance(number, int) or number < 0:
            raise AnnotationError("What was drawn on the film cannot be read; draw it again.")
        undo, redo = (_read_steps(record.get(name, [])) for name in ("undo", "redo"))
        turned = Turn.from_view(turn if isinstance(turn, Mapping) else None)
        return cls(_read(record.get("items")), number, undo, redo, turned)


def _write(items: Iterable[Annotation]) -> list[dict[str, Any]]:
    return [one.as_record() for one in items]


def _read(items: object) -> tuple[Annotation, ...]:
    if not isinstance(items, list):
        raise AnnotationError("What was drawn on the film cannot be read; draw it again.")
    if len(items) > MOST:
        raise AnnotationError(f"A film can hold {MOST} measurements and annotations; delete some.")
    return tuple(Annotation.from_record(one) for one in items)


def _read_steps(steps: object) -> tuple[tuple[Annotation, ...], ...]:
    if not isinstance(steps, list):
        raise AnnotationError("What was drawn on the film cannot be read; draw it again.")
    return tuple(_read(one) for one in steps[-MOST_STEPS:])


def _is_place(point: object) -> bool:
    if not isinstance(point, tuple) or len(point) != 2:
        return False
    numbers = all(isinstance(one, (int, float)) and not isinstance(one, bool) for one in point)
    return numbers and all(math.isfinite(one) and 0.0 <= one <= LARGEST for one in point)


def _clean(text: str) -> str:
    """One line of visible signs."""
    shown = "".join(
        sign if unicodedata.category(sign)[0] != "C" else " " for sign in unicodedata.normalize("NFC", text)
    )
    return " ".join(shown.split())[:LONGEST_TEXT].strip()
