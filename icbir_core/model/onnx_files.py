"""Encoders given as ONNX: which files are read, and how a network in one is run. The packages onnx and onnxruntime are
loaded when they are needed.

A graph is read as data before any of it runs. What an ONNX file may name and is refused here: operators that only code
of somebody else can run, and weights that lie outside the file's own folder.
"""

from __future__ import annotations

import importlib
import os
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

from icbir_core.errors import ModelError
from icbir_core.files import PathLike, reading_own, sha256_of_file

DOMAINS = ("", "ai.onnx", "ai.onnx.ml", "com.microsoft")
"""Sets of operators that the runtime brings itself."""


def require_package(package: str) -> ModuleType:
    """The package. Raises `ModelError` where it is not installed."""
    try:
        return importlib.import_module(package)
    except ImportError as error:
        raise ModelError(f"An encoder in ONNX needs the package {package}; run `pip install {package}`.") from error


def hash_external_files(path: PathLike) -> dict[str, str]:
    """The files beside `path` that hold weights of its graph, by name, with their SHA-256; none where all lies in one.

    Raises `ModelError` for a file that is no ONNX graph, one with operators that the runtime does not bring, or one
    whose weights lie outside its own folder.
    """
    onnx, path = require_package("onnx"), Path(path)
    with reading_own(f"'{path.name}'", ModelError, "name a file in ONNX"):
        model = onnx.load(str(path), load_external_data=False)
        if not model.graph.node:
            raise ValueError("no graph")
    own = {function.domain for function in model.functions}  # what the file defines of standard operators
    named = {one.domain for one in _walk(model) if isinstance(one, onnx.NodeProto)}
    foreign = sorted((named | {one.domain for one in model.opset_import}) - own - set(DOMAINS))
    if foreign:
        raise ModelError(
            f"'{path.name}' wants operators of {foreign[0]}, which only code of somebody else can run; export it with "
            "standard operators."
        )
    folder = path.parent.resolve()
    found: dict[str, str] = {}
    for tensor in _walk(model):
        for entry in tensor.external_data if isinstance(tensor, onnx.TensorProto) else ():
            if entry.key != "location":
                continue
            beside = folder / entry.value
            if Path(entry.value).name != entry.value or beside.is_symlink() or beside.resolve().parent != folder:
                raise ModelError(f"'{path.name}' wants weights from outside its folder; export it into one folder.")
            if not beside.is_file():
                raise ModelError(f"The weights '{entry.value}' of '{path.name}' are missing beside it.")
            found.setdefault(entry.value, sha256_of_file(beside))
    return found


def _walk(model: Any) -> Iterator[Any]:
    """The model and every message inside it, wherever the format lets one stand: graphs in nodes, functions, tensors of
    sparse ones, of attributes, of a training."""
    waiting = [model]
    while waiting:
        message = waiting.pop()
        yield message
        for field, value in message.ListFields():
            if field.message_type is not None:
                waiting += [value] if hasattr(value, "ListFields") else value


def count_threads() -> int:
    """How many threads a graph may use: OMP_NUM_THREADS where it is set, else one for each core that this process may
    use. The runtime by itself takes every core of the machine and binds a thread to each, also to forbidden ones."""
    asked = os.environ.get("OMP_NUM_THREADS", "").strip()
    if asked.isdecimal() and int(asked) > 0:
        return int(asked)
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def open_session(source: str | bytes, name: str) -> Any:
    """The runtime's session of a graph, of a file's path or in memory, on the CPU. Raises `ModelError`, naming it, if
    the runtime cannot load it."""
    runtime = require_package("onnxruntime")
    options = runtime.SessionOptions()
    options.log_severity_level = 4
    options.intra_op_num_threads = count_threads()
    # what the largest batch needed would stay with each graph, and once more as the plan of its next run: gigabytes
    options.enable_cpu_mem_arena = options.enable_mem_pattern = False
    # its threads would go on burning a core each after their work, which the other networks need
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    try:
        return runtime.InferenceSession(source, options, providers=["CPUExecutionProvider"])
    except Exception as error:  # the runtime's errors share no class below this one
        raise ModelError(f"{name} cannot be run: {_shorten(error)}.") from error


class OnnxNetwork:
    """A graph that runs on the CPU. Thread-safe.

    outputs : its names. Raises `ModelError` if the runtime cannot load it.
    """

    def __init__(self, path: PathLike):
        hash_external_files(path)
        self._session = open_session(str(path), f"'{Path(path).name}'")
        self.name = Path(path).name
        self.outputs = tuple(one.name for one in self._session.get_outputs())
        inputs = self._session.get_inputs()
        if len(inputs) != 1 or inputs[0].type != "tensor(float)":
            raise ModelError(f"'{self.name}' must take one tensor of float32, the films.")
        self._input = inputs[0].name

    def run(self, films: np.ndarray, outputs: tuple[str, ...]) -> list[np.ndarray]:
        """These outputs for films (N, …) as the network takes them."""
        try:
            found = self._session.run(list(outputs), {self._input: films})
        except Exception as error:  # as above
            raise ModelError(f"'{self.name}' cannot be run on such films: {_shorten(error)}.") from error
        return [np.asarray(one, np.float32) for one in found]


def _shorten(error: Exception) -> str:
    return " ".join(str(error).split())[:200].rstrip(".")
