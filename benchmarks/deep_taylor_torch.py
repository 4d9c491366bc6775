"""The Deep Taylor rules of `icbir_core.saliency` under PyTorch in bfloat16: the maps to train the starter on, faster.

`ship` in `train_starter.py` prints how closely the maps agree with the product's own, which judge the network there and
which every query uses.
"""

from __future__ import annotations

import keras
import numpy as np
import torch
from torch.nn import functional


def _share(relevance: torch.Tensor, z: torch.Tensor) -> torch.Tensor:
    return torch.where(z == 0, torch.zeros_like(z), relevance / torch.where(z == 0, torch.ones_like(z), z))


class _PositiveConvolution(torch.autograd.Function):
    """A convolution whose backward pass is the rule α1β0; inputs below 0 are met in the first layer only."""

    @staticmethod
    def forward(context, x, kernel, stride, padding):
        context.save_for_backward(x, kernel)
        context.options = stride, padding
        return functional.conv2d(x, kernel, stride=stride, padding=padding)

    @staticmethod
    def backward(context, relevance):
        x, kernel = context.saved_tensors
        stride, padding = context.options
        positive, negative = kernel.clamp(min=0), kernel.clamp(max=0)
        pairs = [(x, positive)] if x.shape[1] > 3 else [(x.clamp(min=0), positive), (x.clamp(max=0), negative)]
        z = sum(functional.conv2d(part, weights, stride=stride, padding=padding) for part, weights in pairs)
        share = _share(relevance, z)
        back = [
            part * torch.nn.grad.conv2d_input(part.shape, weights, share, stride=stride, padding=padding)
            for part, weights in pairs
        ]
        return sum(back), None, None, None


class _PassedNormalisation(torch.autograd.Function):
    """A normalisation at inference that hands relevance on unchanged."""

    @staticmethod
    def forward(context, x, scale, shift):
        return x * scale + shift

    @staticmethod
    def backward(context, relevance):
        return relevance, None, None


def _convolve(self, inputs):
    x = inputs.permute(0, 3, 1, 2)
    kernel = self.kernel.value.detach().permute(3, 2, 0, 1).to(x.dtype).contiguous(memory_format=torch.channels_last)
    padding = self.kernel_size[0] // 2 if self.padding == "same" else 0
    return _PositiveConvolution.apply(x, kernel, self.strides, padding).permute(0, 2, 3, 1)


def _normalise(self, inputs, training=None, mask=None):
    scale = self.gamma.value.detach() * torch.rsqrt(self.moving_variance.value.detach() + self.epsilon)
    shift = self.beta.value.detach() - self.moving_mean.value.detach() * scale
    return _PassedNormalisation.apply(inputs, scale.to(inputs.dtype), shift.to(inputs.dtype))


class DeepTaylorTorch:
    """Callable: standardised input (N, S, S, 3) → maps float32 (N, S, S) up to a positive factor a film.

    The factor is what the last layer and its bias give to a whole map; `encode_map` divides it out.
    """

    def __init__(self, model: keras.Model, output_index: int):
        keras.layers.Conv2D.call = _convolve
        keras.layers.BatchNormalization.call = _normalise
        self.features = keras.Model(model.input, model.get_layer("avg_pool").output)
        kernel = model.get_layer("logits").kernel.value.detach()[:, output_index]
        self.positive = kernel.clamp(min=0)

    def __call__(self, inputs: np.ndarray) -> np.ndarray:
        x = torch.from_numpy(np.ascontiguousarray(inputs)).requires_grad_(True)
        features = self.features(x, training=False)
        (relevance,) = torch.autograd.grad(features, x, grad_outputs=features.detach() * self.positive)
        return relevance.sum(-1).float().numpy()
