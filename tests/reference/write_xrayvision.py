"""Runs in an environment with PyTorch and TorchXRayVision: a DenseNet with random weights, saved as that project saves
its own, and every layer's output for one film.

    python write_xrayvision.py FOLDER

Writes zip.pt and legacy.pt (the whole network, in both forms), state.pt (its weights alone) and outputs.npz: the film
"film" float32 (1, 224, 224, 1) from −1024 to 1024, each convolution's, normalisation's and the head's output by name,
channels last, and "features". `torchvision` is not needed for this network; an empty stand-in is imported in its place.
"""

from __future__ import annotations

import importlib
import importlib.util
import sys
import types
from pathlib import Path

for name in ("torchvision", "torchvision.transforms", "torchvision.models"):
    sys.modules[name] = types.ModuleType(name)
    sys.modules[name].__path__ = []
sys.modules["torchvision"].transforms = sys.modules["torchvision.transforms"]
sys.modules["torchvision"].models = sys.modules["torchvision.models"]

import numpy as np  # noqa: E402
import torch  # noqa: E402


def load_models():
    """`torchxrayvision.models`; the modules beside it, which need torchvision, are not loaded."""
    folder = Path(importlib.util.find_spec("torchxrayvision").origin).parent
    package = types.ModuleType("torchxrayvision")
    package.__path__ = [str(folder)]
    sys.modules["torchxrayvision"] = package
    for part in ("utils", "datasets", "models"):
        module = importlib.import_module(f"torchxrayvision.{part}")
        setattr(package, part, module)
    return package.models


def main() -> None:
    folder = Path(sys.argv[1])
    torch.manual_seed(0)
    network = load_models().DenseNet()
    rows = torch.linspace(-1, 1, 224)
    film = 1024 * torch.tanh(rows[:, None] * torch.sin(9 * rows) + 0.3 * torch.randn(1, 1, 224, 224))
    with torch.no_grad():
        for (
            module
        ) in network.modules():  # running statistics of the film itself, so that every layer's output is near 1
            if isinstance(module, torch.nn.BatchNorm2d):
                module.momentum = 1.0
                module.weight.uniform_(0.5, 1.5)
                module.bias.uniform_(-0.5, 0.5)
        network.train()
        network(film)
        network.eval()
        outputs: dict[str, np.ndarray] = {"film": film.permute(0, 2, 3, 1).numpy()}

        def watch(name: str):
            def keep(module, inputs, output):
                values = output.detach().clone()
                outputs[name] = (values.permute(0, 2, 3, 1) if values.ndim == 4 else values).numpy()

            return keep

        for name, module in network.named_modules():
            if isinstance(module, torch.nn.Conv2d | torch.nn.BatchNorm2d | torch.nn.Linear):
                module.register_forward_hook(watch(name))
        network(film)
        outputs["features"] = network.features2(film).numpy()
    for module in network.modules():
        module._forward_hooks.clear()
    np.savez(folder / "outputs.npz", **outputs)
    torch.save(network, folder / "zip.pt")
    torch.save(network, folder / "legacy.pt", _use_new_zipfile_serialization=False)
    torch.save(network.state_dict(), folder / "state.pt")


if __name__ == "__main__":
    main()
