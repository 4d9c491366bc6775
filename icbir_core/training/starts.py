"""What a training begins with: the weights, the network that they belong to, and how a film goes into it."""

from __future__ import annotations

from dataclasses import dataclass, fields
from pathlib import Path

from icbir_core.catalogue import Workspace
from icbir_core.errors import ModelError
from icbir_core.files import reading_own
from icbir_core.model.backbones import BACKBONES
from icbir_core.model.classifier import manifest_path
from icbir_core.model.encoders import find_weights
from icbir_core.model.foreign import FOREIGN_INPUT, ONNX, read_facts
from icbir_core.retrieval.model_choice import find_encoders
from icbir_core.settings import InputSettings

NETWORK = "densenet121"
"""Where nothing says which."""
_ADVICE = "restore it from a copy"


@dataclass(frozen=True)
class Start:
    """weights : "imagenet", "none", a file, or None for the recipe's start. network : of `BACKBONES`, or what the
    manifest of the file says. input : how films are prepared."""

    weights: str | None
    network: str = NETWORK
    input: InputSettings = InputSettings()


def find_start(workspace: Workspace, weights: str | None) -> Start:
    """What "imagenet", "none", "starter", the name of an encoder of the workspace, or a file means.

    Network and input are those of the manifest beside the file, where there is one. Raises `ModelError` for a network
    in ONNX, which cannot be trained, and a manifest that cannot be read; `ManifestMismatch` for an encoder whose
    weights have changed.
    """
    if weights in (None, "imagenet", "none"):
        return Start(weights)
    if weights == "starter":
        from icbir_core.model.starter import starter_path

        file = starter_path()
    else:
        manifest = find_encoders(workspace).get(weights)
        file = Path(weights) if manifest is None else find_weights(manifest)[1]
    if file.suffix == ONNX:
        raise ModelError(f"'{file.name}' is a network in ONNX, which cannot be trained; give it as a Keras model.")
    if not (file.is_file() and manifest_path(file).is_file()):
        return Start(str(file))
    facts = read_facts(manifest_path(file), _ADVICE)
    with reading_own(f"'{manifest_path(file).name}'", ModelError, _ADVICE):
        known = {one.name for one in fields(InputSettings)}
        given = (FOREIGN_INPUT if facts["network"] not in BACKBONES else {}) | facts["input"]
        settings = InputSettings(**{name: value for name, value in given.items() if name in known})
        return Start(str(file), str(facts["network"]), settings)
