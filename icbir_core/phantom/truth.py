"""What is really on a simulated film, and how alike two of them are."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from icbir_core.errors import IcbirError

HIGHEST_GRADE = 4.0
"""The similarity grade of a film with itself."""


class SimulationError(IcbirError):
    """A simulated film is described in a way that is impossible."""


def encode_runs(mask: np.ndarray) -> list[int]:
    """Run lengths of a bool (H, W) mask, row by row, starting with the length of the first False run (may be 0)."""
    flat = np.ascontiguousarray(mask, bool).ravel()
    edges = np.flatnonzero(flat[1:] != flat[:-1]) + 1
    bounds = np.concatenate([[0], edges, [flat.size]])
    runs = np.diff(bounds).tolist()
    return [0, *runs] if flat.size and flat[0] else runs


def decode_runs(runs: Sequence[int], shape: tuple[int, int]) -> np.ndarray:
    """The bool (H, W) mask of `encode_runs`; raises `SimulationError` when the runs do not fill the shape."""
    if sum(runs) != shape[0] * shape[1]:
        raise SimulationError(f"The runs of a mask must add up to {shape[0] * shape[1]} pixels, not to {sum(runs)}.")
    values = np.arange(len(runs)) % 2 == 1
    return np.repeat(values, runs).reshape(shape)


@dataclass(frozen=True)
class SimulatedFinding:
    """One finding of a simulated film: name, side ("right", "left", "both", "midline", all the patient's),
    severity in [0, 1].

    `size` with its `unit` is the physical extent: "mL" (Effusion), "cardiothoracic ratio" (Cardiomegaly), "mm rim"
    (Pneumothorax), "mm diameter" (Nodule, Mass), "% of lung" (Consolidation, Pneumonia, Edema, Atelectasis).
    `mask` is bool (H, W): the pixels that the finding changes.
    """

    name: str
    side: str
    severity: float
    size: float
    unit: str
    mask: np.ndarray

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, SimulatedFinding):
            return NotImplemented
        return (self.name, self.side, self.severity, self.size, self.unit) == (
            other.name,
            other.side,
            other.severity,
            other.size,
            other.unit,
        ) and np.array_equal(self.mask, other.mask)

    __hash__ = None  # type: ignore[assignment]


@dataclass(frozen=True)
class SimulatedTruth:
    """All that is known of a simulated film. `spacing` is mm per pixel on the detector, `cardiothoracic_ratio` is
    measured."""

    seed: int
    view: str
    age: int
    sex: str
    spacing: float
    findings: tuple[SimulatedFinding, ...]
    cardiothoracic_ratio: float
    lung_mask: np.ndarray | None = None
    heart_mask: np.ndarray | None = None

    __hash__ = None  # type: ignore[assignment]

    def __eq__(self, other: object) -> bool:
        return self.to_json() == other.to_json() if isinstance(other, SimulatedTruth) else NotImplemented

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the findings present, in order; empty for a film without any."""
        return tuple(finding.name for finding in self.findings)

    def finding(self, name: str) -> SimulatedFinding | None:
        """The finding of that name, or None."""
        return next((finding for finding in self.findings if finding.name == name), None)

    def to_json(self) -> str:
        """One line of JSON, masks as run lengths; `from_json` reads it back."""

        def mask(value: np.ndarray | None) -> dict[str, Any] | None:
            return None if value is None else {"shape": list(value.shape), "runs": encode_runs(value)}

        findings = [
            {
                "name": finding.name,
                "side": finding.side,
                "severity": finding.severity,
                "size": finding.size,
                "unit": finding.unit,
                "mask": mask(finding.mask),
            }
            for finding in self.findings
        ]
        content = {
            "seed": self.seed,
            "view": self.view,
            "age": self.age,
            "sex": self.sex,
            "spacing": self.spacing,
            "cardiothoracic_ratio": self.cardiothoracic_ratio,
            "findings": findings,
            "lung_mask": mask(self.lung_mask),
            "heart_mask": mask(self.heart_mask),
        }
        return json.dumps(content, separators=(",", ":"))

    @classmethod
    def from_json(cls, text: str) -> SimulatedTruth:
        """The truth that `to_json` wrote; raises `SimulationError` on any other text."""

        def mask(value: dict[str, Any] | None) -> np.ndarray | None:
            return None if value is None else decode_runs(value["runs"], tuple(value["shape"]))

        try:
            content = json.loads(text)
            content["findings"] = tuple(
                SimulatedFinding(**{**finding, "mask": mask(finding["mask"])}) for finding in content["findings"]
            )
            content["lung_mask"] = mask(content.get("lung_mask"))
            content["heart_mask"] = mask(content.get("heart_mask"))
            return cls(**content)
        except (ValueError, KeyError, TypeError) as error:
            raise SimulationError(f"This is no line of a truth.jsonl file ({error}).") from error


def similarity_grade(a: SimulatedTruth, b: SimulatedTruth) -> float:
    """How alike two films are in what a reader looks for, in [0, 4]: 4 is the same findings, sides and severities.

    Every finding that is on at least one of the films counts with weight 0.5 + 0.5 · (its greater severity).
    On one film only, it agrees by 0. On both, it agrees by 0.5 for being there, up to 0.25 for the side (0.25
    the same, 0.125 when one is both sides and the other one of them, 0 for opposite sides) and 0.25 · (1 −
    difference of severity). The grade is 4 times the weighted mean; two films without findings have 4. It is
    symmetric, and 4 for a film with itself.
    """
    first, second = {f.name: f for f in a.findings}, {f.name: f for f in b.findings}
    total = agreement = 0.0
    for name in sorted(first.keys() | second.keys()):
        here, there = first.get(name), second.get(name)
        weight = 0.5 + 0.5 * max(f.severity for f in (here, there) if f is not None)
        total += weight
        if here is None or there is None:
            continue
        side = 0.25 if here.side == there.side else 0.125 if "both" in (here.side, there.side) else 0.0
        agreement += weight * (0.5 + side + 0.25 * (1 - abs(here.severity - there.severity)))
    return HIGHEST_GRADE if total == 0 else HIGHEST_GRADE * agreement / total
