"""Writes PyTorch files without PyTorch, in both of its forms, as far as a network's weights go.

The pickles name the classes that PyTorch's own would name; `fake_torch` puts stand-ins of these names where pickle
looks them up while it writes. The slow test compares with files that PyTorch itself has written.
"""

from __future__ import annotations

import io
import pickle
import struct
import sys
import types
import zipfile
from collections import OrderedDict
from contextlib import contextmanager
from pathlib import Path

import numpy as np

BLOCKS, GROWTH, OUTPUTS = (6, 12, 24, 16), 32, 18


def _make(module: types.ModuleType, name: str, value):
    value.__module__, value.__qualname__, value.__name__ = module.__name__, name, name
    setattr(module, name, value)
    return value


@contextmanager
def fake_torch():
    """Modules of PyTorch's and TorchXRayVision's names with the few things that a file of weights refers to."""
    names = ("torch", "torch._utils", "torch.nn", "torch.nn.modules", "torch.nn.modules.conv", "torchxrayvision")
    names += ("torchxrayvision.models",)
    before = {name: sys.modules.get(name) for name in names}
    modules = {name: types.ModuleType(name) for name in names}
    sys.modules.update(modules)
    try:
        yield types.SimpleNamespace(
            float_storage=_make(modules["torch"], "FloatStorage", type("FloatStorage", (), {})),
            long_storage=_make(modules["torch"], "LongStorage", type("LongStorage", (), {})),
            rebuild=_make(modules["torch._utils"], "_rebuild_tensor_v2", lambda *parts: None),
            layer=_make(modules["torch.nn.modules.conv"], "Conv2d", type("Conv2d", (), {})),
            network=_make(modules["torchxrayvision.models"], "DenseNet", type("DenseNet", (), {})),
        )
    finally:
        for name, module in before.items():
            if module is None:
                del sys.modules[name]
            else:
                sys.modules[name] = module


