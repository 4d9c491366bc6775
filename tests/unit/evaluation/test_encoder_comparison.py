"""Encoders compared over all findings: precision by hand, macro, micro, base rates, intervals, and what is said."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest

from icbir_core.errors import EvaluationError
from icbir_core.evaluation.encoder_comparison import (
    KS,
    TOGETHER,
    compare_encoders,
    comparison_to_json,
    comparison_to_text,
    render_comparison,
    summarise,
)
from icbir_core.evaluation.films import FilmSet

SEED = 5000
FINDINGS = ("Effusion", "Nodule", "No Finding")


def make_films(count: int, seed: int, prefix: str, patients: int) -> FilmSet:
    random = np.random.default_rng(seed)
    labels = (random.random((count, 3)) < (0.4, 0.2, 0.3)).astype(float)
    labels[random.random((count, 3)) < 0.1] = np.nan
    names = tuple(f"{prefix}{i}" for i in range(count))
    people = tuple(f"{prefix}p{i % patients}" for i in range(count))
    return FilmSet(names, names, people, ("PA",) * count, FINDINGS, labels, lambda i: None)


class Source:
    """Vectors of drawn encoders: "good" knows Effusion, "blind" knows nothing."""

    encoders = (SimpleNamespace(name="good"), SimpleNamespace(name="blind"))

    def __init__(self):
        self.asked: list[str] = []

    def get(self, films: FilmSet, kind: str) -> np.ndarray:
        self.asked.append(kind)
        random = np.random.default_rng(SEED + len(films) + len(kind))
        noise = random.normal(size=(len(films), 6))
        if kind == "encoder/good":
            noise[:, 0] += 6 * np.nan_to_num(films.labels[:, 0])
        return (noise + 20).astype(np.float32)


@pytest.fixture(scope="module")
def sides() -> tuple[FilmSet, FilmSet]:
    return make_films(40, 1, "q", 13), make_films(90, 2, "c", 50)


@pytest.fixture(scope="module")
def found(sides):
    return compare_encoders(*sides, Source(), ("blind", "good"))


def test_precision_is_what_counting_by_hand_gives(found, sides):
    queries, catalogue = sides
    source = Source()
    one, other = (source.get(films, "encoder/good").astype(float) for films in sides)
    centre = other.mean(axis=0)
    one, other = (
        (side - centre) / np.linalg.norm(side - centre, axis=1, keepdims=True) for side in (one, other)
    )  # fmt: skip
    for k in KS:
        each = {}
        for column, finding in enumerate(FINDINGS[:2]):
            values = []
            for row in np.flatnonzero(queries.labels[:, column] == 1):
                order = np.argsort(np.linalg.norm(other - one[row], axis=1), kind="stable")
                states = [catalogue.labels[case, column] for case in order]
                values.append(np.mean([state for state in states if not np.isnan(state)][:k]))
            each[finding] = values
            assert found.precision["good"][k][finding].value == pytest.approx(np.mean(values))
            assert found.precision["good"][k][finding].queries == len(values) == found.queries[finding]
        macro = np.mean([np.mean(values) for values in each.values()])
        assert found.precision["good"][k]["macro"].value == pytest.approx(macro)
        pairs = [value for values in each.values() for value in values]
        assert found.precision["good"][k]["micro"].value == pytest.approx(np.mean(pairs))
    base = [np.nanmean(catalogue.labels[:, column]) for column in (0, 1)]
    assert found.base_rate["macro"] == pytest.approx(np.mean(base)) and "No Finding" not in found.base_rate


def test_intervals_hold_the_values_and_tell_a_good_encoder_from_a_blind_one(found):
    for each in found.precision.values():
        for one in each[10].values():
            assert one.low <= one.value <= one.high and one.patients <= 13
    assert found.precision["good"][10]["Effusion"].low > found.base_rate["Effusion"]
    assert found.precision["blind"][10]["Effusion"].low < found.base_rate["Effusion"]
    gain = found.gain["good"]["Effusion"]
    assert gain.low > 0
    difference = found.precision["good"][10]["Effusion"].value - found.precision["blind"][10]["Effusion"].value
    assert gain.value == pytest.approx(difference)
    assert set(found.precision) == {"blind", "good", TOGETHER}


def test_what_is_said_begins_with_the_unfavourable(found):
    lines = summarise(found)
    assert lines[0] == "No encoder is shown to be better than chance at 10 for Nodule."
    assert "good is best" in lines[1] and any(line.startswith("good − blind, macro P@10: +") for line in lines)
    text, page, told = comparison_to_text(found), render_comparison(found), comparison_to_json(found)
    assert "base rate" in text and "macro P@1 " in text and "Nodule" in text and lines[0] in page
    assert told["precision"]["good"]["10"]["macro"]["value"] == pytest.approx(
        found.precision["good"][10]["macro"].value, rel=1e-4
    )
    assert told["gain_at_10"]["good"]["macro"]["low"] <= told["gain_at_10"]["good"]["macro"]["high"]


def test_one_encoder_alone_and_the_whole_patient_left_out(sides):
    queries, catalogue = sides
    alone = compare_encoders(catalogue, catalogue, Source(), ("good",))
    assert set(alone.precision) == {"good"} and not alone.gain
    same = FilmSet(*(getattr(catalogue, name) for name in ("names", "films")), ("p",) * 90, catalogue.views, FINDINGS,
                   catalogue.labels, catalogue.read)  # fmt: skip
    with pytest.raises(EvaluationError):
        compare_encoders(same, same, Source(), ("good",))


def test_films_without_a_known_finding_are_refused(sides):
    queries, catalogue = sides
    unknown = FilmSet(queries.names, queries.films, queries.patients, queries.views, FINDINGS,
                      np.full_like(queries.labels, np.nan), queries.read)  # fmt: skip
    with pytest.raises(EvaluationError, match="No finding is known"):
        compare_encoders(unknown, catalogue, Source(), ("good",))
