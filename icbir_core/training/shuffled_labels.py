"""The data randomisation test of a workspace: the same network trained alike on true labels and on shuffled ones.

Both start from the same random weights and see the same films in the same order; which label lies on which film is the
only difference (Adebayo et al., NeurIPS 2018). Trained once for the same films and options; a killed run goes on.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

import numpy as np

from icbir_core.catalogue import Workspace, read_case_radiograph
from icbir_core.errors import TrainingError
from icbir_core.files import sha256_of_bytes
from icbir_core.model.backbones import BACKBONES
from icbir_core.model.classifier import Classifier
from icbir_core.model.device import choose_device, make_deterministic
from icbir_core.model.recipes import Recipe, find_recipe
from icbir_core.model.scoring import score_finding
from icbir_core.model.training_set import TrainingSet, split_by_patient
from icbir_core.radiograph.network_input import fit_to_network
from icbir_core.saliency.checks import CheckRow
from icbir_core.saliency.label_randomisation import compare_networks
from icbir_core.saliency.methods import SALIENCY_METHODS
from icbir_core.settings import InputSettings
from icbir_core.training.film_cache import cache_rows, identify_cases
from icbir_core.training.side_networks import HELD_BACK, SideNetwork, train_once
from icbir_core.types import Case, Progress

TRUE, SHUFFLED = "true labels", "shuffled labels"
FEWEST = 8


@dataclass(frozen=True)
class ShuffleOptions:
    """What to train and to compare. network, input : as for training, always from random weights, because a trained
    start knows the true labels. epochs of both; films : at most so many, None for all, as many with the finding as
    without it as far as there are; compared : films whose maps are compared, all of them held back from the training.
    """

    target: str
    network: str = "densenet_small"
    input: InputSettings = InputSettings(size=128)
    epochs: int = 60
    films: int | None = None
    compared: int = 32
    methods: tuple[str, ...] = field(default_factory=lambda: tuple(SALIENCY_METHODS))
    seed: int = 0
    device: str = "auto"

    def __post_init__(self) -> None:
        BACKBONES[self.network]  # raises `UnknownNameError`
        for name in self.methods:
            SALIENCY_METHODS[name]  # raises `UnknownNameError`

    @property
    def recipe(self) -> Recipe:
        """The default one without what keeps a network from learning labels by heart; the last weights are kept."""
        return replace(
            find_recipe("default"),
            name="shuffled labels",
            epochs=self.epochs,
            augmentation=None,
            weight_decay=0.0,
            averaging=0.0,
            patience=None,
        )


def check_shuffled_labels(
    workspace: Workspace, options: ShuffleOptions, progress: Progress | None = None
) -> list[CheckRow]:
    """Rows of the comparison (see `compare_networks`) behind the AUROC of both networks, which says what each learnt.

    Kept under `checks/shuffled_labels` of the workspace. Raises `TrainingError` if fewer than 8 films show the finding
    or fewer than 8 are known to be without it, `UnknownNameError` for an unknown network or method.
    """
    if choose_device(options.device).kind == "cpu":
        make_deterministic()
    with workspace.lock("checks", seconds=1):
        cases = choose_cases(workspace, options)
        identity = asdict(options) | {"cases": identify_cases(cases)}
        for name in ("compared", "methods", "device"):
            del identity[name]
        digest = sha256_of_bytes(json.dumps(identity, sort_keys=True).encode())[:16]
        folder = workspace.path / "checks" / "shuffled_labels" / digest
        settings = options.input

        def read(start: int, stop: int) -> np.ndarray:
            films = [read_case_radiograph(workspace, case).pixels for case in cases[start:stop]]
            return np.stack([fit_to_network(film, settings) for film in films])

        images = cache_rows(folder, "films", {"films": digest}, len(cases), settings.size, read, progress)
        labels = workspace.catalogue.labels((options.target,), [case.row for case in cases]).astype(np.float32)
        patients = [case.patient for case in cases]
        held_back = split_by_patient(patients, labels, HELD_BACK, options.seed)
        truth = TrainingSet(images, labels, (options.target,), patients, held_back)
        sets = {TRUE: truth, SHUFFLED: replace(truth, labels=shuffle_labels(labels, held_back, options.seed))}
        networks = {name: _train(folder, name, each, options, digest, progress) for name, each in sets.items()}
    rows = [row for name, network in networks.items() for row in _score(name, network, sets[name], truth)]
    chosen = np.random.default_rng(options.seed).permutation(truth.held_back_rows)[: options.compared]
    films = np.asarray(images[np.sort(chosen)], np.float32) / 255
    groups = [patients[row] or f"film {row}" for row in np.sort(chosen)]
    return rows + compare_networks(
        networks[TRUE], networks[SHUFFLED], films, options.target, groups, options.methods, progress
    )


def shuffle_labels(labels: np.ndarray, held_back: np.ndarray, seed: int) -> np.ndarray:
    """Labels (N, F) with whole rows dealt out anew among the films trained on; those of held-back films stay."""
    shuffled, rows = labels.copy(), np.flatnonzero(~held_back)
    shuffled[rows] = labels[np.random.default_rng([seed, 1]).permutation(rows)]
    return shuffled


def choose_cases(workspace: Workspace, options: ShuffleOptions) -> list[Case]:
    """The films with a known state of the target, in catalogue order."""
    cases = [
        case
        for case in workspace.catalogue.cases()
        if options.target in case.findings and case.findings[options.target].known
    ]
    present = np.array([options.target in case.present for case in cases], bool)
    counts = int(present.sum()), int((~present).sum())
    if min(counts) < FEWEST:
        raise TrainingError(
            f"{FEWEST} films with and {FEWEST} without {options.target} are needed, and there are {counts[0]} and "
            f"{counts[1]}; ingest more films."
        )
    if options.films is None or options.films >= len(cases):
        return cases
    if options.films < 2 * FEWEST:
        raise TrainingError(f"{options.films} films are too few to train on; ask for {2 * FEWEST} or more.")
    shown = min(counts[0], max(options.films // 2, options.films - counts[1]))
    random = np.random.default_rng([options.seed, 2])
    sides = ((present, shown), (~present, options.films - shown))
    kept = np.concatenate([random.permutation(np.flatnonzero(side))[:count] for side, count in sides])
    return [cases[place] for place in np.sort(kept)]


def _train(
    folder: Path, name: str, training_set: TrainingSet, options: ShuffleOptions, digest: str, progress: Progress | None
) -> Classifier:
    def tell(done: int, total: int, text: str) -> None:
        if progress:
            progress(done, total, f"{name}, {text}")

    path = folder / f"{name.split()[0]}.keras"
    wanted = SideNetwork(
        path, folder / f"training_{path.stem}", f"check: {name}", options.network, options.input, options.recipe,
        f"{digest} {name}", seed=options.seed,
    )  # fmt: skip
    return train_once(wanted, lambda: training_set, tell)


def _score(name: str, network: Classifier, learnt: TrainingSet, truth: TrainingSet) -> Sequence[CheckRow]:
    """AUROC on the films trained on, by the labels that were learnt, and on the held-back ones, by the true labels."""
    parts = (
        (f"films trained on, {name}", learnt, learnt.training_rows),
        (f"films held back, {TRUE}", truth, truth.held_back_rows),
    )
    rows = []
    for subject, labelled, chosen in parts:
        logits, _ = network.compute(np.asarray(labelled.images[chosen], np.float32) / 255)
        patients = [labelled.patients[row] for row in chosen]
        score = score_finding(labelled.labels[chosen, 0], logits[:, 0], patients)
        found = score.value, score.low, score.high
        rows.append(CheckRow("AUROC", f"network of {name}", subject, *found, len(chosen), ""))
    return rows
