"""Training recipes by name, as frozen values. This module imports nothing heavy."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from typing import Any

from icbir_core.errors import UnknownNameError


@dataclass(frozen=True)
class Augmentation:
    """Ranges of the random changes made to a training image in [0, 1] (see `augmentation.augment`).

    shift : part of the side. scale : largest relative change of size. rotation : degrees. brightness : added grey.
    contrast, gamma : largest relative change (gamma on a logarithmic scale). noise : largest standard deviation.
    erase : probability of blanking one random rectangle. flip : probability of a left-right mirror image (swaps
    laterality, so 0 by default).
    """

    shift: float = 0.06
    scale: float = 0.12
    rotation: float = 8.0
    brightness: float = 0.10
    contrast: float = 0.25
    gamma: float = 0.30
    noise: float = 0.03
    erase: float = 0.0
    flip: float = 0.0


@dataclass(frozen=True)
class Recipe:
    """Everything that decides a training run apart from the data, the network and the seed.

    optimizer : "adamw" or "adadelta". schedule : "cosine" (after a linear warm-up) or "constant".
    epoch_size : films drawn for one epoch; None takes each film once.
    positive_weight_limit : positives of a finding are weighted by the square root of absent / present, at most this
    much; 1 weighs all alike. averaging : decay per step of the moving average of the weights, 0 for none; the average
    is what is scored and stored. patience : epochs without a better score before stopping; None never stops early and
    keeps the last weights. view : only this view; start : where the weights come from by default.
    targets_only : train one output, the target finding, as the published recipe does.
    """

    name: str = "default"
    optimizer: str = "adamw"
    learning_rate: float = 1e-3
    weight_decay: float = 0.02
    schedule: str = "cosine"
    warm_up_epochs: float = 1.0
    batch_size: int = 32
    epochs: int = 20
    epoch_size: int | None = None
    augmentation: Augmentation | None = field(default_factory=Augmentation)
    positive_weight_limit: float = 4.0
    label_smoothing: float = 0.0
    averaging: float = 0.99
    patience: int | None = 6
    view: str | None = None
    start: str = "imagenet"
    targets_only: bool = False

    def as_dict(self) -> dict[str, Any]:
        """Plain values for a manifest."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Recipe:
        """The inverse of `as_dict`; unknown keys are ignored, so that an older version can read a newer manifest."""
        known = {item.name for item in fields(cls)}
        kept = {name: value for name, value in values.items() if name in known}
        if isinstance(kept.get("augmentation"), Mapping):
            kept["augmentation"] = Augmentation(**kept["augmentation"])
        return cls(**kept)


RECIPES: Mapping[str, Recipe] = {
    "default": Recipe(),
    # Silva et al., MICCAI 2020, as released: Adadelta (Keras 2 default rate 1.0), batch 32, 10 epochs, AP views, one
    # output.
    "silva2020": Recipe(
        name="silva2020",
        optimizer="adadelta",
        learning_rate=1.0,
        weight_decay=0.0,
        schedule="constant",
        warm_up_epochs=0.0,
        batch_size=32,
        epochs=10,
        augmentation=None,
        positive_weight_limit=1.0,
        averaging=0.0,
        patience=None,
        view="AP",
        targets_only=True,
    ),
}


def find_recipe(name: str) -> Recipe:
    """The recipe of that name. Raises `UnknownNameError` listing the known ones."""
    if name not in RECIPES:
        raise UnknownNameError("recipe", name, RECIPES)
    return RECIPES[name]
