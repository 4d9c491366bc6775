"""A network of the layer kinds of DenseNet and a third of the small one's layers, for tests whose subject is not what a
network is made of: most of a training's time goes into tracing and compiling each layer."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import keras
import pytest

from icbir_core.model import network
from icbir_core.model.layer_names import FEATURE_LAYER


def _normalise(x: keras.KerasTensor, name: str, last: str = "") -> keras.KerasTensor:
    x = keras.layers.BatchNormalization(epsilon=1.001e-5, name=f"{name}_bn")(x)
    return keras.layers.Activation("relu", name=last or f"{name}_relu")(x)


def build_tiny(size: int, imagenet: bool) -> keras.Model:
    """Feature maps (N, size / 32, size / 32, 64), not negative, as those of the small DenseNet."""
    inputs = keras.Input((size, size, 3))
    x = keras.layers.ZeroPadding2D(3)(inputs)
    x = _normalise(keras.layers.Conv2D(32, 7, strides=2, use_bias=False, name="conv1_conv")(x), "conv1")
    x = keras.layers.MaxPooling2D(3, strides=2, name="pool1")(keras.layers.ZeroPadding2D(1)(x))
    y = keras.layers.Conv2D(32, 3, padding="same", use_bias=False, name="conv2_conv")(_normalise(x, "conv2"))
    x = keras.layers.Concatenate(name="conv2_concat")([x, y])
    x = keras.layers.AveragePooling2D(8, strides=8, name="pool2_pool")(x)
    return keras.Model(inputs, _normalise(x, "last", FEATURE_LAYER), name="densenet_small")


@contextmanager
def tiny_networks() -> Iterator[None]:
    """What is built inside as "densenet_small" is the tiny network; a program that is started builds the true one."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(network, "build_densenet_small", build_tiny)
        yield
