"""What a training run is fed: images, labels and patients in memory-mapped arrays, and the batches drawn from them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import keras
import numpy as np

from icbir_core.errors import TrainingError
from icbir_core.model.augmentation import augment, resize_image
from icbir_core.model.recipes import Augmentation
from icbir_core.radiograph.network_input import standardise


@dataclass(frozen=True, eq=False)
class TrainingSet:
    """Films to learn from.

    images : (N, S, S), uint8 or float in [0, 1], may be a memory map. labels : float32 (N, F) of 0, 1 or NaN (unknown,
    masked).
    findings : the F names. patients : one a film, None where unknown. held_back : bool (N,), films that only judge.
    shares : float (N,) relative chance of being drawn where a recipe draws (`epoch_size`); None is equal.
    """

    images: np.ndarray
    labels: np.ndarray
    findings: tuple[str, ...]
    patients: Sequence[str | None]
    held_back: np.ndarray
    shares: np.ndarray | None = None

    def __post_init__(self) -> None:
        counts = {len(self.images), len(self.labels), len(self.patients), len(self.held_back)}
        if len(counts) != 1 or self.labels.shape[1:] != (len(self.findings),):
            raise TrainingError(
                f"Each film needs {len(self.findings)} labels, a patient and a part; "
                f"got lengths {sorted(counts)} and labels of shape {self.labels.shape}."
            )
        both = set(self._named(~self.held_back)) & set(self._named(self.held_back))
        if both:
            raise TrainingError(f"{len(both)} patients are on both sides of the split; split by patient.")
        for name, column in zip(self.findings, self.labels[~self.held_back].T, strict=True):
            if not (column == 1).any() or not (column == 0).any():
                raise TrainingError(
                    f"Training on '{name}' needs films with and without it, and there are "
                    f"{int((column == 1).sum())} and {int((column == 0).sum())}; leave that finding out, or add films."
                )

    def _named(self, rows: np.ndarray) -> list[str]:
        return [name for name, chosen in zip(self.patients, rows, strict=True) if chosen and name is not None]

    @property
    def training_rows(self) -> np.ndarray:
        return np.flatnonzero(~self.held_back)

    @property
    def held_back_rows(self) -> np.ndarray:
        return np.flatnonzero(self.held_back)


def split_by_patient(
    patients: Sequence[str | None], labels: np.ndarray, part: float = 0.15, seed: int = 0
) -> np.ndarray:
    """Which films are held back: bool (N,), about `part` of the patients, stratified by the first label's presence.

    A film of an unknown patient is never held back, because it may show a patient of the training part. Where no
    patient is known at all, every film counts as a patient of its own.
    """
    names = list(patients)
    if all(name is None for name in names):
        names = [f"film {row}" for row in range(len(names))]
    positive: dict[str, bool] = {}
    for name, label in zip(names, labels[:, 0], strict=True):
        if name is not None:
            positive[name] = bool(positive.get(name, False) or label == 1)
    random, chosen = np.random.default_rng(seed), set[str]()
    for state in (True, False):
        members = sorted(name for name, value in positive.items() if value is state)
        count = max(1, round(part * len(members))) if len(members) > 1 else 0
        chosen.update(members[i] for i in random.permutation(len(members))[:count])
    return np.array([name in chosen for name in names])


def list_held_back(
    patients: Sequence[str | None], case_ids: Sequence[str], held_back: np.ndarray
) -> dict[str, list[str]]:
    """Who was held back, for a manifest: {"patients": …, "cases": … of unknown patients}, sorted."""
    films = [film for film, held in zip(zip(patients, case_ids, strict=True), held_back, strict=True) if held]
    return {
        "patients": sorted({patient for patient, _ in films if patient is not None}),
        "cases": sorted(case_id for patient, case_id in films if patient is None),
    }


def find_held_back(
    listed: Mapping[str, Sequence[str]], patients: Sequence[str | None], case_ids: Sequence[str]
) -> np.ndarray:
    """Which films are held back, bool (N,), as an earlier network's `list_held_back` says; all others may be learnt
    from."""
    names, cases = set(listed["patients"]), set(listed["cases"])
    known = zip(patients, case_ids, strict=True)
    return np.array([case_id in cases if name is None else name in names for name, case_id in known], dtype=bool)


class Batches(keras.utils.PyDataset):  # type: ignore[misc]  # Keras has no types
    """One epoch of standardised batches ((B, S, S, 3), (B, F)). Order and augmentation follow from the seed, the epoch
    and the place alone, never from a running generator: a run that resumes at an epoch sees what it would have seen."""

    def __init__(
        self,
        training_set: TrainingSet,
        size: int,
        batch_size: int,
        seed: int,
        augmentation: Augmentation | None,
        epoch_size: int | None = None,
        epoch: int = 0,
        label_smoothing: float = 0.0,
    ):
        super().__init__(workers=1, use_multiprocessing=False, max_queue_size=4)
        self.set, self.size, self.batch_size, self.seed = training_set, size, batch_size, seed
        self.augmentation, self.smoothing = augmentation, label_smoothing
        self.rows = training_set.training_rows
        self.epoch_size = min(epoch_size or len(self.rows), 10**9)
        self.batch_size = min(batch_size, self.epoch_size)
        self.epoch = epoch
        self.order = self._draw()

    def _draw(self) -> np.ndarray:
        random = np.random.default_rng([self.seed, self.epoch])
        shares = None if self.set.shares is None else self.set.shares[self.rows]
        if shares is None and self.epoch_size == len(self.rows):
            return random.permutation(self.rows)
        chance = None if shares is None else shares / shares.sum()
        return random.choice(self.rows, self.epoch_size, replace=self.epoch_size > len(self.rows), p=chance)

    def __len__(self) -> int:
        return self.epoch_size // self.batch_size

    def __getitem__(self, index: int) -> tuple[np.ndarray, np.ndarray]:
        rows = self.order[index * self.batch_size : (index + 1) * self.batch_size]
        images = np.stack([self._image(place + index * self.batch_size, row) for place, row in enumerate(rows)])
        labels = self.set.labels[rows]
        if self.smoothing:
            labels = labels * (1 - 2 * self.smoothing) + self.smoothing
        return standardise(images), labels.astype(np.float32)

    def _image(self, place: int, row: int) -> np.ndarray:
        image = resize_image(np.asarray(self.set.images[row]), self.size)
        if self.augmentation is None:
            return image
        return augment(image, self.augmentation, np.random.default_rng([self.seed, self.epoch, place, int(row)]))
