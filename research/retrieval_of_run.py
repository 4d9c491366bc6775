"""What retrieval a training run of `train_starter.py` gives: precision at 10 and mean average precision, with chance.

    python research/retrieval_of_run.py FOLDER RUN [--maps SALIENCY_RUN] [--size 224] [--part tune]

FOLDER is that of `train_starter.py`. Queries: the films of the part with the target; catalogue: those of `train`, and
those of `train` with the unnamed ones. Methods: features of the classifier, raw (cnn) and less the catalogue's mean at
unit length (cnn_centred), SSIM of the films, and, where `--maps` names the run that learnt from RUN's maps, features of
that saliency classifier (ig_cbir). Chance is the mean over random orders. Intervals: 95 %, bootstrap over patients. All
in PyTorch; the measures are those of `evaluate`.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import numpy as np
import torch
from densenet_torch import DenseNetTorch, compute_features
from train_starter import FINDINGS, SIZE

from icbir_core.evaluation.methods import measure_euclidean, rank_cases
from icbir_core.evaluation.metrics import average_precision, drop_unknown, precision_at
from icbir_core.evaluation.statistics import bootstrap_mean, group_patients
from icbir_core.model.network import read_named_weights
from icbir_core.retrieval.centring import Centre
from icbir_core.retrieval.structural_similarity import compare, describe_windows, reduce_images

CATALOGUES = {"train": ["train"], "train and unnamed": ["train", "extra"]}
RANDOM_ORDERS = 200


def read_features(run: Path, images: np.ndarray, size: int) -> np.ndarray:
    """Penultimate features float32 (N, 1024) of a run's network."""
    model = DenseNetTorch(len(FINDINGS))
    model.load(read_named_weights(run / "weights.npz"))
    return compute_features(model, images, size)


def measure_ssim(queries: np.ndarray, cases: np.ndarray) -> np.ndarray:
    """1 − SSIM, float64 (Q, N), of images uint8 at the size that the program compares."""
    left, right = (reduce_images(some.astype(np.float32) / 255) for some in (queries, cases))
    means, variances = describe_windows(right)
    return np.stack([1 - compare(query, right, means, variances) for query in left])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("run")
    parser.add_argument("--maps", help="the run that learnt from RUN's maps")
    parser.add_argument("--size", type=int, default=SIZE)
    parser.add_argument("--part", default="tune")
    parser.add_argument("--target", default="Effusion")
    parser.add_argument("--threads", type=int, default=1)
    given = parser.parse_args()
    torch.set_num_threads(given.threads)
    with np.load(given.folder / "real.npz") as stored:
        images, labels, part, patients = (stored[name] for name in ("images", "labels", "part", "patients"))
    column = labels[:, FINDINGS.index(given.target)]
    asked = np.flatnonzero((part == given.part) & (column == 1))
    used = np.union1d(asked, np.flatnonzero(np.isin(part, CATALOGUES["train and unnamed"])))
    pictures = {"cnn": (given.run, images)}
    if given.maps:
        pictures["ig_cbir"] = (given.maps, np.load(given.folder / given.run / "maps_real.npy", mmap_mode="r"))
    features = {}
    for name, (run, source) in pictures.items():
        features[name] = np.zeros((len(images), 1024), np.float32)
        features[name][used] = read_features(given.folder / run, source[used], given.size)
    groups, random = group_patients(patients[asked].tolist()), np.random.default_rng(0)
    print(f"{len(asked)} films of {given.part} with {given.target}")
    print("| catalogue | method | precision at 10 | mAP |\n|---|---|---|---|")
    for title, parts in CATALOGUES.items():
        cases = np.flatnonzero(np.isin(part, parts))
        distances = {"ssim": measure_ssim(images[asked], images[cases])}
        for name, vectors in features.items():
            centre = Centre.measure([vectors[cases]], {})
            distances[name] = measure_euclidean(vectors[asked], vectors[cases])
            distances[f"{name}_centred"] = measure_euclidean(
                centre.transform(vectors[asked]), centre.transform(vectors[cases])
            )
        # No patient of `tune` or `test` is among the cases, so that every case is allowed.
        orders = {name: rank_cases(one, np.ones(one.shape, bool)) for name, one in distances.items()}
        for name, ranked in orders.items():
            lists = [drop_unknown(column[cases][order]) for order in ranked]
            cells = []
            for measure in (lambda one: precision_at(one, 10), average_precision):
                found = bootstrap_mean(np.array([measure(one) for one in lists]), groups)
                cells.append(f"{found.value:.3f} [{found.low:.3f}, {found.high:.3f}]")
            print(f"| {title} | {name} | {' | '.join(cells)} |", flush=True)
        drawn = [drop_unknown(column[cases][random.permutation(len(cases))]) for _ in range(RANDOM_ORDERS)]
        chance = (np.mean([precision_at(one, 10) for one in drawn]), np.mean([average_precision(one) for one in drawn]))
        print(f"| {title} | chance | {chance[0]:.3f} | {chance[1]:.3f} |", flush=True)
    print(json.dumps({"run": given.run, "maps": given.maps, "part": given.part, "queries": len(asked)}))


if __name__ == "__main__":
    main()
