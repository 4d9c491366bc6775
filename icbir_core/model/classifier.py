"""A trained network with its manifest: what it finds, how its input is made, how its output is calibrated."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Mapping
from functools import lru_cache, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from icbir_core.errors import ManifestMismatch, ModelError, UnknownNameError
from icbir_core.files import (
    PathLike,
    read_arrays,
    reading_own,
    replace_atomically,
    sha256_of_file,
    write_json_atomically,
)
from icbir_core.model.backbones import name_backbone
from icbir_core.model.calibration import Calibration
from icbir_core.model.device import ONNX_RUNTIME, TENSORFLOW, compile_network, computes_on_gpu
from icbir_core.model.layer_names import FEATURE_LAYER, LOGITS_LAYER, PENULTIMATE_LAYER
from icbir_core.model.onnx_network import OnnxClassifier, open_network
from icbir_core.radiograph.network_input import standardise
from icbir_core.settings import InputSettings

if TYPE_CHECKING:
    import keras

FORMAT_VERSION = 1
_BATCH = 32


class Classifier:
    """A network for one or several findings. The saliency classifier is one too: it is fed encoded maps instead of
    images.

    model : (N, S, S, 3) standardised → (N, F) uncalibrated probabilities, layers named as in `network`; or a function
    that builds it when it is first needed. manifest : plain values, with "findings", "input", "sha256" and, per
    finding, "calibration" and "operating_points". open_network : gives the same weights for ONNX Runtime, which then
    computes all but what only Keras can, or None where only TensorFlow runs the model.
    """

    def __init__(
        self,
        model: keras.Model | Callable[[], keras.Model],
        manifest: Mapping[str, Any],
        open_network: Callable[[], OnnxClassifier | None] = lambda: None,
    ):
        self.manifest = dict(manifest)
        self.findings: tuple[str, ...] = tuple(manifest["findings"])
        self.input_settings = InputSettings(**manifest["input"])
        stored = manifest.get("calibration", {})
        self._calibration = [Calibration(**stored.get(name, {})) for name in self.findings]
        self._both: Callable[[np.ndarray], Any] | None = None
        self._mapper: Callable[[np.ndarray], Any] | None = None
        self._lock, self._building = threading.Lock(), threading.Lock()
        self._model: keras.Model | None = None
        self._build, self._open_network = model, lru_cache(maxsize=1)(open_network)
        if hasattr(model, "output_shape"):
            self._model = self._require_outputs(model)

    def _require_outputs(self, model: keras.Model) -> keras.Model:
        if model.output_shape[-1] != len(self.findings):
            raise ModelError(
                f"The network has {model.output_shape[-1]} outputs, its manifest names {len(self.findings)} findings."
            )
        return model

    @property
    def model(self) -> keras.Model:
        """The network; built now if nothing has needed it before. Raises `ModelError` if that fails."""
        with self._building:
            if self._model is None:
                self._model = self._require_outputs(self._build())
            return self._model

    @property
    def network(self) -> OnnxClassifier | None:
        """The network for ONNX Runtime; None where TensorFlow runs the model, as on a GPU."""
        with self._building:
            return None if computes_on_gpu() else self._open_network()

    @property
    def engine(self) -> str:
        """The library that runs the network."""
        return TENSORFLOW if self.network is None else ONNX_RUNTIME

    @property
    def sha256(self) -> str:
        """Of the weights file; names this classifier in the manifests of what was made from it."""
        return str(self.manifest["sha256"])

    @property
    def operating_points(self) -> dict[str, float]:
        """Per finding the calibrated probability from which it is called present."""
        return dict(self.manifest.get("operating_points", {}))

    @property
    def title(self) -> str:
        """The structure of the network, for a reader."""
        return name_backbone(self.manifest.get("network", ""))

    @property
    def head(self) -> tuple[np.ndarray, np.ndarray]:
        """Weights (D, F) and offsets (F,) that make the logits of the penultimate features."""
        if self.network is not None:
            return self.network.head
        layer = self.model.get_layer(LOGITS_LAYER)
        return np.asarray(layer.kernel), np.asarray(layer.bias)

    @property
    def width(self) -> int:
        """Number of the penultimate features."""
        return len(self.head[0])

    def output_index(self, finding: str) -> int:
        """Which output belongs to a finding; `UnknownNameError` lists the known ones."""
        if finding not in self.findings:
            raise UnknownNameError("finding of this classifier", finding, self.findings)
        return self.findings.index(finding)

    def compute(self, images: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Logits float32 (N, F) and penultimate features float32 (N, D) of images (N, S, S) in [0, 1], in one pass."""
        size = self.input_settings.size
        images = np.asarray(images)
        if images.ndim != 3 or images.shape[1:] != (size, size):
            raise ModelError(f"Expected images of shape (N, {size}, {size}), got {images.shape}; use fit_to_network.")
        if not len(images):
            return np.zeros((0, len(self.findings)), np.float32), np.zeros((0, self.width), np.float32)
        logits, features = [], []
        with self._lock:
            compute = self._find_both()
            for start in range(0, len(images), _BATCH):
                one, other = compute(standardise(images[start : start + _BATCH]))
                logits.append(np.asarray(one, np.float32))
                features.append(np.asarray(other, np.float32))
        return np.concatenate(logits), np.concatenate(features)

    def _find_both(self) -> Callable[[np.ndarray], Any]:
        """Logits and penultimate features of standardised films."""
        network = self.network
        if network is not None:
            return lambda films: network.run(films, (LOGITS_LAYER, PENULTIMATE_LAYER))
        if self._both is None:
            self._both = self._compile(LOGITS_LAYER, PENULTIMATE_LAYER)
        return self._both

    def _compile(self, *layers: str) -> Callable[[np.ndarray], Any]:
        import keras

        outputs = [self.model.get_layer(name).output for name in layers]
        return compile_network(keras.Model(self.model.input, outputs if len(outputs) > 1 else outputs[0]))

    def calibrate(self, logits: np.ndarray) -> np.ndarray:
        """Calibrated probabilities float32 (N, F) in [0, 1] from logits (N, F)."""
        columns = [each.apply(logits[:, column]) for column, each in enumerate(self._calibration)]
        return np.stack(columns, axis=1).astype(np.float32)

    def predict(self, images: np.ndarray) -> np.ndarray:
        """Calibrated probabilities float32 (N, F) in [0, 1] of images (N, S, S) in [0, 1]."""
        return self.calibrate(self.compute(images)[0])

    def features(self, images: np.ndarray) -> np.ndarray:
        """Penultimate features float32 (N, D), not negative, of images (N, S, S) in [0, 1]."""
        return self.compute(images)[1]

    def map_features(self, images: np.ndarray) -> np.ndarray:
        """The last feature maps float32 (N, h, w, D) of images (N, S, S) in [0, 1]; their means over the positions are
        `features`."""
        network = self.network
        with self._lock:
            if network is not None:
                return network.run(standardise(images), (FEATURE_LAYER,))[0]
            if self._mapper is None:
                self._mapper = self._compile(FEATURE_LAYER)
            return np.asarray(self._mapper(standardise(images)))

    @classmethod
    def load(cls, path: PathLike, when_needed: bool = False) -> Classifier:
        """Reads a `.keras` model or a starter's `.npz` together with its manifest `<stem>.json` in the same folder.

        when_needed : the network itself is read and built at its first use; the hash is checked now, and again when it
        is read. What ONNX Runtime can run of an `.npz` is run by it, and Keras builds the network only where something
        else asks for it. Raises `ModelError` if a file is missing or cannot be read, `ManifestMismatch` if the weights
        are not those of the manifest.
        """
        path = Path(path)
        manifest = read_manifest(path)
        classifier = cls(partial(_read_model, path, manifest), manifest, partial(_open_network, path, manifest))
        if when_needed:
            _check_weights(path, manifest)
        elif classifier.network is None:
            _ = classifier.model
        return classifier


