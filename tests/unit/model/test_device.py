"""Where to compute: asked for, found or refused in one sentence, and written down."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
import tensorflow

from icbir_core.errors import DeviceError
from icbir_core.model import device as module

# Without the memory of earlier answers, which would also keep those of these machines.
choose_device = module.choose_device.__wrapped__


@pytest.fixture
def machine(monkeypatch):
    """A machine whose graphics cards a test names; `done` holds what was set on TensorFlow."""
    made = SimpleNamespace(cards=[], done=[])
    config = tensorflow.config
    monkeypatch.setattr(module, "_taken", [])
    monkeypatch.setattr(config, "list_physical_devices", lambda kind=None: made.cards)
    monkeypatch.setattr(config, "set_visible_devices", lambda cards, kind: made.done.append(("visible", len(cards))))
    monkeypatch.setattr(config.experimental, "set_memory_growth", lambda card, on: made.done.append((card.name, on)))
    monkeypatch.setattr(config.experimental, "get_device_details", lambda card: {"device_name": "A Card"})
    return made


def test_auto_takes_the_processor_where_there_is_nothing_else(machine):
    device = choose_device("auto")
    assert (device.kind, device.name, device.training_policy) == ("cpu", "CPU", "float32")
    assert device.as_dict()["name"] == "CPU"


def test_auto_and_gpu_take_a_card_let_its_memory_grow_and_train_in_mixed_precision(machine):
    machine.cards = [SimpleNamespace(name="card:0"), SimpleNamespace(name="card:1")]
    for choice in ("auto", "gpu"):
        device = choose_device(choice)
        assert (device.kind, device.name, device.training_policy) == ("gpu", "A Card", "mixed_float16")
    assert machine.done[:2] == [("card:0", True), ("card:1", True)]


def test_the_processor_on_request_hides_the_cards(machine):
    machine.cards = [SimpleNamespace(name="card:0")]
    assert choose_device("cpu").kind == "cpu" and machine.done == [("visible", 0)]


def test_what_is_not_there_is_refused(machine, monkeypatch):
    with pytest.raises(DeviceError, match="no GPU.* requirements-gpu.txt"):
        choose_device("gpu")
    with pytest.raises(DeviceError, match="Unknown device 'tpu'"):
        choose_device("tpu")

    def too_late(*_):
        raise RuntimeError("Visible devices cannot be modified after being initialized")

    monkeypatch.setattr(tensorflow.config, "set_visible_devices", too_late)
    with pytest.raises(DeviceError, match="before anything is computed"):
        choose_device("cpu")


@pytest.mark.parametrize(
    ("environment", "stored", "expected"),
    [
        ({}, None, True),
        ({}, '{"backend": "torch"}', False),
        ({}, '{"backend": "tensorflow"}', True),
        ({}, "[]", True),
        ({"KERAS_BACKEND": "torch"}, '{"backend": "tensorflow"}', False),
        ({"KERAS_BACKEND": "tensorflow"}, '{"backend": "torch"}', True),
    ],
)
def test_which_library_keras_would_take_is_known_without_loading_it(
    environment, stored, expected, tmp_path, monkeypatch
):
    monkeypatch.delenv("KERAS_BACKEND", raising=False)
    for name, value in ({"KERAS_HOME": str(tmp_path)} | environment).items():
        monkeypatch.setenv(name, value)
    if stored is not None:
        (tmp_path / "keras.json").write_text(stored, encoding="utf-8")
    assert module._names_tensorflow() is expected


def test_tensorflow_is_asked_only_where_there_may_be_a_card_or_it_is_loaded_anyway(machine, monkeypatch):
    machine.cards = [SimpleNamespace(name="card:0")]
    monkeypatch.delitem(module.sys.modules, "tensorflow")
    monkeypatch.setattr(module, "_names_tensorflow", lambda: True)
    monkeypatch.setattr(module, "_has_card", lambda: False)
    assert choose_device("auto").kind == "cpu" and not module.computes_on_gpu()
    monkeypatch.setitem(module.sys.modules, "tensorflow", tensorflow)
    assert choose_device("auto").kind == "gpu" and module.computes_on_gpu()