class _Tensor:
    def __init__(self, array: np.ndarray, torch):
        self.array, self.torch = array, torch

    def __reduce_ex__(self, protocol):
        steps = tuple(step // self.array.itemsize for step in self.array.strides)
        return self.torch.rebuild, (self, 0, self.array.shape, steps, False, OrderedDict())


class _Storage:
    """What a tensor's pickle refers to: the numbers in the order in which they lie."""

    def __init__(self, array: np.ndarray):
        order = np.argsort([-step for step in array.strides], kind="stable")
        self.data = array.transpose(order).ravel().tobytes()
        self.long = array.dtype == np.int64


class _Writer(pickle.Pickler):
    def __init__(self, file, torch, legacy: bool):
        super().__init__(file, protocol=2)
        self.torch, self.legacy, self.storages, self.inside = torch, legacy, {}, set()

    def persistent_id(self, value):
        if self.legacy and isinstance(value, type) and value in (self.torch.layer, self.torch.network):
            if value in self.inside:
                return None
            self.inside.add(value)
            return "module", value, "models.py", "import os\nos.abort()\n"
        if not isinstance(value, _Storage):
            return None
        key = str(len(self.storages))
        self.storages[key] = value
        kind = self.torch.long_storage if value.long else self.torch.float_storage
        found = ("storage", kind, key, "cpu", len(value.data) // (8 if value.long else 4))
        return (*found, None) if self.legacy else found

    def reducer_override(self, value):
        if isinstance(value, _Tensor):
            function, parts = value.__reduce_ex__(2)
            return function, (_Storage(value.array), *parts[1:])
        return NotImplemented


def _grow(weights: dict[str, np.ndarray], torch):
    """The network as objects: layers in layers, with parameters and buffers, as a whole network is saved."""
    root = torch.network()
    root.__dict__ = {
        "training": False,
        "_parameters": OrderedDict(),
        "_buffers": OrderedDict(),
        "_modules": OrderedDict(),
    }
    for name, values in weights.items():
        layer, (*path, last) = root, name.split(".")
        for part in path:
            if part not in layer.__dict__["_modules"]:
                inner = torch.layer()
                inner.__dict__ = {"kernel_size": (3, 3), "_parameters": OrderedDict(), "_buffers": OrderedDict()}
                inner.__dict__["_modules"] = OrderedDict()
                layer.__dict__["_modules"][part] = inner
            layer = layer.__dict__["_modules"][part]
        group = "_buffers" if "running" in last or "num_batches" in last else "_parameters"
        layer.__dict__[group][last] = _Tensor(values, torch)
    return root


def write_torch_file(path: Path, weights: dict[str, np.ndarray], *, legacy: bool = False, whole: bool = True) -> Path:
    """A file of float32 and int64 arrays. legacy : the form before PyTorch 1.6. whole : a network, not its state."""
    with fake_torch() as torch:
        state = OrderedDict((name, _Tensor(values, torch)) for name, values in weights.items())
        content = _grow(weights, torch) if whole else state
        data = io.BytesIO()
        writer = _Writer(data, torch, legacy)
        writer.dump(content)
    if legacy:
        head = (0x1950A86A20F9469CFC6C, 1001, {"protocol_version": 1001, "little_endian": True, "type_sizes": {}})
        body = b"".join(pickle.dumps(part, 2) for part in head) + data.getvalue()
        body += pickle.dumps(list(writer.storages), 2)
        for storage in writer.storages.values():
            body += struct.pack("<q", len(storage.data) // (8 if storage.long else 4)) + storage.data
        path.write_bytes(body)
        return path
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("archive/data.pkl", data.getvalue())
        archive.writestr("archive/byteorder", "little")
        for key, storage in writer.storages.items():
            archive.writestr(f"archive/data/{key}", storage.data)
        archive.writestr("archive/version", "3\n")
    return path


def draw_xrayvision(seed: int = 0) -> dict[str, np.ndarray]:
    """Random weights of TorchXRayVision's DenseNet-121 by its own names, float32; the sizes keep every layer's output
    near 1 for films from −1024 to 1024."""
    random = np.random.default_rng(seed)
    found: dict[str, np.ndarray] = {}

    def convolve(name: str, outputs: int, inputs: int, side: int, gain: float = 1.0) -> None:
        scale = gain * np.sqrt(2 / (inputs * side * side))
        found[f"{name}.weight"] = (scale * random.standard_normal((outputs, inputs, side, side))).astype(np.float32)

    def normalise(name: str, channels: int) -> None:
        # Some variances so small that the ε of the normalisation decides, with a weight that keeps the output near 1.
        tiny = random.random(channels) < 0.02
        found[f"{name}.weight"] = (random.uniform(0.5, 1.5, channels) * np.where(tiny, 0.005, 1)).astype(np.float32)
        found[f"{name}.bias"] = random.uniform(-0.5, 0.5, channels).astype(np.float32)
        found[f"{name}.running_mean"] = random.uniform(-0.2, 0.2, channels).astype(np.float32)
        spread = np.where(tiny, 1e-5, random.uniform(0.5, 1.5, channels))
        found[f"{name}.running_var"] = spread.astype(np.float32)
        found[f"{name}.num_batches_tracked"] = np.array(7, np.int64)

    convolve("features.conv0", 64, 1, 7, gain=1 / 600)
    normalise("features.norm0", 64)
    channels = 64
    for block, steps in enumerate(BLOCKS, start=1):
        for step in range(1, steps + 1):
            layer = f"features.denseblock{block}.denselayer{step}"
            normalise(f"{layer}.norm1", channels)
            convolve(f"{layer}.conv1", 4 * GROWTH, channels, 1)
            normalise(f"{layer}.norm2", 4 * GROWTH)
            convolve(f"{layer}.conv2", GROWTH, 4 * GROWTH, 3)
            channels += GROWTH
        if block < len(BLOCKS):
            normalise(f"features.transition{block}.norm", channels)
            convolve(f"features.transition{block}.conv", channels // 2, channels, 1)
            channels //= 2
    normalise("features.norm5", channels)
    found["classifier.weight"] = (random.standard_normal((OUTPUTS, channels)) / 30).astype(np.float32)
    found["classifier.bias"] = random.uniform(-0.5, 0.5, OUTPUTS).astype(np.float32)
    return found
