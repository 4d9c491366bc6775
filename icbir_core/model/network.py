"""The networks: a backbone with its head, with the layer names that every room relies on.

Network input: float (N, S, S, 3) standardised. Named layers: "relu" (last feature map), "avg_pool" (penultimate
features), "logits" (linear), "probabilities" (sigmoid).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import keras
import numpy as np

from icbir_core.errors import ModelError
from icbir_core.files import PathLike, read_arrays, reading_own
from icbir_core.model.backbones import BACKBONES
from icbir_core.model.foreign_start import open_backbone, read_foreign_facts
from icbir_core.model.layer_names import FEATURE_LAYER, LOGITS_LAYER, PENULTIMATE_LAYER
from icbir_core.model.torch_files import read_torch_weights
from icbir_core.plugins import load_reference
from icbir_core.radiograph.network_input import IMAGENET_DEVIATION, IMAGENET_MEAN

TORCH_FILES = (".pt", ".pth")
# Of the three channels, which ResNet's weights were trained without (keras.applications, "caffe" form).
_CHANNEL_MEANS = np.array([123.68, 116.779, 103.939])
_SMALL_BLOCKS, _SMALL_GROWTH = (2, 2, 2), 16


@contextmanager
def precision(policy: str) -> Iterator[None]:
    """Layers built inside compute in this Keras dtype policy ("float32", "mixed_float16", "mixed_bfloat16")."""
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy(policy)
    try:
        yield
    finally:
        keras.config.set_dtype_policy(before)


def _dense_step(x: keras.KerasTensor, growth: int, name: str) -> keras.KerasTensor:
    y = keras.layers.BatchNormalization(epsilon=1.001e-5, name=f"{name}_0_bn")(x)
    y = keras.layers.Activation("relu", name=f"{name}_0_relu")(y)
    y = keras.layers.Conv2D(4 * growth, 1, use_bias=False, name=f"{name}_1_conv")(y)
    y = keras.layers.BatchNormalization(epsilon=1.001e-5, name=f"{name}_1_bn")(y)
    y = keras.layers.Activation("relu", name=f"{name}_1_relu")(y)
    y = keras.layers.Conv2D(growth, 3, padding="same", use_bias=False, name=f"{name}_2_conv")(y)
    return keras.layers.Concatenate(name=f"{name}_concat")([x, y])


def build_densenet_small(size: int, imagenet: bool) -> keras.Model:
    """A small network of the layer kinds of DenseNet-121, feature maps (N, size / 32, size / 32, 64). Raises
    `ModelError` if ImageNet weights are asked for."""
    inputs = keras.Input((size, size, 3))
    x = keras.layers.ZeroPadding2D(((3, 3), (3, 3)))(inputs)
    x = keras.layers.Conv2D(2 * _SMALL_GROWTH, 7, strides=2, use_bias=False, name="conv1_conv")(x)
    x = keras.layers.BatchNormalization(epsilon=1.001e-5, name="conv1_bn")(x)
    x = keras.layers.Activation("relu", name="conv1_relu")(x)
    x = keras.layers.ZeroPadding2D(((1, 1), (1, 1)))(x)
    x = keras.layers.MaxPooling2D(3, strides=2, name="pool1")(x)
    for block, steps in enumerate(_SMALL_BLOCKS, start=2):
        for step in range(1, steps + 1):
            x = _dense_step(x, _SMALL_GROWTH, f"conv{block}_block{step}")
        if block <= len(_SMALL_BLOCKS):
            x = keras.layers.BatchNormalization(epsilon=1.001e-5, name=f"pool{block}_bn")(x)
            x = keras.layers.Activation("relu", name=f"pool{block}_relu")(x)
            x = keras.layers.Conv2D(x.shape[-1] // 2, 1, use_bias=False, name=f"pool{block}_conv")(x)
            x = keras.layers.AveragePooling2D(2, strides=2, name=f"pool{block}_pool")(x)
    x = keras.layers.BatchNormalization(epsilon=1.001e-5, name="bn")(x)
    x = keras.layers.Activation("relu", name=FEATURE_LAYER)(x)
    return keras.Model(inputs, x, name="densenet_small")


def _from_applications(build: Callable[..., keras.Model], size: int, imagenet: bool, **more: Any) -> keras.Model:
    weights = "imagenet" if imagenet else None
    try:
        return build(include_top=False, weights=weights, input_shape=(size, size, 3), **more)
    except Exception as error:  # Keras raises a bare Exception when a download fails
        if weights is None:
            raise
        raise ModelError(
            f"The ImageNet weights are not in ~/.keras/models and cannot be downloaded ({error}); "
            "use --weights none, starter or a file."
        ) from error


def build_densenet121(size: int, imagenet: bool) -> keras.Model:
    """Feature maps (N, size / 32, size / 32, 1024), not negative. Raises `ModelError` if a download fails."""
    return _from_applications(keras.applications.densenet.DenseNet121, size, imagenet)


def build_densenet169(size: int, imagenet: bool) -> keras.Model:
    """Feature maps (N, size / 32, size / 32, 1664), not negative. Raises `ModelError` if a download fails."""
    return _from_applications(keras.applications.densenet.DenseNet169, size, imagenet)


def build_resnet50(size: int, imagenet: bool) -> keras.Model:
    """Feature maps (N, size / 32, size / 32, 2048), not negative. Raises `ModelError` if a download fails.

    Its first layer undoes the standardisation and takes off the means that its ImageNet weights expect; for grey films
    the order of the channels makes no difference.
    """
    inputs = keras.Input((size, size, 3))
    offset = 255 * IMAGENET_MEAN.astype(np.float64) - _CHANNEL_MEANS
    form = keras.layers.Rescaling((255 * IMAGENET_DEVIATION.astype(np.float64)).tolist(), offset.tolist(),
                                  name="input_form")  # fmt: skip
    inner = _from_applications(keras.applications.resnet.ResNet50, size, imagenet, input_tensor=form(inputs))
    last = keras.layers.Activation("linear", name=FEATURE_LAYER)(inner.output)
    return keras.Model(inputs, last, name="resnet50")


def _add_head(backbone: keras.Model, outputs: int, name: str) -> keras.Model:
    features = keras.layers.GlobalAveragePooling2D(name=PENULTIMATE_LAYER, dtype="float32")(backbone.output)
    logits = keras.layers.Dense(outputs, name=LOGITS_LAYER, dtype="float32")(features)
    probabilities = keras.layers.Activation("sigmoid", name="probabilities", dtype="float32")(logits)
    return keras.Model(backbone.input, probabilities, name=name)


def build_network(name: str, outputs: int, size: int, weights: PathLike = "none") -> keras.Model:
    """A network from (N, size, size, 3) standardised input to (N, outputs) probabilities in (0, 1).

    name : of `BACKBONES`. weights : "none" (random), "imagenet" or a file: a `.keras` model or a starter `.npz` whose
    layers are taken over by name where the shapes agree (the outputs need not), a `.h5` of keras.applications without
    its top, or a `.pt` or `.pth` of PyTorch where the backbone can be read from one. Any other name is that of a
    network of somebody else, whose structure comes with its weights: a `.keras` model beside a manifest of that name.
    Raises `UnknownNameError` for an unknown network, `ModelError` for weights that do not fit.
    """
    imagenet, ending = str(weights) == "imagenet", Path(weights).suffix
    facts = read_foreign_facts(weights)
    if facts is not None and facts.get("network") == name:
        model = _add_head(open_backbone(weights, facts, size), outputs, "network")
        if "embedding" not in facts:  # trained here
            load_matching_weights(model, read_named_weights(weights))
        return model
    chosen = BACKBONES[name]
    if imagenet and not chosen.imagenet:
        known = ", ".join(other.name for other in BACKBONES.values() if other.imagenet)
        raise ModelError(f"There are no ImageNet weights for {name}, only for {known}; use --weights none or a file.")
    if ending in TORCH_FILES and not chosen.convert:
        raise ModelError(f"{name} cannot be read from a PyTorch file; name a Keras model or an .npz file.")
    with BACKBONES.calling(name, ModelError):
        backbone = load_reference(chosen.build)(size, imagenet)
    if ending == ".h5":
        try:
            backbone.load_weights(str(weights))
        except (OSError, ValueError) as error:
            raise ModelError(f"{weights} holds no weights of {name} without its top: {error}") from error
    model = _add_head(backbone, outputs, name)
    if ending in TORCH_FILES:
        load_matching_weights(model, load_reference(chosen.convert)(read_torch_weights(weights)))
    elif not imagenet and str(weights) != "none" and ending != ".h5":
        load_matching_weights(model, read_named_weights(Path(weights)))
    return model


def name_of(variable: keras.Variable) -> str:
    """A variable's path below the model, e.g. "conv1_conv/kernel": the same under every backend and model name."""
    return "/".join(variable.path.split("/")[-2:])


