"""Encoders: networks whose features a search compares beside those of the classifier, each with a small manifest.

An encoder is a file of weights with its manifest, `<name>.json`, beside it: in a workspace under `models/encoders`, or
shipped under `assets/models/encoders`. The manifest holds what a classifier's does (format, network, findings, which
may be none, input, sha256), and beside that title, file, embedding (layer and width), licence and citation.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from icbir_core.errors import ManifestMismatch, ModelError, UnknownNameError
from icbir_core.files import PathLike, find_program_folder, reading_own, sha256_of_bytes, sha256_of_file
from icbir_core.model.backbones import BACKBONES, name_backbone
from icbir_core.model.foreign import ONNX, open_foreign
from icbir_core.model.layer_names import PENULTIMATE_LAYER
from icbir_core.settings import InputSettings

if TYPE_CHECKING:
    import keras

FOLDER = "encoders"
NAME = re.compile(r"[a-z0-9][a-z0-9_]{0,63}")
_SETTINGS = tuple(one.name for one in fields(InputSettings))
_ENTRIES = {"format", "file", "sha256", "input", "embedding", "network"}


@dataclass(frozen=True, eq=False)
class Encoder:
    """A network that describes films. Thread-safe.

    features : float32 (N, width) of images float32 (N, S, S) in [0, 1], as `fit_to_network` makes them by
    `input_settings`. map_features : float32 (N, h, w, width) whose means over the positions are the features; None
    where the features are no such mean. head : weights (width, F) and offsets (F,) that make the logits of its findings
    of the features; None for a foreign network. scores : float32 (N, F) of its findings, the larger the surer; None
    where it has none. engine : what runs it.
    """

    name: str
    manifest: Mapping[str, Any]
    features: Callable[[np.ndarray], np.ndarray]
    map_features: Callable[[np.ndarray], np.ndarray] | None = None
    head: tuple[np.ndarray, np.ndarray] | None = None
    scores: Callable[[np.ndarray], np.ndarray] | None = None
    engine: str = ""

    @property
    def sha256(self) -> str:
        """Names this encoder in the manifests of what was made with it: of the weights file; of a foreign network also
        of what its manifest says of input and output, and of the files beside it."""
        if not is_foreign(self.manifest):
            return str(self.manifest["sha256"])
        parts = {name: self.manifest.get(name) for name in ("sha256", "files", "input", "embedding")}
        return sha256_of_bytes(json.dumps(parts, sort_keys=True).encode())

    @property
    def input_settings(self) -> InputSettings:
        entries = self.manifest["input"]
        return InputSettings(**{name: entries[name] for name in _SETTINGS if name in entries})

    @property
    def width(self) -> int:
        return int(self.manifest["embedding"]["width"])

    @property
    def title(self) -> str:
        """What a reader sees."""
        return str(self.manifest.get("title", self.name))

    @property
    def findings(self) -> tuple[str, ...]:
        """Those of its outputs; none where it has features only."""
        return tuple(self.manifest.get("findings", ()))

    @property
    def network_title(self) -> str:
        """The structure of the network, for a reader."""
        return name_backbone(self.manifest["network"])


def list_encoders(*folders: PathLike) -> dict[str, Path]:
    """The manifests of the encoders in these folders by their names, sorted; of equal names the first folder's."""
    found = {path.stem: path for folder in reversed(folders) for path in Path(folder).glob("*.json")}
    return {name: found[name] for name in sorted(found) if NAME.fullmatch(name)}


def get_shipped_folder() -> Path:
    """Where the encoders lie that come with the program."""
    return find_program_folder() / "assets" / "models" / FOLDER


def read_encoder_manifest(path: PathLike) -> dict[str, Any]:
    """An encoder's manifest. Raises `ModelError` if it is missing, damaged, or lacks an entry."""
    path = Path(path)
    with reading_own(f"'{path.name}'", ModelError, "restore it, or write it as docs/how-to/encoder.md says"):
        manifest = json.loads(path.read_text(encoding="utf-8"))
    missing = _ENTRIES - set(manifest) if isinstance(manifest, dict) else _ENTRIES
    if missing:
        raise ModelError(f"The manifest {path} of an encoder lacks {', '.join(sorted(missing))}.")
    return dict(manifest)


