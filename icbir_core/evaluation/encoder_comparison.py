"""Encoders compared on films of one's own, as Denner et al. 2025 do: precision at 1, 3, 5 and 10 over all findings.

Each finding is asked for by the query films that carry it; a case among the k nearest counts if it carries it too, and
a case whose state is not known is passed over. Macro is the mean over findings, micro the mean over all pairs of a
query and a finding of it. Each encoder's features are compared by angle about the catalogue's mean, alone and side by
side.

Source of the form: Denner et al., "Leveraging foundation models for content-based image retrieval in radiology",
Computers in Biology and Medicine, 2025.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np

from icbir_core.catalogue import Workspace
from icbir_core.errors import EvaluationError, UnknownNameError
from icbir_core.evaluation import metrics
from icbir_core.evaluation.films import FilmSet, collect_catalogue, collect_layout, find_allowed
from icbir_core.evaluation.methods import measure_distances, rank_cases
from icbir_core.evaluation.page import NOTICE, Section, Table, make_plain, render_page, show_interval, show_number
from icbir_core.evaluation.running import EvaluationOptions
from icbir_core.evaluation.statistics import Interval, group_patients
from icbir_core.evaluation.vectors import VectorSource
from icbir_core.findings import NO_FINDING
from icbir_core.retrieval.methods import FEATURES, SearchMethod
from icbir_core.retrieval.side_by_side import name_field
from icbir_core.types import Progress

KS = (1, 3, 5, 10)
CLASSIFIER, TOGETHER = "classifier", "side by side"
_REPEATS = 1000


@dataclass(frozen=True, eq=False)
class EncoderComparison:
    """What was found. precision : encoder → k → "macro", "micro" and each finding → `Interval`. base_rate : the same of
    random cases. gain : encoder → finding or "macro" → precision at 10 less the classifier's. hashes : of the encoders.
    queries : finding → number of query films that carry it.
    """

    precision: Mapping[str, Mapping[int, Mapping[str, Interval]]]
    base_rate: Mapping[str, float]
    gain: Mapping[str, Mapping[str, Interval]]
    hashes: Mapping[str, str]
    queries: Mapping[str, int]
    notes: tuple[str, ...] = ()
    device: str = ""


def run_comparison(
    workspace: Workspace, options: EvaluationOptions, names: Sequence[str], progress: Progress | None = None
) -> EncoderComparison:
    """Compare encoders of the opened target, "classifier" or "all" among the names. options : its films are the
    queries. Raises `EvaluationError` without films, `UnknownNameError` for an encoder that the index was made without,
    and as `Retriever.open`."""
    from icbir_core.model.device import choose_device
    from icbir_core.retrieval.retriever import Retriever

    if options.films is None:
        raise EvaluationError("Name the films to search with by --layout, --images and --labels.")
    device = choose_device(options.device)
    opened = Retriever.open(workspace, options.target, options.device).get_target()
    known = {CLASSIFIER: opened.models.classifier.sha256} | {one.name: one.sha256 for one in opened.models.encoders}
    chosen = list(known) if "all" in names else list(dict.fromkeys(names))
    for name in chosen:
        if name not in known:
            raise UnknownNameError("encoder of this index", name, known)
    rows = np.setdiff1d(opened.store.get_completed(), workspace.catalogue.removed_rows())
    source = VectorSource(opened, workspace.path / "evaluation" / "vectors", progress)
    catalogue, queries = collect_catalogue(workspace, rows), collect_layout(workspace, options.films, progress)
    found = compare_encoders(queries, catalogue, source, chosen)
    return replace(found, hashes={name: known[name] for name in chosen}, device=f"{device.name} ({device.kind})")


def compare_encoders(
    queries: FilmSet, catalogue: FilmSet, source: VectorSource, names: Sequence[str], fewest: int = 1
) -> EncoderComparison:
    """As `run_comparison`, of films. fewest : findings that fewer query films carry are left out, as is "No Finding".
    Raises `EvaluationError` if no finding is left."""
    findings = [name for name in catalogue.findings if name in queries.findings and name != NO_FINDING]
    left, right = queries.align_labels(findings), catalogue.align_labels(findings)
    kept = [i for i in range(len(findings)) if (left[:, i] == 1).sum() >= fewest and (right[:, i] == 1).any()]
    if not kept:
        raise EvaluationError("No finding is known both of these films and of the catalogue; choose other films.")
    findings, left, right = [findings[i] for i in kept], left[:, kept], right[:, kept]
    allowed, groups = find_allowed(queries, catalogue), group_patients(queries.patients)
    if not allowed.any(axis=1).all():
        raise EvaluationError("Every case is of the patient of a query film; use a catalogue of other patients.")
    methods = [_make_method(name, (name,)) for name in names]
    methods += [_make_method(TOGETHER, names)] if len(names) > 1 else []
    values: dict[str, dict[int, np.ndarray]] = {}
    for method in methods:
        orders = rank_cases(measure_distances(method, source, queries, catalogue), allowed)
        values[method.name] = {k: _measure(orders, left, right, k) for k in KS}
    drawn = draw_patients(groups)
    precision = {
        name: {k: summarise_precision(one, findings, groups, drawn) for k, one in each.items()}
        for name, each in values.items()
    }
    gain = {
        name: summarise_precision(each[10] - values[names[0]][10], findings, groups, drawn)
        for name, each in values.items()
        if name != names[0]
    }
    base = measure_base_rates(left, right, allowed)
    rates = {name: float(np.nanmean(base[:, i])) for i, name in enumerate(findings)}
    rates |= {"macro": float(np.mean(list(rates.values()))), "micro": float(np.nanmean(base))}
    carried = {name: int((left[:, i] == 1).sum()) for i, name in enumerate(findings)}
    note = (
        f"{len(queries)} query films of {len(set(queries.patients) - {None})} patients against {len(catalogue)} cases; "
        "cases of the query's patient are never candidates. Intervals: 95 %, bootstrapped over patients."
    )
    return EncoderComparison(precision, rates, gain, {}, carried, (note,))


def _make_method(title: str, names: Sequence[str]) -> SearchMethod:
    fields = tuple(FEATURES if name == CLASSIFIER else name_field(name) for name in names)
    return SearchMethod(title, title, title, fields, centred=True)


def _measure(orders: Sequence[np.ndarray], asked: np.ndarray, known: np.ndarray, k: int) -> np.ndarray:
    """Precision at k, float64 (Q, F): NaN where the query does not carry the finding."""
    found = np.full(asked.shape, np.nan)
    for query, finding in np.argwhere(asked == 1):
        found[query, finding] = metrics.precision_at(metrics.drop_unknown(known[orders[query], finding]), k)
    return found


def measure_base_rates(asked: np.ndarray, known: np.ndarray, allowed: np.ndarray) -> np.ndarray:
    """What random cases would give, in the form of `_measure`."""
    found = np.full(asked.shape, np.nan)
    for query, finding in np.argwhere(asked == 1):
        found[query, finding] = np.nanmean(known[allowed[query], finding])
    return found


def draw_patients(groups: np.ndarray, seed: int = 0) -> np.ndarray:
    """How often each patient is drawn, int64 (repeats, patients); the same for all that is compared."""
    count = int(groups.max()) + 1
    return np.random.default_rng(seed).multinomial(count, np.full(count, 1 / count), size=_REPEATS)


def summarise_precision(
    values: np.ndarray, findings: Sequence[str], groups: np.ndarray, drawn: np.ndarray
) -> dict[str, Interval]:
    """Mean of each finding, macro and micro of values (Q, F), NaN where not asked, with intervals over patients."""
    weights = drawn[:, groups].astype(np.float64)
    asked, filled = np.isfinite(values), np.nan_to_num(values)
    sums, counts = weights @ filled, weights @ asked
    with np.errstate(invalid="ignore", divide="ignore"):
        each = sums / counts
    resampled = {name: each[:, i] for i, name in enumerate(findings)}
    resampled["macro"] = np.nanmean(each, axis=1)
    resampled["micro"] = sums.sum(axis=1) / np.maximum(counts.sum(axis=1), 1)
    means = filled.sum(axis=0) / asked.sum(axis=0)
    point = dict(zip(findings, means.tolist(), strict=True))
    point |= {"macro": float(means.mean()), "micro": float(filled.sum() / asked.sum())}
    behind = {name: asked[:, i] for i, name in enumerate(findings)}
    found = {}
    for name, values_drawn in resampled.items():
        low, high = np.nanpercentile(values_drawn, [2.5, 97.5])
        inside = behind.get(name, asked.any(axis=1))
        count = int(inside.sum()) if name in behind else int(asked.sum())
        found[name] = Interval(point[name], float(low), float(high), count, len(np.unique(groups[inside])))
    return found


def _tabulate(found: EncoderComparison) -> tuple[list[str], list[list[str]]]:
    """Macro and micro precision at each k, one row an encoder, with the base rate."""
    header = ["encoder", *(f"{kind} P@{k}" for kind in ("macro", "micro") for k in KS)]
    rows = [
        [name, *(show_interval(asdict(each[k][kind])) for kind in ("macro", "micro") for k in KS)]
        for name, each in found.precision.items()
    ]
    chance = [show_number(found.base_rate[kind]) for kind in ("macro", "micro") for _ in KS]
    return header, [*rows, ["base rate", *chance]]


def _tabulate_findings(found: EncoderComparison) -> tuple[list[str], list[list[str]]]:
    """Precision at 10 of each finding, one row a finding."""
    header = ["finding", "queries", "base rate", *found.precision]
    rows = [
        [name, str(count), show_number(found.base_rate[name]),
         *(show_interval(asdict(each[10][name])) for each in found.precision.values())]
        for name, count in found.queries.items()
    ]  # fmt: skip
    return header, rows


def summarise(found: EncoderComparison) -> list[str]:
    """What was found in plain sentences, favourable or not: findings for which none is shown to beat chance first."""
    lines = []
    weak = [
        name
        for name in found.queries
        if all(each[10][name].low <= found.base_rate[name] for each in found.precision.values())
    ]
    if weak:
        lines.append(f"No encoder is shown to be better than chance at 10 for {', '.join(weak)}.")
    best = max(found.precision, key=lambda name: found.precision[name][10]["macro"].value)
    lines.append(
        f"By macro precision at 10, {best} is best with {found.precision[best][10]['macro'].value:.3f}; "
        f"random cases give {found.base_rate['macro']:.3f}."
    )
    first = next(iter(found.precision))
    for name, each in found.gain.items():
        one = each["macro"]
        word = "no difference shown" if one.low <= 0 <= one.high else "better" if one.value > 0 else "WORSE"
        lines.append(f"{name} − {first}, macro P@10: {one.value:+.3f} [{one.low:+.3f}, {one.high:+.3f}]: {word}.")
    return lines


def comparison_to_text(found: EncoderComparison) -> str:
    """Both tables and the sentences, for the terminal."""
    parts = []
    for header, rows in (_tabulate(found), _tabulate_findings(found)):
        widths = [max(len(row[i]) for row in [header, *rows]) for i in range(len(header))]
        parts += ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
                  for row in [header, *rows]]  # fmt: skip
        parts.append("")
    return "\n".join([*parts, *summarise(found), *(f"Note: {note}" for note in found.notes)])


def comparison_to_json(found: EncoderComparison) -> dict[str, Any]:
    """Plain values of everything."""
    told: dict[str, Any] = make_plain(
        {
            "precision": {
                name: {str(k): {part: asdict(one) for part, one in parts.items()} for k, parts in each.items()}
                for name, each in found.precision.items()
            },
            "base_rate": dict(found.base_rate),
            "gain_at_10": {
                name: {part: asdict(one) for part, one in each.items()} for name, each in found.gain.items()
            },
            "queries": dict(found.queries),
            "encoders": dict(found.hashes),
            "summary": summarise(found),
            "notes": found.notes,
            "device": found.device,
            "notice": NOTICE,
        }
    )
    return told


def render_comparison(found: EncoderComparison) -> str:
    """The self-contained HTML page."""
    tables = [
        Table("Precision at k over all findings [95 % interval]", *_tabulate(found)),
        Table("Precision at 10 by finding [95 % interval]", *_tabulate_findings(found)),
    ]
    sections = [
        Section("What was found", summarise(found)),
        Section("On what", [*found.notes, f"Computed on {found.device}."]),
        Section("Results", (), tables),
    ]
    return render_page("Encoders compared", sections)
