"""A start for `train_starter.py fit` that has seen films but no label: two views of a film, one vector (VICReg).

    python research/self_supervised_start.py FOLDER NAME [--size 112] [--epochs 2] [--simulated 4000]

FOLDER is that of `train_starter.py`, after its steps `real` and `simulate`. Films: the parts `train` and `extra` of the
real ones (never `tune` or `test`) and so many simulated ones. Two augmented views of each go through the network and a
projection; the loss asks that both give the same vector and that the vectors of a batch neither collapse nor repeat
themselves in their dimensions (Bardes, Ponce, LeCun, "VICReg", ICLR 2022, equations 1 to 6, with their weights 25, 25
and 1, and the means over dimensions of their code). `FOLDER/NAME/weights.npz` then serves as `--start NAME`; its head
is untrained.
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path

import numpy as np
import torch
from densenet_torch import LARGEST_GRADIENT, DenseNetTorch
from torch import nn
from torch.nn import functional
from train_starter import FINDINGS, load_simulated

from icbir_core.files import replace_atomically
from icbir_core.model.augmentation import augment, resize_image
from icbir_core.model.recipes import Augmentation
from icbir_core.radiograph.network_input import standardise

VIEWS = Augmentation(rotation=12, scale=0.3, shift=0.12, gamma=0.4, contrast=0.35, erase=0.3)
WIDTH = 512


def compare_views(first: torch.Tensor, second: torch.Tensor) -> tuple[torch.Tensor, dict[str, float]]:
    """The loss of two views' vectors float32 (N, D), and its three terms."""
    alike = functional.mse_loss(first, second)
    spread, repeated = 0.0, 0.0
    for vectors in (first, second):
        centred = vectors - vectors.mean(0)
        spread = spread + functional.relu(1 - torch.sqrt(centred.var(0) + 1e-4)).mean() / 2
        covariance = centred.T @ centred / (len(centred) - 1)
        apart = covariance - torch.diag(torch.diagonal(covariance))
        repeated = repeated + apart.square().sum() / vectors.shape[1]
    terms = {"invariance": alike, "variance": spread, "covariance": repeated}
    return 25 * alike + 25 * spread + repeated, {name: float(value.detach()) for name, value in terms.items()}


def collect_films(folder: Path, simulated: int) -> np.ndarray:
    """Images uint8 (N, 224, 224) to learn from, none of a `tune` or `test` patient."""
    with np.load(folder / "real.npz") as stored:
        films = stored["images"][np.isin(stored["part"], ("train", "extra"))]
    return np.concatenate([films, load_simulated(folder, simulated)[0][:simulated]]) if simulated else films


def draw_view(images: np.ndarray, size: int, random: np.random.Generator) -> torch.Tensor:
    """Standardised input (N, 3, size, size) of one random view of each image."""
    views = np.stack([augment(resize_image(image, size), VIEWS, random) for image in images])
    return torch.from_numpy(standardise(views)).permute(0, 3, 1, 2)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("name")
    parser.add_argument("--size", type=int, default=112)
    parser.add_argument("--epochs", type=int, default=2)
    parser.add_argument("--simulated", type=int, default=4000)
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--rate", type=float, default=1e-3)
    parser.add_argument("--threads", type=int, default=1)
    given = parser.parse_args()
    torch.set_num_threads(given.threads)
    torch.manual_seed(0)
    torch.set_flush_denormal(True)
    random = np.random.default_rng(0)
    films = collect_films(given.folder, given.simulated)
    model = DenseNetTorch(len(FINDINGS))
    project = nn.Sequential(nn.Linear(1024, WIDTH), nn.BatchNorm1d(WIDTH), nn.ReLU(), nn.Linear(WIDTH, WIDTH))
    parameters = [*model.parameters(), *project.parameters()]
    optimizer = torch.optim.AdamW(parameters, lr=given.rate, weight_decay=0.02, fused=True)
    steps = len(films) // given.batch
    total = given.epochs * steps
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, given.rate, total_steps=total, pct_start=0.1)
    print(f"{len(films)} films, {steps} steps an epoch", flush=True)
    began = time.monotonic()
    for epoch in range(given.epochs):
        order, losses = random.permutation(len(films)), []
        for step in range(steps):
            chosen = films[order[step * given.batch : (step + 1) * given.batch]]
            with torch.autocast("cpu", torch.bfloat16):
                found = [model.features(draw_view(chosen, given.size, random)) for _ in range(2)]
            loss, terms = compare_views(*(project(features) for features in found))
            loss.backward()
            nn.utils.clip_grad_norm_(parameters, LARGEST_GRADIENT)
            optimizer.step()
            schedule.step()
            optimizer.zero_grad()
            losses.append(list(terms.values()))
        means = dict(zip(terms, np.round(np.mean(losses, 0), 4).tolist(), strict=True))
        row = {"epoch": epoch + 1, **means, "minutes": round((time.monotonic() - began) / 60, 1)}
        print(json.dumps(row), flush=True)
    directory = given.folder / given.name
    directory.mkdir(exist_ok=True)
    with replace_atomically(directory / "weights.npz") as aside:
        np.savez(aside, **model.export())


if __name__ == "__main__":
    main()