def named_weights(model: keras.Model) -> dict[str, np.ndarray]:
    """All weights, also the running statistics, by `name_of`."""
    return {name_of(variable): keras.ops.convert_to_numpy(variable.value) for variable in model.variables}


def read_named_weights(path: PathLike) -> dict[str, np.ndarray]:
    """Weights by name from a `.keras` model or an `.npz` file. Raises `ModelError` if there is none."""
    path = Path(path)
    if not path.is_file():
        raise ModelError(f"The weights file '{path}' does not exist; use imagenet, none or a file.")
    if path.suffix == ".npz":
        stored = read_arrays(path, ModelError, "train again or restore it from a copy")
        with reading_own(f"'{path.name}'", ModelError, "train again or restore it from a copy"):
            return {name: values.astype(np.float32) for name, values in stored.items()}
    with reading_own(f"'{path.name}'", ModelError, "name a Keras model or an .npz file"):
        return named_weights(keras.saving.load_model(path, compile=False))


def load_matching_weights(model: keras.Model, weights: dict[str, np.ndarray], strict: bool = False) -> list[str]:
    """Copies weights by name; returns the names left as they were (with `strict` none may be: `ModelError`). Without
    `strict` only the outputs ("logits") may differ; a file of another network is refused."""
    left = []
    for variable in model.variables:
        name = name_of(variable)
        if name in weights and tuple(weights[name].shape) == tuple(variable.shape):
            variable.assign(weights[name])
        else:
            left.append(name)
    wrong = left if strict else [name for name in left if not name.startswith("logits/")]
    if wrong:
        raise ModelError(
            f"These are not weights of {model.name}: {len(wrong)} of its {len(model.variables)} arrays are missing "
            f"or have another shape (first: {wrong[0]}); use weights of the same network."
        )
    return left
