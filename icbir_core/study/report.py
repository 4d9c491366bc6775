"""A study's statistics as a self-contained HTML page."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from icbir_core.evaluation.figure_words import write_out
from icbir_core.evaluation.page import Section, Table, render_page, show_interval, show_number
from icbir_core.plurals import count_of
from icbir_core.retrieval.methods import find_title
from icbir_core.study.analysis import StudyResult
from icbir_core.study.design import Study

ANCHORS = (
    "For comparison: inter-radiologist Fleiss κ 0.51 on chest films (2023), κ 0.41–0.66 on a nine-step similarity "
    "scale (2013). Intervals are 95 %, bootstrapped over queries."
)
_AGREEMENT: Mapping[str, str] = {
    "krippendorff_alpha": "Krippendorff's α (ordinal, missing allowed)",
    "icc_2_1": "ICC(2,1), one reader",
    "icc_2_k": "ICC(2,k), mean of the readers",
    "weighted_kappa_mean": "Weighted κ (quadratic), mean over pairs",
    "kendall_w_within_queries": "Kendall's W, mean over queries",
    "kendall_tau_within_queries": "Kendall's τ-b between readers, mean over queries",
}


def render_report(study: Study, result: StudyResult) -> str:
    """The HTML page; says first if the readers were simulated, and every note of the analysis."""
    warnings = list(result.notes)
    if result.simulated:
        warnings.insert(0, "SIMULATED READERS: these numbers test the statistics and say nothing about the retrieval.")
    return render_page(f"Reading study: {study.name}", make_sections(study, result), warnings)


def make_sections(study: Study, result: StudyResult) -> list[Section]:
    """Everything that the statistics say, as sections for a page."""
    counts = result.counts
    sections = [
        Section(
            "The study",
            [
                f"{count_of(len(result.readers), 'reader')} ({', '.join(result.readers)}), "
                f"{count_of(result.queries, 'query', 'queries')} with {study.target}, "
                f"{count_of(counts['items'], 'pair')}; {count_of(len(study.repeats), 'hidden repeat')}"
                f"{' in each of the two stages' if study.stages == 2 else ''}. "
                f"{count_of(counts['ratings'], 'answer')}, "
                f"{counts['cannot_judge']} of them 'cannot judge'.",
                f"Methods pooled: {'; '.join(_name(method) for method in study.methods)}. Top {study.k} of each, with "
                "random negatives.",
                f"Blinded: method, rank, distance and labels were hidden. Definition {study.sha256[:12]}.",
            ],
            [_count_scores(study, result)],
        ),
        Section("Agreement between readers", [ANCHORS], _tabulate_agreement(result)),
        Section("Readers with themselves", ["From the hidden repeats."], _tabulate_repeats(study, result)),
        Section(
            "Methods and readers",
            [
                "nDCG of each method's order of the pool by the readers' mean score (gain 2^score − 1, discount "
                "log2(rank + 1)), beside what random orders of the same pools reach; corrected = (nDCG − chance) / "
                "(1 − chance).",
                *(["The band is one reader's order judged by the mean of the others."] if _find_band(result) else []),
            ],
            _tabulate_methods(result),
            [figure] if (figure := draw_methods(result)) is not None else [],
        ),
    ]
    if result.maps:
        change = result.maps["change_of_score"]
        told = [
            f"Score with maps minus without: {show_interval(change['difference'])}, p = "
            f"{show_number(change['p_value'])}; {100 * result.maps['changed_scores']:.0f} % of the scores changed."
        ]
        if "alpha_with_maps" in result.maps:
            told.append(
                f"Krippendorff's α without maps {show_interval(result.maps['alpha_without_maps'])}, "
                f"with maps {show_interval(result.maps['alpha_with_maps'])}."
            )
        sections.append(Section("What seeing the maps changed", told))
    sections += _show_other_tasks(result)
    sections.append(Section("Time for a decision", (), [_tabulate_times(result)]))
    return sections


def _name(method: str, short: bool = False) -> str:
    """A method as the pages call it; short : with its name in the exported data behind it."""
    title = find_title(method)
    return f"{title} [{method}]" if short and title != method else title


def _find_band(result: StudyResult) -> Mapping[str, Any] | None:
    """The band between readers; None with fewer than two of them."""
    return result.methods.get("readers_among_themselves")


def _name_stages(study: Study) -> str:
    return ", both stages" if study.stages == 2 else ""


def _count_scores(study: Study, result: StudyResult) -> Table:
    scores = result.counts["scores"]
    caption = f"Scores given (5 similar … 1 dissimilar){_name_stages(study)}"
    return Table(caption, list(scores), [[str(count) for count in scores.values()]])


def _tabulate_agreement(result: StudyResult) -> list[Table]:
    between = result.between_readers
    if not between:
        return []
    rows = [[title, show_interval(between[name])] for name, title in _AGREEMENT.items()]
    pairs = [[pair, show_number(value)] for pair, value in between["weighted_kappa_pairs"].items()]
    offsets = [[reader, show_number(value, 2)] for reader, value in between["reader_mean_offset"].items()]
    return [
        Table("All readers", ["statistic", "value [95 % interval]"], rows),
        Table("Each pair", ["readers", "weighted κ"], pairs),
        Table("Offset of each reader from the mean of all", ["reader", "steps"], offsets),
    ]


def _tabulate_repeats(study: Study, result: StudyResult) -> list[Table]:
    rows = [
        [reader, str(v["repeats"]), f"{100 * v['same_score']:.0f} %", f"{100 * v['within_one_step']:.0f} %",
         show_number(v["weighted_kappa"]), show_number(v["standard_deviation"], 2)]
        for reader, v in result.within_readers.items()
    ]  # fmt: skip
    header = ["reader", "repeats", "same score", "within one step", "weighted κ", "standard deviation of a score"]
    return [Table(f"Hidden repeats answered{_name_stages(study)}", header, rows)] if rows else []


def _tabulate_methods(result: StudyResult) -> list[Table]:
    methods = {name: v for name, v in result.methods.items() if v and "chance" in v}
    if not methods:
        return []
    rows = [
        [_name(name, short=True), show_interval(v["ndcg"]), show_number(v["chance"]["chance"]),
         show_number(v["chance"]["corrected"]), show_number(v["chance"]["p_value"]),
         show_interval(v["kendall_tau_with_readers"])]
        for name, v in methods.items()
    ]  # fmt: skip
    band = _find_band(result)
    if band:
        between = f"{show_number(band['lowest_reader'])} to {show_number(band['highest_reader'])}"
        rows.append(["band between readers", f"{show_interval(band['ndcg'])}; {between}", "", "", "", ""])
    compared = [
        [f"{_name(c['first'])} − {_name(c['second'])}", show_interval(c["difference"]), show_number(c["p_value"]),
         show_number(c["p_corrected"])]
        for c in result.comparisons
    ]  # fmt: skip
    return [
        Table("Each method", ["method", "nDCG", "chance", "corrected", "p against chance", "τ-b with readers"], rows),
        Table(
            "Paired differences of nDCG (p corrected by Holm)", ["methods", "difference", "p", "corrected p"], compared
        ),
    ]


def draw_methods(result: StudyResult) -> Any:
    """A plotly figure of each method's nDCG with interval, chance and the band between readers; None without data."""
    import plotly.graph_objects as go

    methods = {name: v for name, v in result.methods.items() if v and "chance" in v}
    if not methods:
        return None
    names = [write_out(_name(method)) for method in methods]
    values = [v["ndcg"] for v in methods.values()]
    figure = go.Figure(
        go.Scatter(
            x=names, y=[v["value"] for v in values], mode="markers", name="method", marker={"size": 11},
            error_y={"array": [v["high"] - v["value"] for v in values],
                     "arrayminus": [v["value"] - v["low"] for v in values]},
        )
    )  # fmt: skip
    figure.add_scatter(x=names, y=[v["chance"]["chance"] for v in methods.values()], mode="markers", name="chance",
                       marker={"symbol": "line-ew-open", "size": 26})  # fmt: skip
    band = _find_band(result)
    if band:
        figure.add_hrect(y0=band["lowest_reader"], y1=band["highest_reader"], opacity=0.15, line_width=0,
                         fillcolor="#2563eb", annotation_text="between readers")  # fmt: skip
    figure.update_layout(yaxis_title="nDCG by the readers' mean score", height=420, margin={"t": 30})
    return figure


