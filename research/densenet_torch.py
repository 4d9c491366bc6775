"""DenseNet-121 in plain PyTorch with the weights of the Keras network, for the long runs of `train_starter.py`.

The same recipe, films, batches, loss and weight names as `icbir_core.model.training`; only the arithmetic is another:
bfloat16, channels last, and one process a core that exchange gradients once a step. On two cores a step takes less than
half of what Keras needs. The network that comes out is judged and shipped through Keras, so a difference between the
two would show there.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from torch import nn
from torch.nn import functional

from icbir_core.files import replace_atomically
from icbir_core.model.network import read_named_weights
from icbir_core.model.recipes import Recipe
from icbir_core.model.scoring import compute_auroc
from icbir_core.model.training import average_scores, weigh_positives
from icbir_core.model.training_set import Batches, TrainingSet

BLOCKS, GROWTH = (6, 12, 24, 16), 32
LARGEST_GRADIENT = 5.0


class DenseNetTorch(nn.Module):
    """From standardised input (N, 3, S, S) to logits float32 (N, F); the layers go by their names in Keras."""

    def __init__(self, outputs: int):
        super().__init__()
        self.layers = nn.ModuleDict()
        self._convolution("conv1_conv", 3, 64, 7, stride=2, padding=3)
        self._normalisation("conv1_bn", 64)
        channels = 64
        for block, steps in enumerate(BLOCKS, start=2):
            for step in range(1, steps + 1):
                name = f"conv{block}_block{step}"
                self._normalisation(f"{name}_0_bn", channels)
                self._convolution(f"{name}_1_conv", channels, 4 * GROWTH, 1)
                self._normalisation(f"{name}_1_bn", 4 * GROWTH)
                self._convolution(f"{name}_2_conv", 4 * GROWTH, GROWTH, 3, padding=1)
                channels += GROWTH
            if block <= len(BLOCKS):
                self._normalisation(f"pool{block}_bn", channels)
                self._convolution(f"pool{block}_conv", channels, channels // 2, 1)
                channels //= 2
        self._normalisation("bn", channels)
        self.layers["logits"] = nn.Linear(channels, outputs)
        self.to(memory_format=torch.channels_last)

    def _convolution(self, name: str, inputs: int, outputs: int, size: int, **more) -> None:
        self.layers[name] = nn.Conv2d(inputs, outputs, size, bias=False, **more)
        # The start of keras.applications: Glorot, uniform.
        nn.init.xavier_uniform_(self.layers[name].weight)

    def _normalisation(self, name: str, channels: int) -> None:
        self.layers[name] = nn.BatchNorm2d(channels, eps=1.001e-5, momentum=0.01)

    def features(self, x: torch.Tensor) -> torch.Tensor:
        """The penultimate features float32 (N, 1024)."""

        def activate(name: str, values: torch.Tensor) -> torch.Tensor:
            return functional.relu(self.layers[name](values))

        x = functional.max_pool2d(activate("conv1_bn", self.layers["conv1_conv"](x)), 3, 2, 1)
        for block, steps in enumerate(BLOCKS, start=2):
            for step in range(1, steps + 1):
                name = f"conv{block}_block{step}"
                y = self.layers[f"{name}_1_conv"](activate(f"{name}_0_bn", x))
                x = torch.cat([x, self.layers[f"{name}_2_conv"](activate(f"{name}_1_bn", y))], 1)
            if block <= len(BLOCKS):
                x = functional.avg_pool2d(self.layers[f"pool{block}_conv"](activate(f"pool{block}_bn", x)), 2)
        return activate("bn", x).float().mean((2, 3))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.layers["logits"](self.features(x))

    def tensors(self) -> dict[str, torch.Tensor]:
        """Every weight by its name in Keras, in PyTorch's own layout."""
        named = {}
        for name, layer in self.layers.items():
            if isinstance(layer, nn.BatchNorm2d):
                named[f"{name}/gamma"], named[f"{name}/beta"] = layer.weight, layer.bias
                named[f"{name}/moving_mean"], named[f"{name}/moving_variance"] = layer.running_mean, layer.running_var
            else:
                named[f"{name}/kernel"] = layer.weight
                if layer.bias is not None:
                    named[f"{name}/bias"] = layer.bias
        return named

    @torch.no_grad()
    def load(self, weights: dict[str, np.ndarray]) -> None:
        """Takes Keras weights over; outputs of another number keep their random start. `KeyError` if a layer lacks."""
        for name, tensor in self.tensors().items():
            values = torch.from_numpy(np.ascontiguousarray(weights[name], np.float32))
            if name.endswith("/kernel"):
                values = values.permute(3, 2, 0, 1) if values.ndim == 4 else values.T
            if values.shape == tensor.shape:
                tensor.copy_(values)

    def export(self, averages: dict[str, torch.Tensor] | None = None) -> dict[str, np.ndarray]:
        """The weights as Keras has them: name → float32 array; `averages` in place of those that it names."""
        found = {}
        for name, tensor in {**self.tensors(), **(averages or {})}.items():
            values = tensor.detach().float()
            if name.endswith("/kernel"):
                values = values.permute(2, 3, 1, 0) if values.ndim == 4 else values.T
            found[name] = values.contiguous().numpy().copy()
        return found


