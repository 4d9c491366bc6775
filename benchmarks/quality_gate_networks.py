"""The quality gate's networks: what they are taught, how they are fitted, and where their limit lies."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from quality_gate_pictures import TEACHING
from quality_gate_stand_ins import make_noise, simulate_lateral, take_half_film
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from icbir_core.phantom import simulate_film
from icbir_core.radiograph import read_radiograph
from icbir_core.radiograph.quality import FINE, THUMBNAIL, describe_thumbnail, make_thumbnail, transform_features

NETWORKS, HIDDEN, FOLDS = 3, 24, 3
FALSE_ALARMS = 0.007
"""The part of the taught films that the limit refuses, judged by networks that did not see their patients."""
TAUGHT, COPIES, SIMULATED = 500, 2, 400
KEYS = [(inverted, turns) for inverted in (False, True) for turns in range(4)]


def list_more(folder: Path, taught: bool) -> list[Path]:
    """Every second film of a folder without patients: those to teach with, or the others."""
    return sorted((folder / "images").glob("*.png"))[0 if taught else 1 :: 2]


def crop_film(pixels: np.ndarray, generator: np.random.Generator) -> np.ndarray:
    """A part of a film: 30 to 60 per cent of its sides."""
    high = int(pixels.shape[0] * generator.uniform(0.3, 0.6))
    wide = min(pixels.shape[1], int(high * generator.uniform(0.8, 1.25)))
    top, left = generator.integers(0, pixels.shape[0] - high + 1), generator.integers(0, pixels.shape[1] - wide + 1)
    return pixels[top : top + high, left : left + wide]


def _shake(thumbnail: np.ndarray, generator: np.random.Generator) -> np.ndarray:
    """The same film a little moved, turned and scaled."""
    middle = THUMBNAIL / 2
    matrix = cv2.getRotationMatrix2D((middle, middle), generator.uniform(-4, 4), generator.uniform(0.9, 1.08))
    matrix[:, 2] += generator.uniform(-4, 4, 2)
    return cv2.warpAffine(thumbnail, matrix, (THUMBNAIL, THUMBNAIL), borderMode=cv2.BORDER_REPLICATE)


def _describe(thumbnails: Iterator[np.ndarray] | list[np.ndarray]) -> np.ndarray:
    return np.stack([describe_thumbnail(np.asarray(one, np.float32), FINE) for one in thumbnails])


def _simulate(seeds: range) -> list[np.ndarray]:
    return [make_thumbnail(simulate_film(seed, 128).pixels.astype(np.float32) / 255) for seed in seeds]


def gather(paths: list[Path], groups: list[int], generator: np.random.Generator) -> tuple[np.ndarray, ...]:
    """(features of the films with their shaken copies after them, groups of the films, features of all else)."""
    ordinary, other = [], []
    for path in paths:
        pixels = read_radiograph(path).pixels
        ordinary.append(make_thumbnail(pixels))
        other += [make_thumbnail(take_half_film(pixels, generator)), make_thumbnail(crop_film(pixels, generator))]
    ordinary += _simulate(range(7_300_000, 7_300_000 + SIMULATED))
    own = np.concatenate([groups, -1_000_000 - np.arange(SIMULATED)])
    for draw in (*TEACHING.values(), simulate_lateral):
        drawn = [make_thumbnail(draw(generator)) for _ in range(TAUGHT)]
        other += drawn + [1.0 - one for one in drawn[: TAUGHT // 2]]
    other += [make_thumbnail(make_noise(generator)) for _ in range(TAUGHT // 2)]
    films, rest = _describe(ordinary), [_describe(other)]
    for key in KEYS[1:]:
        some = generator.choice(len(films), 900, replace=False)
        rest.append(np.stack([transform_features(films[one], *key) for one in some]))
    shaken = [_describe([_shake(one, generator) for one in ordinary]) for _ in range(COPIES)]
    return np.concatenate([films, *shaken]), own, np.concatenate(rest)


def fit_networks(paths: list[Path], groups: list[int], round_digits: Any) -> dict[str, Any]:
    """ "networks" and "ordinary_limit" of the model's file. groups : the patient of each film."""
    generator = np.random.default_rng(22)
    films, own, rest = gather(paths, groups, generator)
    folds = {one: place % FOLDS for place, one in enumerate(generator.permutation(np.unique(own)))}
    fold = np.array([folds[one] for one in own])
    scores = np.zeros(len(own))
    for held in range(FOLDS):
        seen = np.tile(fold != held, 1 + COPIES)
        networks = [_fit(films[seen], rest, seed) for seed in range(NETWORKS)]
        scores[fold == held] = score(networks, films[: len(own)][fold == held])
    networks = [_fit(films, rest, seed) for seed in range(NETWORKS)]
    rounded = np.vectorize(round_digits)
    return {
        "networks": [[rounded(part).tolist() for part in one] for one in networks],
        "ordinary_limit": round_digits(np.quantile(scores, FALSE_ALARMS)),
    }


def _fit(films: np.ndarray, rest: np.ndarray, seed: int) -> tuple[np.ndarray, ...]:
    """A network with one hidden layer as (weights, offsets, weights, offset), its scaling folded in."""
    labels = np.repeat([1, 0], [len(films), len(rest)])
    network = MLPClassifier(
        (HIDDEN,), alpha=1.0, max_iter=35, learning_rate_init=2e-3, batch_size=256, random_state=seed
    )
    fitted = make_pipeline(StandardScaler(), network).fit(np.concatenate([films, rest]), labels)
    scaler = fitted[0]
    (first, second), (offsets, last) = network.coefs_, network.intercepts_
    return first / scaler.scale_[:, None], offsets - (scaler.mean_ / scaler.scale_) @ first, second[:, 0], last[0]


def score(networks: list[tuple[np.ndarray, ...]], features: np.ndarray) -> np.ndarray:
    """Mean log odds of the networks: float64 (N,)."""
    return np.mean([np.maximum(features @ a + b, 0) @ c + d for a, b, c, d in networks], axis=0)