def find_weights(path: PathLike) -> tuple[dict[str, Any], Path]:
    """An encoder's manifest, and the file of its weights, whose hash was checked. Raises as `load_encoder`."""
    path = Path(path)
    manifest = read_encoder_manifest(path)
    weights = path.with_name(Path(str(manifest["file"])).name)
    if not weights.is_file():
        raise ModelError(f"The weights '{weights.name}' of the encoder {path.stem} are missing beside its manifest.")
    if sha256_of_file(weights) != manifest["sha256"]:
        raise ManifestMismatch(
            f"The weights of the encoder {path.stem} have changed since they were recorded; restore the file."
        )
    return manifest, weights


def load_encoder(path: PathLike) -> Encoder:
    """The encoder of a manifest. Raises `ModelError` if a file is missing or cannot be read, `ManifestMismatch` if the
    weights are not those of the manifest, or its features have another width."""
    manifest, weights = find_weights(path)
    load = _load_foreign if is_foreign(manifest) else _load_own
    return load(Path(path).stem, manifest, weights)


def is_foreign(manifest: Mapping[str, Any]) -> bool:
    """Whether an encoder's network is none of `BACKBONES`, so that no relevance propagation explains it."""
    return str(manifest["file"]).endswith(ONNX) or manifest["network"] not in BACKBONES


def _load_foreign(name: str, manifest: dict[str, Any], weights: Path) -> Encoder:
    """A network in ONNX or Keras, with weights of its own beside the file only as its manifest records them."""
    for other, sha256 in dict(manifest.get("files", {})).items():
        beside = weights.with_name(Path(other).name)
        if not beside.is_file() or sha256_of_file(beside) != sha256:
            raise ManifestMismatch(f"The file '{other}' of the encoder {name} has changed or is missing; restore it.")
    network = open_foreign(name, manifest, weights)
    places = network.map_features if network.pooling == "mean" else None
    return Encoder(name, manifest, network.features, places, scores=network.scores if network.findings else None)


def _load_own(name: str, manifest: dict[str, Any], weights: Path) -> Encoder:
    """One of the networks of `BACKBONES`, as a classifier is kept."""
    from icbir_core.model.classifier import Classifier

    classifier = Classifier.load(weights)
    layer, width = manifest["embedding"]["layer"], classifier.width
    if layer != PENULTIMATE_LAYER or width != manifest["embedding"]["width"]:
        raise ManifestMismatch(
            f"The encoder {name} has {width} features in {PENULTIMATE_LAYER}; its manifest says otherwise."
        )
    return Encoder(name, manifest, classifier.features, classifier.map_features, classifier.head,
                   lambda images: classifier.compute(images)[0], classifier.engine)  # fmt: skip


def save_encoder(model: keras.Model, path: PathLike, manifest: Mapping[str, Any]) -> Encoder:
    """Write one of the networks of `BACKBONES` with its head as an encoder: `path` (.npz, float16) and its manifest
    beside it; returns it as it will load. manifest : "network", "findings" and "input" at least."""
    from icbir_core.model.classifier import manifest_path
    from icbir_core.model.starter import save_starter

    path = Path(path)
    width = int(model.get_layer(PENULTIMATE_LAYER).output.shape[-1])
    facts = {"kind": "encoder", "file": path.name, "embedding": {"layer": PENULTIMATE_LAYER, "width": width}}
    save_starter(model, path, {**manifest, **facts})
    return load_encoder(manifest_path(path))


def load_encoders(names: Sequence[str], known: Mapping[str, PathLike]) -> tuple[Encoder, ...]:
    """The encoders of these names, in the order of the alphabet, in which they stand side by side. Raises
    `UnknownNameError` listing the known ones, and as `load_encoder`."""
    for name in names:
        if name not in known:
            raise UnknownNameError("encoder", name, known)
    return tuple(load_encoder(known[name]) for name in sorted(set(names)))
