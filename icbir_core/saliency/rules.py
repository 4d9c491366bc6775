"""Rules that hand relevance back through one layer; each is built once from a layer and works on batches.

Every rule has `forward(*inputs) -> (output, kept)` and `backward(relevance, kept) -> tuple`, one entry an input.
Written R for the relevance of the output, x for the input, w and b for kernel and bias, + and - for the positive and
negative parts. Sources: Montavon et al., "Explaining nonlinear classification decisions with deep Taylor
decomposition", 2017; Bach et al., "On pixel-wise explanations ... by layer-wise relevance propagation", 2015.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

import keras
import numpy as np
import tensorflow as tf

from icbir_core.saliency.linear_maps import Linear, scale_outputs

Forward = tuple[tf.Tensor, Any]
"""The output of a layer, and what its rule needs again on the way back."""
SMALL = 1e-7
EPSILON = 1e-6


def divide_safely(relevance: tf.Tensor, denominator: tf.Tensor) -> tf.Tensor:
    """relevance / denominator, where an exact 0 below is replaced by 1e-7. As iNNvestigate's `SafeDivide`, which
    stabilises nothing else: a denominator near 0 gives a huge quotient."""
    return relevance / tf.where(tf.equal(denominator, 0.0), SMALL, denominator)


class Rule(Protocol):
    """What hands relevance back through a layer of one or several inputs."""

    @property
    def forward(self) -> Callable[..., Forward]:
        """The output of inputs, and what `backward` needs."""
        ...

    def backward(self, relevance: tf.Tensor, kept: Any) -> tuple[tf.Tensor, ...]:
        """The relevance of each input from that of the output."""
        ...


class AlphaOneBetaZero:
    """α1β0 with bias: R_i = x_i+ Σ_j w_ij+ s_j + x_i- Σ_j w_ij- s_j with s_j = R_j / z_j and
    z_j = Σ_i (x_i+ w_ij+ + x_i- w_ij-) + b_j.

    The whole bias stands in the denominator (its positive part beside w+, its negative part beside w-), as in
    iNNvestigate 1.0.8, where a strongly negative bias can turn the sign; `bias_part="positive"` keeps b+ only, as
    zennit's `ZPlus`. Where x is never negative the second half is exactly zero and is not computed.

    following : scale and shift (C,) of a normalisation behind the layer, whose output `forward` then gives; the rule
    itself keeps to the layer's own weights.
    """

    def __init__(
        self,
        linear: Linear,
        kernel: np.ndarray,
        bias: np.ndarray | None,
        nonnegative: bool,
        bias_part: str = "whole",
        following: tuple[np.ndarray, np.ndarray] | None = None,
    ):
        self.linear, self.nonnegative = linear, nonnegative
        denominator_bias = bias if bias is None or bias_part == "whole" else np.maximum(bias, 0)
        own = kernel
        if following is not None:
            scale, shift = following
            own, bias = scale_outputs(linear, kernel, scale), shift if bias is None else bias * scale + shift
        self.bias = None if bias is None else tf.constant(bias)
        self.denominator_bias = None if denominator_bias is None else tf.constant(denominator_bias)
        self.positive = tf.constant(np.maximum(kernel, 0))
        self.negative = None if nonnegative else tf.constant(np.minimum(kernel, 0))
        # One convolution with twice the outputs reads its input once: faster than two.
        self.kernel = tf.constant(np.concatenate([own, np.maximum(kernel, 0)], axis=-1) if nonnegative else own)

    def forward(self, x: tf.Tensor) -> Forward:
        if self.nonnegative:
            y, z = tf.split(self.linear.apply(x, self.kernel), 2, axis=-1)
        else:
            y = self.linear.apply(x, self.kernel)
            z = self.linear.apply(tf.maximum(x, 0.0), self.positive)
            z += self.linear.apply(tf.minimum(x, 0.0), self.negative)
        y = y if self.bias is None else y + self.bias
        return y, (x, z if self.denominator_bias is None else z + self.denominator_bias)

    def divide(self, relevance: tf.Tensor, z: tf.Tensor) -> tf.Tensor:
        # Without a bias z is a sum of the very shares it divides, so that 0 below means nothing to share out.
        return tf.math.divide_no_nan(relevance, z) if self.denominator_bias is None else divide_safely(relevance, z)

    def backward(self, relevance: tf.Tensor, kept: Any) -> tuple[tf.Tensor, ...]:
        x, z = kept
        share = self.divide(relevance, z)
        if self.nonnegative:
            return (x * self.linear.transpose(share, self.positive, x),)
        return (
            tf.maximum(x, 0.0) * self.linear.transpose(share, self.positive, x)
            + tf.minimum(x, 0.0) * self.linear.transpose(share, self.negative, x),
        )


class PooledConvolution:
    """z+ through a convolution and the average pooling behind it as the one linear map that they are together.

    Pooling first gives the same output, for a 1 × 1 convolution of stride 1, at a quarter of the work; and the mean of
    signed values, which the pooling alone would have to divide by, never comes up. x must never be negative.
    """

    def __init__(self, linear: Linear, kernel: np.ndarray, bias: np.ndarray | None, layer: keras.layers.Layer):
        self.inner = AlphaOneBetaZero(linear, kernel, bias, nonnegative=True, bias_part="positive")
        self.pool = UniformSpread(layer)

    def forward(self, x: tf.Tensor) -> Forward:
        pooled, shape = self.pool.forward(x)
        y, kept = self.inner.forward(pooled)
        return y, (x, shape, kept)

    def backward(self, relevance: tf.Tensor, kept: Any) -> tuple[tf.Tensor, ...]:
        x, shape, (pooled, z) = kept
        share = self.inner.linear.transpose(self.inner.divide(relevance, z), self.inner.positive, pooled)
        return (x * self.pool.spread(share, shape),)


class Epsilon:
    """LRP-ε: R_i = x_i Σ_j w_ij R_j / (z_j + ε sign(z_j)), z the layer's own output; sign(0) counts as +1."""

    def __init__(self, linear: Linear, kernel: np.ndarray, bias: np.ndarray | None, epsilon: float = EPSILON):
        self.linear, self.epsilon = linear, epsilon
        self.kernel = tf.constant(kernel)
        self.bias = None if bias is None else tf.constant(bias)

    def forward(self, x: tf.Tensor) -> Forward:
        y = self.linear.apply(x, self.kernel)
        y = y if self.bias is None else y + self.bias
        return y, (x, y)

    def backward(self, relevance: tf.Tensor, kept: Any) -> tuple[tf.Tensor, ...]:
        x, y = kept
        share = relevance / (y + tf.where(y >= 0.0, self.epsilon, -self.epsilon))
        return (x * self.linear.transpose(share, self.kernel, x),)