def _show_other_tasks(result: StudyResult) -> list[Section]:
    sections = []
    if result.ranking:
        rows = [
            [_name(name), show_number(v["value"]), show_number(v["chance"]), show_number(v["corrected"]),
             show_number(v["p_value"])]
            for name, v in result.ranking["methods"].items()
        ]  # fmt: skip
        text = f"Kendall's W between readers, mean over queries: {show_interval(result.ranking['kendall_w'])}."
        header = ["method", "nDCG by the paper's gain", "chance", "corrected", "p against chance"]
        sections.append(
            Section("Full ranking", [text], [Table("Each method's order by the readers' ranks", header, rows)])
        )
    if result.choices:
        rows = [[_name(name), show_interval(value)] for name, value in result.choices.items()]
        table = Table(
            "How often the case that the method ranks higher was chosen (chance 0.5)", ["method", "share"], rows
        )
        sections.append(Section("Forced choice of two", (), [table]))
    return sections


def _tabulate_times(result: StudyResult) -> Table:
    rows = [
        [name, show_number(v["median"], 1), " to ".join(show_number(q, 1) for q in v["quartiles"]), str(v["answers"])]
        for name, v in result.times.items()
    ]
    return Table("Seconds", ["reader", "median", "quartiles", "answers"], rows)


def render_text(result: StudyResult) -> str:
    """The main numbers for the terminal."""
    lines = [
        f"{'SIMULATED READERS. ' if result.simulated else ''}{count_of(len(result.readers), 'reader')}, "
        f"{count_of(result.queries, 'query', 'queries')}, {count_of(result.counts['ratings'], 'answer')} "
        f"({result.counts['cannot_judge']} 'cannot judge')."
    ]
    lines += [
        f"{title}: {show_interval(result.between_readers[name])}"
        for name, title in _AGREEMENT.items()
        if name in result.between_readers
    ]
    for name, v in result.methods.items():
        if v and "chance" in v:
            lines.append(
                f"{_name(name, short=True)}: nDCG {show_interval(v['ndcg'])}, "
                f"chance {show_number(v['chance']['chance'])}, corrected "
                f"{show_number(v['chance']['corrected'])}, p {show_number(v['chance']['p_value'])}"
            )
    band = _find_band(result)
    if band:
        lines.append(f"Band between readers: nDCG {show_interval(band['ndcg'])}")
    return "\n".join([*lines, *(f"Note: {note}" for note in result.notes)])