def join_workers(rank: int, world: int, meeting_file: str) -> None:
    """Makes this process one of `world` that each compute gradients on films of their own and step with the mean.

    On a shared processor two processes of one thread are faster than one of two: threads meet a thousand times a step,
    processes once.
    """
    torch.distributed.init_process_group("gloo", f"file://{meeting_file}", rank=rank, world_size=world)


def _share(tensors: list[torch.Tensor], first_decides: bool = False) -> None:
    """The mean over all workers (or the first one's values) in place of each worker's own."""
    if not torch.distributed.is_initialized():
        return
    flat = torch.cat([tensor.detach().reshape(-1) for tensor in tensors])
    if first_decides:
        torch.distributed.broadcast(flat, 0)
    else:
        torch.distributed.all_reduce(flat)
        flat /= torch.distributed.get_world_size()
    for tensor, part in zip(tensors, flat.split([tensor.numel() for tensor in tensors]), strict=True):
        tensor.detach().copy_(part.view(tensor.shape))


def _rate(recipe: Recipe, step: int, steps: int) -> float:
    """Linear warm-up, then a cosine to a hundredth, as `training.make_optimizer`."""
    warm_up = int(recipe.warm_up_epochs * steps)
    if step < warm_up:
        return recipe.learning_rate * (0.01 + 0.99 * step / warm_up)
    part = (step - warm_up) / max(1, recipe.epochs * steps - warm_up)
    return recipe.learning_rate * (0.01 + 0.99 * 0.5 * (1 + math.cos(math.pi * min(part, 1))))


def _masked_loss(logits: torch.Tensor, labels: torch.Tensor, positive: torch.Tensor) -> torch.Tensor:
    """As `training.make_masked_loss`."""
    known = ~labels.isnan()
    labels = labels.nan_to_num()
    each = positive * labels * functional.softplus(-logits) + (1 - labels) * functional.softplus(logits)
    return (each * known).sum() / known.sum().clamp(min=1)


@torch.no_grad()
def compute_features(model: DenseNetTorch, images: np.ndarray, size: int, batch: int = 32) -> np.ndarray:
    """Penultimate features float32 (N, 1024) of images (N, S, S) resized to `size`; leaves the model at inference."""
    from icbir_core.model.augmentation import resize_image
    from icbir_core.radiograph.network_input import standardise

    model.eval()
    found = []
    for start in range(0, len(images), batch):
        chosen = standardise(np.stack([resize_image(image, size) for image in images[start : start + batch]]))
        with torch.autocast("cpu", torch.bfloat16):
            found.append(model.features(torch.from_numpy(chosen).permute(0, 3, 1, 2)).float().numpy())
    return np.concatenate(found)


@torch.no_grad()
def predict(model: DenseNetTorch, images: np.ndarray, size: int) -> np.ndarray:
    """Logits float32 (N, F) of images (N, S, S) resized to `size`; leaves the model at inference."""
    return model.layers["logits"](torch.from_numpy(compute_features(model, images, size))).numpy()