class ZBox:
    """z^B for an input bounded by low and high (Montavon et al. 2017, eq. 15):
    R_i = Σ_j (x_i w_ij - low_i w_ij+ - high_i w_ij-) R_j / Σ_i' (the same numerator).

    low, high : float32 (1, H, W, C), 0 where the network pads with 0.
    """

    def __init__(self, linear: Linear, kernel: np.ndarray, bias: np.ndarray | None, low: np.ndarray, high: np.ndarray):
        self.linear = linear
        self.bias = None if bias is None else tf.constant(bias)
        self.kernel = tf.constant(kernel)
        positive, negative = np.maximum(kernel, 0), np.minimum(kernel, 0)
        self.low, self.high = tf.constant(low), tf.constant(high)
        self.stacked = tf.constant(np.concatenate([kernel, positive, negative], axis=2))
        self.floor = linear.apply(self.low, tf.constant(positive)) + linear.apply(self.high, tf.constant(negative))

    def forward(self, x: tf.Tensor) -> Forward:
        z = self.linear.apply(x, self.kernel)
        return (z if self.bias is None else z + self.bias), (x, z - self.floor)

    def backward(self, relevance: tf.Tensor, kept: Any) -> tuple[tf.Tensor, ...]:
        x, z = kept
        share = divide_safely(relevance, z)
        three = tf.concat([x, x, x], axis=-1)
        plain, low, high = tf.split(self.linear.transpose(share, self.stacked, three), 3, axis=-1)
        return (x * plain - self.low * low - self.high * high,)


class Affine:
    """Normalisation at inference; relevance passes unchanged: one input a unit, so no other rule conserves it."""

    def __init__(self, scale: np.ndarray, shift: np.ndarray):
        self.scale, self.shift = tf.constant(scale), tf.constant(shift)

    def forward(self, x: tf.Tensor) -> Forward:
        return x * self.scale + self.shift, None

    def backward(self, relevance: tf.Tensor, kept: Any) -> tuple[tf.Tensor, ...]:
        return (relevance,)


class PassThrough:
    """Relevance passes unchanged through an elementwise function."""

    def __init__(self, function: Callable[[tf.Tensor], tf.Tensor] = tf.identity):
        self.function = function

    def forward(self, x: tf.Tensor) -> Forward:
        return self.function(x), None

    def backward(self, relevance: tf.Tensor, kept: Any) -> tuple[tf.Tensor, ...]:
        return (relevance,)


