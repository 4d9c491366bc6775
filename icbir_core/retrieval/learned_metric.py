"""A metric learned from the catalogue's own labels, on the features of both networks: the search method
"learned_metric".

A film's vector holds two things side by side. First, for each finding that the catalogue knows well enough, a
probability by logistic regression on the whitened principal components of [cnn, ig_cbir] features: films that carry
the same findings lie near each other (a supervised Mahalanobis metric, squashed so that two clear cases are alike).
Second, the classifier's features at a smaller weight, which order cases of the same findings by how they look.

It is fitted on a catalogue when that is indexed, kept beside the indexes, and applied to query and case alike.
"""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from icbir_core.errors import IndexMismatch, RetrievalError
from icbir_core.files import sha256_of_bytes, write_bytes_atomically

NAME = "learned_metric"
FILE = "learned_metric.npz"
LEAST_CASES = 10
"""A finding takes part if so many cases are known to show it, and so many known not to."""
LARGEST_SAMPLE = 20_000
_COMPONENTS, _CASES_PER_COMPONENT = 120, 8
_INVERSE_REGULARISATION = 0.03
_APPEARANCE = 0.5
"""Weight of the classifier's features, whose spread over the catalogue is 1, beside probabilities in [0, 1]."""


@dataclass(frozen=True, eq=False)
class LearnedMetric:
    """Fitted values. findings : the F that take part. weights float32 (F, 2D) and offsets (F,) : log-odds from the
    features of both networks side by side (D of each, or of the classifier alone). appearance : what the classifier's
    features are multiplied by. cases : how many it was fitted on. identity : hashes of what the features came from.
    """

    findings: tuple[str, ...]
    weights: np.ndarray
    offsets: np.ndarray
    appearance: float
    cases: int
    identity: dict[str, str]

    @property
    def sha256(self) -> str:
        """A hash of all values: indexes made with this metric carry it."""
        return sha256_of_bytes(self._to_bytes())

    def transform(self, cnn: np.ndarray, ig_cbir: np.ndarray | None) -> np.ndarray:
        """Vectors float32 (N, F + D) of films by their features float32 (N, D) each."""
        cnn = np.asarray(cnn, np.float32)
        odds = self._join(cnn, ig_cbir) @ self.weights.T + self.offsets
        return np.concatenate([_squash(odds), cnn * np.float32(self.appearance)], axis=1)

    def find_directions(self, cnn: np.ndarray, ig_cbir: np.ndarray | None) -> tuple[np.ndarray, np.ndarray | None]:
        """What the squared distance of two films is, per feature: (g, h) float64 (D,) with
        distance² = g · (cnn₁ − cnn₂) + h · (ig_cbir₁ − ig_cbir₂), exactly; features (2, D) of each network.

        Through the squashed odds goes the slope of the secant (the "rescale rule" of Shrikumar et al., ICML 2017).
        """
        joined = self._join(np.asarray(cnn, np.float64), ig_cbir)
        odds = joined @ self.weights.T.astype(np.float64) + self.offsets
        squashed = _squash(odds)
        rise, run = squashed[0] - squashed[1], odds[0] - odds[1]
        middle = squashed.mean(axis=0)
        slope = np.divide(rise, run, out=middle * (1 - middle), where=np.abs(run) > 1e-9)
        shared = (rise * slope) @ self.weights
        depth = cnn.shape[1]
        ours = shared[:depth] + self.appearance**2 * (np.asarray(cnn[0], np.float64) - cnn[1])
        return ours, shared[depth:] if ig_cbir is not None else None

    def _join(self, cnn: np.ndarray, ig_cbir: np.ndarray | None) -> np.ndarray:
        joined = cnn if ig_cbir is None else np.concatenate([cnn, np.asarray(ig_cbir, cnn.dtype)], axis=1)
        if joined.shape[1] != self.weights.shape[1]:
            raise IndexMismatch(
                f"Expected {self.weights.shape[1]} features for the learned metric, got {joined.shape[1]}; "
                "run the index command again."
            )
        return joined

    def _to_bytes(self) -> bytes:
        buffer = io.BytesIO()
        np.savez(
            buffer, findings=np.array(self.findings), weights=self.weights, offsets=self.offsets,
            appearance=np.array(self.appearance), cases=np.array(self.cases),
            identity=np.array([f"{name}={value}" for name, value in sorted(self.identity.items())]),
        )  # fmt: skip
        return buffer.getvalue()

    def save(self, directory: Path) -> None:
        """Write it as `learned_metric.npz` into a target's folder."""
        write_bytes_atomically(Path(directory) / FILE, self._to_bytes())

    @classmethod
    def open(cls, directory: Path, identity: dict[str, str]) -> LearnedMetric:
        """Read it. Raises `IndexMismatch` if there is none, or one of other features."""
        path = Path(directory) / FILE
        if not path.is_file():
            raise IndexMismatch(f"Expected '{FILE}' beside the indexes, got none; run the index command.")
        with np.load(path, allow_pickle=False) as stored:
            found = cls(
                tuple(stored["findings"].tolist()), stored["weights"], stored["offsets"], float(stored["appearance"]),
                int(stored["cases"]), dict(text.split("=", 1) for text in stored["identity"].tolist()),
            )  # fmt: skip
        if found.identity != identity:
            raise IndexMismatch(f"Expected '{FILE}' of the present models, got another's; run the index command.")
        return found


