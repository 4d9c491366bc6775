"""What a manifest says of a network: calibration, operating points and AUROC on the films that were held back."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np

from icbir_core.model.calibration import calibration_error, fit_temperature
from icbir_core.model.scoring import choose_operating_point, score_finding
from icbir_core.model.training import predict_logits
from icbir_core.model.training_set import TrainingSet


def describe_performance(model: keras.Model, training_set: TrainingSet, size: int) -> dict[str, Any]:
    """Calibrates on the held-back films and scores there: entries "calibration", "operating_points", "auroc" and
    "calibration_error" by finding, ready for a manifest. The operating point is Youden's, on calibrated probabilities.
    """
    rows = training_set.held_back_rows
    logits_model = keras.Model(model.input, model.get_layer("logits").output)
    logits = predict_logits(logits_model, training_set.images, rows, size)
    patients = [training_set.patients[row] for row in rows]
    return describe_logits(logits, training_set.labels[rows], training_set.findings, patients)


def describe_logits(
    logits: np.ndarray, labels: np.ndarray, findings: tuple[str, ...], patients: list[str | None]
) -> dict[str, Any]:
    """As `describe_performance`, from logits (N, F) and labels (N, F) of 0, 1 or NaN."""
    entries: dict[str, dict] = {"calibration": {}, "operating_points": {}, "auroc": {}, "calibration_error": {}}
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
        entries["auroc"][name] = score_finding(known, probabilities, patients).as_dict()
        error = calibration_error(known, probabilities)
        entries["calibration_error"][name] = None if np.isnan(error) else round(error, 4)
    return entries
