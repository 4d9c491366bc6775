"""The starter models that come with the program: float16 weights in `assets/models`, each with its manifest."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from icbir_core.errors import ModelError
from icbir_core.files import PathLike, find_program_folder, replace_atomically, sha256_of_file, write_json_atomically
from icbir_core.model.classifier import FORMAT_VERSION, Classifier, manifest_path

if TYPE_CHECKING:
    import keras

STARTER_DIRECTORY = find_program_folder() / "assets" / "models"
CLASSIFIER_FILE = "starter_classifier.npz"
SALIENCY_FILE = "starter_saliency_classifier.npz"


def starter_path(saliency: bool = False, directory: PathLike = STARTER_DIRECTORY) -> Path:
    """Where the starter's weights lie. Raises `ModelError` if the program came without them."""
    path = Path(directory) / (SALIENCY_FILE if saliency else CLASSIFIER_FILE)
    if not path.is_file():
        raise ModelError(
            f"The starter model {path.name} is missing in {directory}; install the program again, or train."
        )
    return path


def load_starter(directory: PathLike = STARTER_DIRECTORY) -> tuple[Classifier, Classifier]:
    """The pair (classifier, saliency classifier), hashes checked. The saliency classifier's manifest names the
    classifier whose maps it reads; `ModelError` if it is another one. Its network is built when it is first needed."""
    classifier = Classifier.load(starter_path(False, directory))
    saliency_classifier = Classifier.load(starter_path(True, directory), when_needed=True)
    if saliency_classifier.manifest.get("classifier") != classifier.sha256:
        raise ModelError("The two starter models do not belong together; install the program again.")
    return classifier, saliency_classifier


def save_starter(model: keras.Model, path: PathLike, manifest: Mapping[str, Any]) -> Classifier:
    """Writes a network as float16 arrays (`.npz`) with its manifest; returns it as it will load, rounded to float16.
    Raises `ModelError` if a weight does not fit into float16."""
    from icbir_core.model.network import named_weights

    with np.errstate(over="ignore"):
        arrays = {name: values.astype(np.float16) for name, values in named_weights(model).items()}
    wrong = [name for name, values in arrays.items() if not np.isfinite(values).all()]
    if wrong:
        raise ModelError(f"Some weights are too large for float16: {', '.join(wrong[:3])}.")
    with replace_atomically(path) as aside:
        np.savez(aside, **arrays)  # type: ignore[arg-type]  # no layer is named like an option of savez
    complete = {"format": FORMAT_VERSION, **manifest, "sha256": sha256_of_file(path)}
    write_json_atomically(manifest_path(path), complete)
    return Classifier.load(path)
