"""The Deep Taylor rules of `icbir_core.saliency` under PyTorch in bfloat16: the maps to train the starter on, faster.

`ship` in `train_starter.py` prints how closely the maps agree with the product's own, which judge the network there and
which every query uses.
"""

from __future__ import annotations

import numpy as np
import torch
from densenet_torch import DenseNetTorch
from torch import nn
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


class _Convolution(nn.Module):
    def __init__(self, layer: nn.Conv2d):
        super().__init__()
        kernel = layer.weight.detach().bfloat16()
        self.kernel = kernel.contiguous(memory_format=torch.channels_last)
        self.options = layer.stride, layer.padding

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return _PositiveConvolution.apply(x, self.kernel, *self.options)


class _Normalisation(nn.Module):
    def __init__(self, layer: nn.BatchNorm2d):
        super().__init__()
        scale = layer.weight.detach() * torch.rsqrt(layer.running_var + layer.eps)
        shift = layer.bias.detach() - layer.running_mean * scale
        self.scale, self.shift = (values.bfloat16().view(1, -1, 1, 1) for values in (scale, shift))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return _PassedNormalisation.apply(x, self.scale, self.shift)


class DeepTaylorTorch(DenseNetTorch):
    """Callable: standardised input (N, S, S, 3) → maps float32 (N, S, S) up to a positive factor a film.

    The factor is what the last layer and its bias give to a whole map; `encode_map` divides it out.
    """

    def __init__(self, weights: dict[str, np.ndarray], output_index: int):
        super().__init__(weights["logits/bias"].shape[0])
        self.load(weights)
        self.positive = self.layers["logits"].weight.detach()[output_index].clamp(min=0)
        for name, layer in self.layers.items():
            if isinstance(layer, nn.Conv2d):
                self.layers[name] = _Convolution(layer)
            elif isinstance(layer, nn.BatchNorm2d):
                self.layers[name] = _Normalisation(layer)

    def __call__(self, inputs: np.ndarray) -> np.ndarray:
        x = torch.from_numpy(inputs).permute(0, 3, 1, 2).bfloat16().requires_grad_(True)
        features = self.features(x)
        (relevance,) = torch.autograd.grad(features, x, grad_outputs=features.detach() * self.positive)
        return relevance.float().sum(1).numpy()
