"""The quality gate: is this an ordinary upright frontal chest radiograph? It doubts, and leaves the rest to the reader.

Three small networks (a 16 × 16 grid of equalised grey and three band energies, one hidden layer) were taught real and
simulated films against other pictures, parts of films, and films inverted or turned. A film is doubted where the mean
of their log odds is below its limit, or where it is far from one Gaussian of ordinary films (8 × 8 grid, mean and
shrunk covariance, Ledoit and Wolf 2004; 1 is its limit, `UNUSUAL` is far). What becomes ordinary once inverted or
turned is named so; two linear models, fitted to stand-ins, name what may be a lateral. `benchmarks/quality_gate.py`
makes `assets/quality_gate.json` and prints false alarms and detection rates.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from icbir_core.errors import ManifestMismatch
from icbir_core.files import PathLike, find_program_folder, read_json
from icbir_core.radiograph.facts import MODALITIES
from icbir_core.radiograph.network_input import equalise_contrast, resize_film
from icbir_core.radiograph.views import FRONTAL
from icbir_core.types import UNKNOWN, Radiograph

MODEL_PATH = find_program_folder() / "assets" / "quality_gate.json"
THUMBNAIL = 64
GRID = 8
FINE = 16
BANDS = (32, 16, 8)
FEATURES = GRID * GRID + len(BANDS)
# Farther from ordinary films than any lateral stand-in: a photograph or noise, whatever the lateral models say.
LATERAL_REACH = 2.0
# So unusual is one of some three hundred films of patients that the Gaussian was not fitted to.
UNUSUAL = 1.5
LONGEST_ASPECT = 2.0
COARSEST = 128

BURNED_IN = "burned into the picture"
"""Stands in the sentence of the kind "burned_in"."""
_TURNS = {1: "90° counter-clockwise", 2: "180°", 3: "90° clockwise"}
_CHEST_PARTS = ("CHEST", "THORAX", "LUNG", "RIB")


@dataclass(frozen=True)
class QualityWarning:
    """One doubt. kind : "not_chest", "lateral", "inverted", "rotated", "modality" or
    "burned_in". text : one sentence for the reader.

    score : at least 1; the squared distance from ordinary films over its limit (for a lateral: 1 + margin of log odds);
    1 where the header says so. Not comparable between kinds.
    """

    kind: str
    text: str
    score: float


@dataclass(frozen=True)
class QualityReport:
    """The doubts about a film, none for an ordinary one. distance : how unusual it is; 1 is the limit."""

    warnings: tuple[QualityWarning, ...]
    distance: float

    @property
    def kinds(self) -> tuple[str, ...]:
        """The kinds of the warnings, in order."""
        return tuple(warning.kind for warning in self.warnings)


@dataclass(frozen=True, eq=False)
class QualityModel:
    """mean (F,) and precision (F, F) of ordinary films, the limit of their squared distance; and for each lateral
    stand-in a weight (F,) and an offset, positive where a film is more like the stand-in. F = `FEATURES`.

    networks : each weights (G, H), offsets (H,), weights (H,) and an offset, G features of a `FINE` grid.
    ordinary_limit : of the mean of their log odds.
    """

    mean: np.ndarray
    precision: np.ndarray
    limit: float
    lateral_weights: np.ndarray
    lateral_offsets: np.ndarray
    networks: tuple[tuple[np.ndarray, np.ndarray, np.ndarray, float], ...]
    ordinary_limit: float

    def measure(self, features: np.ndarray) -> np.ndarray:
        """Squared Mahalanobis distances over the limit of features (N, F): float64 (N,)."""
        away = np.atleast_2d(features) - self.mean
        return np.asarray(np.einsum("nf,fg,ng->n", away, self.precision, away) / self.limit)

    def score_lateral(self, features: np.ndarray) -> np.ndarray:
        """The larger margin of log odds of the lateral stand-ins: float64 (N,), above 0 where it warns."""
        return np.asarray((np.atleast_2d(features) @ self.lateral_weights.T + self.lateral_offsets).max(axis=1))

    def score_ordinary(self, features: np.ndarray) -> np.ndarray:
        """Mean log odds of the networks over their limit: float64 (N,), below 0 where a film is doubted."""
        features = np.atleast_2d(features)
        odds = [np.maximum(features @ one + offsets, 0) @ two + last for one, offsets, two, last in self.networks]
        return np.asarray(np.mean(odds, axis=0) - self.ordinary_limit)


def make_thumbnail(pixels: np.ndarray) -> np.ndarray:
    """The film (H, W) squeezed to 64 × 64 (chest films fill their frame, whatever its aspect) and equalised."""
    return equalise_contrast(resize_film(pixels, THUMBNAIL, THUMBNAIL))


def describe_grey(pixels: np.ndarray) -> np.ndarray:
    """What the Gaussian sees of a film (H, W): float64 (FEATURES,)."""
    return describe_thumbnail(make_thumbnail(pixels), GRID)


def describe_thumbnail(thumbnail: np.ndarray, side: int) -> np.ndarray:
    """A thumbnail's grid of `side` × `side`, row by row (mean 0, deviation 1), then its bands: float64 (side² + 3,).
    Band energies are logarithms of the deviation between a scale and the next coarser one, over that of the grid."""
    grid = resize_film(thumbnail, side, side)
    deviation = float(grid.std()) + 1e-3
    bands, finer = [], thumbnail
    for scale in BANDS:
        coarser = resize_film(finer, scale, scale)
        rest = finer - cv2.resize(coarser, finer.shape[::-1], interpolation=cv2.INTER_LINEAR)
        bands.append(np.log(float(rest.std()) / deviation + 1e-3))
        finer = coarser
    return np.concatenate([((grid - grid.mean()) / deviation).ravel(), bands]).astype(np.float64)


def transform_features(features: np.ndarray, inverted: bool, turns: int) -> np.ndarray:
    """The features of the same film inverted and turned by quarter turns counter-clockwise (bands do not change)."""
    cells = len(features) - len(BANDS)
    side = round(np.sqrt(cells))
    grid = np.rot90(features[:cells].reshape(side, side), turns)
    return np.concatenate([(-grid if inverted else grid).ravel(), features[cells:]])


def assess_quality(radiograph: Radiograph, model: QualityModel | None = None) -> QualityReport:
    """The doubts about a film: from its colour, and from its header and shape or its grey levels. Some milliseconds.

    model : None takes the one of `assets/quality_gate.json`. Raises `ManifestMismatch` where that file was altered.
    """
    model = model or load_quality_model()
    thumbnail = make_thumbnail(radiograph.pixels)
    features, fine = (describe_thumbnail(thumbnail, side) for side in (GRID, FINE))
    keys = [(inverted, turns) for inverted in (False, True) for turns in range(4)]
    scores = model.score_ordinary(np.stack([transform_features(fine, *key) for key in keys]))
    distance = float(model.measure(features)[0])
    warnings = _judge_header(radiograph)
    if not warnings:
        ordinary = dict(zip(keys, map(float, scores), strict=True))
        warnings = _judge_grey(ordinary, distance, float(model.score_lateral(features)[0]))
    return QualityReport((*_judge_colour(radiograph), *warnings, *_judge_identity(radiograph)), distance)


def _judge_identity(radiograph: Radiograph) -> list[QualityWarning]:
    """What the header says against showing the film, whatever its grey levels are."""
    found = []
    modality = radiograph.facts.get("modality", "")
    if modality and modality not in MODALITIES:
        text = f"The header says that this is not a radiograph (modality {modality}): choose a chest film."
        found.append(QualityWarning("modality", text, 1.0))
    if "burned_in" in radiograph.facts:
        text = f"The header says that text is {BURNED_IN}: it may name the patient."
        found.append(QualityWarning("burned_in", text, 1.0))
    return found


def _judge_colour(radiograph: Radiograph) -> list[QualityWarning]:
    """A doubt beside the others: a picture in colour may be a photograph of a film, or of anything else."""
    if "colour" not in radiograph.facts:
        return []
    text = "The picture is in colour, perhaps a photograph of a screen: choose the film itself."
    return [QualityWarning("not_chest", text, 1.0)]


def _judge_header(radiograph: Radiograph) -> list[QualityWarning]:
    """Doubts that need no model; where there is one, the grey levels are not judged again."""
    rows, columns = radiograph.pixels.shape
    body_part = radiograph.facts.get("body_part", "")
    found = []
    if radiograph.view == "LATERAL":
        found.append(("lateral", "The header says that this is a lateral film: choose a frontal one (PA or AP)."))
    elif radiograph.view not in (*FRONTAL, UNKNOWN):
        text = f"The header says that the view is {radiograph.view}: choose a frontal one (PA or AP)."
        found.append(("lateral", text))
    if body_part and not any(part in body_part for part in _CHEST_PARTS):
        found.append(("not_chest", f"The header says that the body part is {body_part}: choose a chest film."))
    if max(rows, columns) > LONGEST_ASPECT * min(rows, columns):
        found.append(("not_chest", f"The picture is {columns} × {rows} pixels, too narrow for a whole chest film."))
    if not radiograph.pixels.max() > radiograph.pixels.min():
        found.append(("not_chest", "The picture has a single grey level: export the film again."))
    if not found and min(rows, columns) < COARSEST:
        text = f"The picture is only {columns} × {rows} pixels, too coarse for a chest film: take the film itself."
        found.append(("not_chest", text))
    return [QualityWarning(kind, text, 1.0) for kind, text in found]


def _judge_grey(ordinary: dict[tuple[bool, int], float], distance: float, lateral: float) -> list[QualityWarning]:
    """ordinary : by inversion and quarter turns, above 0 where such a copy is an ordinary film."""
    if ordinary[False, 0] >= 0.0 and distance <= UNUSUAL:
        return []
    best = max(ordinary, key=ordinary.__getitem__)
    score = max(1.0, distance)
    if best != (False, 0) and ordinary[best] >= 0.0:
        inverted, turns = best
        found = []
        if inverted:
            text = "The film looks inverted (bone dark, air bright): check its grey scale before trusting the result."
            found.append(QualityWarning("inverted", text, score))
        if turns:
            text = f"The film looks turned: turn it {_TURNS[turns]} and load it again."
            found.append(QualityWarning("rotated", text, score))
        return found
    if lateral > 0.0 and distance <= LATERAL_REACH:
        text = "The film may be a lateral or show half a chest: the networks know whole frontal films only."
        return [QualityWarning("lateral", text, 1.0 + lateral)]
    text = "This does not look like a whole, ordinary frontal chest film: check that it is the right picture."
    return [QualityWarning("not_chest", text, score)]


def hash_model(model: dict[str, Any]) -> str:
    """sha256 of the model's part of the asset file, as its manifest holds it."""
    return hashlib.sha256(json.dumps(model, sort_keys=True).encode()).hexdigest()


def parse_quality_model(model: dict[str, Any]) -> QualityModel:
    """The model from its part of the asset file; the precision is stored as its upper triangle, row by row."""
    upper = np.zeros((FEATURES, FEATURES))
    upper[np.triu_indices(FEATURES)] = model["precision_upper"]
    return QualityModel(
        np.array(model["mean"]),
        upper + np.triu(upper, 1).T,
        float(model["limit"]),
        np.array(model["lateral_weights"]),
        np.array(model["lateral_offsets"]),
        tuple(
            (np.array(one), np.array(two), np.array(three), float(last)) for one, two, three, last in model["networks"]
        ),
        float(model["ordinary_limit"]),
    )


@cache
def load_quality_model(path: PathLike = MODEL_PATH) -> QualityModel:
    """The model of the asset file, read once. Raises `ManifestMismatch` where it is not what its manifest says."""
    content = read_json(path)
    if hash_model(content["model"]) != content["manifest"]["model_sha256"]:
        raise ManifestMismatch(
            f"The quality gate's model in '{Path(path).name}' is not the one that its manifest names; "
            "restore the file or make it again with benchmarks/quality_gate.py."
        )
    return parse_quality_model(content["model"])
