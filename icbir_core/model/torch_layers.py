"""Arrays of PyTorch networks by the names and in the layout of Keras."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np

from icbir_core.errors import ModelError

_NORMALISATION = {"weight": "gamma", "bias": "beta", "running_mean": "moving_mean", "running_var": "moving_variance"}
# Arrays that no network here has.
_RECORDS = ("num_batches_tracked", "op_threshs")


def translate_weights(
    weights: Mapping[str, np.ndarray], name_layer: Callable[[str], str | None], network: str
) -> dict[str, np.ndarray]:
    """The arrays of a network by their names here, float64.

    name_layer : the name here of a layer of theirs, None for one that the network does not have; then, and for an
    unknown array of a layer, `ModelError` is raised, which names the `network`.
    """
    found: dict[str, np.ndarray] = {}
    for full, array in weights.items():
        layer, _, part = full.removeprefix("module.").rpartition(".")
        if part in _RECORDS:
            continue
        name = name_layer(layer)
        if name is None or part not in _NORMALISATION:
            raise ModelError(f"The file is not of {network}: it has an array '{full}'.")
        values = np.asarray(array, np.float64)
        if name == "logits":
            found[f"logits/{'kernel' if part == 'weight' else 'bias'}"] = values.T
        elif name.endswith("_conv"):
            depthwise = name.endswith("_depthwise_conv")
            found[f"{name}/kernel"] = values.transpose((2, 3, 0, 1) if depthwise else (2, 3, 1, 0))
        else:
            found[f"{name}/{_NORMALISATION[part]}"] = values
    return found
