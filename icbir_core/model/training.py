"""Training by recipe, resumable at every epoch, in plain Keras so that any of its backends can run it."""

from __future__ import annotations

import json
import math
import os
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import keras
import numpy as np

from icbir_core.errors import TrainingError
from icbir_core.files import PathLike, sha256_of_bytes
from icbir_core.model.augmentation import resize_image
from icbir_core.model.backbones import BACKBONES
from icbir_core.model.checkpoint import Checkpoint, read_checkpoint, write_checkpoint
from icbir_core.model.device import compile_network
from icbir_core.model.layer_names import LOGITS_LAYER
from icbir_core.model.network import build_network, load_matching_weights, named_weights, precision
from icbir_core.model.recipes import Recipe
from icbir_core.model.scoring import compute_auroc
from icbir_core.model.training_set import Batches, TrainingSet
from icbir_core.radiograph.network_input import standardise
from icbir_core.types import Progress


@dataclass(frozen=True)
class NetworkStart:
    """The network that a training begins with, which identifies the run.

    weights : as `build_network`; None takes the recipe's start. policy : Keras dtype policy of the hidden layers.
    made_from : what identifies the data and start to a resumed run, beyond their names and counts.
    """

    network: str = "densenet121"
    size: int = 224
    weights: PathLike | None = None
    seed: int = 0
    policy: str = "float32"
    made_from: str = ""


@dataclass(frozen=True, eq=False)
class TrainingResult:
    """model : float32, with the chosen weights. history : a dict for each epoch. best_epoch : from 0. run : a hash of
    all that decided the run, equal for a resumed one."""

    model: keras.Model
    history: list[dict[str, Any]]
    best_epoch: int
    recipe: Recipe
    run: str


def weigh_positives(labels: np.ndarray, limit: float) -> np.ndarray:
    """Weight of a positive per finding, float32 (F,): sqrt(absent / present), between 1 / limit and limit."""
    present, absent = (labels == 1).sum(0), (labels == 0).sum(0)
    weights: np.ndarray = np.clip(np.sqrt(absent / np.maximum(present, 1)), 1 / limit, limit).astype(np.float32)
    return weights


def make_masked_loss(positive_weights: np.ndarray) -> Callable[[Any, Any], Any]:
    """Binary cross-entropy on logits (B, F) against labels (B, F) of 0 … 1 or NaN; NaN takes no part. The mean over the
    known entries of a batch; a batch without any gives 0."""
    weights = keras.ops.convert_to_tensor(np.asarray(positive_weights, np.float32))

    def masked_binary_crossentropy(labels: Any, logits: Any) -> Any:
        labels = keras.ops.cast(labels, "float32")
        logits = keras.ops.cast(logits, "float32")
        known = keras.ops.cast(keras.ops.logical_not(keras.ops.isnan(labels)), "float32")
        labels = keras.ops.where(keras.ops.isnan(labels), keras.ops.zeros_like(labels), labels)
        # log(1 + exp(x)) through softplus: no overflow, and no gradient through the masked entries.
        each = weights * labels * keras.ops.softplus(-logits) + (1 - labels) * keras.ops.softplus(logits)
        return keras.ops.sum(each * known) / keras.ops.maximum(keras.ops.sum(known), 1.0)

    return masked_binary_crossentropy


def make_optimizer(recipe: Recipe, steps: int) -> keras.optimizers.Optimizer:
    """The recipe's optimizer for so many steps an epoch."""
    rate = recipe.learning_rate
    if recipe.schedule == "cosine":
        warm_up = int(recipe.warm_up_epochs * steps)
        rate = keras.optimizers.schedules.CosineDecay(
            initial_learning_rate=rate / 100 if warm_up else rate,
            decay_steps=max(1, recipe.epochs * steps - warm_up),
            alpha=0.01,
            warmup_target=rate if warm_up else None,
            warmup_steps=warm_up,
        )
    elif recipe.schedule != "constant":
        raise TrainingError(f"Unknown schedule '{recipe.schedule}'; choose cosine or constant.")
    averaging = {"use_ema": True, "ema_momentum": recipe.averaging} if recipe.averaging else {}
    if recipe.optimizer == "adamw":
        optimizer = keras.optimizers.AdamW(rate, weight_decay=recipe.weight_decay, global_clipnorm=5.0, **averaging)
        optimizer.exclude_from_weight_decay(var_names=["gamma", "beta", "bias"])
        return optimizer
    if recipe.optimizer == "adadelta":
        return keras.optimizers.Adadelta(rate, **averaging)
    raise TrainingError(f"Unknown optimizer '{recipe.optimizer}'; choose adamw or adadelta.")


