"""What predicts: the classifier alone, or several networks by the mean of their logits. The one place that says so.

A network's logits are weighted sums of its penultimate features, which a search compares anyway: a prediction is
computed from them, of a query and of a case alike, and no network runs twice.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from icbir_core.errors import ManifestMismatch, ModelError
from icbir_core.files import PathLike, find_program_folder, reading_own, sha256_of_bytes
from icbir_core.model.calibration import Calibration
from icbir_core.types import Prediction, describe_networks

if TYPE_CHECKING:
    from icbir_core.model.classifier import Classifier
    from icbir_core.model.encoders import Encoder

CLASSIFIER = "classifier"
"""The classifier among the networks that a card names; the others go by their names as encoders."""
CARD = "starter_prediction.json"
CHANCE = 0.5
_ENTRIES = ("findings", "networks", "calibration", "operating_points")


class Predictor:
    """The networks that predict, their calibration and their operating points. Thread-safe.

    card : what is known of the prediction: a classifier's own manifest, or, where encoders predict with it, the card
    that names them all. encoders : the networks beside the classifier. Raises `ManifestMismatch` if the networks are
    not those of the card, `ModelError` if one of them does not predict.
    """

    def __init__(self, classifier: Classifier, encoders: Sequence[Encoder] = (), card: Mapping[str, Any] | None = None):
        self.card = dict(classifier.manifest if card is None else card)
        self.encoders = tuple(encoders)
        self.findings: tuple[str, ...] = tuple(self.card["findings"])
        self.networks = (classifier.title, *(one.network_title for one in self.encoders))
        if self.encoders:
            given = {CLASSIFIER: classifier.sha256} | {one.name: one.sha256 for one in self.encoders}
            if given != self.card["networks"]:
                raise ManifestMismatch(
                    "The networks are not those whose mean was calibrated; install the program again."
                )
        self._heads = [self._order(classifier.head, classifier.findings, CLASSIFIER)]
        for one in self.encoders:
            if one.head is None:
                raise ModelError(f"The network {one.name} has features only, and predicts nothing.")
            self._heads.append(self._order(one.head, one.findings, one.name))
        stored = self.card.get("calibration", {})
        self._calibration = [Calibration(**stored.get(name, {})) for name in self.findings]
        self.operating_points: dict[str, float] = dict(self.card.get("operating_points", {}))
        parts = {name: self.card.get(name) for name in _ENTRIES}
        self.sha256 = (
            sha256_of_bytes(json.dumps(parts, sort_keys=True).encode()) if self.encoders else classifier.sha256
        )

    def _order(
        self, head: tuple[np.ndarray, np.ndarray], findings: Sequence[str], network: str
    ) -> tuple[np.ndarray, np.ndarray]:
        """A head's columns in the order of the card's findings, float64."""
        lacking = [name for name in self.findings if name not in findings]
        if lacking:
            raise ModelError(f"The network {network} does not predict {lacking[0]}, which the prediction holds.")
        columns = [list(findings).index(name) for name in self.findings]
        kernel, bias = head
        return np.asarray(kernel, np.float64)[:, columns], np.asarray(bias, np.float64)[columns]

    @property
    def title(self) -> str:
        """Which networks predict, for a reader."""
        return describe_networks(self.networks)

    @property
    def at_chance(self) -> tuple[str, ...]:
        """The findings that the networks were not shown to tell better than chance on films that none had seen: the
        interval of the AUROC reaches down to 0.5, among films with any finding where that is known."""
        found = []
        for name in self.findings:
            lows = [(self.card.get(key) or {}).get(name, {}).get("low") for key in ("auroc_among_findings", "auroc")]
            known = [low for low in lows if low is not None]
            found += [name] if known and known[0] <= CHANCE else []
        return tuple(found)

    def searches_at_chance(self, method: str, finding: str, compared: Sequence[Encoder] = ()) -> bool:
        """Whether a search by that method was not shown to find cases of the finding more often than chance, on films
        that none of the networks had seen. False where it was never measured, also with other networks than the card's.

        compared : the encoders whose features the search compares beside the classifier's.
        """
        others = {name: sha256 for name, sha256 in self.card.get("networks", {}).items() if name != CLASSIFIER}
        if compared and {one.name: one.sha256 for one in compared} != others:
            return False
        return finding in self.card.get("search_at_chance", {}).get(method, ())

    def compute_logits(self, features: Sequence[np.ndarray]) -> np.ndarray:
        """The mean of the networks' logits, float64 (N, F). features : (N, D) of the classifier, then of each of
        `encoders`."""
        each = [
            np.asarray(one, np.float64) @ head[0] + head[1] for one, head in zip(features, self._heads, strict=True)
        ]
        found: np.ndarray = np.mean(each, axis=0)
        return found

    def predict(self, features: Sequence[np.ndarray]) -> np.ndarray:
        """Calibrated probabilities float32 (N, F) in [0, 1], of features as in `compute_logits`."""
        logits = self.compute_logits(features)
        columns = [each.apply(logits[:, column]) for column, each in enumerate(self._calibration)]
        return np.stack(columns, axis=1).astype(np.float32)

    def to_prediction(self, row: np.ndarray) -> Prediction:
        """One row (F,) of `predict` by name."""
        probabilities = {name: float(value) for name, value in zip(self.findings, row, strict=True)}
        return Prediction(probabilities, self.operating_points, self.networks, self.at_chance)


def read_card(classifier_sha256: str, folder: PathLike | None = None) -> dict[str, Any] | None:
    """The card of the networks that predict together with the starter classifier; None for another classifier, which
    predicts alone. Nothing is loaded. Raises `ModelError` if the card is damaged."""
    path = (find_program_folder() / "assets" / "models" if folder is None else Path(folder)) / CARD
    if not path.is_file():
        return None
    with reading_own(f"'{path.name}'", ModelError, "install the program again"):
        card: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        lacking = [name for name in _ENTRIES if name not in card]
        if lacking:
            raise ValueError(f"it lacks {lacking[0]}")
        return card if card["networks"][CLASSIFIER] == classifier_sha256 else None
