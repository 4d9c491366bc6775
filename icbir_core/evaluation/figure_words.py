"""What a plotly figure shows, in words, for those who hear a page or a report instead of seeing it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from html import escape, unescape
from typing import Any

from icbir_core.plurals import count_of


def write_out(text: str) -> str:
    """Text of others for a figure: Plotly takes a few tags, links among them, for its own."""
    return escape(text, quote=False)


def count_points(number: int) -> str:
    """ "1 point", "9 points"."""
    return count_of(number, "point")


def describe_figure(figure: Any, title: str, count: Callable[[int], str] = count_points, to: str = "to") -> str:
    """A sentence: the title, then what each trace of the figure shows.

    Of bars and of points that have names the values with their intervals; of a line its two ends; of a cloud of points
    how many it has, as `count` says it. to : the word between two ends.
    """
    words = "; ".join(_describe_trace(trace, count, to) for trace in figure.data) or "no data"
    return f"{title}: {unescape(words)}."  # names stand in it as `write_out` wrote them


def _describe_trace(trace: Any, count: Callable[[int], str], to: str) -> str:
    xs, ys = list(trace.x if trace.x is not None else ()), list(trace.y if trace.y is not None else ())
    name = f"{trace.name} " if trace.name else ""
    if trace.type == "bar":
        sideways = trace.orientation == "h"
        xs, ys = (xs[::-1], ys[::-1]) if sideways else (xs, ys)  # the largest first
    else:
        sideways = bool(ys) and all(isinstance(y, str) for y in ys)
        if not sideways and not all(isinstance(x, str) for x in xs):
            return name.strip() + _describe_points(trace, xs, ys, count)
    labels, values, bars = (ys, xs, trace.error_x) if sideways else (xs, ys, trace.error_y)
    pairs = zip(labels, values, _describe_intervals(bars, values, to), strict=True)
    return name + ", ".join(f"{label} {_write_number(value)}{interval}" for label, value, interval in pairs)


def _describe_points(trace: Any, xs: Sequence[float], ys: Sequence[float], count: Callable[[int], str]) -> str:
    if "lines" in (trace.mode or "") and len(xs) > 1:
        first, last = ((_write_number(x), _write_number(y)) for x, y in ((xs[0], ys[0]), (xs[-1], ys[-1])))
        return f", from {first[1]} at {first[0]} to {last[1]} at {last[0]}"
    return f", {count(len(xs))}"


def _describe_intervals(bars: Any, values: Sequence[float], to: str) -> list[str]:
    if bars.array is None:
        return [""] * len(values)
    below = bars.array if bars.arrayminus is None else bars.arrayminus
    both = zip(values, below, bars.array, strict=True)
    return [f" ({_write_number(value - low)} {to} {_write_number(value + high)})" for value, low, high in both]


def _write_number(value: float) -> str:
    return f"{int(value):,}" if float(value).is_integer() else f"{value:.2f}"
