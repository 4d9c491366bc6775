"""Inputs that once failed, and damage drawn by Hypothesis. `make fuzz` draws more of it."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.fuzz.mutations import mutate
from tests.fuzz.run_reader import judge, run
from tests.fuzz.seeds import list_seeds

CORPUS = sorted((Path(__file__).parent / "corpus").glob("*.bin"))
EXAMPLES = int(os.environ.get("ICBIR_FUZZ_EXAMPLES", "100"))


def test_the_seeds_are_films():
    seeds = list_seeds()
    assert len(seeds) > 50 and {kind for kind, _ in seeds} == {"png", "jpeg", "dicom"}
    assert [judge(data) for _, data in seeds] == ["film"] * len(seeds)


@pytest.mark.parametrize("file", CORPUS, ids=lambda file: file.stem)
def test_what_once_failed(file):
    assert not judge(file.read_bytes()).startswith("FOREIGN")


@settings(
    max_examples=EXAMPLES,
    deadline=None,
    derandomize="ICBIR_FUZZ_EXAMPLES" not in os.environ,
    database=None,
    suppress_health_check=list(HealthCheck),
)
# Hypothesis draws the seed alone: a mutation may draw more numbers than it keeps of one example, which it calls flaky.
@given(random=st.randoms(use_true_random=True))
def test_damaged_films_end_in_a_film_or_a_sentence(random):
    assert not judge(mutate(random, list_seeds())).startswith("FOREIGN")


def test_a_run_goes_on_where_it_stopped_and_counts_every_input(tmp_path):
    run(tmp_path / "two", 20, 1e9, 5)
    in_two = run(tmp_path / "two", 40, 1e9, 5)
    at_once = run(tmp_path / "one", 40, 1e9, 5)
    assert in_two["counts"] == at_once["counts"] and sum(at_once["counts"].values()) == at_once["next"] == 40


def test_what_must_not_be_is_seen(monkeypatch, tmp_path):
    def raise_anything(data):
        raise IndexError

    monkeypatch.setattr("tests.fuzz.run_reader.read_radiograph", raise_anything)
    state = run(tmp_path, 3, 1e9, 5)
    assert state["counts"] == {"FOREIGN IndexError": 3} and len(list(tmp_path.glob("FOREIGN_IndexError_*.bin"))) == 3
