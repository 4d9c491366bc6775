"""An evaluation as a table for the terminal, as JSON, and as a self-contained HTML page."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import cv2
import numpy as np

from icbir_core.evaluation.figure_words import write_out
from icbir_core.evaluation.films import FilmSet
from icbir_core.evaluation.page import (
    NOTICE,
    Picture,
    Section,
    Table,
    make_plain,
    render_page,
    show_interval,
    show_number,
)
from icbir_core.evaluation.protocols import PUBLISHED, EvaluationResult
from icbir_core.radiograph.network_input import fit_to_network
from icbir_core.settings import InputSettings

_SHOWN = 160
_HITS = 5
_SHORT = ("precision_at_10", "r_precision", "average_precision", "ndcg_findings", "ndcg_truth")


def to_json(result: EvaluationResult) -> dict[str, Any]:
    """Plain values of everything but the pictures."""
    found: dict[str, Any] = make_plain(
        {
            "protocol": result.protocol,
            "target": result.target,
            "summary": result.summary,
            "notes": result.notes,
            "device": result.device,
            "skipped": result.queries.skipped,
            "notice": NOTICE,
            **result.tables,
        }
    )
    return found


def to_text(result: EvaluationResult) -> str:
    """The summary and one table, for the terminal."""
    if result.protocol == "silva2020":
        header, rows = _paper_rows(result.tables)
    else:
        shown = [name for name in _SHORT if name in result.tables["measures"]]
        header = ["method", *(name.replace("_", " ") for name in shown), "vote AUROC"]
        rows = [
            [name, *(show_interval(entry["metrics"][m]) for m in shown), show_interval(entry["vote"].get("auroc"))]
            for name, entry in result.tables["methods"].items()
        ]
        rows.append(["chance", *(show_number(result.tables["chance"][m]["value"]) for m in shown), "0.500"])
    widths = [max(len(row[i]) for row in [header, *rows]) for i in range(len(header))]
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) for row in [header, *rows]]
    return "\n".join([*lines, "", *result.summary, *(f"Note: {note}" for note in result.notes)])


def render_html(result: EvaluationResult) -> str:
    """The HTML page: summary first, then notes, tables, figures, and for held-out films the worst and best queries."""
    on_what = [*result.notes, *(f"Skipped: {line}" for line in result.queries.skipped)]
    if result.device:
        on_what.append(f"Computed on {result.device['name']} ({result.device['kind']}).")
    sections = [Section("What was found", list(result.summary)), Section("On what", on_what)]
    if result.protocol == "silva2020":
        header, rows = _paper_rows(result.tables)
        tables = [Table("Precision at k = positives in the catalogue [95 % interval]", header, rows)]
        sections.append(Section("Results", (), [*tables, _tabulate_differences(result.tables)]))
        return render_page(f"Evaluation: {result.protocol}, {result.target}", sections)
    text = (
        "Intervals: 95 %, bootstrapped over patients. p against chance: one-sided, from random orders. Controls feed "
        "other maps into the same saliency classifier, which was not retrained on them."
    )
    sections += [
        Section("Methods and controls", [text], [_describe_methods(result.tables), *_tabulate_metrics(result.tables)]),
        Section("Precision by k", (), (), [draw_curves(result.tables)]),
        Section(
            "Paired differences",
            ["Two-sided p by sign flips of whole patients, corrected by Holm over all rows of this table."],
            [_tabulate_differences(result.tables)],
            [figure] if (figure := draw_differences(result.tables)) is not None else [],
        ),
        *_show_queries(result),
    ]
    return render_page(f"Evaluation: {result.protocol}, {result.target}", sections)


def _paper_rows(tables: Mapping[str, Any]) -> tuple[list[str], list[list[str]]]:
    fractions = list(tables["chance"])
    header = ["method", *(f"fraction {fraction}" for fraction in fractions)]
    rows = [[name, *(show_interval(row[f]) for f in fractions)] for name, row in tables["methods"].items()]
    return header, [*rows, ["chance", *(show_number(tables["chance"][f]) for f in fractions)]]


def _describe_methods(tables: Mapping[str, Any]) -> Table:
    rows = [
        [name, entry["description"], "control" if entry["control"] else "method"]
        for name, entry in tables["methods"].items()
    ]
    return Table("What is compared", ["name", "what it compares", "kind"], rows)


def _tabulate_metrics(tables: Mapping[str, Any]) -> list[Table]:
    found = []
    for measure, title in tables["measures"].items():
        rows = [
            [name, show_interval(entry["metrics"][measure]), show_number(entry["p_against_chance"][measure]),
             str(entry["metrics"][measure]["queries"])]
            for name, entry in tables["methods"].items()
        ]  # fmt: skip
        rows.append(["chance", show_interval(tables["chance"][measure]), "", ""])
        found.append(
            Table(title.capitalize(), ["method", "value [95 % interval]", "p against chance", "queries"], rows)
        )
    votes = [
        [name, show_interval(entry["vote"]["auroc"]), show_number(entry["vote"]["balanced_accuracy_of_majority"])]
        for name, entry in tables["methods"].items()
        if entry["vote"]
    ]
    if votes:
        k = next(entry["vote"]["k"] for entry in tables["methods"].values() if entry["vote"])
        header = ["method", "AUROC [95 % interval]", "balanced accuracy of the majority"]
        found.append(Table(f"Vote of the {k} nearest, over queries with and without the finding", header, votes))
    return found


def _tabulate_differences(tables: Mapping[str, Any]) -> Table:
    rows = [
        [entry["metric"], f"{entry['first']} − {entry['second']}", show_interval(entry["difference"]),
         show_number(entry["p_value"]), show_number(entry["p_corrected"])]
        for entry in tables["comparisons"]
    ]  # fmt: skip
    return Table("Paired differences", ["measure", "methods", "difference [95 % interval]", "p", "corrected p"], rows)


def draw_curves(tables: Mapping[str, Any]) -> Any:
    """A plotly figure of precision by k, controls dashed."""
    import plotly.graph_objects as go

    figure = go.Figure()
    for name, entry in tables["methods"].items():
        ks = [int(k) for k in entry["precision_by_k"]]
        figure.add_scatter(x=ks, y=list(entry["precision_by_k"].values()), name=write_out(name), mode="lines+markers",
                           line={"dash": "dot" if entry["control"] else "solid"})  # fmt: skip
    chance = next((tables["chance"][m]["value"] for m in tables["chance"] if m.startswith("precision_at")), None)
    if chance is not None:
        figure.add_hline(y=chance, line_dash="dash", annotation_text="chance")
    figure.update_layout(xaxis_title="k", yaxis_title="precision at k", height=460, margin={"t": 30})
    figure.update_xaxes(type="log", tickvals=[1, 2, 5, 10, 20, 50])
    return figure


def draw_differences(tables: Mapping[str, Any], measure: str = "average_precision") -> Any:
    """A plotly figure of the paired differences in one measure, each with its interval; None without any."""
    import plotly.graph_objects as go

    entries = [entry for entry in tables["comparisons"] if entry["metric"] == measure]
    if not entries:
        return None
    values = [entry["difference"] for entry in entries]
    names = [write_out(f"{entry['first']} − {entry['second']}") for entry in entries]
    figure = go.Figure(
        go.Scatter(
            x=[v["value"] for v in values], y=names, mode="markers",
            error_x={"array": [v["high"] - v["value"] for v in values],
                     "arrayminus": [v["value"] - v["low"] for v in values]},
        )
    )  # fmt: skip
    figure.add_vline(x=0, line_dash="dash")
    figure.update_layout(xaxis_title=f"difference of {measure.replace('_', ' ')}", height=160 + 28 * len(entries),
                         margin={"t": 20, "l": 240})  # fmt: skip
    return figure


def _show_queries(result: EvaluationResult, count: int = 3) -> list[Section]:
    name = PUBLISHED if PUBLISHED in result.scores else next(iter(result.scores), None)
    if name is None:
        return []
    values = result.scores[name].per_query["average_precision"]
    known = np.flatnonzero(np.isfinite(values))
    ordered = known[np.argsort(values[known], kind="stable")]
    sections = []
    for title, chosen in (("Worst queries", ordered[:count]), ("Best queries", ordered[::-1][:count])):
        pictures = [_draw_row(result, name, int(query), float(values[query])) for query in chosen]
        sections.append(Section(f"{title} of {name} by average precision", (), (), (), pictures))
    return sections


def _draw_row(result: EvaluationResult, method: str, query: int, value: float) -> Picture:
    """The query and its nearest cases in one row; a bright frame means that the case carries the target."""
    states = result.catalogue.states(result.target)
    near = result.orders[method][query][:_HITS]
    tiles = [_draw_film(result.queries, query, 0)]
    tiles += [_draw_film(result.catalogue, int(i), 220 if states[i] == 1 else 60) for i in near]
    words = {1.0: "with", 0.0: "without"}
    found = ", ".join(words.get(float(states[i]), "unknown") for i in near)
    caption = f"{result.queries.names[query]} (left), average precision {value:.2f}; nearest: {found} {result.target}"
    return Picture(caption, cv2.imencode(".png", np.concatenate(tiles, axis=1))[1].tobytes())


def _draw_film(films: FilmSet, number: int, frame: int) -> np.ndarray:
    image = fit_to_network(films.read(number).pixels, InputSettings(size=_SHOWN, equalise=False))
    tile = np.rint(255 * np.clip(image, 0, 1)).astype(np.uint8)
    return np.asarray(cv2.copyMakeBorder(tile, 4, 4, 4, 4, cv2.BORDER_CONSTANT, value=frame))
