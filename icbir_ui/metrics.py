"""The figures of this server as Prometheus reads them. They count and measure, and name nobody and nothing."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector, generate_latest
from prometheus_client.core import InfoMetricFamily, Metric
from prometheus_client.registry import Collector

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
_SECONDS = (0.1, 0.25, 0.5, 1, 2.5, 5, 10, 20, 40, 80, 160)
_KINDS = {"ranking": "search", "map": "map", "pair": "pair", "prediction": "prediction"}

REGISTRY = CollectorRegistry()
ProcessCollector(registry=REGISTRY)
QUESTIONS = Counter(
    "icbir_questions", "Questions that needed computing: searches, maps and others", ["kind", "outcome"],
    registry=REGISTRY,
)  # fmt: skip
SECONDS = Histogram(
    "icbir_question_seconds", "From asking to the answer", ["kind"], buckets=_SECONDS, registry=REGISTRY
)
WAITED = Histogram("icbir_wait_seconds", "From asking to the turn", buckets=_SECONDS, registry=REGISTRY)
AUDIT_FAILURES = Counter("icbir_audit_failures", "Entries that the audit log did not take", registry=REGISTRY)
ACCESS_REFUSED = Counter("icbir_access_refused", "Actions for which somebody lacked the right", registry=REGISTRY)
ERRORS = Counter("icbir_errors", "Errors that the pages did not know, each with a number in the log", registry=REGISTRY)


def name_kind(key: object) -> str:
    """Of what kind a question is, from the name under which its answer is remembered."""
    return _KINDS.get(str(key[0]), "other") if isinstance(key, tuple) and key else "other"


def watch(name: str, text: str, measure: Callable[[], float]) -> None:
    """A gauge that is measured whenever the figures are asked for."""
    Gauge(name, text, registry=REGISTRY).set_function(measure)


class _Facts(Collector):
    def __init__(self, describe: Callable[[], dict[str, str]]):
        self._describe = describe

    def collect(self) -> Iterable[Metric]:
        family = InfoMetricFamily("icbir_index", "The index that searches use: hash of what made it, and cases")
        family.add_metric([], self._describe())
        return [family]

    def describe(self) -> Iterable[Metric]:
        return []


def watch_index(describe: Callable[[], dict[str, str]]) -> None:
    """The index in use, as labels."""
    REGISTRY.register(_Facts(describe))


def write_metrics() -> bytes:
    """All figures in Prometheus' text format."""
    return generate_latest(REGISTRY)
