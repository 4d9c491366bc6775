"""Tiny encoders of other makers: in ONNX and in Keras, with weights that are drawn, and their manifests."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

SIDE, WIDTH = 32, 6
FINDINGS = ("Cardiomegaly", "Effusion")


def draw_weights() -> dict[str, np.ndarray]:
    """A convolution (6, 1, 8, 8) of stride 8 and a head (6, 2)."""
    random = np.random.default_rng(7)
    return {
        "kernel": random.normal(0, 0.3, (WIDTH, 1, 8, 8)).astype(np.float32),
        "head": random.normal(0, 1, (WIDTH, len(FINDINGS))).astype(np.float32),
    }


def describe_slowly(images: np.ndarray, low: float, high: float) -> np.ndarray:
    """What the tiny network must give: float64 (N, 6), patch by patch."""
    kernel, found = draw_weights()["kernel"].astype(np.float64), np.zeros((len(images), WIDTH))
    for number, image in enumerate(low + images.astype(np.float64) * (high - low)):
        for top in range(0, SIDE, 8):
            for left in range(0, SIDE, 8):
                patch = image[top : top + 8, left : left + 8]
                found[number] += np.maximum((kernel[:, 0] * patch).sum(axis=(1, 2)), 0)
    return found / (SIDE // 8) ** 2


def make_manifest(**changes: Any) -> dict[str, Any]:
    """Of the tiny network; changes : other entries."""
    return {
        "title": "Tiny",
        "network": "tiny patches",
        "input": {"size": SIDE, "equalise": False, "channels": 1, "channels_first": True, "range": [-1, 1]},
        "embedding": {"output": "places", "width": WIDTH, "pooling": "mean"},
        "findings": list(FINDINGS),
        "findings_output": "logits",
    } | changes


def write_manifest(path: Path, **changes: Any) -> Path:
    path.write_text(json.dumps(make_manifest(**changes)))
    return path


def write_onnx(path: Path, domain: str = "", external: str = "") -> Path:
    """The tiny network. domain : of one operator; external : where the kernel is said to lie."""
    import onnx
    from onnx import TensorProto, helper, numpy_helper

    weights = draw_weights()
    tensors = [numpy_helper.from_array(values, name) for name, values in weights.items()]
    if external:
        kernel = tensors[0]
        (path.parent / Path(external).name).write_bytes(kernel.raw_data)
        kernel.ClearField("raw_data")
        kernel.data_location = TensorProto.EXTERNAL
        kernel.external_data.add(key="location", value=external)
    nodes = [
        helper.make_node("Conv", ["films", "kernel"], ["raw"], strides=[8, 8], kernel_shape=[8, 8]),
        helper.make_node("Relu", ["raw"], ["places"], domain=domain),
        helper.make_node("GlobalAveragePool", ["places"], ["mean"]),
        helper.make_node("Flatten", ["mean"], ["features"]),
        helper.make_node("MatMul", ["features", "head"], ["logits"]),
    ]
    films = helper.make_tensor_value_info("films", TensorProto.FLOAT, ["N", 1, SIDE, SIDE])
    outputs = [
        helper.make_tensor_value_info(name, TensorProto.FLOAT, shape)
        for name, shape in (("places", ["N", WIDTH, 4, 4]), ("features", ["N", WIDTH]), ("logits", ["N", 2]))
    ]
    graph = helper.make_graph(nodes, "tiny", [films], outputs, tensors)
    domains = [helper.make_opsetid("", 17), *([helper.make_opsetid(domain, 1)] if domain else [])]
    onnx.save(helper.make_model(graph, opset_imports=domains, ir_version=9), str(path))
    return path


def write_keras(path: Path) -> Path:
    """The same network as Keras saves it, with rows and columns before the channel."""
    import keras

    weights = draw_weights()
    films = keras.Input((SIDE, SIDE, 1))
    places = keras.layers.Conv2D(WIDTH, 8, strides=8, use_bias=False, activation="relu", name="places")(films)
    features = keras.layers.GlobalAveragePooling2D(name="features")(places)
    logits = keras.layers.Dense(len(FINDINGS), use_bias=False, name="logits")(features)
    model = keras.Model(films, logits)
    model.get_layer("places").set_weights([weights["kernel"].transpose(2, 3, 1, 0)])
    model.get_layer("logits").set_weights([weights["head"]])
    model.save(path)
    return path
