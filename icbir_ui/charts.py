"""Charts of a catalogue, in the page's own quiet style."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import plotly.graph_objects as go

from icbir_core.evaluation.figure_words import describe_figure, write_out
from icbir_core.findings import FindingState
from icbir_core.types import Case
from icbir_ui.language import count_of, say, translate_told
from icbir_ui.theme import find_colour


def _style(figure: go.Figure, height: int) -> go.Figure:
    figure.update_layout(
        height=height, margin={"l": 8, "r": 8, "t": 8, "b": 8}, paper_bgcolor="rgba(0,0,0,0)",
        plot_bgcolor="rgba(0,0,0,0)", font={"color": find_colour("quiet"), "size": 12}, showlegend=False, bargap=0.35,
    )  # fmt: skip
    axes: dict[str, Any] = {"gridcolor": find_colour("line"), "zeroline": False, "automargin": True}
    axes["tickfont"] = axes["title_font"] = {"color": find_colour("quiet")}  # else Streamlit's own, too pale on light
    figure.update_xaxes(**axes)
    figure.update_yaxes(**axes)
    return figure


def show_chart(place: Any, figure: go.Figure, title: str, **more: Any) -> Any:
    """Draw a figure into `place` (streamlit or a part of its page), named in words for those who hear the page. It
    cannot be taken away as a picture, which would leave without the notice."""
    config = {"modeBarButtonsToRemove": ["toImage"], **more.pop("config", {})}
    return place.plotly_chart(
        figure,
        alt=describe_figure(figure, title, lambda number: count_of(number, "point"), say("to")),
        config=config,
        **more,
    )


def translate_figure(figure: go.Figure) -> go.Figure:
    """The figure of a report in the reader's language: its traces, names along its axes, and what stands in it."""
    figure = go.Figure(figure)
    for trace in figure.data:
        trace.name = translate_told(trace.name) if trace.name else None
        if all(isinstance(one, str) for one in trace.x):
            trace.x = [translate_told(one) for one in trace.x]
    for axis in (figure.layout.xaxis, figure.layout.yaxis):
        axis.title.text = translate_told(axis.title.text) if axis.title.text else None
    for note in figure.layout.annotations:
        note.text = translate_told(note.text)
    return figure


def draw_counts(counts: Mapping[str, int]) -> go.Figure:
    """Horizontal bars, largest on top, with the numbers beside them."""
    names = sorted(counts, key=lambda name: counts[name])
    values = [counts[name] for name in names]
    figure = go.Figure(
        go.Bar(
            x=values,
            y=[write_out(translate_told(name)) for name in names],
            orientation="h",
            marker_color=find_colour("accent"),
            text=[f"{value:,}" for value in values],
            textposition="outside",
            cliponaxis=False,
            hovertemplate="%{y}: %{x:,}<extra></extra>",
        )
    )
    figure.update_xaxes(visible=False, range=[0, 1.18 * max(values, default=1)])
    figure = _style(figure, 24 * len(names) + 40)
    figure.update_yaxes(showgrid=False)
    return figure


def draw_ages(ages: Sequence[int]) -> go.Figure:
    """Ages in bins of ten years."""
    counts, edges = np.histogram(ages, bins=np.arange(0, 111, 10))
    labels = [f"{int(low)}" for low in edges[:-1]]
    figure = go.Figure(
        go.Bar(
            x=labels,
            y=counts,
            marker_color=find_colour("accent"),
            hovertemplate=f"{say('from')} %{{x}}: %{{y:,}}<extra></extra>",
        )
    )
    figure = _style(figure, 230)
    figure.update_xaxes(title={"text": say("years, from"), "font": {"size": 11}}, type="category")
    return figure


def draw_scatter(points: np.ndarray, cases: Sequence[Case], finding: str, query: np.ndarray | None = None) -> go.Figure:
    """Embeddings in the plane, coloured by the state of a finding, the query as a cross."""
    groups: dict[str, list[int]] = {name: [] for name in ("unknown", "absent", "present")}
    for number, case in enumerate(cases):
        state = case.findings.get(finding, FindingState.UNKNOWN)
        groups[state.value if state.known else "unknown"].append(number)
    figure = go.Figure()
    kind = go.Scattergl if len(cases) > 4000 else go.Scatter
    for name, members in groups.items():
        if members:
            figure.add_trace(kind(
                x=points[members, 0], y=points[members, 1], mode="markers",
                name=write_out(f"{translate_told(finding)} {translate_told(name)} ({len(members):,})"),
                marker={"size": 6, "color": find_colour(name), "opacity": 0.75},
                customdata=[cases[number].case_id for number in members],
                text=[write_out(cases[number].case_id) for number in members], hovertemplate="%{text}<extra></extra>",
            ))  # fmt: skip
    if query is not None:
        cross: dict[str, Any] = {"size": 15, "symbol": "cross", "color": find_colour("strong")}
        cross["line"] = {"color": find_colour("ground"), "width": 1.5}
        place: dict[str, Any] = {
            "x": [query[0]],
            "y": [query[1]],
            "mode": "markers",
            "name": say("query"),
            "marker": cross,
        }
        figure.add_trace(go.Scatter(**place, hovertemplate=f"{say('query')}<extra></extra>"))
    figure = _style(figure, 430)
    figure.update_layout(showlegend=True, legend={"orientation": "h", "y": -0.02, "x": 0}, dragmode="lasso")
    figure.update_xaxes(showticklabels=False, showgrid=False)
    figure.update_yaxes(showticklabels=False, showgrid=False)
    return figure
