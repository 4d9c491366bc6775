"""Every check on every map of a classifier, as rows of one table."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike

from icbir_core.radiograph.network_input import standardise
from icbir_core.saliency.composite import CompositeRelevance
from icbir_core.saliency.deep_taylor import DeepTaylor
from icbir_core.saliency.encoding import OK, name_state
from icbir_core.saliency.faithfulness import measure_faithfulness
from icbir_core.saliency.gradients import GradientExplainer
from icbir_core.saliency.localisation import CONTROL_MAPS, LOCALISATION, make_control_maps
from icbir_core.saliency.methods import SALIENCY_METHODS
from icbir_core.saliency.randomisation import cascade, compare_pairs, make_random_heads, measure_cosine
from icbir_core.saliency.registry import attribute, attribute_output
from icbir_core.types import Progress

if TYPE_CHECKING:
    from icbir_core.model.classifier import Classifier

DIRECTIONS = {
    "PointingGame": "higher",
    "RelevanceMassAccuracy": "higher",
    "IoU at Otsu": "higher",
    "PixelFlipping": "higher",
    "Deletion": "lower",
    "Insertion": "higher",
    "MPRT": "lower",
    "independent heads": "lower",
    "leak": "nearer 0",
    "states": "",
}


@dataclass(frozen=True, eq=False)
class MarkedFilms:
    """Films that show one finding, with where it is. images float32 (N, S, S) in [0, 1]; masks bool (N, S, S); groups :
    patient of each film (films of one patient are resampled together); source : where the marks come from."""

    source: str
    finding: str
    images: np.ndarray
    masks: np.ndarray
    groups: tuple[str, ...]


@dataclass(frozen=True)
class CheckRow:
    """One number: check (its name in Quantus where it has one), of which method, on what, with its 95 % interval
    (bootstrapped over patients), n films, and its difference from the random control, where there is one."""

    check: str
    method: str
    subject: str
    value: float
    low: float
    high: float
    films: int
    direction: str
    beyond_random: tuple[float, float, float] | None = None


@dataclass(frozen=True)
class CheckOptions:
    """methods to check; randomised : those that go through the cascade (each stage compiles anew)."""

    methods: tuple[str, ...] = field(default_factory=lambda: tuple(SALIENCY_METHODS))
    randomised: tuple[str, ...] = ("deep_taylor", "lrp_composite", "grad_cam")
    controls: tuple[str, ...] = field(default=CONTROL_MAPS)

    def __post_init__(self) -> None:
        for name in (*self.methods, *self.randomised):
            SALIENCY_METHODS[name]  # raises `UnknownNameError`


def bootstrap(values: ArrayLike, groups: Sequence[str] | np.ndarray, repeats: int = 2000) -> tuple[float, float, float]:
    """Mean and 95 % percentile interval, groups resampled whole; no interval (NaN) for fewer than two."""
    known = np.asarray(values, np.float64)
    _, members = np.unique(np.asarray(groups), return_inverse=True)
    sums, counts = np.bincount(members, known), np.bincount(members)
    mean = float(known.mean()) if len(known) else float("nan")
    if len(sums) < 2:
        return mean, float("nan"), float("nan")
    drawn = np.random.default_rng(0).multinomial(len(sums), np.full(len(sums), 1 / len(sums)), size=repeats)
    low, high = np.percentile(drawn @ sums / (drawn @ counts), [2.5, 97.5])
    return mean, float(low), float(high)


def _make_rows(check: str, subject: str, scores: dict[str, np.ndarray], groups: Sequence[str]) -> list[CheckRow]:
    rows = []
    for method, values in scores.items():
        beyond = bootstrap(values - scores["random"], groups) if "random" in scores and method != "random" else None
        found = bootstrap(values, groups)
        rows.append(CheckRow(check, method, subject, *found, len(values), DIRECTIONS[check], beyond))
    return rows


def _list_maps(
    classifier: Classifier, images: np.ndarray, finding: str, options: CheckOptions
) -> dict[str, np.ndarray]:
    maps = {name: attribute(classifier, images, finding, name) for name in options.methods}
    return maps | {name: make_control_maps(name, images) for name in options.controls}


def check_localisation(maps: dict[str, np.ndarray], marked: MarkedFilms) -> list[CheckRow]:
    """The three measures of every map, and "area": what a map that points at random would score on average."""
    subject = f"{marked.finding}, {marked.source}"
    rows = []
    for check, measure in LOCALISATION.items():
        scores = {
            name: np.array([measure(one, mask) for one, mask in zip(values, marked.masks, strict=True)])
            for name, values in maps.items()
        }
        rows += _make_rows(check, subject, scores, marked.groups)
    area = bootstrap(marked.masks.mean(axis=(1, 2)), marked.groups)
    return [*rows, CheckRow("area", "chance", subject, *area, len(marked.masks), "")]


def check_faithfulness(classifier: Classifier, maps: dict[str, np.ndarray], marked: MarkedFilms) -> list[CheckRow]:
    """Pixel flipping, deletion and insertion of every map, on the finding's logit."""
    explainer = GradientExplainer(classifier.model)
    index = classifier.output_index(marked.finding)

    def score(inputs: np.ndarray) -> np.ndarray:
        return explainer.score(inputs, index)

    films = standardise(marked.images)
    found = {
        name: [measure_faithfulness(score, film, one) for film, one in zip(films, values, strict=True)]
        for name, values in maps.items()
    }
    rows = []
    for check in ("PixelFlipping", "Deletion", "Insertion"):
        scores = {name: np.array([one[check] for one in values]) for name, values in found.items()}
        rows += _make_rows(check, f"{marked.finding}, {marked.source}", scores, marked.groups)
    return rows


