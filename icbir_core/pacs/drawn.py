"""What a reader drew on the film, as the measurements and notes of its DICOM objects."""

from __future__ import annotations

import math
from dataclasses import replace

from icbir_core.annotation.drawing import Marks
from icbir_core.annotation.measuring import Point, find_width_lines, measure
from icbir_core.annotation.records import TITLES, Annotation
from icbir_core.pacs.result import Measurement, Note

_UNITS = {"°": "deg", "": "1"}


def convert_marks(marks: Marks) -> tuple[tuple[Measurement, ...], tuple[Note, ...]]:
    """The measurements, and the arrows and words. A measurement that has no value (an angle of a line without length, a
    region beside the film) is left out."""
    measured, notes = [], []
    for one in marks.items:
        values = measure(one, marks.spacing, marks.pixels)
        if not values:
            notes.append(Note(one.points, one.text))
        elif not any(math.isnan(value.number) for value in values):
            unit = _UNITS.get(values[0].unit, values[0].unit)
            label = one.text or TITLES[one.kind]
            made = Measurement(one.kind, _list_points(one, marks), values[0].number, unit, label)
            if made.is_region:
                _, deviation, area = values
                made = replace(
                    made, deviation=deviation.number, area=area.number, area_unit=area.unit.rstrip("²")
                )  # fmt: skip
            measured.append(made)
    return tuple(measured), tuple(notes)


def _list_points(one: Annotation, marks: Marks) -> tuple[Point, ...]:
    if one.kind == "ratio":
        heart, chest = find_width_lines(one, marks.spacing)
        return (*heart, *chest)
    if one.kind not in ("ellipse", "rectangle"):
        return one.points
    (x0, y0), (x1, y1) = one.points
    if one.kind == "rectangle":
        return (x0, y0), (x1, y0), (x1, y1), (x0, y1)
    x, y = (x0 + x1) / 2, (y0 + y1) / 2
    across, down = ((min(x0, x1), y), (max(x0, x1), y)), ((x, min(y0, y1)), (x, max(y0, y1)))
    return (*across, *down) if abs(x1 - x0) >= abs(y1 - y0) else (*down, *across)