def predict_logits(
    model: keras.Model,
    images: np.ndarray,
    rows: np.ndarray,
    size: int,
    batch: int = 32,
    predict: Callable[[np.ndarray], Any] | None = None,
) -> np.ndarray:
    """Logits float32 (len(rows), F) of a model that ends in logits, on images (N, S, S) resized to `size`.

    predict : what `compile_network` made of the model, where it is asked again and again.
    """
    predict = predict or compile_network(model)
    parts = []
    for start in range(0, len(rows), batch):
        chosen = np.stack([resize_image(np.asarray(images[row]), size) for row in rows[start : start + batch]])
        parts.append(np.asarray(predict(standardise(chosen)), np.float32))
    return np.concatenate(parts) if parts else np.zeros((0, model.output_shape[-1]), np.float32)


class _Pulse(keras.callbacks.Callback):  # type: ignore[misc]  # Keras has no types
    """Forwards progress and stops the run when the loss is no number."""

    def __init__(self, progress: Progress | None, done: int, total: int, text: str):
        super().__init__()
        self.progress, self.done, self.total, self.text = progress, done, total, text

    def on_train_batch_end(self, batch: int, logs: Mapping[str, float] | None = None) -> None:
        if self.progress is not None:
            self.progress(self.done + batch + 1, self.total, self.text)

    def on_epoch_end(self, epoch: int, logs: Mapping[str, float] | None = None) -> None:
        if logs is not None and not math.isfinite(logs["loss"]):
            raise TrainingError("The loss became NaN or infinite; lower the learning rate.")


def _average_weights(model: keras.Model, optimizer: keras.optimizers.Optimizer) -> dict[str, np.ndarray]:
    """The weights by name with the trainable ones replaced by their moving average, where the optimizer keeps one."""
    kept = named_weights(model)
    if not optimizer.use_ema:
        return kept
    before = [keras.ops.convert_to_numpy(variable.value).copy() for variable in model.trainable_variables]
    optimizer.finalize_variable_values(model.trainable_variables)
    kept = {name: values.copy() for name, values in named_weights(model).items()}
    for variable, values in zip(model.trainable_variables, before, strict=True):
        variable.assign(values)
    return kept