def check_totals(classifier: Classifier, images: np.ndarray, finding: str, groups: Sequence[str]) -> list[CheckRow]:
    """Which share of what a method starts with does not arrive on the film: 1 - sum of the map / start."""
    inputs, index = standardise(images), classifier.output_index(finding)
    rows = []
    for name, method in (("deep_taylor", DeepTaylor), ("lrp_composite", CompositeRelevance)):
        maps, start = method(classifier.model, index).propagation.propagate(inputs, index)
        leak = 1.0 - maps.numpy().sum(axis=(1, 2), dtype=np.float64) / start.numpy()
        rows.append(CheckRow("leak", name, finding, *bootstrap(leak, groups), len(leak), DIRECTIONS["leak"]))
    explainer = GradientExplainer(classifier.model)
    rise = explainer.score(inputs, index) - explainer.score(np.zeros_like(inputs), index)
    gap = 1.0 - explainer.integrated_gradients(inputs, index).sum(axis=(1, 2), dtype=np.float64) / rise
    found = bootstrap(gap, groups)
    return [*rows, CheckRow("leak", "integrated_gradients", finding, *found, len(gap), DIRECTIONS["leak"])]


def check_randomisation(
    classifier: Classifier, images: np.ndarray, finding: str, groups: Sequence[str], options: CheckOptions
) -> Iterable[CheckRow]:
    """Cosine with the trained network's map: after each stage of shuffling, and between independent heads."""
    inputs, index = standardise(images), classifier.output_index(finding)
    trained = {name: attribute_output(classifier.model, inputs, index, name) for name in options.randomised}
    for stage, shuffled in cascade(classifier.model):
        for name in options.randomised:
            maps = attribute_output(shuffled, inputs, index, name)
            cosine = [measure_cosine(one, other) for one, other in zip(trained[name], maps, strict=True)]
            found = bootstrap(cosine, groups)
            yield CheckRow("MPRT", name, f"{finding}, shuffled down to {stage}", *found, len(cosine), "lower")
    drawn = make_random_heads(classifier.model)
    for name in options.randomised:
        pairs = compare_pairs([attribute_output(drawn, inputs, head, name) for head in range(4)])
        found = bootstrap(pairs, groups)
        yield CheckRow("independent heads", name, "heads drawn at random", *found, len(pairs), "lower")
        if len(classifier.findings) > 1:
            heads = range(min(4, len(classifier.findings)))
            pairs = compare_pairs([attribute_output(classifier.model, inputs, head, name) for head in heads])
            found = bootstrap(pairs, groups)
            yield CheckRow("independent heads", name, "heads of trained findings", *found, len(pairs), "lower")


def run_checks(
    classifier: Classifier,
    marked: Sequence[MarkedFilms],
    options: CheckOptions | None = None,
    progress: Progress | None = None,
) -> list[CheckRow]:
    """All checks. Localisation on every set; faithfulness, totals and randomisation on the first one."""
    options = options or CheckOptions()
    rows: list[CheckRow] = []
    steps = len(marked) + 3
    for done, films in enumerate(marked):
        if progress:
            progress(done, steps, f"maps and localisation: {films.source}")
        maps = _list_maps(classifier, films.images, films.finding, options)
        rows += check_localisation(maps, films)
        for name, values in maps.items():
            empty = [float(name_state(one) != OK) for one in values]
            rows.append(CheckRow("states", name, films.source, *bootstrap(empty, films.groups), len(empty), "lower"))
        if done == 0:
            if progress:
                progress(done, steps, "faithfulness")
            rows += check_faithfulness(classifier, maps, films)
    first = marked[0]
    if progress:
        progress(len(marked) + 1, steps, "totals")
    rows += check_totals(classifier, first.images, first.finding, first.groups)
    if progress:
        progress(len(marked) + 2, steps, "randomisation")
    rows += check_randomisation(classifier, first.images, first.finding, first.groups, options)
    if progress:
        progress(steps, steps, "")
    return rows


def render_table(rows: Sequence[CheckRow]) -> str:
    """The rows as one Markdown table."""

    def show(values: Sequence[float]) -> str:
        if np.isnan(values[0]):
            return "none"
        interval = "" if np.isnan(values[1]) else f" [{values[1]:.3f}, {values[2]:.3f}]"
        return f"{values[0]:.3f}{interval}"

    lines = ["| check | better | on | map | value [95 %] | minus random | n |", "|---|---|---|---|---|---|---|"]
    for row in rows:
        beyond = show(row.beyond_random) if row.beyond_random else ""
        found = show((row.value, row.low, row.high))
        lines.append(
            f"| {row.check} | {row.direction} | {row.subject} | {row.method} | {found} | {beyond} | {row.films} |"
        )
    return "\n".join(lines)


def to_plain(rows: Sequence[CheckRow]) -> list[dict[str, Any]]:
    """The rows as plain values for JSON; what is not finite becomes None, also within an interval."""

    def clean(value: Any) -> Any:
        if isinstance(value, tuple):
            return [clean(one) for one in value]
        return None if isinstance(value, float) and not np.isfinite(value) else value

    return [{name: clean(value) for name, value in asdict(row).items()} for row in rows]
