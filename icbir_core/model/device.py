"""Which device computes. The only module of this room that imports TensorFlow."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable
from dataclasses import asdict, dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from icbir_core.errors import DeviceError

if TYPE_CHECKING:
    import keras

TENSORFLOW, ONNX_RUNTIME = "TensorFlow", "ONNX Runtime"
"""The libraries that run networks."""
_taken: list[str] = []
CHOICES: tuple[str, ...] = ("auto", "cpu", "gpu")


@dataclass(frozen=True)
class Device:
    """kind : "cpu" or "gpu". name : for a reader. mixed_precision : train the hidden layers in float16 (GPU only)."""

    kind: str
    name: str
    mixed_precision: bool = False

    @property
    def training_policy(self) -> str:
        """The Keras dtype policy for training."""
        return "mixed_float16" if self.mixed_precision else "float32"

    def as_dict(self) -> dict[str, Any]:
        """Plain values for a manifest."""
        return asdict(self)


def require_choice(choice: str) -> str:
    """The choice itself, without looking at the machine. Raises `DeviceError` for an unknown one."""
    if choice not in CHOICES:
        raise DeviceError(f"Unknown device '{choice}'; choose auto, cpu or gpu.")
    return choice


@lru_cache(maxsize=len(CHOICES))
def choose_device(choice: str = "auto") -> Device:
    """The device to compute on; call it before the first network is built, because a process cannot change it later.

    "auto" takes a GPU that TensorFlow can use and otherwise the CPU; "cpu" hides the GPUs; "gpu" insists on one. GPU
    memory grows as needed. Raises `DeviceError` for "gpu" without one, for an unknown choice, or if TensorFlow already
    computes elsewhere.
    """
    require_choice(choice)
    if choice != "gpu" and "tensorflow" not in sys.modules and _names_tensorflow() and not _has_card():
        return Device("cpu", "CPU")
    import keras

    if keras.backend.backend() != "tensorflow":
        return _choose_other(choice, keras.backend.backend())
    import tensorflow

    found = tensorflow.config.list_physical_devices("GPU")
    if choice == "gpu" and not found:
        raise DeviceError("TensorFlow finds no GPU; install requirements-gpu.txt and a driver, or use --device cpu.")
    try:
        if choice == "cpu" or not found:
            tensorflow.config.set_visible_devices([], "GPU")
            return Device("cpu", "CPU")
        for each in found:
            tensorflow.config.experimental.set_memory_growth(each, True)
    except RuntimeError as error:
        raise DeviceError(f"The device must be chosen before anything is computed: {error}") from error
    name = tensorflow.config.experimental.get_device_details(found[0]).get("device_name", found[0].name)
    _taken.append("gpu")
    return Device("gpu", name, mixed_precision=True)


def computes_on_gpu() -> bool:
    """Whether this process has chosen a GPU; then TensorFlow runs every network."""
    return bool(_taken)


def _has_card() -> bool:
    """Whether there may be a card that TensorFlow can use; seen without loading it, which takes seconds."""
    if not sys.platform.startswith("linux"):
        return True
    return any(Path("/dev").glob("nvidia[0-9]*")) or any(Path("/dev", name).exists() for name in ("kfd", "dxg"))


def _names_tensorflow() -> bool:
    """Whether Keras, which is not loaded for it, would compute with TensorFlow."""
    named = os.environ.get("KERAS_BACKEND")
    if named is None:
        try:
            folder = Path(os.environ.get("KERAS_HOME") or Path.home() / ".keras")
            named = json.loads((folder / "keras.json").read_text(encoding="utf-8")).get("backend")
        except (OSError, ValueError, AttributeError, RuntimeError):
            named = None
    return named in (None, "tensorflow")


def _choose_other(choice: str, backend: str) -> Device:
    """Under another Keras backend that one places the arrays itself; only its name and whether it has a GPU are
    asked."""
    if backend == "torch":
        import torch

        if torch.cuda.is_available() and choice != "cpu":
            return Device("gpu", torch.cuda.get_device_name(0), mixed_precision=True)
    if choice == "gpu":
        raise DeviceError(f"The Keras backend {backend} finds no GPU; use --device cpu.")
    return Device("cpu", f"CPU ({backend})")


def compile_network(model: keras.Model) -> Callable[[np.ndarray], Any]:
    """The network at inference as a function of its input (N, …): compiled at its first call, once for all N, with the
    weights that it has at each call."""
    import keras

    if keras.backend.backend() != "tensorflow":
        return lambda inputs: model.predict_on_batch(inputs)
    import tensorflow

    # Nothing that is traced decides by a tensor's value, and AutoGraph takes twice the time of the tracing itself.
    return tensorflow.function(  # type: ignore[no-any-return]
        lambda inputs: model(inputs, training=False),
        input_signature=[tensorflow.TensorSpec((None, *model.input.shape[1:]), tensorflow.float32)],
        autograph=False,
    )


def make_deterministic() -> None:
    """Makes TensorFlow's operations repeat exactly on the CPU, so that a resumed training ends in the same weights."""
    import keras

    if keras.backend.backend() == "tensorflow":
        import tensorflow

        tensorflow.config.experimental.enable_op_determinism()
