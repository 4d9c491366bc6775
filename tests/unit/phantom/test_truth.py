"""Ground truth: run lengths, JSON, the graded similarity."""

import dataclasses

import numpy as np
import pytest

from icbir_core.phantom import HIGHEST_GRADE, SimulatedFinding, SimulatedTruth, SimulationError, similarity_grade
from icbir_core.phantom.truth import decode_runs, encode_runs

MASK = np.zeros((6, 5), bool)
MASK[2:4, 1:3] = True


def finding(name, side="right", severity=0.5):
    return SimulatedFinding(name, side, severity, 10.0, "mL", MASK)


def truth(*findings, seed=1):
    return SimulatedTruth(seed, "PA", 50, "F", 0.7, findings, 0.44, MASK, ~MASK)


def test_runs_come_back():
    random = np.random.default_rng(0)
    for mask in (MASK, ~MASK, np.zeros((3, 4), bool), np.ones((3, 4), bool), random.random((17, 9)) > 0.5):
        assert np.array_equal(decode_runs(encode_runs(mask), mask.shape), mask)
    with pytest.raises(SimulationError, match="add up to"):
        decode_runs([3, 4], (5, 5))


def test_json_comes_back():
    one = truth(finding("Effusion"), finding("Mass", "left", 0.1))
    line = one.to_json()
    assert "\n" not in line
    assert SimulatedTruth.from_json(line) == one
    assert SimulatedTruth.from_json(line).findings[0] == one.findings[0]
    with pytest.raises(SimulationError, match="truth.jsonl"):
        SimulatedTruth.from_json(line[:-10])


def test_grade_is_highest_with_itself_and_symmetric():
    films = [
        truth(),
        truth(finding("Effusion")),
        truth(finding("Effusion", "left")),
        truth(finding("Effusion", "both", 0.9)),
        truth(finding("Effusion", "right", 0.1), finding("Mass")),
        truth(finding("Mass", "left", 1.0), finding("Edema", "both", 0.2)),
    ]
    for a in films:
        assert similarity_grade(a, a) == HIGHEST_GRADE
        for b in films:
            assert similarity_grade(a, b) == similarity_grade(b, a)
            assert 0 <= similarity_grade(a, b) <= HIGHEST_GRADE


def test_side_severity_and_further_findings_matter():
    query = truth(finding("Effusion", "right", 0.5))
    order = [
        truth(finding("Effusion", "right", 0.5)),
        truth(finding("Effusion", "right", 0.8)),
        truth(finding("Effusion", "both", 0.8)),
        truth(finding("Effusion", "left", 0.8)),
        truth(finding("Effusion", "left", 0.8), finding("Mass")),
        truth(finding("Mass")),
    ]
    grades = [similarity_grade(query, other) for other in order]
    assert grades == sorted(grades, reverse=True) and len(set(grades)) == len(grades)
    assert grades[-1] == 0
    assert similarity_grade(query, truth()) == 0
    missing_trace = similarity_grade(query, truth(finding("Effusion"), finding("Mass", severity=0.0)))
    missing_much = similarity_grade(query, truth(finding("Effusion"), finding("Mass", severity=1.0)))
    assert missing_trace > missing_much


def test_truth_is_frozen():
    with pytest.raises(dataclasses.FrozenInstanceError):
        truth().seed = 2
