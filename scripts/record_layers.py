"""Write the tables of `icbir_core.model.layer_tables`, one for each backbone: `python -m scripts.record_layers`."""

from __future__ import annotations

import json
from typing import Any

import numpy as np

from icbir_core.model.backbones import BACKBONES
from icbir_core.model.layer_tables import FOLDER
from icbir_core.model.network import build_network
from icbir_core.saliency.graph import Node, list_nodes

SIZE = 64


def list_options(node: Node) -> dict[str, Any]:
    """What a layer does beside its weights, as plain values."""
    layer = node.layer
    if node.kind in ("conv", "depthwise"):
        filters = {"filters": layer.filters} if node.kind == "conv" else {}
        size = {"size": list(layer.kernel_size), "strides": list(layer.strides), "padding": layer.padding}
        return filters | size
    if node.kind in ("max_pool", "average_pool"):
        return {"size": list(layer.pool_size), "strides": list(layer.strides), "padding": layer.padding}
    if node.kind == "batch_norm":
        return {"epsilon": layer.epsilon}
    if node.kind == "rescale":
        return {name: np.asarray(getattr(layer, name), np.float64).tolist() for name in ("scale", "offset")}
    return {"padding": [list(one) for one in layer.padding]} if node.kind == "pad" else {}


def describe_layers(backbone: str) -> list[list[Any]]:
    """[name, kind, positions of its inputs, options] of every layer. Raises `UnsupportedLayer` for an unknown kind."""
    nodes = list_nodes(build_network(backbone, 1, SIZE), "a table of layers")
    return [["input" if one.kind == "input" else one.name, one.kind, list(one.inputs), list_options(one)]
            for one in nodes]  # fmt: skip


def main() -> None:
    """Write one table for each backbone that comes with the program."""
    FOLDER.mkdir(exist_ok=True)
    for name in BACKBONES.built_in:
        lines = ",\n".join(json.dumps(one, separators=(",", ":")) for one in describe_layers(name))
        (FOLDER / f"{name}.json").write_text(f"[\n{lines}\n]\n", encoding="utf-8")


if __name__ == "__main__":
    main()
