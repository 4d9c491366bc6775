"""Encoders that are none of this project's backbones: a network in ONNX or Keras, with a manifest that says how a film
goes in and what comes out (docs/how-to/foreign-encoder.md)."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from icbir_core.errors import ModelError
from icbir_core.files import PathLike, reading_own

ONNX, KERAS = ".onnx", ".keras"
FOREIGN_INPUT = {"equalise": False, "crop": False}
"""How a film is prepared for somebody else's network where its manifest does not say."""
POOLINGS = ("none", "mean", "first")
_BATCH = 16
Run = Callable[[np.ndarray, tuple[str, ...]], list[np.ndarray]]


def read_facts(path: PathLike, advice: str) -> dict[str, Any]:
    """What a manifest says. Raises `ModelError` with the advice if it cannot be read."""
    path = Path(path)
    with reading_own(f"'{path.name}'", ModelError, advice):
        facts = json.loads(path.read_text(encoding="utf-8"))
        if not isinstance(facts, dict):
            raise ValueError("no object")
    return facts


@dataclass(frozen=True)
class FilmForm:
    """How a film's grey becomes what a network takes.

    channels : 1 or 3 equal ones, before the rows and columns if `channels_first`. low, high : what black and white
    become; mean, deviation : of each channel, taken off and divided by after that.
    """

    channels: int = 3
    channels_first: bool = True
    low: float = 0.0
    high: float = 1.0
    mean: tuple[float, ...] = (0.0,)
    deviation: tuple[float, ...] = (1.0,)

    @classmethod
    def read(cls, entries: Mapping[str, Any]) -> FilmForm:
        """From the entry "input" of a manifest. Raises `ValueError` naming what is wrong in it."""
        low, high = (float(one) for one in entries.get("range", (0, 1)))
        channels = entries.get("channels", 3)
        many = {name: tuple(float(one) for one in entries.get(name, (default,)))
                for name, default in (("mean", 0.0), ("deviation", 1.0))}  # fmt: skip
        if channels not in (1, 3):
            raise ValueError("channels are 1 or 3")
        if not low < high or not np.isfinite([low, high]).all():
            raise ValueError("range is [black, white], the smaller first")
        if any(len(one) not in (1, channels) for one in many.values()):
            raise ValueError("mean and deviation have one number, or one for each channel")
        if min(many["deviation"]) <= 0 or not np.isfinite([*many["mean"], *many["deviation"]]).all():
            raise ValueError("deviation is above 0")
        return cls(channels, bool(entries.get("channels_first", True)), low, high, many["mean"], many["deviation"])

    def prepare(self, images: np.ndarray) -> np.ndarray:
        """Images (N, S, S) in [0, 1] as float32 (N, C, S, S) or (N, S, S, C)."""
        values = self.low + np.asarray(images, np.float32)[..., None] * (self.high - self.low)
        shaped = np.repeat(values, self.channels, axis=-1)
        shaped = (shaped - np.array(self.mean, np.float32)) / np.array(self.deviation, np.float32)
        return np.ascontiguousarray(np.moveaxis(shaped, -1, 1) if self.channels_first else shaped, np.float32)


