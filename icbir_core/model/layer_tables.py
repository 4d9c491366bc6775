"""The layers of the backbones as plain tables, so that a network can be run without Keras building it.

A table is recorded from what Keras builds (`python -m scripts.record_layers`), and a test holds the two together. The
number of outputs and the side of the film are not in it.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).with_name("layers")
CHANNELS = 3
KERNELS = ("conv", "depthwise", "dense")
_PASSES = ("identity", "max_pool", "average_pool", "global_average_pool", "concatenate", "add", "pad")


@dataclass(frozen=True, eq=False)
class Layer:
    """One layer. kind : as `saliency.graph.find_kind` names it. inputs : positions of the layers that it reads.
    options : of its kind, such as strides and padding. nonnegative : its output can never be below 0."""

    name: str
    kind: str
    inputs: tuple[int, ...]
    options: Mapping[str, Any] = field(default_factory=dict)
    nonnegative: bool = False


@lru_cache(maxsize=8)
def read_layers(backbone: str) -> tuple[Layer, ...] | None:
    """The layers of a backbone with its head, each after those that it reads: the input first, the probabilities last.
    None for a backbone without a table, such as one of an installed package."""
    path = FOLDER / f"{backbone}.json"
    if Path(backbone).name != backbone or not path.is_file():
        return None
    layers: list[Layer] = []
    for name, kind, inputs, options in json.loads(path.read_text(encoding="utf-8")):
        passes = kind in _PASSES and all(layers[one].nonnegative for one in inputs)
        nonnegative = kind in ("relu", "relu6", "sigmoid") or passes
        layers.append(Layer(name, kind, tuple(inputs), options, nonnegative))
    return tuple(layers)


def list_shapes(layers: tuple[Layer, ...], outputs: int) -> dict[str, tuple[int, ...]]:
    """The shapes of all weights by "layer/variable", as Keras keeps them; convolutions may lack the bias."""
    found: dict[str, tuple[int, ...]] = {}
    widths: list[int] = []
    for layer in layers:
        sources = [widths[one] for one in layer.inputs]
        width = sum(sources) if layer.kind == "concatenate" else sources[0] if sources else CHANNELS
        if layer.kind == "batch_norm":
            found |= {f"{layer.name}/{one}": (width,) for one in ("gamma", "beta", "moving_mean", "moving_variance")}
        elif layer.kind in KERNELS:
            last = outputs if layer.kind == "dense" else int(layer.options.get("filters", 1))
            found[f"{layer.name}/kernel"] = (*layer.options.get("size", ()), width, last)
            width = width if layer.kind == "depthwise" else last
            found[f"{layer.name}/bias"] = (width,)
        widths.append(width)
    return found


def find_readers(layer: Layer, layers: tuple[Layer, ...]) -> list[Layer]:
    """The layers that read this one's output."""
    position = layers.index(layer)
    return [other for other in layers if position in other.inputs]


def find_following_norm(layer: Layer, layers: tuple[Layer, ...]) -> Layer | None:
    """The batch normalisation that alone reads a convolution's output, or None."""
    readers = find_readers(layer, layers)
    alone = layer.kind in ("conv", "depthwise") and len(readers) == 1 and readers[0].kind == "batch_norm"
    return readers[0] if alone else None