def train(
    films: TrainingSet,
    recipe: Recipe,
    directory: Path,
    *,
    size: int,
    start: str,
    seed: int,
    log: Callable[[dict], None],
) -> None:
    """One run, resumed at its last finished epoch; `directory/weights.npz` holds the averaged weights of each epoch.

    seed : decides the films that this worker sees; the start is the first worker's. log : called with one row an epoch.
    """
    directory.mkdir(parents=True, exist_ok=True)
    torch.manual_seed(seed)
    torch.set_flush_denormal(True)
    model = DenseNetTorch(len(films.findings))
    if start != "none":
        model.load(read_named_weights(Path(start)))
    _share(list(model.tensors().values()), first_decides=True)
    named = dict(model.tensors())
    trainable = {name: tensor for name, tensor in named.items() if isinstance(tensor, nn.Parameter)}
    decayed = [tensor for name, tensor in trainable.items() if name.endswith("/kernel")]
    others = [tensor for name, tensor in trainable.items() if not name.endswith("/kernel")]
    groups = [{"params": decayed, "weight_decay": recipe.weight_decay}, {"params": others, "weight_decay": 0.0}]
    optimizer = torch.optim.AdamW(groups, lr=recipe.learning_rate, fused=True)
    averages = {name: tensor.detach().clone() for name, tensor in trainable.items()}
    positive = torch.from_numpy(weigh_positives(films.labels[films.training_rows], recipe.positive_weight_limit))
    path = directory / "checkpoint.pt"
    first, averages = resume(path, model, optimizer, averages)
    for epoch in range(first, recipe.epochs):
        batches = Batches(
            films, size, recipe.batch_size, seed, recipe.augmentation, recipe.epoch_size, epoch, recipe.label_smoothing
        )
        began, losses = time.monotonic(), []
        model.train()
        for step in range(len(batches)):
            images, labels = batches[step]
            with torch.autocast("cpu", torch.bfloat16):
                logits = model(torch.from_numpy(images).permute(0, 3, 1, 2))
            loss = _masked_loss(logits.float(), torch.from_numpy(labels), positive)
            loss.backward()
            _share([tensor.grad for tensor in trainable.values()])
            done = epoch * len(batches) + step
            take_step(optimizer, trainable, _rate(recipe, done, len(batches)))
            follow(averages, trainable, recipe.averaging, done)
            losses.append(float(loss.detach()))
        if not math.isfinite(sum(losses)):
            raise FloatingPointError("Expected a finite loss; lower the rate.")
        _share([named[name] for name in named if "/moving_" in name])
        kept = model.export(averages)
        row = {"epoch": epoch + 1, "loss": round(float(np.mean(losses)), 5)}
        if not torch.distributed.is_initialized() or torch.distributed.get_rank() == 0:
            row |= _judge(kept, films, size)
            with replace_atomically(directory / "weights.npz") as aside:
                np.savez(aside, **kept)
        with replace_atomically(path) as aside:
            torch.save(
                {
                    "epoch": epoch + 1,
                    "averages": averages,
                    "model": model.state_dict(),
                    "optimizer": optimizer.state_dict(),
                },
                aside,
            )
        log({**row, "seconds": round(time.monotonic() - began, 1)})


def resume(
    path: Path, model: nn.Module, optimizer: torch.optim.Optimizer, averages: dict[str, torch.Tensor]
) -> tuple[int, dict[str, torch.Tensor]]:
    """The next epoch and the averages of the weights, as the checkpoint holds them with the model and the optimizer;
    (0, averages) where there is none yet."""
    if not path.is_file():
        return 0, averages
    stored = torch.load(path)
    model.load_state_dict(stored["model"])
    optimizer.load_state_dict(stored["optimizer"])
    return stored["epoch"], stored["averages"]


def take_step(optimizer: torch.optim.Optimizer, trainable: dict[str, torch.Tensor], rate: float) -> None:
    """One step along the gradients, which are clipped before and cleared after."""
    nn.utils.clip_grad_norm_(trainable.values(), LARGEST_GRADIENT)
    for group in optimizer.param_groups:
        group["lr"] = rate
    optimizer.step()
    optimizer.zero_grad()


def follow(
    averages: dict[str, torch.Tensor], trainable: dict[str, torch.Tensor], averaging: float, done: int
) -> None:
    """Move the averages towards the weights after `done` steps."""
    # A young average follows closely: it would else remember its random start.
    decay = min(averaging, (1 + done) / (10 + done))
    torch._foreach_lerp_(list(averages.values()), [one.detach() for one in trainable.values()], 1 - decay)


def _judge(weights: dict[str, np.ndarray], films: TrainingSet, size: int) -> dict:
    """AUROC of each finding on the held-back films, and their mean weighted by the root of the rarer class."""
    model = DenseNetTorch(len(films.findings))
    model.load(weights)
    rows = films.held_back_rows
    logits = predict(model, films.images[rows], size)
    labels = films.labels[rows]
    scores = [float(compute_auroc(labels[:, i], logits[:, i])) for i in range(labels.shape[1])]
    named = {name: None if math.isnan(one) else one for name, one in zip(films.findings, scores, strict=True)}
    rounded = {name: one if one is None else round(one, 3) for name, one in named.items()}
    return {"mean": average_scores(named, labels), "auroc": rounded}
