"""A Keras network of somebody else as the start of a training: its layers, fed with standardised films, up to the last
ones that still have places. The manifest beside it says which they are (docs/how-to/foreign-encoder.md)."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import keras
import numpy as np

from icbir_core.errors import ModelError
from icbir_core.files import PathLike, reading_own
from icbir_core.model.backbones import BACKBONES
from icbir_core.model.foreign import KERAS, FilmForm, read_facts
from icbir_core.model.layer_names import FEATURE_LAYER
from icbir_core.radiograph.network_input import IMAGENET_DEVIATION, IMAGENET_MEAN

_HELP = "see docs/how-to/foreign-encoder.md"


def read_foreign_facts(weights: PathLike) -> dict[str, Any] | None:
    """The manifest beside a `.keras` file whose network is none of `BACKBONES`; None for any other file. Raises
    `ModelError` if it cannot be read."""
    path = Path(weights).with_suffix(".json")
    if Path(weights).suffix != KERAS or not path.is_file():
        return None
    facts = read_facts(path, _HELP)
    return None if facts.get("network") in BACKBONES else facts


def open_backbone(weights: PathLike, facts: dict[str, Any], size: int) -> keras.Model:
    """From standardised films (N, size, size, 3) to feature maps whose layer is `FEATURE_LAYER`: of the network that
    `facts` describe, or of a classifier that was trained here from such a one. Raises `ModelError` if the file, the
    size or the manifest does not fit."""
    name = Path(weights).name
    with reading_own(f"'{name}'", ModelError, "name a model that Keras saved, of its own layers alone"):
        model = keras.saving.load_model(weights, compile=False)
    if "embedding" not in facts:
        backbone = keras.Model(model.input, model.get_layer(FEATURE_LAYER).output)
    else:
        side = int(facts["input"]["size"])
        if side != size:
            raise ModelError(f"'{name}' takes films of {side} × {side}; leave --size out.")
        try:
            backbone = _connect(model, facts, size)
        except (KeyError, TypeError, ValueError) as error:
            raise ModelError(f"The manifest of '{name}' does not fit its network ({error}); {_HELP}.") from error
    names = ["/".join(variable.path.split("/")[-2:]) for variable in backbone.variables]
    if len(set(names)) < len(names):
        raise ModelError(f"'{name}' has several layers of one name, which cannot be told apart; rename them.")
    return backbone


def _connect(model: keras.Model, facts: dict[str, Any], size: int) -> keras.Model:
    form, embedding = FilmForm.read(facts["input"]), facts["embedding"]
    width, pooling = int(embedding["width"]), embedding.get("pooling", "none")
    if pooling != "mean":
        raise ValueError(f"a training needs its last layer with places, pooled by the mean, not '{pooling}'")
    last = model.get_layer(embedding["output"]).output if embedding.get("output") else model.output
    films = keras.Input((size, size, 3))
    x = make_form(form)(films)
    if form.channels_first:
        x = keras.layers.Permute((3, 1, 2), name="input_channels")(x)
    wanted = tuple(model.input.shape[1:])
    if len(wanted) != 3 or any(one not in (None, given) for one, given in zip(wanted, x.shape[1:], strict=True)):
        raise ValueError(f"it takes films of shape {wanted}, not {tuple(x.shape[1:])}")
    x = keras.Model(model.input, last, name="foreign_network")(x)
    if len(x.shape) == 3:
        side = round(x.shape[1] ** 0.5)
        x = keras.layers.Reshape((side, side, width), name="places")(x)
    elif x.shape[1] == width and x.shape[-1] != width:
        x = keras.layers.Permute((2, 3, 1), name="places")(x)
    if len(x.shape) != 4 or x.shape[-1] != width:
        raise ValueError(f"its output has the shape {tuple(x.shape[1:])}, not one with {width} values a place")
    return keras.Model(films, keras.layers.Activation("linear", name=FEATURE_LAYER, dtype="float32")(x))


def make_form(form: FilmForm) -> keras.layers.Conv2D:
    """A fixed layer from standardised films (N, S, S, 3) to what `FilmForm.prepare` makes of their grey, with the
    channels last."""
    layer = keras.layers.Conv2D(form.channels, 1, trainable=False, name="input_form", dtype="float32")
    layer.build((None, None, None, 3))
    deviation, mean = (np.broadcast_to(one, form.channels).astype(np.float64) for one in (form.deviation, form.mean))
    scale = (form.high - form.low) / deviation
    # The three channels are the same grey; each gives a third of it.
    kernel = IMAGENET_DEVIATION.astype(np.float64)[:, None] / 3 * scale
    offset = IMAGENET_MEAN.astype(np.float64).mean() * scale + (form.low - mean) / deviation
    layer.set_weights([kernel[None, None], offset])
    return layer