def train(
    training_set: TrainingSet,
    recipe: Recipe,
    directory: PathLike,
    start: NetworkStart = NetworkStart(),
    progress: Progress | None = None,
    log: Callable[[dict[str, Any]], None] | None = None,
) -> TrainingResult:
    """Trains a network; an interrupted run continues from its last finished epoch when it is called again.

    directory : holds `checkpoint.npz` (weights, optimizer, average, best so far, history) and `history.jsonl`.
    On the CPU with deterministic operations the resumed run ends in the same weights as an uninterrupted one.
    Raises `TrainingError` if the directory holds a checkpoint of another run or the loss diverges. `forget_checkpoint`
    frees the room (five times the weights) when what was trained is safely stored.
    """
    directory = Path(directory)
    directory.mkdir(parents=True, exist_ok=True)
    weights, size = os.fspath(start.weights or recipe.start), start.size
    keras.utils.set_random_seed(start.seed)
    with precision(start.policy):
        model = build_network(start.network, len(training_set.findings), size, weights)
    trained = keras.Model(model.input, model.get_layer(LOGITS_LAYER).output)
    batches = Batches(training_set, size, recipe.batch_size, start.seed, None, recipe.epoch_size)
    if not len(batches):
        raise TrainingError("There is no film to train on.")
    steps = len(batches)
    optimizer = make_optimizer(recipe, steps)
    positive = weigh_positives(training_set.labels[training_set.training_rows], recipe.positive_weight_limit)
    # `trained` is built outside the policy, so Keras would not see that small gradients vanish in float16.
    stepper = keras.optimizers.LossScaleOptimizer(optimizer) if start.policy == "mixed_float16" else optimizer
    trained.compile(optimizer=stepper, loss=make_masked_loss(positive), jit_compile=False)
    stepper.build(trained.trainable_variables)
    identity = {
        "recipe": recipe.as_dict(), "network": start.network, "size": size, "start": start.made_from or
        Path(weights).name, "seed": start.seed, "findings": list(training_set.findings),
        "films": int(len(training_set.images)), "steps": steps,
    }  # fmt: skip
    state = read_checkpoint(directory, identity, model, stepper) or Checkpoint(
        0, -math.inf, -1, named_weights(model), []
    )
    judged, predict = training_set.held_back_rows, compile_network(trained)
    while state.epoch < recipe.epochs and not _waited_enough(state, recipe):
        epoch, began = state.epoch, time.monotonic()
        batches = Batches(
            training_set,
            size,
            recipe.batch_size,
            start.seed,
            recipe.augmentation,
            recipe.epoch_size,
            epoch,
            recipe.label_smoothing,
        )
        pulse = _Pulse(progress, epoch * steps, recipe.epochs * steps, f"epoch {epoch + 1} of {recipe.epochs}")
        loss = trained.fit(batches, epochs=1, verbose=0, callbacks=[pulse], shuffle=False).history["loss"][-1]
        kept = _average_weights(model, optimizer)
        row: dict[str, Any] = {"epoch": epoch, "loss": round(float(loss), 5)}
        score = float(epoch)
        if len(judged):
            row["auroc"] = score_weights(model, trained, kept, training_set, size, predict)
            mean = average_scores(row["auroc"], training_set.labels[judged])
            if mean is not None:
                score = mean
                row["mean_auroc"] = round(mean, 4)
        row["seconds"] = round(time.monotonic() - began, 1)
        better = score > state.best_score or recipe.patience is None
        state = replace(
            state,
            epoch=epoch + 1,
            best_score=score if better else state.best_score,
            best_epoch=epoch if better else state.best_epoch,
            best_weights=kept if better else state.best_weights,
            history=[*state.history, row],
        )
        write_checkpoint(directory, identity, state, model, stepper)
        (directory / "history.jsonl").write_text("".join(json.dumps(line) + "\n" for line in state.history))
        if log is not None:
            log(row)
    keras.backend.clear_session(free_memory=False)
    structure = "none" if start.network in BACKBONES else weights
    final = build_network(start.network, len(training_set.findings), size, structure)
    load_matching_weights(final, state.best_weights, strict=True)
    run = sha256_of_bytes(json.dumps(identity, sort_keys=True).encode())
    return TrainingResult(final, state.history, state.best_epoch, recipe, run)


def _waited_enough(state: Checkpoint, recipe: Recipe) -> bool:
    return (
        recipe.patience is not None and state.best_epoch >= 0 and state.epoch - 1 - state.best_epoch >= recipe.patience
    )


def average_scores(scores: dict[str, float | None], labels: np.ndarray) -> float | None:
    """The mean of the findings' scores, each weighted by the square root of its rarer class; None if none has a score.
    The standard error of an AUROC falls with that root, so a finding of four films does not decide the epoch."""
    weights = np.sqrt(np.minimum((labels == 1).sum(0), (labels == 0).sum(0)))
    pairs = [(weight, score) for weight, score in zip(weights, scores.values(), strict=True) if score is not None]
    return float(sum(w * s for w, s in pairs) / sum(w for w, _ in pairs)) if pairs else None


def score_weights(
    model: keras.Model,
    trained: keras.Model,
    weights: dict[str, np.ndarray],
    training_set: TrainingSet,
    size: int,
    predict: Callable[[np.ndarray], Any] | None = None,
) -> dict[str, float | None]:
    """AUROC per finding on the held-back films under other weights; the model's own are put back. predict : of
    `trained`, as in `predict_logits`."""
    before = {name: values.copy() for name, values in named_weights(model).items()}
    load_matching_weights(model, weights, strict=True)
    rows = training_set.held_back_rows
    logits = predict_logits(trained, training_set.images, rows, size, predict=predict)
    load_matching_weights(model, before, strict=True)
    found = {}
    for column, name in enumerate(training_set.findings):
        value = compute_auroc(training_set.labels[rows, column], logits[:, column])
        found[name] = None if np.isnan(value) else round(value, 4)
    return found