class Gate:
    """ReLU by its gradient: relevance passes where the input is above 0 and is lost elsewhere. ReLU6 alike: where it is
    cut at 6 its gradient is 0, but the 6 that it hands on is a contribution as any other."""

    def __init__(self, function: Callable[[tf.Tensor], tf.Tensor] = tf.nn.relu):
        self.function = function

    def forward(self, x: tf.Tensor) -> Forward:
        y = self.function(x)
        return y, y

    def backward(self, relevance: tf.Tensor, kept: Any) -> tuple[tf.Tensor, ...]:
        return (tf.where(kept > 0.0, relevance, 0.0),)


def _describe_windows(layer: keras.layers.Layer) -> dict[str, Any]:
    """The windows of a pooling layer, as TensorFlow's operators take them."""
    return {"ksize": [1, *layer.pool_size, 1], "strides": [1, *layer.strides, 1], "padding": layer.padding.upper()}


class WinnerTakesAll:
    """Max pooling: all relevance goes to the largest input of the window (the first of equal ones)."""

    def __init__(self, layer: keras.layers.Layer):
        self.options = _describe_windows(layer)

    def forward(self, x: tf.Tensor) -> Forward:
        y = tf.nn.max_pool2d(x, **self.options)
        return y, (x, y)

    def backward(self, relevance: tf.Tensor, kept: Any) -> tuple[tf.Tensor, ...]:
        x, y = kept
        return (tf.raw_ops.MaxPoolGrad(orig_input=x, orig_output=y, grad=relevance, **self.options),)


class UniformSpread:
    """Average pooling by its gradient: every input of the window gets the same share, whatever its value. A share that
    lands on a position where the ReLU before was closed is lost there: the total is not conserved."""

    def __init__(self, layer: keras.layers.Layer | None = None):
        self.options = layer and _describe_windows(layer)

    def forward(self, x: tf.Tensor) -> Forward:
        y = tf.nn.avg_pool2d(x, **self.options) if self.options else tf.reduce_mean(x, axis=(1, 2))
        return y, tf.shape(x)

    def spread(self, values: tf.Tensor, shape: tf.Tensor) -> tf.Tensor:
        if self.options:
            return tf.raw_ops.AvgPoolGrad(orig_input_shape=shape, grad=values, **self.options)
        return tf.broadcast_to(values[:, None, None, :] / tf.cast(shape[1] * shape[2], values.dtype), shape)

    def backward(self, relevance: tf.Tensor, kept: Any) -> tuple[tf.Tensor, ...]:
        return (self.spread(relevance, kept),)


class ProportionalSpread(UniformSpread):
    """Average pooling by contribution (LRP-ε of the mean): R_i = x_i/n · R / (mean + ε sign(mean))."""

    def forward(self, x: tf.Tensor) -> Forward:
        y, shape = super().forward(x)
        return y, (x, y, shape)

    def backward(self, relevance: tf.Tensor, kept: Any) -> tuple[tf.Tensor, ...]:
        x, y, shape = kept
        return (x * self.spread(relevance / (y + tf.where(y >= 0.0, EPSILON, -EPSILON)), shape),)


class SharedSum:
    """Addition: R_i = x_i[sign] / Σ_j x_j[sign] · R, where [sign] keeps the inputs that have the sign of the sum.

    What holds the sum back gets nothing, so that no share is larger than the whole and the total is kept; for a sum
    above 0 it is z+ with weights of 1. Nothing passes where the sum is exactly 0.
    """

    def forward(self, *inputs: tf.Tensor) -> Forward:
        return tf.add_n(inputs), inputs

    def backward(self, relevance: tf.Tensor, kept: Any) -> tuple[tf.Tensor, ...]:
        signs = tf.sign(tf.add_n(kept))
        parts = [tf.maximum(signs * one, 0.0) for one in kept]
        share = tf.math.divide_no_nan(relevance, tf.add_n(parts))
        return tuple(one * share for one in parts)


class Split:
    """Concatenation: each input gets back its own channels."""

    def __init__(self, sizes: list[int]):
        self.sizes = sizes

    def forward(self, *inputs: tf.Tensor) -> Forward:
        return tf.concat(inputs, axis=-1), None

    def backward(self, relevance: tf.Tensor, kept: Any) -> tuple[tf.Tensor, ...]:
        return tuple(tf.split(relevance, self.sizes, axis=-1))


class Crop:
    """Zero padding: relevance on the padding is lost."""

    def __init__(self, layer: keras.layers.Layer):
        self.padding = layer.padding

    def forward(self, x: tf.Tensor) -> Forward:
        return tf.pad(x, [[0, 0], *map(list, self.padding), [0, 0]]), None

    def backward(self, relevance: tf.Tensor, kept: Any) -> tuple[tf.Tensor, ...]:
        (top, bottom), (left, right) = self.padding
        return (relevance[:, top : -bottom or None, left : -right or None, :],)