def _check_weights(path: Path, manifest: Mapping[str, Any]) -> None:
    """At each reading, which may be hours after another one: a file that was replaced meanwhile gives other values
    under the same name."""
    found = sha256_of_file(path)
    if found != manifest["sha256"]:
        raise ManifestMismatch(
            f"The weights in {path.name} have changed since they were recorded (SHA-256 {found[:12]}…, not "
            f"{manifest['sha256'][:12]}…); restore the file, or train again."
        )


def _open_network(path: Path, manifest: Mapping[str, Any]) -> OnnxClassifier | None:
    if path.suffix != ".npz":
        return None
    _check_weights(path, manifest)
    arrays = read_arrays(path, ModelError, "train again or restore it from a copy")
    return open_network(manifest["network"], arrays, len(manifest["findings"]), manifest["input"]["size"])


def _read_model(path: Path, manifest: Mapping[str, Any]) -> keras.Model:
    import keras

    _check_weights(path, manifest)
    if path.suffix == ".npz":
        from icbir_core.model.network import build_network, load_matching_weights, read_named_weights

        model = build_network(manifest["network"], len(manifest["findings"]), manifest["input"]["size"])
        load_matching_weights(model, read_named_weights(path), strict=True)
        return model
    with reading_own(f"'{path.name}'", ModelError, "train again or restore it from a copy"):
        return keras.saving.load_model(path, compile=False)


def manifest_path(path: PathLike) -> Path:
    """Where the manifest of a weights file lies."""
    return Path(path).with_suffix(".json")


def read_manifest(path: PathLike) -> dict[str, Any]:
    """The manifest of a weights file. Raises `ModelError` if either is missing or the manifest lacks an entry."""
    path = Path(path)
    if not path.is_file():
        raise ModelError(f"There is no trained model at {path}; run `train` first.")
    try:
        manifest: dict[str, Any] = json.loads(manifest_path(path).read_text(encoding="utf-8"))
        if not isinstance(manifest, dict):
            raise ValueError("no manifest")
        missing = {"findings", "input", "sha256", "network", "format"} - set(manifest)
    except (OSError, ValueError, RecursionError) as error:
        raise ModelError(f"The manifest {manifest_path(path)} cannot be read ({error}); train again.") from error
    if missing:
        raise ModelError(f"The manifest {manifest_path(path)} lacks {', '.join(sorted(missing))}; train again.")
    if not isinstance(manifest["format"], int) or manifest["format"] > FORMAT_VERSION:
        raise ModelError(
            f"The model was written by a newer version of this program (format {manifest['format']}); update it."
        )
    return manifest


def save_classifier(model: keras.Model, path: PathLike, manifest: Mapping[str, Any]) -> Classifier:
    """Writes `model` to `path` (.keras) and its manifest, with the hash added, next to it; returns the classifier. The
    manifest goes last: a kill between the two leaves a mismatch that loading names, never a wrong pair."""
    path = Path(path)
    with replace_atomically(path) as aside:
        model.save(aside)
    complete = {"format": FORMAT_VERSION, **manifest, "sha256": sha256_of_file(path)}
    write_json_atomically(manifest_path(path), complete)
    return Classifier(model, complete)