def list_learnable(findings: Sequence[str], labels: np.ndarray) -> list[int]:
    """Which columns of labels (N, F; 1, 0, NaN unknown) have enough known cases on both sides."""
    return [
        column
        for column in range(len(findings))
        if min((labels[:, column] == 1).sum(), (labels[:, column] == 0).sum()) >= LEAST_CASES
    ]


def fit_metric(
    cnn: np.ndarray, ig_cbir: np.ndarray | None, labels: np.ndarray, findings: Sequence[str], identity: dict[str, str]
) -> LearnedMetric:
    """The metric of a catalogue, from features (N, D) and labels float (N, F) of 1, 0 or NaN (unknown, left out).

    The same input gives the same metric on one machine. Raises `RetrievalError` if no finding is known well enough.
    """
    from sklearn.decomposition import PCA
    from sklearn.linear_model import LogisticRegression

    chosen = list_learnable(findings, labels)
    if not chosen:
        raise RetrievalError(
            f"Expected a finding with {LEAST_CASES} cases known to show it and {LEAST_CASES} known not to, got none; "
            "add labelled cases or search by another method."
        )
    scales = [_measure_spread(part) for part in (cnn, ig_cbir) if part is not None]
    # Each network's features at the same spread, so that neither rules the components by its units.
    factors = np.concatenate([np.full(cnn.shape[1], 1 / scale) for scale in scales])
    joined = np.concatenate([np.asarray(p, np.float64) for p in (cnn, ig_cbir) if p is not None], axis=1) * factors
    number = max(2, min(_COMPONENTS, len(joined) // _CASES_PER_COMPONENT, *joined.shape))
    # "full" is exact: the randomised solver would tie the metric to a seed.
    plane = PCA(number, whiten=True, svd_solver="full").fit(joined)
    components = plane.transform(joined)
    weights, offsets = [], []
    for column in chosen:
        known = ~np.isnan(labels[:, column])
        model = LogisticRegression(C=_INVERSE_REGULARISATION, class_weight="balanced", max_iter=2000)
        model.fit(components[known], labels[known, column])
        direction = (model.coef_[0] / np.sqrt(plane.explained_variance_)) @ plane.components_
        weights.append(direction * factors)
        offsets.append(model.intercept_[0] - direction @ plane.mean_)
    return LearnedMetric(
        tuple(findings[column] for column in chosen),
        np.asarray(weights, np.float32),
        np.asarray(offsets, np.float32),
        _APPEARANCE / scales[0],
        len(joined),
        dict(identity),
    )


def _measure_spread(values: np.ndarray) -> float:
    """Root of the mean squared distance from the mean; 1 where all are equal."""
    values = np.asarray(values, np.float64)
    spread = float(np.sqrt(((values - values.mean(axis=0)) ** 2).sum(axis=1).mean()))
    return spread if spread > 0 else 1.0


def _squash(odds: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-np.clip(odds, -60, 60)))
