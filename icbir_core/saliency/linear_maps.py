"""The linear maps of layers, with their exact transposes, and what is read of a layer to apply them."""

from __future__ import annotations

import keras
import numpy as np
import tensorflow as tf


class Convolution:
    """The linear map of a Conv2D without bias, and its exact transpose (padding and stride included)."""

    _transpose = staticmethod(tf.raw_ops.Conv2DBackpropInput)

    def __init__(self, strides: tuple[int, int], padding: str):
        self.strides = [1, *strides, 1]
        self.padding = padding.upper()

    def apply(self, x: tf.Tensor, kernel: tf.Tensor) -> tf.Tensor:
        return tf.nn.conv2d(x, kernel, self.strides, self.padding)

    def transpose(self, values: tf.Tensor, kernel: tf.Tensor, x: tf.Tensor) -> tf.Tensor:
        return self._transpose(
            input_sizes=tf.shape(x), filter=kernel, out_backprop=values, strides=self.strides, padding=self.padding
        )


class Matrix:
    """The linear map of a Dense layer without bias, and its transpose."""

    def apply(self, x: tf.Tensor, kernel: tf.Tensor) -> tf.Tensor:
        return tf.matmul(x, kernel)

    def transpose(self, values: tf.Tensor, kernel: tf.Tensor, x: tf.Tensor) -> tf.Tensor:
        return tf.matmul(values, kernel, transpose_b=True)


class Depthwise(Convolution):
    """The linear map of a DepthwiseConv2D without bias, each channel by itself, and its exact transpose.

    A kernel (k, k, C, M) gives the C channels of each of the M one after another, as kernels of other layers that are
    put side by side do.
    """

    _transpose = staticmethod(tf.raw_ops.DepthwiseConv2dNativeBackpropInput)

    def apply(self, x: tf.Tensor, kernel: tf.Tensor) -> tf.Tensor:
        parts = tf.unstack(kernel, axis=-1)
        return tf.concat([tf.nn.depthwise_conv2d(x, one[..., None], self.strides, self.padding) for one in parts], -1)


Linear = Convolution | Matrix
Weights = tuple[Linear, np.ndarray, np.ndarray | None]


def read_linear(layer: keras.layers.Layer) -> Weights:
    """The linear map, the kernel and the bias (None without one) of a Conv2D, DepthwiseConv2D or Dense, float32."""
    linear: Linear = Matrix()
    if isinstance(layer, keras.layers.DepthwiseConv2D):
        linear = Depthwise(tuple(layer.strides), layer.padding)
    elif hasattr(layer, "strides"):
        linear = Convolution(tuple(layer.strides), layer.padding)
    bias = np.asarray(layer.bias, np.float32) if layer.use_bias else None
    return linear, np.asarray(layer.kernel, np.float32), bias


def scale_outputs(linear: Linear, kernel: np.ndarray, scale: np.ndarray) -> np.ndarray:
    """The kernel of a layer whose outputs are multiplied by scale (C,)."""
    return np.asarray(kernel * (scale[:, None] if isinstance(linear, Depthwise) else scale))


def read_affine(layer: keras.layers.Layer) -> tuple[np.ndarray, np.ndarray]:
    """A BatchNormalization at inference as y = scale · x + shift; both float32 (C,)."""
    variance = np.asarray(layer.moving_variance, np.float64)
    scale = 1.0 / np.sqrt(variance + layer.epsilon)
    if layer.scale:
        scale = scale * np.asarray(layer.gamma, np.float64)
    shift = -np.asarray(layer.moving_mean, np.float64) * scale
    if layer.center:
        shift = shift + np.asarray(layer.beta, np.float64)
    return scale.astype(np.float32), shift.astype(np.float32)
