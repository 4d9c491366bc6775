"""A small DenseNet of the same layer kinds and names as keras.applications.DenseNet121, for any Keras."""

from __future__ import annotations

import numpy as np


def build(keras, size=32, blocks=(2, 2), growth=6, stem=8, outputs=3, head="sigmoid", bias=True, folded=False):
    """A functional model, input (size, size, 3). head: "sigmoid" ("logits" then "probabilities"), "fused" (a Dense
    layer with its own sigmoid) or "linear". folded : no normalisation right behind a convolution, but a bias in it.
    """
    layers = keras.layers

    def normalise(x, name):
        merged = folded and (name == "conv1_bn" or name.endswith("_1_bn"))
        return x if merged else layers.BatchNormalization(epsilon=1.001e-5, name=name)(x)

    def activate(x, name):
        return layers.Activation("relu", name=name)(x)

    entry = layers.Input((size, size, 3))
    x = layers.ZeroPadding2D(((3, 3), (3, 3)), name="pad0")(entry)
    x = layers.Conv2D(stem, 7, strides=2, use_bias=folded, name="conv1_conv")(x)
    x = activate(normalise(x, "conv1_bn"), "conv1_relu")
    x = layers.ZeroPadding2D(((1, 1), (1, 1)), name="pad1")(x)
    x = layers.MaxPooling2D(3, strides=2, name="pool1")(x)
    channels = stem
    for stage, count in enumerate(blocks, start=2):
        for block in range(1, count + 1):
            name = f"conv{stage}_block{block}"
            y = activate(normalise(x, f"{name}_0_bn"), f"{name}_0_relu")
            y = layers.Conv2D(2 * growth, 1, use_bias=folded, name=f"{name}_1_conv")(y)
            y = activate(normalise(y, f"{name}_1_bn"), f"{name}_1_relu")
            y = layers.Conv2D(growth, 3, padding="same", use_bias=False, name=f"{name}_2_conv")(y)
            x = layers.Concatenate(axis=3, name=f"{name}_concat")([x, y])
            channels += growth
        if stage < len(blocks) + 1:
            x = activate(normalise(x, f"pool{stage}_bn"), f"pool{stage}_relu")
            channels //= 2
            x = layers.Conv2D(channels, 1, use_bias=False, name=f"pool{stage}_conv")(x)
            x = layers.AveragePooling2D(2, strides=2, name=f"pool{stage}_pool")(x)
    x = activate(normalise(x, "bn"), "relu")
    x = layers.GlobalAveragePooling2D(name="avg_pool")(x)
    x = layers.Dense(outputs, activation="sigmoid" if head == "fused" else None, use_bias=bias, name="logits")(x)
    if head == "sigmoid":
        x = layers.Activation("sigmoid", name="probabilities")(x)
    return keras.Model(entry, x)


def random_weights(model, seed: int, unit_scale: bool = False) -> list[np.ndarray]:
    """Weights as a trained network might have them: normalisations with shifts, scales of both signs, biases.

    unit_scale : normalisations only shift (scale exactly 1), and the variance is 1.
    """
    generator = np.random.default_rng(seed)
    weights = []
    for layer in model.layers:
        kind = type(layer).__name__
        for position, weight in enumerate(layer.get_weights()):
            shape = weight.shape
            if kind == "BatchNormalization":
                if unit_scale and position in (0, 3):
                    value = np.full(shape, np.sqrt(1 + layer.epsilon) if position == 0 else 1.0)
                elif position == 0:
                    value = generator.uniform(0.5, 1.5, shape) * np.where(generator.random(shape) < 0.1, -1, 1)
                elif position == 3:
                    value = generator.uniform(0.5, 2.0, shape)
                else:
                    value = generator.normal(0, 0.3, shape)
            elif len(shape) == 1:
                value = generator.normal(0, 0.2, shape)
            else:
                value = generator.normal(0, np.sqrt(2 / np.prod(shape[:-1])), shape)
            weights.append(value.astype(np.float32))
    return weights
