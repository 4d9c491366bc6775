"""zennit (LRP for PyTorch) on a DenseNet-121: one side of `saliency_speed.py`, which starts it and asks it to work.

Runs in an environment of its own, with numpy, torch and zennit (0.5.1) and no ICBIR. It reads one line "N" from
standard input for each request, computes one forward pass and one EpsilonPlus attribution of N films of 224 × 224, the
same that the other side draws, and answers with the two wall times and the two processor times.
"""

from __future__ import annotations

import sys
import time
from types import ModuleType

import numpy as np
import torch
from torch import nn


def pretend_torchvision() -> None:
    """zennit imports two class names of torchvision's ResNet, which a DenseNet does not have."""
    names = ("torchvision", "torchvision.models", "torchvision.models.resnet", "torchvision.models.vgg")
    for name in names:
        sys.modules.setdefault(name, ModuleType(name))
    sys.modules["torchvision.models.resnet"].Bottleneck = type("Bottleneck", (nn.Module,), {})
    sys.modules["torchvision.models.resnet"].BasicBlock = type("BasicBlock", (nn.Module,), {})


class Step(nn.Module):
    """BN → ReLU → 1 × 1 → BN → ReLU → 3 × 3, joined to its input (Huang et al., CVPR 2017)."""

    def __init__(self, channels: int, growth: int = 32):
        super().__init__()
        self.inner = nn.Sequential(
            nn.BatchNorm2d(channels),
            nn.ReLU(),
            nn.Conv2d(channels, 4 * growth, 1, bias=False),
            nn.BatchNorm2d(4 * growth),
            nn.ReLU(),
            nn.Conv2d(4 * growth, growth, 3, padding=1, bias=False),
        )

    def forward(self, x):
        return torch.cat([x, self.inner(x)], 1)


def build_densenet121(outputs: int = 8) -> nn.Module:
    """DenseNet-121 as in the paper, with random weights, for inference."""
    layers = [
        nn.Conv2d(3, 64, 7, stride=2, padding=3, bias=False),
        nn.BatchNorm2d(64),
        nn.ReLU(),
        nn.MaxPool2d(3, 2, 1),
    ]
    channels = 64
    for block, steps in enumerate((6, 12, 24, 16)):
        for _ in range(steps):
            layers.append(Step(channels))
            channels += 32
        if block < 3:
            layers += [nn.BatchNorm2d(channels), nn.ReLU(), nn.Conv2d(channels, channels // 2, 1, bias=False)]
            layers.append(nn.AvgPool2d(2))
            channels //= 2
    layers += [nn.BatchNorm2d(channels), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(channels, outputs)]
    return nn.Sequential(*layers).eval()


def main() -> None:
    pretend_torchvision()
    from zennit.attribution import Gradient
    from zennit.composites import EpsilonPlus

    torch.manual_seed(0)
    torch.set_num_threads(int(sys.argv[1]))
    model = build_densenet121()
    composite = EpsilonPlus()

    def forward(inputs):
        with torch.inference_mode():
            model(inputs)

    def attribute(inputs):
        with Gradient(model=model, composite=composite) as attributor:
            attributor(inputs.clone().requires_grad_(), torch.eye(8)[[0] * len(inputs)])

    for line in sys.stdin:
        films = np.random.default_rng(0).normal(size=(int(line), 224, 224, 3)).astype("f4")  # those of the other side
        inputs = torch.from_numpy(films).permute(0, 3, 1, 2).contiguous()
        answer = []
        for call in (forward, attribute):
            wall, processor = time.perf_counter(), time.process_time()
            call(inputs)
            answer += [time.perf_counter() - wall, time.process_time() - processor]
        print(*answer, flush=True)


if __name__ == "__main__":
    main()
