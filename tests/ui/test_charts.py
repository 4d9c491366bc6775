"""What a chart says to one who cannot see it."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import plotly.graph_objects as go
import streamlit

from icbir_core.evaluation.figure_words import describe_figure
from icbir_core.types import Case
from icbir_ui import charts
from icbir_ui.frame.page import STYLE


def test_bars_are_told_with_their_numbers_the_largest_first():
    figure = charts.draw_counts({"Mass": 3, "Effusion": 1200})
    assert describe_figure(figure, "Findings present") == "Findings present: Effusion 1,200, Mass 3."


def test_names_of_others_are_no_tags_in_a_chart_and_are_told_as_they_are():
    name = '<a href="https://x">Mass</a>'
    figure = charts.draw_counts({name: 3})
    assert "<" not in figure.data[0].y[0] and describe_figure(figure, "Found") == f"Found: {name} 3."
    figure = charts.draw_scatter(np.zeros((1, 2), np.float32), [Case(0, name, "a.png", "", "", {})], name)
    (points,) = figure.data
    assert "<" not in points.text[0] and "<" not in points.name and points.customdata[0] == name


def test_ages_are_told_in_their_order():
    told = describe_figure(charts.draw_ages([3, 34, 35]), "Cases by age in years, from")
    assert told.startswith("Cases by age in years, from: 0 1, 10 0, 20 0, 30 2, ")


def test_a_cloud_of_points_is_told_by_its_groups():
    cases = [Case(number, f"case {number}", "a.png", "", "", {}) for number in range(2)]
    figure = charts.draw_scatter(np.zeros((2, 2), np.float32), cases, "Effusion", np.zeros(2))
    assert describe_figure(figure, "Plane") == "Plane: Effusion unknown (2), 2 points; query, 1 point."


def test_intervals_are_told():
    interval = {"array": [0.1], "arrayminus": [0.2]}
    figure = go.Figure(go.Scatter(x=["cnn"], y=[0.5], name="method", error_y=interval))
    assert describe_figure(figure, "nDCG") == "nDCG: method cnn 0.50 (0.30 to 0.60)."


def test_points_with_names_beside_them_are_told_with_their_intervals():
    figure = go.Figure(go.Scatter(x=[0.1], y=["cnn − ssim"], mode="markers", error_x={"array": [0.1]}))
    assert describe_figure(figure, "Differences") == "Differences: cnn − ssim 0.10 (0 to 0.20)."


def test_a_line_is_told_by_its_ends():
    figure = go.Figure(go.Scatter(x=[1, 5, 50], y=[0.5, 0.4, 0.25], name="cnn", mode="lines+markers"))
    assert describe_figure(figure, "Precision by k") == "Precision by k: cnn, from 0.50 at 1 to 0.25 at 50."


def test_no_data_is_told():
    assert describe_figure(go.Figure(), "nDCG") == "nDCG: no data."


PARTS = "Overview", "Embeddings"


def test_every_chart_of_the_catalogue_has_a_text(open_page):
    page = open_page("catalogue")
    told = [one.proto.alt for part in PARTS for one in page.turn_to(part).app.get("plotly_chart")]
    assert len(told) == 6 and all(told)
    assert "Findings present: " in told[0] and "Effusion 5" in told[0]


def test_no_chart_is_taken_away_without_the_notice(open_page):
    page = open_page("catalogue")
    drawn = [one.proto for part in PARTS for one in page.turn_to(part).app.get("plotly_chart")]
    configs = [json.loads(one.config) for one in drawn]
    assert len(configs) == 6 and all("toImage" in one["modeBarButtonsToRemove"] for one in configs)


def test_no_table_is_taken_away_without_the_notice():
    """The page's style hides the button under the names that Streamlit's own program gives it."""
    button, label = "stElementToolbarButton", "Download as CSV"
    assert f'[data-testid="{button}"]:has([aria-label^="{label}"]) {{ display: none; }}' in STYLE
    folder = Path(streamlit.__file__).parent / "static" / "static" / "js"
    programs = [path.read_text(encoding="utf-8") for path in folder.glob("*.js")]
    assert all(any(name in text for text in programs) for name in (button, label))
