"""A training run on disk: one file an epoch, written aside and renamed, holding all that the next epoch depends on."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import keras
import numpy as np

from icbir_core.errors import TrainingError
from icbir_core.files import PathLike, read_arrays, reading_own, replace_atomically
from icbir_core.model.network import load_matching_weights, named_weights

FILE_NAME = "checkpoint.npz"


@dataclass(frozen=True, eq=False)
class Checkpoint:
    """epoch : the next one. best_* : score, epoch and weights (by name). history : a dict for each epoch."""

    epoch: int
    best_score: float
    best_epoch: int
    best_weights: dict[str, np.ndarray]
    history: list[dict[str, Any]]


def write_checkpoint(
    directory: PathLike,
    identity: dict[str, Any],
    state: Checkpoint,
    model: keras.Model,
    optimizer: keras.optimizers.Optimizer,
) -> None:
    """Writes weights, optimizer variables (with their moving averages) and `state` atomically."""
    arrays = {f"model:{name}": values for name, values in named_weights(model).items()}
    arrays |= {f"best:{name}": values for name, values in state.best_weights.items()}
    arrays |= {f"optimizer:{i:05d}": keras.ops.convert_to_numpy(v.value) for i, v in enumerate(optimizer.variables)}
    facts = {
        "identity": identity, "epoch": state.epoch, "best_score": state.best_score, "best_epoch": state.best_epoch,
        "history": state.history,
    }  # fmt: skip
    with replace_atomically(Path(directory) / FILE_NAME) as aside:
        arrays["facts"] = np.frombuffer(json.dumps(facts).encode(), np.uint8)
        np.savez(aside, **arrays)  # type: ignore[arg-type]  # no array is named like an option of savez


def read_checkpoint(
    directory: PathLike, identity: dict[str, Any], model: keras.Model, optimizer: keras.optimizers.Optimizer
) -> Checkpoint | None:
    """Puts a stored run back into model and optimizer; None if there is none. Raises `TrainingError` if the checkpoint
    belongs to a run with other data, recipe, network or seed."""
    path = Path(directory) / FILE_NAME
    if not path.is_file():
        return None
    advice = f"delete '{directory}' to start anew"
    stored = read_arrays(path, TrainingError, advice)
    with reading_own(f"'{path.name}'", TrainingError, advice):
        facts = json.loads(stored["facts"].tobytes())
        if facts["identity"] != json.loads(json.dumps(identity)):
            changed = [
                name for name in identity if facts["identity"].get(name) != json.loads(json.dumps(identity[name]))
            ]
            raise TrainingError(
                f"The checkpoint in {directory} is of another training (it differs in {', '.join(changed)}); "
                "delete the folder to start anew."
            )
        load_matching_weights(model, _select(stored, "model:"), strict=True)
        for i, variable in enumerate(optimizer.variables):
            variable.assign(stored[f"optimizer:{i:05d}"])
        best = _select(stored, "best:")
    return Checkpoint(facts["epoch"], facts["best_score"], facts["best_epoch"], best, facts["history"])


def forget_checkpoint(directory: PathLike) -> None:
    """Removes the checkpoint of a run that is done; its history stays."""
    (Path(directory) / FILE_NAME).unlink(missing_ok=True)


def _select(stored: Mapping[str, np.ndarray], prefix: str) -> dict[str, np.ndarray]:
    return {name.removeprefix(prefix): stored[name] for name in stored if name.startswith(prefix)}
