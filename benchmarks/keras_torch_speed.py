"""Makes Keras on PyTorch fast on a processor: convolutions without copies, and PyTorch's own batch normalisation.

Used by `train_starter.py` only; import it before the first layer is built. A training step of DenseNet-121 in bfloat16
at 128 x 128 then costs about two thirds of the same step on TensorFlow, and at 224 x 224 about half.
"""

from __future__ import annotations

import keras
import torch
from keras.src.backend.torch import nn as keras_torch


def _normalise(self, inputs, training=None, mask=None):
    """Batch normalisation of (N, H, W, C) in the input's dtype with float32 statistics; `momentum` as in Keras."""
    if inputs.ndim != 4 or mask is not None:
        return _original(self, inputs, training=training, mask=mask)
    from_batch = bool(training) and self.trainable
    result = torch.nn.functional.batch_norm(
        inputs.permute(0, 3, 1, 2), self.moving_mean.value, self.moving_variance.value, self.gamma.value,
        self.beta.value, from_batch, 1 - self.momentum, self.epsilon,
    )  # fmt: skip
    return result.permute(0, 2, 3, 1)


_original = keras.layers.BatchNormalization.call
if keras.backend.backend() == "torch":
    keras.layers.BatchNormalization.call = _normalise
    # Keras copies the permuted array; the permuted view already is PyTorch's channels-last layout.
    keras_torch._transpose_spatial_inputs = lambda inputs: torch.permute(inputs, (0, 3, 1, 2))
