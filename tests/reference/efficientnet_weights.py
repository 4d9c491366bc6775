"""EfficientNet-Lite0 with drawn weights, by the names of its PyTorch files; by numpy, so that both sides draw alike."""

from __future__ import annotations

import numpy as np

GROUPS = ((1, 3, 1, 1, 16), (2, 3, 2, 6, 24), (2, 5, 2, 6, 40), (3, 3, 2, 6, 80), (3, 5, 1, 6, 112), (4, 5, 2, 6, 192),
          (1, 3, 1, 6, 320))  # fmt: skip
SIZE, OUTPUTS = 64, 3


def list_blocks():
    """(inputs, outputs, kernel, stride, expansion) of each of the 16 blocks."""
    channels = 32
    for repeats, kernel, stride, expansion, outputs in GROUPS:
        for step in range(repeats):
            yield channels, outputs, kernel, stride if step == 0 else 1, expansion
            channels = outputs


def draw_efficientnet(seed: int = 0) -> dict[str, np.ndarray]:
    """Random weights float32 that keep every layer's output near 1."""
    random = np.random.default_rng(seed)
    found: dict[str, np.ndarray] = {}

    def convolve(name: str, outputs: int, inputs: int, side: int) -> None:
        scale = np.sqrt(2 / (inputs * side * side))
        found[f"{name}.weight"] = (scale * random.standard_normal((outputs, inputs, side, side))).astype(np.float32)

    def normalise(name: str, channels: int) -> None:
        found[f"{name}.weight"] = random.uniform(0.5, 1.5, channels).astype(np.float32)
        found[f"{name}.bias"] = random.uniform(-0.5, 0.5, channels).astype(np.float32)
        found[f"{name}.running_mean"] = random.uniform(-0.2, 0.2, channels).astype(np.float32)
        found[f"{name}.running_var"] = random.uniform(0.5, 1.5, channels).astype(np.float32)
        found[f"{name}.num_batches_tracked"] = np.array(7, np.int64)

    convolve("_conv_stem", 32, 3, 3)
    normalise("_bn0", 32)
    for number, (inputs, outputs, kernel, _, expansion) in enumerate(list_blocks()):
        block, inner = f"_blocks.{number}", inputs * expansion
        if expansion > 1:
            convolve(f"{block}._expand_conv", inner, inputs, 1)
            normalise(f"{block}._bn0", inner)
        convolve(f"{block}._depthwise_conv", inner, 1, kernel)
        normalise(f"{block}._bn1", inner)
        convolve(f"{block}._project_conv", outputs, inner, 1)
        normalise(f"{block}._bn2", outputs)
    convolve("_conv_head", 1280, outputs, 1)
    normalise("_bn1", 1280)
    found["_fc.weight"] = (random.standard_normal((OUTPUTS, 1280)) / 30).astype(np.float32)
    found["_fc.bias"] = random.uniform(-0.5, 0.5, OUTPUTS).astype(np.float32)
    return found


def make_film(size: int = SIZE) -> np.ndarray:
    """A grey film float32 (1, size, size) in [0, 1]."""
    rows = np.linspace(-1, 1, size)
    return (0.5 + 0.5 * np.tanh(rows[:, None] * np.sin(9 * rows) + 0.4 * np.cos(31 * rows * rows[:, None])))[
        None
    ].astype(np.float32)


def pick(values: np.ndarray) -> np.ndarray:
    """What is stored of a layer's output: mean, standard deviation and eight of its values."""
    flat = np.asarray(values, np.float64).ravel()
    return np.array([flat.mean(), flat.std(), *flat[np.linspace(0, len(flat) - 1, 8).astype(int)]], np.float32)