class ForeignNetwork:
    """A network that is run as its manifest says. Thread-safe.

    run : the named outputs, float32, of films as the network takes them. manifest : of the encoder. Raises `ValueError`
    naming what is wrong in the manifest.
    """

    def __init__(self, name: str, manifest: Mapping[str, Any], run: Run):
        self.name, self._run, self._lock = name, run, threading.Lock()
        self.form, self.size = FilmForm.read(manifest["input"]), int(manifest["input"]["size"])
        embedding = manifest["embedding"]
        self.width, self.pooling = int(embedding["width"]), str(embedding.get("pooling", "none"))
        if self.pooling not in POOLINGS:
            raise ValueError(f"pooling is one of {', '.join(POOLINGS)}")
        self.output, self.findings = str(embedding.get("output", "")), tuple(manifest.get("findings", ()))
        self.scores_output = str(manifest.get("findings_output", ""))
        if self.findings and not self.scores_output:
            raise ValueError("findings_output names the output that holds the findings")

    def features(self, images: np.ndarray) -> np.ndarray:
        """float32 (N, width) of images (N, S, S) in [0, 1]."""
        return self._compute(images, self.output, (self.width,), self._pool)

    def map_features(self, images: np.ndarray) -> np.ndarray:
        """float32 (N, h, w, width) whose means over the positions are the features, where the pooling is "mean"."""
        return self._compute(images, self.output, None, self._place)

    def scores(self, images: np.ndarray) -> np.ndarray:
        """float32 (N, F), as the network gives them, of its findings."""
        return self._compute(images, self.scores_output, (len(self.findings),), lambda found: found)

    def _compute(
        self, images: np.ndarray, output: str, shape: tuple[int, ...] | None, change: Callable[[np.ndarray], np.ndarray]
    ) -> np.ndarray:
        found = []
        for start in range(0, max(1, len(images)), _BATCH):
            part = np.asarray(images[start : start + _BATCH], np.float32)
            if not len(part):
                return np.zeros((0, *(shape or (1, 1, self.width))), np.float32)
            with self._lock:
                (raw,) = self._run(self.form.prepare(part), (output,))
            changed = change(np.asarray(raw, np.float32))
            if len(changed) != len(part) or (shape and changed.shape[1:] != shape) or not np.isfinite(changed).all():
                raise ModelError(
                    f"The encoder {self.name} must give finite values of shape {(len(part), *(shape or ()))} in "
                    f"'{output or 'its output'}'; it gave {raw.shape}. Correct its manifest."
                )
            found.append(changed)
        return np.concatenate(found)

    def _pool(self, raw: np.ndarray) -> np.ndarray:
        if self.pooling == "mean":
            return np.asarray(self._place(raw).mean(axis=(1, 2), dtype=np.float64), np.float32)
        return raw[:, 0] if self.pooling == "first" and raw.ndim == 3 else raw

    def _place(self, raw: np.ndarray) -> np.ndarray:
        """Feature maps (N, D, h, w), (N, h, w, D) or a square of tokens (N, T, D) as (N, h, w, D)."""
        if raw.ndim == 3:
            side = round(raw.shape[1] ** 0.5)
            if side * side != raw.shape[1]:
                raise ModelError(
                    f"The encoder {self.name} gives {raw.shape[1]} tokens, which fill no square; pool the first."
                )
            return raw.reshape(len(raw), side, side, raw.shape[2])
        if raw.ndim != 4:
            raise ModelError(
                f"The encoder {self.name} gives values of shape {raw.shape}, which have no places to pool."
            )
        return np.moveaxis(raw, 1, -1) if raw.shape[1] == self.width and raw.shape[-1] != self.width else raw


def open_foreign(name: str, manifest: Mapping[str, Any], weights: PathLike) -> ForeignNetwork:
    """The network of a file in ONNX or Keras. Raises `ModelError` if file or manifest cannot be used."""
    weights = Path(weights)
    run = _open_onnx(weights) if weights.suffix == ONNX else _open_keras(weights)
    try:
        return ForeignNetwork(name, manifest, run)
    except (KeyError, TypeError, ValueError) as error:
        raise ModelError(f"The manifest of the encoder {name} cannot be used: {error}.") from error


def _open_onnx(weights: Path) -> Run:
    from icbir_core.model.onnx_files import OnnxNetwork

    network = OnnxNetwork(weights)

    def run(films: np.ndarray, outputs: tuple[str, ...]) -> list[np.ndarray]:
        named = tuple(one or network.outputs[0] for one in outputs)
        lacking = [one for one in named if one not in network.outputs]
        if lacking:
            raise ModelError(f"'{weights.name}' has no output '{lacking[0]}', only {', '.join(network.outputs)}.")
        return network.run(films, named)

    return run


def _open_keras(weights: Path) -> Run:
    import keras

    from icbir_core.model.device import compile_network

    with reading_own(f"'{weights.name}'", ModelError, "name a model that Keras saved, of its own layers alone"):
        model = keras.saving.load_model(weights, compile=False)
    compiled: dict[str, Callable[[np.ndarray], Any]] = {}

    def run(films: np.ndarray, outputs: tuple[str, ...]) -> list[np.ndarray]:
        for name in outputs:
            if name not in compiled:
                known = {layer.name: layer.output for layer in model.layers}
                if name and name not in known:
                    raise ModelError(f"'{weights.name}' has no layer '{name}'.")
                compiled[name] = compile_network(keras.Model(model.input, known[name] if name else model.output))
        return [np.asarray(compiled[name](films), np.float32) for name in outputs]

    return run
