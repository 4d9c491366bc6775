"""What a manifest says of a network: calibration, operating points and AUROC on the films that were held back."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras
import numpy as np

from icbir_core.findings import NO_FINDING
from icbir_core.model.calibration import calibration_error, fit_temperature
from icbir_core.model.layer_names import LOGITS_LAYER
from icbir_core.model.scoring import choose_operating_point, score_finding
from icbir_core.model.training import predict_logits
from icbir_core.model.training_set import TrainingSet


def describe_performance(model: keras.Model, training_set: TrainingSet, size: int) -> dict[str, Any]:
    """Calibrates on the held-back films and scores there: entries "calibration", "operating_points" and
    "calibration_error" by finding, and those of `describe_spectrum`, ready for a manifest. The operating point is
    Youden's, on calibrated probabilities.
    """
    rows = training_set.held_back_rows
    logits_model = keras.Model(model.input, model.get_layer(LOGITS_LAYER).output)
    logits = predict_logits(logits_model, training_set.images, rows, size)
    patients = [training_set.patients[row] for row in rows]
    return describe_logits(logits, training_set.labels[rows], training_set.findings, patients)


def describe_logits(
    logits: np.ndarray, labels: np.ndarray, findings: tuple[str, ...], patients: list[str | None]
) -> dict[str, Any]:
    """As `describe_performance`, from logits (N, F) and labels (N, F) of 0, 1 or NaN; the ranks of calibrated
    probabilities are those of the logits."""
    entries: dict[str, Any] = {"calibration": {}, "operating_points": {}, "calibration_error": {}}
    entries |= describe_spectrum(logits, labels, findings, patients)
    for column, name in enumerate(findings):
        known = labels[:, column]
        calibration = fit_temperature(logits[:, column], known)
        probabilities = calibration.apply(logits[:, column])
        entries["calibration"][name] = {
            "temperature": calibration.temperature,
            "offset": calibration.offset,
            "fitted": calibration.fitted,
        }
        entries["operating_points"][name] = choose_operating_point(known, probabilities)
        error = calibration_error(known, probabilities)
        entries["calibration_error"][name] = None if np.isnan(error) else round(error, 4)
    return entries


def mark_diseased(labels: np.ndarray, findings: tuple[str, ...]) -> np.ndarray:
    """bool (N,): films of labels (N, F) that are known to carry some finding: one is present, or "No Finding" is known
    to be absent."""
    others = [column for column, name in enumerate(findings) if name != NO_FINDING]
    diseased: np.ndarray = (labels[:, others] == 1).any(1)
    if NO_FINDING in findings:
        diseased |= labels[:, findings.index(NO_FINDING)] == 0
    return diseased


def describe_spectrum(
    scores: np.ndarray, labels: np.ndarray, findings: tuple[str, ...], patients: Sequence[str | None]
) -> dict[str, Any]:
    """How hard the films are on which a network is judged: entries for a manifest.

    "auroc" : by finding, on all films. "auroc_among_findings" : the same among films that carry any finding; to tell a
    finding from other findings is harder than to tell it from health. "share_without_finding" : part of the films in
    [0, 1] that are not known to carry any. scores, labels : (N, F), labels 0, 1 or NaN (left out).
    """
    diseased = mark_diseased(labels, findings)
    among = [patient for patient, inside in zip(patients, diseased, strict=True) if inside]
    entries: dict[str, Any] = {"auroc": {}, "auroc_among_findings": {}}
    for column, name in enumerate(findings):
        known, values = labels[:, column], scores[:, column]
        entries["auroc"][name] = score_finding(known, values, patients).as_dict()
        entries["auroc_among_findings"][name] = score_finding(known[diseased], values[diseased], among).as_dict()
    entries["share_without_finding"] = round(float(1 - diseased.mean()), 4) if len(diseased) else None
    return entries
